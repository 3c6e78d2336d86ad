"""The generated lines by which an event feeds the evidence of leaves, and what these leaves say then.

Per event kind and scope: patterns, streams, totals and the evaluated leaves' own evidence, in the order of the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from segue.engine import filters
from segue.engine.timers import beginning, bits_of
from segue.plan.evidence import Stream, Total
from segue.plan.layout import DUE, Kind, Plan, leaf_scope, own_events
from segue.plan.leaves import Evaluated, Follow, Held, Pattern, Threshold
from segue.rules.tree import Events


@dataclass(slots=True)
class Source:
    """Generated text and the constants it names."""

    lines: list[str] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, value: Any) -> str:
        """The name that stands for a value of the rules' text."""
        self.constants.append(value)
        return f"c{len(self.constants) - 1}"

    def add(self, depth: int, *lines: str) -> None:
        """Lines at a depth of four spaces each."""
        self.lines += ["    " * depth + line for line in lines]


Fed = Stream | Total | int
"""evidence; or, by its number, a leaf that keeps its own"""


def fed_by(plan: Plan, kind: Kind, scope: int | None) -> Iterator[Fed]:
    """What an event feeds in one scope."""
    for i, leaf in enumerate(plan.leaves):
        if own_events(leaf) and leaf_scope(plan, i) == scope and _names(kind, *own_events(leaf)):
            yield i
    for evidence in plan.evidence:
        if evidence.scope == scope and _names(kind, evidence.events, evidence.since):
            yield evidence


def _names(kind: Kind, *events: Events | None) -> bool:
    return any(e is not None and kind.event in e.names for e in events)


def feed(plan: Plan, kind: Kind, scope: int | None, out: Source, depth: int) -> None:
    """The lines of everything the event feeds in one scope."""
    for fed in fed_by(plan, kind, scope):
        match fed:
            case Stream():
                _feed_stream(plan, kind, fed, out, depth)
            case Total():
                _feed_total(plan, kind, fed, out, depth)
            case _:
                leaf = plan.leaves[fed]
                if isinstance(leaf, Pattern):
                    _feed_pattern(plan, kind, fed, leaf, out, depth)
                elif isinstance(leaf, Held):
                    _feed_held(plan, kind, fed, leaf, out, depth)
                elif isinstance(leaf, Follow):
                    _feed_follow(plan, kind, fed, leaf, out, depth)


def _feed_pattern(plan: Plan, kind: Kind, i: int, pattern: Pattern, out: Source, depth: int) -> None:
    """B closes, then R and A start anew: an event that is both A and B closes the old and opens the next."""
    slot, bit = plan.own_slots[i], plan.leaf_bit(i)
    start = (f"s[{slot}] = d = t + {pattern.within_ms}", f"if d < s[{DUE}]:", "    arm(s, p, d)")
    if kind.event in pattern.missing.names:
        when(out, depth, [passes(plan, kind, pattern.missing, out)], (f"s[{slot}] = NEVER", f"nb &= {~bit}"))
    again = pattern.restarting_on
    if again and kind.event in again.names:
        when(out, depth, [f"s[{slot}] != NEVER", passes(plan, kind, again, out)], start)
    if kind.event in pattern.first.names:
        when(out, depth, [f"not nb & {bit}", passes(plan, kind, pattern.first, out)], start)


def _feed_stream(plan: Plan, kind: Kind, stream: Stream, out: Source, depth: int) -> None:
    readers = plan.readers[stream.slot]
    lines: list[str] = []
    if kind.event in stream.events.names:
        lines = [f"L = s[{stream.slot}]", "L.append(t)"]
        lines += [f"s[{stream.slot + 1 + i}].append({filters.value(plan, kind, v)})" for i, v in enumerate(stream.values)]
        lines += _trim(stream)
        many = beginning(plan, stream)
        if many:
            lines += _reach_many(stream, bits_of(many))
        for i in readers:
            leaf = plan.leaves[i]
            if not isinstance(leaf, Threshold):
                lines += ask(plan, i)
            elif not many:
                lines += _reach(plan, i, leaf)
    _emptied_or_fed(plan, kind, stream, readers, lines, out, depth)


def _trim(stream: Stream) -> list[str]:
    if stream.horizon_ms:
        return [f"if len(L) > {max(2 * stream.keep, 64)}:", f"    trim{stream.slot}(s, t)"]
    lists = range(stream.slot, stream.slot + 1 + len(stream.values))
    return [f"if len(L) > {2 * stream.keep}:", *(f"    del s[{i}][:-{stream.keep}]" for i in lists)]


def _feed_total(plan: Plan, kind: Kind, total: Total, out: Source, depth: int) -> None:
    readers = plan.readers[total.slot]
    lines: list[str] = []
    if kind.event in total.events.names:
        lines = [add_to(plan, kind, total)]
        for i in readers:
            lines += ask(plan, i)
    _emptied_or_fed(plan, kind, total, readers, lines, out, depth)


