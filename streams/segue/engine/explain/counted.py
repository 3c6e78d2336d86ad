"""Counts, aggregates, the last and the first: what their evidence says."""

from __future__ import annotations

from collections.abc import Sequence

from segue.engine.evaluate import aggregate, total_value
from segue.engine.explain.look import Look, entries, listing
from segue.engine.explain.values import Evidence, Seen
from segue.engine.explain.words import events_said, number, shown
from segue.engine.windows import holding
from segue.plan.leaves import Leaf, Threshold, Totalled, Windowed
from segue.records import Value
from segue.rules.pretty import duration_text
from segue.rules.tree import Aggregate, Ago, Calendar, Compare, Count, First, Last, Pick, Session, SinceTime, Window


def of_count(look: Look, c: Count, leaf: Leaf, wanted: bool) -> Evidence:
    """`wanted`: it is not true, and what it needs is to be said."""
    assert isinstance(leaf, Threshold | Windowed)
    found = entries(look, leaf.stream, c.window)
    n = len(found.seen)
    needed = {">=": c.n, ">": c.n + 1}.get(c.op)
    said = _so_many(n, found.whole)
    if c.op == ">=" and c.n == 1:
        said = _times(n, found.whole)
    elif needed is not None:
        said = f"{n} of {needed} needed" if n < needed else f"{said} ({needed} needed)"
    needs, before_ms = "", None
    if wanted and (missing := _missing(c, n)) > 0:
        many = f"{missing} more " if n else f"{missing} " if missing > 1 else ""
        needs = many + events_said(c.events) + _counts_from(look, c.window)
        before_ms = _before(found.seen, c.window, found.changes_ms)
    evidence = Evidence(says=said, value=n, needs=needs, before_ms=before_ms, flags=found.flags)
    return listing(evidence, found.seen)


def of_aggregate(look: Look, a: Aggregate, leaf: Leaf, wanted: bool) -> Evidence:
    """Of sum, avg, min, max and distinct; the value is the one that the engine compares."""
    value: Value
    if isinstance(leaf, Windowed):
        found = entries(look, leaf.stream, a.window, a.field)
        value, n, whole = aggregate(a.function, found.values), sum(v is not None for v in found.values), True
        seen, flags, changes_ms = found.seen, found.flags, found.changes_ms
    else:
        assert isinstance(leaf, Totalled)
        total = look.plan.totals[leaf.total]
        held = look.state[total.slot]
        value, n = total_value(a.function, held), held[0] if held and total.kind == "sum" else len(held)
        whole = total.kind != "distinct" or n < total.keep
        seen, flags, changes_ms = [], (), None
        if look.history is not None:
            events = look.history.matching(total.events, total.scope, total.since, total.from_ms)
            seen = [look.seen(e, a.field) for e in events]
    seen = [e for e in seen if e.value is not None]
    before_ms = _before(seen, a.window, changes_ms)
    if a.function in ("min", "max"):
        seen = [e for e in seen if e.value == value]
    needs = _needs(a, value) if wanted else ""
    evidence = Evidence(
        says=_aggregated(a, value, n, whole),
        value=value,
        needs=needs + (_counts_from(look, a.window) if needs else ""),
        before_ms=before_ms if needs else None,
        flags=flags,
    )
    return listing(evidence, seen)


def of_pick(look: Look, p: Pick, leaf: Leaf, wanted: bool) -> Evidence:
    """The event that `last` or `first` has picked, if it lies in the window."""
    if isinstance(leaf, Windowed):
        found = entries(look, leaf.stream, p.window, p.field)
        picked = None if not found.seen else found.seen[-1 if p.which == "last" else 0]
        inside, flags = True, found.flags
    else:
        assert isinstance(leaf, Totalled)
        picked, flags = _kept(look, leaf, p.field), ()
        inside = picked is None or holding(leaf.window)(picked.at_ms, look.at_ms)[0]
    if picked is None:
        said = "none"
    elif not inside:
        said = f"the newest, {look.moment(picked.at_ms)}, is outside the window"
    elif picked.value is None:
        said = f"the one of {look.moment(picked.at_ms)} has no {p.field}"
    else:
        said = f"{shown(picked.value)} of {look.moment(picked.at_ms)}"
    needs = ""
    if wanted and (picked is None or p.which == "last"):
        needs = events_said(p.events, Compare(p.field, p.op, p.values)) + _counts_from(look, p.window)
    if picked is None or not inside:
        return Evidence(said, needs=needs, flags=flags)
    evidence = Evidence(said, value=picked.value, at_ms=picked.at_ms, needs=needs, flags=flags)
    return listing(evidence, [picked])


