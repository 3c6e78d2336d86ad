"""The generated step: rules as one Python function over flat lists.

Why generated: a rule engine that walks a tree of objects for each event costs tens of microseconds. Here every
rule has become a few lines under the branch of the event that feeds it, over locals and list slots. What is
emitted is made of this file's own words, of numbers, and of names such as `c3`: a rule's strings enter as
entries of the constants tuple, never as source. `segue check --show-code` prints the result.

Four functions come out of a plan:

    run(rows..., out)            the hot loop: every row of a batch, in order
    advance(s, p, upto, out)     fires one person's timers due by `upto`, each at its own time
    insert(s, k, t, o, values)   puts a late event into the sorted times (leaves that are no folds)
    settle_bits(s, t)            the leaves' truths at t from the sorted times
    flip(s, p, t, nb, b, ...)    leaf truths have changed: work out the segments, emit their jumps

In them: s state, p person, t time in ms, k kind, r row, x0.. values, b bits before, nb bits after, L a list of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from segue.engine import filters
from segue.plan.layout import BITS, DUE, LOG, Kind, Plan
from segue.plan.leaves import Expression, Pattern, Stream, Threshold
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


def generate(plan: Plan) -> tuple[str, tuple[Any, ...]]:
    """The module's source and its constants c0, c1, ..."""
    out = Source()
    _run(plan, out)
    _advance(plan, out)
    _insert(plan, out)
    _settle_bits(plan, out)
    _flip(plan, out)
    return "\n".join(out.lines) + "\n", tuple(out.constants)


# --- the hot loop -----------------------------------------------------------------------------------------


def columns(plan: Plan) -> list[str]:
    """Names of a batch's field columns."""
    return [f"x{i}" for i in range(plan.n_columns)]


def _run(plan: Plan, out: Source) -> None:
    xs = columns(plan)
    names = ", ".join(["k", "p", "t", "r", *xs])
    out.add(0, "def run(rows, states, blank, arm, out):", f"    for {names} in rows:")
    out.add(2, "s = states.get(p)", "if s is None:", "    s = states[p] = blank()")
    out.add(2, f"if s[{DUE}] <= t:", "    advance(s, p, t, arm, out)", f"b = nb = s[{BITS}]")
    for i, kind in enumerate(plan.kinds):
        out.add(2, f"{'if' if i == 0 else 'elif'} k == {kind.number}:  # {plan.catalog.sources[kind.source].name}")
        body = len(out.lines)
        _branch(plan, kind, out)
        if len(out.lines) == body:
            out.add(3, "pass")
    out.add(2, "if nb != b:", "    flip(s, p, t, nb, b, 'event', r, arm, out)")


def _branch(plan: Plan, kind: Kind, out: Source) -> None:
    if feeds_folds(plan, kind):
        out.add(3, f"s[{LOG}].append((k, t{''.join(', ' + x for x in columns(plan))}))")
    for i, segment in enumerate(plan.segments):
        tests = [_test(plan, kind, e, out) for e in segment.exit_events if kind.event in e.names]
        if segment.enter is not None:
            feeds = list(_scoped_feeds(plan, kind, i))
            if tests:
                which = "" if "True" in tests else f" and ({' or '.join(tests)})"
                out.add(3, f"if nb & {plan.segment_bit(i)}{which}:  # exit of {segment.name}")
                _reset(plan, i, out, 4)
                if feeds:
                    out.add(3, "else:")
                    _feed(plan, kind, i, out, 4)
            elif feeds:
                _feed(plan, kind, i, out, 3)
    _feed(plan, kind, None, out, 3)


def feeds_folds(plan: Plan, kind: Kind) -> bool:
    """Whether a late event of this kind must be folded in by replay."""
    for i, leaf in enumerate(plan.leaves):
        if (
            i in plan.folded_leaves
            and isinstance(leaf, Pattern)
            and any(e and kind.event in e.names for e in (leaf.first, leaf.missing, leaf.restarting_on))
        ):
            return True
    for stream in plan.streams:
        if stream.folded and any(e and kind.event in e.names for e in (stream.events, stream.since)):
            return True
    return any(kind.event in e.names for s in plan.segments for e in s.exit_events)


def _scoped_feeds(plan: Plan, kind: Kind, scope: int | None) -> Iterator[Stream | int]:
    """What an event feeds in one scope: patterns (by leaf number) and streams."""
    for i, leaf in enumerate(plan.leaves):
        if (
            isinstance(leaf, Pattern)
            and leaf.scope == scope
            and any(e and kind.event in e.names for e in (leaf.first, leaf.missing, leaf.restarting_on))
        ):
            yield i
    for stream in plan.streams:
        if stream.scope == scope and any(e and kind.event in e.names for e in (stream.events, stream.since)):
            yield stream


def _feed(plan: Plan, kind: Kind, scope: int | None, out: Source, depth: int) -> None:
    for fed in _scoped_feeds(plan, kind, scope):
        if isinstance(fed, int):
            _feed_pattern(plan, kind, fed, out, depth)
        else:
            _feed_stream(plan, kind, fed, out, depth)


