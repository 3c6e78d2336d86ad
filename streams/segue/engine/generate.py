"""The generated step: rules as one Python function over flat lists.

Why generated: a rule engine that walks a tree of objects for each event costs tens of microseconds. Here every
rule has become a few lines under the branch of the event that feeds it, over locals and list slots. What is
emitted is made of this room's own words, of numbers, and of names such as `c3`: a rule's strings enter as
entries of the constants tuple, never as source. `segue check --show-code` prints the result.

Six functions come out of a plan:

    run(rows..., out)            the hot loop: every row of a batch, in order
    next_due(s)                  when anything changes by time alone
    advance(s, p, upto, out)     fires one person's timers due by `upto`, each at its own time
    insert(s, k, t, values)      puts a late event into the evidence that is no fold
    settle_bits(s, t)            the truths at t of the leaves that are no folds
    flip(s, p, t, nb, b, ...)    leaf truths have changed: work out the segments, emit their jumps

In them: s state, p person, t time in ms, k kind, r row, x0.. values, b bits before, nb bits after, L a list of times;
m the bits of some thresholds, n and w the n and window of one, d when something is due;
of leaf 3, ask3 evaluates it, first3, second3 and again3 feed it, holds3 compares; add12 adds to the total in slot 12,
trim9 trims the stream in slot 9: these are functions of evaluate, follow, totals and streams. ends0, begins9 and what
goes with them are of timers; work_out5 works out the segments of group 5, table5 remembers what it said (groups).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segue.engine import filters, timers
from segue.engine.feed import Source, add_to, fed_by, feed, list_slots, passes, when
from segue.engine.groups import Group, groups_of, table_entries
from segue.plan.expression import Expression
from segue.plan.layout import BITS, DUE, LOG, Kind, Plan, leaf_scope, own_events
from segue.plan.leaves import Evaluated, Follow, Pattern, Threshold


def generate(plan: Plan, initial: int) -> tuple[str, tuple[Any, ...]]:
    """The module's source and its constants c0, c1, ... `initial`: the bits of a person without any event."""
    out = Source()
    _run(plan, out, initial)
    _next_due(plan, out)
    _advance(plan, out, initial)
    _insert(plan, out)
    _settle_bits(plan, out)
    _flip(plan, out)
    return "\n".join(out.lines) + "\n", tuple(out.constants)


# --- the hot loop -----------------------------------------------------------------------------------------


def columns(plan: Plan) -> list[str]:
    """Names of a batch's field columns."""
    return [f"x{i}" for i in range(plan.n_columns)]


def _run(plan: Plan, out: Source, initial: int) -> None:
    xs = columns(plan)
    names = ", ".join(["k", "p", "t", "r", *xs])
    out.add(0, "def run(rows, states, blank, arm, out):", f"    for {names} in rows:")
    out.add(2, "s = states.get(p)", "if s is None:", "    s = states[p] = blank(p)")
    out.add(2, f"if s[{DUE}] <= t:", "    advance(s, p, t, arm, out)", f"b = nb = s[{BITS}]")
    for i, kind in enumerate(plan.kinds):
        out.add(2, f"{'if' if i == 0 else 'elif'} k == {kind.number}:  # {plan.catalog.sources[kind.source].name}")
        body = len(out.lines)
        _branch(plan, kind, out, initial)
        if len(out.lines) == body:
            out.add(3, "pass")
    out.add(2, "if nb != b:", "    flip(s, p, t, nb, b, 'event', r, arm, out)")


def _branch(plan: Plan, kind: Kind, out: Source, initial: int) -> None:
    if feeds_folds(plan, kind):
        out.add(3, f"s[{LOG}].append((k, t{''.join(', ' + x for x in columns(plan))}))")
    for i, segment in enumerate(plan.segments):
        tests = [passes(plan, kind, e, out) for e in segment.exit_events if kind.event in e.names]
        if segment.enter is not None:
            feeds = list(fed_by(plan, kind, i))
            if tests:
                which = "" if "True" in tests else f" and ({' or '.join(tests)})"
                out.add(3, f"if nb & {plan.segment_bit(i)}{which}:  # exit of {segment.name}")
                _reset(plan, i, out, 4, initial)
                if feeds:
                    out.add(3, "else:")
                    feed(plan, kind, i, out, 4)
            elif feeds:
                feed(plan, kind, i, out, 3)
    feed(plan, kind, None, out, 3)


def feeds_folds(plan: Plan, kind: Kind) -> bool:
    """Whether a late event of this kind must be folded in by replay."""
    folds = [e for leaf in plan.leaves for e in own_events(leaf)]
    folds += [e for x in plan.evidence if x.folded for e in (x.events, x.since) if e is not None]
    folds += [e for segment in plan.segments for e in segment.exit_events]
    return any(kind.event in e.names for e in folds)


