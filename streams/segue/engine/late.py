"""Late events: folded in at their place, so that membership stays a function of the history alone.

Sorted times take a late event by a sorted insert. Folds (patterns, `enter`/`exit`, values `since` an event)
depend on order, so their events of the lateness period are kept in the person's LOG, and their slots as of
before the first of these in SETTLED. A late event takes its place in the log; the log is replayed over the
settled slots *by the same generated code that applied it the first time*, and the outcome replaces the slots.
Jumps in the past are not emitted again: what differs as of now is emitted once, as a correction.
"""

from __future__ import annotations

from typing import Any

from segue.engine.compile import Program
from segue.limits import LOG_EVENTS
from segue.plan.layout import BITS, DUE, LOG, SETTLED
from segue.plan.leaves import Pattern, Threshold
from segue.records import NEVER

State = list[Any]


class LateEvents:
    """How a plan's states take late events, and when their logs are settled."""

    def __init__(self, program: Program) -> None:
        plan = program.plan
        self._program = program
        self._order = [kind.order for kind in plan.kinds]
        self._slots = _folded_slots(program)
        self._bits = 0
        for leaf in plan.folded_leaves:
            self._bits |= plan.leaf_bit(leaf)
        for segment, definition in enumerate(plan.segments):
            if definition.enter is not None:
                self._bits |= plan.segment_bit(segment) | plan.enter_bit(segment)
        self._kept_bits = self._bits
        for segment in plan.folded_segments:
            self._kept_bits |= plan.segment_bit(segment)

    def fold_in(
        self,
        state: State,
        person: bytes,
        kind: int,
        time_ms: int,
        values: list[Any],
        moment: int,
        row: int,
        arm: Any,
        changes: list[Any],
    ) -> None:
        """Give an event its place in the history; emit what it changes as of `moment`. Timers are already fired."""
        program = self._program
        before = state[BITS]
        program.insert(state, kind, time_ms, *values)
        if kind in program.folding_kinds:
            self._place_in_log(state[LOG], kind, time_ms, values)
            self._replay_into(state, moment)
        bits = program.settle_bits(state, moment)
        state[DUE] = NEVER
        arm(state, person, program.next_due_with(state, bits))
        program.flip(state, person, moment, bits, before, "correction", (row, time_ms), arm, changes)

    def settle(self, state: State, horizon_ms: int) -> int:
        """Apply the log's events before `horizon_ms` to the settled slots; returns how many had to go early."""
        log = state[LOG]
        n = sum(1 for entry in log if entry[1] < horizon_ms)
        overflow = max(0, len(log) - n - LOG_EVENTS)
        n += overflow
        if n:
            state[SETTLED] = self._extract(self._replay(state, log[:n]))
            del log[:n]
        return overflow

    def _place_in_log(self, log: list[Any], kind: int, time_ms: int, values: list[Any]) -> None:
        place = (time_ms, self._order[kind])
        i = len(log)
        while i and (log[i - 1][1], self._order[log[i - 1][0]]) > place:
            i -= 1
        log.insert(i, (kind, time_ms, *values))

    def _replay(self, state: State, log: list[Any]) -> State:
        """A scratch state: the settled slots with the log's events applied."""
        scratch = self._program.blank()
        if state[SETTLED] is not None:
            scratch[BITS] = state[SETTLED][0]
            for slot, value in zip(self._slots, state[SETTLED][1:], strict=True):
                scratch[slot] = list(value) if isinstance(value, list) else value
            scratch[DUE] = 0
        rows = ((entry[0], b"", entry[1], None, *entry[2:]) for entry in log)
        self._program.run(rows, {b"": scratch}, self._program.blank, _arm_scratch, None)
        return scratch

    def _replay_into(self, state: State, moment: int) -> None:
        scratch = self._replay(state, state[LOG])
        if scratch[DUE] <= moment:
            self._program.advance(scratch, b"", moment, _arm_scratch, None)
        for slot in self._slots:
            state[slot] = scratch[slot]
        state[BITS] = (state[BITS] & ~self._bits) | (scratch[BITS] & self._bits)

    def _extract(self, scratch: State) -> list[Any]:
        return [scratch[BITS] & self._kept_bits, *(scratch[slot] for slot in self._slots)]


def _arm_scratch(state: State, _person: bytes, due: int) -> None:
    state[DUE] = due


def _folded_slots(program: Program) -> list[int]:
    plan = program.plan
    streams = {leaf.stream for i in plan.folded_leaves if isinstance(leaf := plan.leaves[i], Threshold)}
    slots = [
        stream.slot + j
        for i, stream in enumerate(plan.streams)
        if i in streams or stream.folded
        for j in range(1 + len(stream.values))
    ]
    slots += [plan.pattern_slots[i] for i in sorted(plan.folded_leaves) if isinstance(plan.leaves[i], Pattern)]
    return slots + list(plan.since_slots.values())
