"""The tree of a segment's conditions, from its rule as it was written and the bits of the state.

Whether a condition is so is never worked out here: it is read off the bits that the engine has set, of a copy of the
state whose timers have fired up to the time that is asked about. Only what is told besides, numbers and events, is read
off the evidence.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from segue.engine.compile import Program, arm_alone, copied
from segue.engine.explain import counted, patterns, stated
from segue.engine.explain.history import History, Log
from segue.engine.explain.look import Look
from segue.engine.explain.passing import Truths, expressions
from segue.engine.explain.values import Evidence, Exit, Explanation, Finding, Kind, LastChange, Membership
from segue.errors import ConfigError
from segue.plan.expression import Expression, leaves_of, negation
from segue.plan.layout import DUE, JUMPS, Plan
from segue.plan.leaves import Follow, Pattern
from segue.plan.lookback import lookback_ms
from segue.records import Change
from segue.rules import canonical, tree
from segue.rules.pretty import duration_text, events_text, text_of

NESTED: Final = 12
"""segments within segments that are shown as trees; what lies deeper is asked for by itself"""

State = list[Any]


def explain(
    program: Program,
    state: State | None,
    person: bytes,
    segment: str,
    at_ms: int,
    log: Log | None = None,
    started_ms: Mapping[str, int] | None = None,
) -> Explanation:
    """Why the person is, or is not, in the segment as of `at_ms`.

    `state`: of the person, as of `at_ms` or earlier; None: nothing is known of them. It is not changed.
    `log`: adds names and ids of events, causes, since when. `started_ms`: leaf (its bit's name in the layout) -> since
    when it is kept, of those that have not seen everything. Raises ConfigError for a segment that is not there.
    """
    index = segment_index(program.plan, segment)
    known = state is not None
    now: State = copied(state) if state is not None else program.blank(person)
    changes = [c for c in log.changes if c.at_ms <= at_ms] if log is not None else []
    if now[DUE] <= at_ms:
        fired: list[Any] = []
        program.advance(now, person, at_ms, arm_alone, fired)
        changes += [Change(*change) for change in fired]
    history = None if log is None else History(program, person, log.events, at_ms)
    look = Look(program.plan, now, person, at_ms, history)
    truths = Truths(program, now, None if history is None else history.truths)
    membership = _Tree(look, truths, changes, _young(program, at_ms, started_ms or {})).membership(index)
    return Explanation(person.decode(errors="replace"), at_ms, known, membership)


def segment_index(plan: Plan, name: str) -> int:
    """Where the plan has it. Raises ConfigError, with the name that may have been meant."""
    names = [s.name for s in plan.segments]
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Segments: {', '.join(sorted(names)) or 'none'}."
    raise ConfigError(f"The rules have no segment {name!r}.", hint)


def _young(program: Program, at_ms: int, started_ms: Mapping[str, int]) -> dict[int, int]:
    """leaf -> since when it is kept, as long as something older could matter to it."""
    plan = program.plan
    names = program.layout.bits[len(plan.segments) :]
    young = {}
    for i in range(len(plan.leaves)):
        began, reach = started_ms.get(names[i]), lookback_ms(plan, i)
        if began is not None and (reach is None or at_ms < began + reach):
            young[i] = began
    return young


class _Tree:
    """Builds the findings of one explanation."""

    def __init__(self, look: Look, truths: Truths, changes: Sequence[Change], young: Mapping[int, int]) -> None:
        self._look = look
        self._plan = look.plan
        self._truths = truths
        self._changes = changes
        self._young = young
        self._index = {s.name: i for i, s in enumerate(self._plan.segments)}
        self._shown: set[int] = set()

    def membership(self, i: int, depth: int = 0) -> Membership:
        """The segment, and the tree of what it says."""
        self._shown.add(i)
        definition = self._plan.segments[i]
        inside = self._truths.hold(("segment", i))
        condition = self._rule(i, depth)
        last = self._last_change(i)
        flags = []
        if definition.enter is not None and not inside and condition.holds:
            flags.append("enter has been true ever since the last exit: it must become false, then true, to enter again")
        return Membership(
            segment=definition.name,
            version=definition.version,
            title=definition.title,
            inside=inside,
            since_ms=None if last is None else last.at_ms,
            until_ms=self._truths.until(("segment", i)),
            last_change=last,
            form="when" if definition.enter is None else "enter",
            condition=condition,
            exits=self._exits(i, inside),
            flags=tuple(flags),
        )

    def _rule(self, i: int, depth: int) -> Finding:
        definition, e = self._plan.segments[i], self._plan.conditions[i]
        said = definition.when if definition.enter is None else definition.enter
        assert said is not None
        if definition.universe_ms is None:
            return self._finding(said, dict(expressions(canonical.normalised(said), e)), depth)
        assert e[0] == "and"
        seen, own = e[1]
        rule = self._finding(said, dict(expressions(canonical.normalised(said), own)), depth)
        universe = self._seen_lately(definition.universe_ms, seen)
        items = (universe, *(rule.items if rule.kind == "all of" else (rule,)))
        text = f"{universe.text} and {f'({rule.text})' if rule.kind == 'any of' else rule.text}"
        return self._joined("all of", text, e, items)

    def _seen_lately(self, window_ms: int, e: Expression) -> Finding:
        events = tree.Events(self._plan.catalog.event_names())
        said = tree.Count(events, ">=", 1, None, tree.Last(window_ms))
        seen = self._leaf(said, said, e, f"seen in the last {duration_text(window_ms)}")
        assert seen.evidence is not None
        return replace(seen, evidence=replace(seen.evidence, needs="any event" if seen.evidence.needs else ""))

    def _exits(self, i: int, inside: bool) -> tuple[Exit, ...]:
        definition = self._plan.segments[i]
        exits = [Exit(events_text(e), None) for e in definition.exit_events]
        if definition.exit_after_ms is not None:
            since = self._look.state[self._plan.since_slots[i]]
            at_ms = since + definition.exit_after_ms if inside else None
            exits.insert(0, Exit(f"{duration_text(definition.exit_after_ms)} after entering", at_ms))
        return tuple(exits)

    def _last_change(self, i: int) -> LastChange | None:
        sequence, at_ms = self._look.state[JUMPS].get(i, (0, 0))
        change = next((c for c in reversed(self._changes) if c.segment == i), None)
        if change is None:
            return LastChange(at_ms, sequence, None, None, None) if sequence else None
        event, history = None, self._look.history
        if change.cause_event is not None and history is not None:
            found = (e for e in history.events if (history.source(e), e.offset) == change.cause_event)
            event = next((self._look.seen(e) for e in found), None)
        return LastChange(change.at_ms, change.sequence, change.cause, event, change.revokes)

    # --- conditions

    def _finding(self, said: tree.Condition, parts: Mapping[tree.Condition, Expression], depth: int) -> Finding:
        """`parts`: each smallest condition, normalised -> what it has become."""
        match said:
            case tree.Not(tree.Not(item)):
                return self._finding(item, parts, depth)
            case tree.Not(tree.And() | tree.Or() as joined):
                kind: Kind = "not all of" if isinstance(joined, tree.And) else "none of"
                items = tuple(self._finding(item, parts, depth) for item in joined.items)
                return self._joined(kind, text_of(said), _expression(said, parts), items)
            case tree.And(several) | tree.Or(several):
                items = tuple(self._finding(item, parts, depth) for item in several)
                kind = "all of" if isinstance(said, tree.And) else "any of"
                return self._joined(kind, text_of(said), _expression(said, parts), items)
            case tree.InSegment(name) | tree.Not(tree.InSegment(name)):
                return self._named(self._index[name], said, _expression(said, parts), depth)
            case tree.Not(leaf):
                return self._leaf(leaf, said, _expression(said, parts), text_of(said))
            case leaf:
                return self._leaf(leaf, said, _expression(said, parts), text_of(said))

    def _joined(self, kind: Kind, text: str, e: Expression, items: tuple[Finding, ...]) -> Finding:
        truths = self._truths
        return Finding(kind, text, truths.hold(e), truths.since(e), truths.until(e), items=items)

    def _named(self, i: int, said: tree.Condition, e: Expression, depth: int) -> Finding:
        truths = self._truths
        nested = None if i in self._shown or depth >= NESTED else self.membership(i, depth + 1)
        return Finding("segment", text_of(said), truths.hold(e), truths.since(e), truths.until(e), segment=nested)

    def _leaf(self, leaf: tree.Condition, said: tree.Condition, e: Expression, text: str) -> Finding:
        truths = self._truths
        holds = truths.hold(e)
        until_ms = truths.until(e)
        # what comes by itself needs nothing, but that what would stop it stays away
        wanted = not holds and said is leaf and (until_ms is None or isinstance(leaf, tree.Absence))
        return Finding("leaf", text, holds, truths.since(e), until_ms, self._evidence(leaf, e, wanted))

    def _evidence(self, said: tree.Condition, e: Expression, wanted: bool) -> Evidence:
        leaves = sorted(leaves_of(e))
        if not leaves:
            return Evidence("always so")
        found = self._of_leaf(canonical.normalised(said), leaves[0], wanted)
        flags = [f"kept since {self._look.moment(self._young[i])}: what came before is not counted"
                 for i in leaves[:1] if i in self._young]  # fmt: skip
        needs, before_ms = (found.needs, found.before_ms) if wanted else ("", None)
        return replace(found, needs=needs, before_ms=before_ms, flags=(*found.flags, *flags))

    def _of_leaf(self, said: tree.Condition, i: int, wanted: bool) -> Evidence:
        look, leaf = self._look, self._plan.leaves[i]
        match said:
            case tree.Count():
                return counted.of_count(look, said, leaf, wanted)
            case tree.Aggregate():
                return counted.of_aggregate(look, said, leaf, wanted)
            case tree.Pick():
                return counted.of_pick(look, said, leaf, wanted)
            case tree.First():
                return counted.of_first(look, said, leaf, wanted)
            case tree.Trait():
                return stated.of_trait(look, said, i, leaf)
            case tree.Consents():
                return stated.of_consents(look, leaf, wanted)
            case tree.Bucket():
                return stated.of_bucket(look, leaf)
        holds = self._truths.hold(("leaf", i))
        if isinstance(leaf, Pattern):
            return patterns.of_pattern(look, i, leaf, holds, self._truths.since(("leaf", i)) if holds else None)
        assert isinstance(leaf, Follow)
        return patterns.of_follow(look, i, leaf, holds)


def _expression(said: tree.Condition, parts: Mapping[tree.Condition, Expression]) -> Expression:
    match said:
        case tree.Not(item):
            return negation(_expression(item, parts))
        case tree.And(items):
            return ("and", tuple(_expression(item, parts) for item in items))
        case tree.Or(items):
            return ("or", tuple(_expression(item, parts) for item in items))
        case leaf:
            return parts[canonical.normalised(leaf)]
