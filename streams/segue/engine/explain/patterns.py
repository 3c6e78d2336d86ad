"""`A then B` and `A then no B`: what is open, what has matched, and which events made it so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segue.engine.explain.history import Happened
from segue.engine.explain.look import Look, listing
from segue.engine.explain.values import Evidence, Seen
from segue.engine.explain.words import shown
from segue.engine.windows import holding
from segue.limits import PATTERN_KEYS
from segue.plan.layout import leaf_scope
from segue.plan.leaves import Follow, Pattern
from segue.records import NEVER, Value
from segue.rules.pretty import duration_text, events_text
from segue.rules.tree import Events


def of_pattern(look: Look, i: int, leaf: Pattern, holds: bool, matched_ms: int | None) -> Evidence:
    """`A then no B` without field and window. `matched_ms`: if it holds, when it has matched, as far as that is known."""
    due: int = look.state[look.plan.own_slots[i]]
    if holds:
        return _absent(look, i, leaf, matched_ms, None)
    if due < NEVER:
        return _open(look, i, leaf, due, None)
    return _idle_absence(look, i, leaf)


def of_follow(look: Look, i: int, leaf: Follow, holds: bool) -> Evidence:
    """The others, each value of the field by itself: the newest match that stands decides."""
    opened, matches = look.state[look.plan.own_slots[i]]
    key, matched_ms = max(matches.items(), key=lambda match: match[1], default=("", None))
    if holds and matched_ms is not None:
        inside = holding(leaf.window)
        others = sum(inside(t, look.at_ms)[0] for t in matches.values()) - 1
        found = _absent(look, i, leaf, matched_ms, key, others) if leaf.absent else _followed(look, i, leaf, matched_ms)
    elif matched_ms is not None:
        found = Evidence(f"matched {look.moment(matched_ms)}, outside the window", at_ms=matched_ms)
    elif not leaf.absent:
        found = _unfollowed(look, i, leaf, opened)
    elif opened:
        due, key = min(((due, key) for key, due in opened.items()), key=lambda o: o[0])
        found = _open(look, i, leaf, due, key)
    else:
        found = _idle_absence(look, i, leaf)
    return _flagged(found, leaf, opened, matches)


# --- A then no B


def _absent(look: Look, i: int, leaf: Pattern | Follow, matched_ms: int | None, key: Value, others: int = 0) -> Evidence:
    missing, within = events_text(_second(leaf)), duration_text(leaf.within_ms)
    if matched_ms is None:
        return Evidence(f"no {missing} within {within}")
    began_ms = matched_ms - leaf.within_ms
    said = f"no {missing} within {within} after {look.moment(began_ms)}{_of(leaf, key)}"
    if others:
        said += f", and of {others:,} other {_same(leaf)}"
    return listing(Evidence(said, _value(leaf, key), matched_ms), _opener(look, i, leaf, began_ms, key))


def _open(look: Look, i: int, leaf: Pattern | Follow, due: int, key: Value) -> Evidence:
    began_ms = due - leaf.within_ms
    said = f"open since {look.moment(began_ms)}{_of(leaf, key)}"
    needs = f"no {events_text(_second(leaf))}{_of(leaf, key)}"
    evidence = Evidence(said, _value(leaf, key), began_ms, needs, due)
    return listing(evidence, _opener(look, i, leaf, began_ms, key))


def _idle_absence(look: Look, i: int, leaf: Pattern | Follow) -> Evidence:
    needs = f"{events_text(leaf.first)}, then no {events_text(_second(leaf))} within {duration_text(leaf.within_ms)}"
    if isinstance(leaf, Follow) and leaf.window is not None:
        return Evidence("none open, no match in the window", needs=needs)
    closed = _closing(look, i, leaf)
    if closed is None:
        return Evidence("not begun", needs=needs)
    evidence = Evidence(f"closed {look.moment(closed.time_ms)}", at_ms=closed.time_ms, needs=needs)
    return listing(evidence, [look.seen(closed, _same(leaf))])


def _closing(look: Look, i: int, leaf: Pattern | Follow) -> Happened | None:
    """The newest B behind an A of the same value."""
    begun = _logged(look, i, leaf.first)
    for b in reversed(_logged(look, i, _second(leaf))):
        if any(a.time_ms <= b.time_ms and _has(look, leaf, b, _key(look, leaf, a)) for a in begun):
            return b
    return None


def _opener(look: Look, i: int, leaf: Pattern | Follow, began_ms: int, key: Value) -> list[Seen]:
    """The A, or the R, that has set the clock."""
    again = leaf.restarting_on
    found = [*_logged(look, i, leaf.first), *([] if again is None else _logged(look, i, again))]
    found = [e for e in found if e.time_ms == began_ms and _has(look, leaf, e, key)]
    return [look.seen(e, _same(leaf)) for e in found[:1]] or [Seen(began_ms, None, None, _value(leaf, key))]


# --- A then B


def _followed(look: Look, i: int, leaf: Follow, matched_ms: int) -> Evidence:
    evidence = Evidence(f"matched {look.moment(matched_ms)}", at_ms=matched_ms)
    return listing(evidence, _pair(look, i, leaf, matched_ms) or [Seen(matched_ms, None, None, None)])


def _pair(look: Look, i: int, leaf: Follow, matched_ms: int) -> list[Seen]:
    """The newest A, and the B that followed it."""
    for b in reversed(_logged(look, i, leaf.second)):
        for a in reversed(_logged(look, i, leaf.first)):
            alike = leaf.same is None or _has(look, leaf, b, _key(look, leaf, a))
            if b.time_ms == matched_ms and matched_ms - leaf.within_ms < a.time_ms < matched_ms and alike:
                return [look.seen(a, leaf.same), look.seen(b, leaf.same)]
    return []


def _unfollowed(look: Look, i: int, leaf: Follow, opened: dict[Any, list[Any]]) -> Evidence:
    alive = [(began[0], key) for key, began in opened.items() if began[0] > look.at_ms - leaf.within_ms]
    if not alive:
        needs = f"{events_text(leaf.first)}, then {events_text(leaf.second)} within {duration_text(leaf.within_ms)}"
        return Evidence("not begun" if leaf.window is None else "none begun, no match in the window", needs=needs)
    began_ms, key = max(alive, key=lambda a: a[0])
    evidence = Evidence(
        f"begun {look.moment(began_ms)}{_of(leaf, key)}",
        at_ms=began_ms,
        value=_value(leaf, key),
        needs=f"{events_text(leaf.second)}{_of(leaf, key)}",
        before_ms=began_ms + leaf.within_ms,
    )
    begun = [e for e in _logged(look, i, leaf.first) if e.time_ms == began_ms and _has(look, leaf, e, key)]
    seen = [look.seen(e, leaf.same) for e in begun[-1:]] or [Seen(began_ms, None, None, _value(leaf, key))]
    return listing(evidence, seen)


# --- both


def _second(leaf: Pattern | Follow) -> Events:
    return leaf.missing if isinstance(leaf, Pattern) else leaf.second


def _same(leaf: Pattern | Follow) -> str | None:
    return None if isinstance(leaf, Pattern) else leaf.same


def _value(leaf: Pattern | Follow, key: Value) -> Value:
    return None if _same(leaf) is None else key


def _of(leaf: Pattern | Follow, key: Value) -> str:
    same = _same(leaf)
    return "" if same is None else f" with {same} {shown(key)}"


def _key(look: Look, leaf: Pattern | Follow, event: Happened) -> Value:
    same = _same(leaf)
    return "" if same is None or look.history is None else look.history.value(event, same)


def _has(look: Look, leaf: Pattern | Follow, event: Happened, key: Value) -> bool:
    return _same(leaf) is None or (key is not None and _key(look, leaf, event) == key)


def _logged(look: Look, i: int, events: Events) -> list[Happened]:
    return [] if look.history is None else look.history.matching(events, leaf_scope(look.plan, i))


def _flagged(evidence: Evidence, leaf: Follow, opened: dict[Any, Any], matches: dict[Any, int]) -> Evidence:
    if max(len(opened), len(matches)) < PATTERN_KEYS:
        return evidence
    return replace(evidence, flags=(f"at most {PATTERN_KEYS:,} values of {leaf.same} are kept: older ones are not counted",))