def _feed_pattern(plan: Plan, kind: Kind, leaf: int, out: Source, depth: int) -> None:
    """B closes, then R and A start anew: an event that is both A and B closes the old and opens the next."""
    pattern = plan.leaves[leaf]
    assert isinstance(pattern, Pattern)
    slot, bit = plan.pattern_slots[leaf], plan.leaf_bit(leaf)
    start = (f"s[{slot}] = d = t + {pattern.within_ms}", f"if d < s[{DUE}]:", "    arm(s, p, d)")
    if kind.event in pattern.missing.names:
        _when(out, depth, [_test(plan, kind, pattern.missing, out)], (f"s[{slot}] = NEVER", f"nb &= {~bit}"))
    again = pattern.restarting_on
    if again and kind.event in again.names:
        _when(out, depth, [f"s[{slot}] != NEVER", _test(plan, kind, again, out)], start)
    if kind.event in pattern.first.names:
        _when(out, depth, [f"not nb & {bit}", _test(plan, kind, pattern.first, out)], start)


def _feed_stream(plan: Plan, kind: Kind, stream: Stream, out: Source, depth: int) -> None:
    if stream.since and kind.event in stream.since.names:
        empty = tuple(f"s[{stream.slot + i}] = []" for i in range(1 + len(stream.values)))
        _when(out, depth, [_test(plan, kind, stream.since, out)], empty)
    if kind.event not in stream.events.names:
        return
    lines = [f"L = s[{stream.slot}]", "L.append(t)"]
    lines += [f"s[{stream.slot + 1 + i}].append({filters.value(plan, kind, v)})" for i, v in enumerate(stream.values)]
    lines.append(f"if len(L) > {2 * stream.keep}:")
    lines += [f"    del s[{stream.slot + i}][:-{stream.keep}]" for i in range(1 + len(stream.values))]
    for i, leaf in thresholds(plan, stream):
        lines += _reach(plan, i, leaf)
    _when(out, depth, [_test(plan, kind, stream.events, out)], tuple(lines))


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


def thresholds(plan: Plan, stream: Stream) -> Iterator[tuple[int, Threshold]]:
    """The threshold leaves that read a stream."""
    for i, leaf in enumerate(plan.leaves):
        if isinstance(leaf, Threshold) and plan.streams[leaf.stream] is stream:
            yield i, leaf


def _when(out: Source, depth: int, tests: list[str], lines: tuple[str, ...]) -> None:
    """`lines`, under an `if` of the tests that are not always true."""
    tests = [test for test in tests if test != "True"]
    if tests:
        out.add(depth, f"if {' and '.join(tests)}:", *("    " + line for line in lines))
    else:
        out.add(depth, *lines)


def _reset(plan: Plan, segment: int, out: Source, depth: int) -> None:
    """An exit: the segment is left, and what its `enter` has seen is forgotten.

    The last truth of `enter` stays: a part of it that is no history (`in S`) and is still true does not enter again.
    """
    mask = plan.segment_bit(segment)
    for i, leaf in enumerate(plan.leaves):
        if isinstance(leaf, Pattern) and leaf.scope == segment:
            out.add(depth, f"s[{plan.pattern_slots[i]}] = NEVER")
            mask |= plan.leaf_bit(i)
        elif isinstance(leaf, Threshold) and plan.streams[leaf.stream].scope == segment:
            mask |= plan.leaf_bit(i)
    for stream in plan.streams:
        if stream.scope == segment:
            out.add(depth, *(f"s[{stream.slot + i}] = []" for i in range(1 + len(stream.values))))
    out.add(depth, f"s[{plan.since_slots[segment]}] = NEVER", f"nb &= {~mask}")


def _test(plan: Plan, kind: Kind, events: Events, out: Source) -> str:
    return filters.test(plan, kind, events.where, out.constant)


# --- timers -----------------------------------------------------------------------------------------------


def _expiries(plan: Plan) -> Iterator[tuple[str, str]]:
    """(when it is pending, its time): every way a truth can change by time alone."""
    for i, leaf in enumerate(plan.leaves):
        if isinstance(leaf, Threshold):
            if leaf.window_ms is not None:
                slot = plan.streams[leaf.stream].slot
                yield f"b & {plan.leaf_bit(i)}", f"s[{slot}][-{leaf.n}] + {leaf.window_ms}"
        else:
            yield "", f"s[{plan.pattern_slots[i]}]"
    for i, slot in plan.since_slots.items():
        after = plan.segments[i].exit_after_ms
        if after is not None:
            yield f"b & {plan.segment_bit(i)}", f"s[{slot}] + {after}"