def of_first(look: Look, f: First, leaf: Leaf, wanted: bool) -> Evidence:
    """The first ever, in the window or not."""
    assert isinstance(leaf, Totalled)
    picked = _kept(look, leaf, None)
    if picked is None:
        needs = events_said(f.events) + _counts_from(look, f.window) if wanted else ""
        return Evidence("none yet", needs=needs)
    inside = holding(leaf.window)(picked.at_ms, look.at_ms)[0]
    said = f"the first was {look.moment(picked.at_ms)}{'' if inside else ', outside the window'}"
    return listing(Evidence(said, at_ms=picked.at_ms), [picked])


def _kept(look: Look, leaf: Totalled, field: str | None) -> Seen | None:
    """The one event that a total of `first`, `last` or `earliest` keeps."""
    total = look.plan.totals[leaf.total]
    held = look.state[total.slot]
    if not held:
        return None
    if look.history is not None:
        events = look.history.matching(total.events, total.scope, total.since, total.from_ms)
        if events:
            return look.seen(events[-1 if total.kind == "last" else 0], field)
    return Seen(held[0], None, None, held[2] if field is not None else None)


def _so_many(n: int, whole: bool) -> str:
    return ("none" if n == 0 else f"{n:,}") if whole else f"{n:,} or more"


def _times(n: int, whole: bool) -> str:
    said = "none" if n == 0 else "once" if n == 1 else f"{n:,} times"
    return said if whole else f"at least {said}"


def _missing(c: Count, n: int) -> int:
    """How many more would make it true; 0 if more would not."""
    match c.op:
        case ">=" | "=" | "between":
            return max(c.n - n, 0)
        case ">":
            return max(c.n + 1 - n, 0)
        case "!=":
            return int(n == c.n)
        case _:
            return 0


def _before(seen: Sequence[Seen], window: Window | None, changes_ms: int | None) -> int | None:
    """When the oldest of the events stops counting, or all of them."""
    match window:
        case Last(ms) if seen:
            return seen[0].at_ms + ms
        case Calendar() | Session() if seen:
            return changes_ms
        case _:
            return None


def _counts_from(look: Look, window: Window | None) -> str:
    """What is to be added of a window in which what happens now does not count, or not yet."""
    match window:
        case Ago(near_ms):
            return f", {duration_text(near_ms)} old"
        case SinceTime(at_ms) if at_ms > look.at_ms:
            return f" from {look.moment(at_ms)} on"
        case _:
            return ""


def _aggregated(a: Aggregate, value: Value, n: int, whole: bool) -> str:
    if value is None:
        return f"no {a.field} to go by"
    assert isinstance(value, int | float)
    match a.function:
        case "distinct":
            return f"{_so_many(int(value), whole)} different" if value else "none"
        case "avg":
            return f"avg {number(value)} of {n:,}"
        case _:
            return f"{a.function} {number(value)}"


def _needs(a: Aggregate, value: Value) -> str:
    """More of what is added up; or one event that decides alone."""
    if a.function in ("min", "max"):
        decides = (">=", ">") if a.function == "max" else ("<=", "<")
        known = value is not None and a.op not in decides
        return "" if known or a.op not in (*decides, "=") else events_said(a.events, Compare(a.field, a.op, a.values))  # type: ignore[arg-type]
    if value is None:
        return events_said(a.events, Compare(a.field, "is known", ()))
    assert isinstance(value, int | float)
    short = a.values[0] - value
    if a.function == "avg" or a.op not in (">=", ">", "between", "=") or short < 0:
        return ""
    if a.function == "distinct":
        return f"{int(short) + (a.op == '>')} {'more ' if value else ''}different {a.field}"
    return f"{'more than ' if a.op == '>' else ''}{number(round(short, 6))} more"