def _reset(plan: Plan, segment: int, out: Source, depth: int, initial: int) -> None:
    """An exit: the segment is left, and what its `enter` has seen is forgotten.

    What is true of `enter` at this very moment does not enter again: it counts as having been true before.
    """
    mask = plan.segment_bit(segment)
    for i, leaf in enumerate(plan.leaves):
        if leaf_scope(plan, i) == segment:
            mask |= plan.leaf_bit(i)
            if isinstance(leaf, Pattern):
                out.add(depth, f"s[{plan.own_slots[i]}] = NEVER")
            elif isinstance(leaf, Follow):
                out.add(depth, f"s[{plan.own_slots[i]}] = [{{}}, {{}}]")
            if i in plan.due_slots:
                out.add(depth, f"s[{plan.due_slots[i]}] = NEVER")
    for evidence in plan.evidence:
        if evidence.scope == segment:
            out.add(depth, *(f"s[{i}] = []" for i in list_slots(evidence)))
    kept = initial & mask | plan.enter_bit(segment)
    out.add(depth, f"s[{plan.since_slots[segment]}] = NEVER", f"nb = nb & {~mask} | {kept}")


# --- timers -----------------------------------------------------------------------------------------------


def _expiries(plan: Plan) -> Iterator[tuple[str, str]]:
    """(when it is pending, its time): the ways a truth can change by time alone, but for many of one kind."""
    for chunk in timers.ending(plan):
        for bit, slot, n, window_ms in chunk if len(chunk) <= timers.FEW else ():
            yield f"b & {bit}", f"s[{slot}][-{n}] + {window_ms}"
    for i, slot in plan.since_slots.items():
        after = plan.segments[i].exit_after_ms
        if after is not None:
            yield f"b & {plan.segment_bit(i)}", f"s[{slot}] + {after}"


def _due_runs(plan: Plan) -> Iterator[range]:
    """Slots that hold when something is due, of patterns and evaluated leaves: those that stand side by side together."""
    patterns = [slot for i, slot in plan.own_slots.items() if isinstance(plan.leaves[i], Pattern)]
    slots = sorted([*patterns, *plan.due_slots.values()])
    start = 0
    for i in range(1, len(slots) + 1):
        if i == len(slots) or slots[i] != slots[i - 1] + 1:
            yield range(slots[start], slots[i - 1] + 1)
            start = i


def _next_due(plan: Plan, out: Source) -> None:
    out.add(0, "", "", "def next_due(s):", f"    b = s[{BITS}]", "    due = NEVER")
    for i, chunk in enumerate(timers.ending(plan)):
        if len(chunk) > timers.FEW:
            out.add(1, f"m = b & {timers.bits_of(chunk)}", "if m:", f"    for slot, n, w in ends{i}[m]:")
            out.add(3, "d = s[slot][-n] + w", "if d < due:", "    due = d")
    for test, time in _expiries(plan):
        out.add(1, f"if {test}:", f"    d = {time}", "    if d < due:", "        due = d")
    for run in _due_runs(plan):
        out.add(1, f"d = {_first_of(run)}", "if d < due:", "    due = d")
    out.add(1, "return due")


def _first_of(run: range) -> str:
    return f"s[{run.start}]" if len(run) == 1 else f"min(s[{run.start}:{run.stop}])"


def _advance(plan: Plan, out: Source, initial: int) -> None:
    out.add(0, "", "", "def advance(s, p, upto, arm, out):", "    while True:", "        t = next_due(s)")
    out.add(2, "if t > upto:", f"    s[{DUE}] = NEVER", "    arm(s, p, t)", "    return")
    out.add(2, f"b = nb = s[{BITS}]")
    _windows_end(plan, out)
    leaves = {plan.own_slots[i]: i for i, leaf in enumerate(plan.leaves) if isinstance(leaf, Pattern)}
    leaves |= {slot: i for i, slot in plan.due_slots.items()}
    for run in _due_runs(plan):
        depth = 2
        if len(run) > 1:
            out.add(2, f"if {_first_of(run)} <= t:")
            depth = 3
        for slot in run:
            bit = plan.leaf_bit(leaves[slot])
            if slot in plan.due_slots.values():
                out.add(depth, f"if s[{slot}] <= t:", f"    nb = nb | {bit} if ask{leaves[slot]}(s, t) else nb & {~bit}")
            else:
                out.add(depth, f"if s[{slot}] <= t:", f"    s[{slot}] = NEVER", f"    nb |= {bit}")
    for i, slot in plan.since_slots.items():
        after = plan.segments[i].exit_after_ms
        if after is not None:
            name = plan.segments[i].name
            out.add(2, f"if b & {plan.segment_bit(i)} and s[{slot}] + {after} <= t:  # exit of {name}")
            _reset(plan, i, out, 3, initial)
    out.add(2, "flip(s, p, t, nb, b, 'timer', None, arm, out)")