def _advance(plan: Plan, out: Source) -> None:
    out.add(0, "", "", "def next_due(s):", f"    b = s[{BITS}]", "    due = NEVER")
    for test, time in _expiries(plan):
        depth = 1
        if test:
            out.add(1, f"if {test}:")
            depth = 2
        out.add(depth, f"d = {time}", "if d < due:", "    due = d")
    out.add(1, "return due")
    out.add(0, "", "", "def advance(s, p, upto, arm, out):", "    while True:", "        t = next_due(s)")
    out.add(2, "if t > upto:", f"    s[{DUE}] = NEVER", "    arm(s, p, t)", "    return")
    out.add(2, f"b = nb = s[{BITS}]")
    for i, leaf in enumerate(plan.leaves):
        bit = plan.leaf_bit(i)
        if isinstance(leaf, Threshold):
            if leaf.window_ms is not None:
                slot = plan.streams[leaf.stream].slot
                out.add(2, f"if b & {bit} and s[{slot}][-{leaf.n}] + {leaf.window_ms} <= t:", f"    nb &= {~bit}")
        else:
            slot = plan.pattern_slots[i]
            out.add(2, f"if s[{slot}] <= t:", f"    s[{slot}] = NEVER", f"    nb |= {bit}")
    for i, slot in plan.since_slots.items():
        after = plan.segments[i].exit_after_ms
        if after is not None:
            name = plan.segments[i].name
            out.add(2, f"if b & {plan.segment_bit(i)} and s[{slot}] + {after} <= t:  # exit of {name}")
            _reset(plan, i, out, 3)
    out.add(2, "flip(s, p, t, nb, b, 'timer', None, arm, out)")


# --- late events ------------------------------------------------------------------------------------------


def _insert(plan: Plan, out: Source) -> None:
    xs = columns(plan)
    out.add(0, "", "", f"def insert(s, k, t{''.join(', ' + x for x in xs)}):")
    for i, kind in enumerate(plan.kinds):
        out.add(1, f"{'if' if i == 0 else 'elif'} k == {kind.number}:")
        body = len(out.lines)
        for stream in plan.streams:
            if not stream.folded and kind.event in stream.events.names:
                lines = [f"L = s[{stream.slot}]", "i = bisect_right(L, t)", "L.insert(i, t)"]
                lines += [
                    f"s[{stream.slot + 1 + j}].insert(i, {filters.value(plan, kind, v)})"
                    for j, v in enumerate(stream.values)
                ]
                _when(out, 2, [_test(plan, kind, stream.events, out)], tuple(lines))
        if len(out.lines) == body:
            out.add(2, "pass")
    out.add(1, "return")


def _settle_bits(plan: Plan, out: Source) -> None:
    out.add(0, "", "", "def settle_bits(s, t):", f"    b = s[{BITS}]")
    for i, leaf in enumerate(plan.leaves):
        if isinstance(leaf, Threshold) and i not in plan.folded_leaves:
            slot, bit = plan.streams[leaf.stream].slot, plan.leaf_bit(i)
            inside = f" and s[{slot}][-{leaf.n}] + {leaf.window_ms} > t" if leaf.window_ms is not None else ""
            out.add(1, f"if len(s[{slot}]) >= {leaf.n}{inside}:", f"    b |= {bit}", "else:", f"    b &= {~bit}")
    out.add(1, "return b")


# --- segments ---------------------------------------------------------------------------------------------


def expression(plan: Plan, e: Expression) -> str:
    """An expression as Python over the bits `nb`."""
    match e:
        case ("true",):
            return "True"
        case ("leaf", i):
            return f"nb & {plan.leaf_bit(i)}"
        case ("segment", i):
            return f"nb & {plan.segment_bit(i)}"
        case ("not", x):
            return f"not ({expression(plan, x)})"
        case (op, items):
            return "(" + f" {op} ".join(f"({expression(plan, x)})" for x in items) + ")"
    raise AssertionError(e)


def _flip(plan: Plan, out: Source) -> None:
    out.add(0, "", "", "def flip(s, p, t, nb, b, cause, r, arm, out):")
    for i, segment in enumerate(plan.segments):
        bit, test = plan.segment_bit(i), expression(plan, plan.conditions[i])
        out.add(1, f"# {segment.name}")
        if segment.enter is None:
            out.add(1, f"if {test}:", f"    nb |= {bit}", "else:", f"    nb &= {~bit}")
            continue
        enter = plan.enter_bit(i)
        out.add(1, f"if {test}:", f"    if not nb & {enter}:", f"        nb |= {enter}", f"        if not nb & {bit}:")
        out.add(4, f"nb |= {bit}", f"s[{plan.since_slots[i]}] = t")
        if segment.exit_after_ms is not None:
            out.add(4, f"if t + {segment.exit_after_ms} < s[{DUE}]:", f"    arm(s, p, t + {segment.exit_after_ms})")
        out.add(1, "else:", f"    nb &= {~enter}")
    mask = (1 << len(plan.segments)) - 1
    out.add(1, f"s[{BITS}] = nb", f"if (nb ^ b) & {mask} and out is not None:")
    out.add(2, f"emit(s, p, t, nb, (nb ^ b) & {mask}, cause, r, out)")