def add_to(plan: Plan, kind: Kind, total: Total) -> str:
    """The line by which an event enters a total."""
    value = "None" if total.field is None else filters.value(plan, kind, total.field)
    return f"add{total.slot}(s[{total.slot}], t, {kind.order}, {value})"


def _emptied_or_fed(
    plan: Plan, kind: Kind, fed: Stream | Total, readers: Sequence[int], lines: list[str], out: Source, depth: int
) -> None:
    """`since E`: an E empties the evidence and is no part of it."""
    if fed.since is not None and kind.event in fed.since.names:
        test = passes(plan, kind, fed.since, out)
        emptied = [f"s[{slot}] = []" for slot in list_slots(fed)]
        for i in readers:
            emptied += [f"nb &= {~plan.leaf_bit(i)}"] if isinstance(plan.leaves[i], Threshold) else ask(plan, i)
        when(out, depth, [test], tuple(emptied))
        if lines and test != "True":
            out.add(depth, "else:")
            when(out, depth + 1, [passes(plan, kind, fed.events, out)], tuple(lines))
    elif lines:
        when(out, depth, [passes(plan, kind, fed.events, out)], tuple(lines))


def list_slots(evidence: Stream | Total) -> range:
    """Slots that hold a list, empty at first."""
    return range(evidence.slot, evidence.slot + (1 + len(evidence.values) if isinstance(evidence, Stream) else 1))


def _feed_held(plan: Plan, kind: Kind, i: int, leaf: Held, out: Source, depth: int) -> None:
    slot = plan.own_slots[i]
    lines = [f"if not holds{i}({filters.value(plan, kind, leaf.field)}):", f"    s[{slot}] = NEVER"]
    lines += [f"elif s[{slot}] == NEVER:", f"    s[{slot}] = t", *ask(plan, i)]
    when(out, depth, [passes(plan, kind, leaf.events, out)], tuple(lines))


def _feed_follow(plan: Plan, kind: Kind, i: int, leaf: Follow, out: Source, depth: int) -> None:
    """B first, then R, then A: an event that is both A and B ends the old and begins the next."""
    key = '""' if leaf.same is None else filters.value(plan, kind, leaf.same)
    if key == "None":
        return
    known = [] if leaf.same is None else [f"{key} is not None"]
    slot = plan.own_slots[i]
    for name, events in (("second", leaf.second), ("again", leaf.restarting_on), ("first", leaf.first)):
        if events is not None and kind.event in events.names:
            tests = [*known, passes(plan, kind, events, out)]
            when(out, depth, tests, (f"{name}{i}(s[{slot}], t, {key})", *ask(plan, i)))


def ask(plan: Plan, i: int) -> list[str]:
    """Evaluate a leaf whose evidence has changed, and see to its next change."""
    bit = plan.leaf_bit(i)
    assert isinstance(plan.leaves[i], Evaluated)
    lines = [f"if ask{i}(s, t):", f"    nb |= {bit}", "else:", f"    nb &= {~bit}"]
    if i in plan.due_slots:
        due = plan.due_slots[i]
        lines += [f"if s[{due}] < s[{DUE}]:", f"    arm(s, p, s[{due}])"]
    return lines


def _reach(plan: Plan, i: int, leaf: Threshold) -> list[str]:
    """A threshold just fed: it can only have become true; its truth ends when the n-th newest leaves the window."""
    bit, n = plan.leaf_bit(i), leaf.n
    tests = [f"not nb & {bit}"]
    if n > 1:
        tests.append(f"len(L) >= {n}")
        if leaf.window_ms is not None:
            tests.append(f"L[-{n}] + {leaf.window_ms} > t")
    lines = [f"if {' and '.join(tests)}:", f"    nb |= {bit}"]
    if leaf.window_ms is not None:
        lines += [f"    d = L[-{n}] + {leaf.window_ms}", f"    if d < s[{DUE}]:", "        arm(s, p, d)"]
    return lines


def _reach_many(stream: Stream, bits: int) -> list[str]:
    """Many thresholds just fed: those that can be the next to become true, and all others only if one of them has."""
    slot = stream.slot
    return [
        f"m = ~nb & {bits}",
        "if m:",
        f"    for n, w in begins{slot}[m]:",
        "        if n <= len(L) and L[-n] + w > t:",
        f"            m, d = begun{slot}(L, nb, t)",
        "            nb |= m",
        f"            if d < s[{DUE}]:",
        "                arm(s, p, d)",
        "            break",
    ]


def when(out: Source, depth: int, tests: list[str], lines: tuple[str, ...]) -> None:
    """`lines`, under an `if` of the tests that are not always true."""
    tests = [test for test in tests if test != "True"]
    if tests:
        out.add(depth, f"if {' and '.join(tests)}:", *("    " + line for line in lines))
    else:
        out.add(depth, *lines)


def passes(plan: Plan, kind: Kind, events: Events, out: Source) -> str:
    """Whether an event of the kind passes the filter, as an expression."""
    return filters.test(plan, kind, events.where, out.constant)