def _windows_end(plan: Plan, out: Source) -> None:
    for i, chunk in enumerate(timers.ending(plan)):
        if len(chunk) > timers.FEW:
            out.add(2, f"m = b & {timers.bits_of(chunk)}", "if m:", f"    for slot, n, w in ends{i}[m]:")
            out.add(4, "if s[slot][-n] + w <= t:", f"    nb ^= ended{i}(s, m, t)", "    break")
            continue
        for bit, slot, n, window_ms in chunk:
            out.add(2, f"if b & {bit} and s[{slot}][-{n}] + {window_ms} <= t:", f"    nb &= {~bit}")


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
                when(out, 2, [passes(plan, kind, stream.events, out)], tuple(lines))
        for total in plan.totals:
            if not total.folded and kind.event in total.events.names:
                when(out, 2, [passes(plan, kind, total.events, out)], (add_to(plan, kind, total),))
        if len(out.lines) == body:
            out.add(2, "pass")
    out.add(1, "return")


def _settle_bits(plan: Plan, out: Source) -> None:
    out.add(0, "", "", "def settle_bits(s, t):", f"    b = s[{BITS}]")
    for i, leaf in enumerate(plan.leaves):
        bit = plan.leaf_bit(i)
        if i in plan.folded_leaves:
            continue
        if isinstance(leaf, Threshold):
            slot = plan.streams[leaf.stream].slot
            inside = f" and s[{slot}][-{leaf.n}] + {leaf.window_ms} > t" if leaf.window_ms is not None else ""
            out.add(1, f"if len(s[{slot}]) >= {leaf.n}{inside}:", f"    b |= {bit}", "else:", f"    b &= {~bit}")
        elif isinstance(leaf, Evaluated):
            out.add(1, f"b = b | {bit} if ask{i}(s, t) else b & {~bit}")
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
    """Asks only groups that read what has changed, by an event or by time; all of them where anything may have."""
    groups = groups_of(plan)
    for number, group in enumerate(groups):
        if group.has_table:
            out.add(0, "", "", f"def work_out{number}(nb):")
            for i in group.segments:
                _whether(plan, i, out, 1)
            out.add(1, f"return nb & {_bits_of(plan, group)}")
    out.add(0, "", "", "def flip(s, p, t, nb, b, cause, r, arm, out):")
    out.add(1, "known = out is not None and (cause == 'event' or cause == 'timer')", "changed = nb ^ b if known else -1")
    for number, group in enumerate(groups):
        out.add(1, f"if changed & {group.inputs}:")
        if group.has_table:
            out.add(2, f"key = nb & {group.inputs}", f"bits = table{number}.get(key)", "if bits is None:")
            out.add(3, f"if len(table{number}) >= {table_entries(plan, groups)}:", f"    table{number}.clear()")
            out.add(3, f"bits = table{number}[key] = work_out{number}(nb)")
            out.add(2, f"nb = nb & {~_bits_of(plan, group)} | bits")
        for i in () if group.has_table else group.segments:
            if group.remembers:
                _enter(plan, i, out, 2)
            else:
                _whether(plan, i, out, 2)
    mask = (1 << len(plan.segments)) - 1
    out.add(1, f"s[{BITS}] = nb", f"if (nb ^ b) & {mask} and out is not None:")
    out.add(2, f"emit(s, p, t, nb, (nb ^ b) & {mask}, cause, r, out)")


def _bits_of(plan: Plan, group: Group) -> int:
    return sum(plan.segment_bit(i) for i in group.segments)


def _whether(plan: Plan, i: int, out: Source, depth: int) -> None:
    """A segment with `when` is what its condition is."""
    bit, test = plan.segment_bit(i), expression(plan, plan.conditions[i])
    out.add(depth, f"if {test}:  # {plan.segments[i].name}", f"    nb |= {bit}", "else:", f"    nb &= {~bit}")


def _enter(plan: Plan, i: int, out: Source, depth: int) -> None:
    """One with `enter` begins when its condition becomes true."""
    segment, bit, enter = plan.segments[i], plan.segment_bit(i), plan.enter_bit(i)
    test, since = expression(plan, plan.conditions[i]), plan.since_slots[i]
    out.add(depth, f"if {test}:  # {segment.name}", f"    if not nb & {enter}:", f"        nb |= {enter}")
    out.add(depth + 2, f"if not nb & {bit}:", f"    nb |= {bit}", f"    changed |= {bit}", f"    s[{since}] = t")
    if segment.exit_after_ms is not None:
        due = f"t + {segment.exit_after_ms}"
        out.add(depth + 3, f"if {due} < s[{DUE}]:", f"    arm(s, p, {due})")
    out.add(depth, "else:", f"    nb &= {~enter}")
