"""Late events: folded in at their place, so that membership stays a function of the history alone.

Sorted times take a late event by a sorted insert. Folds (patterns, `enter`/`exit`, values `since` an event)
depend on order, so their events of the lateness period are kept in the person's LOG, and their slots as of
before the first of these in SETTLED. A late event takes its place in the log; the log is replayed over the
settled slots *by the same generated code that applied it the first time*, and the outcome replaces the slots.
Jumps in the past are not emitted again: what differs as of now is emitted once, as a correction.
"""

from __future__ import annotations

from typing import Any

from segue.engine.compile import Program, arm_alone, copied
from segue.limits import LOG_EVENTS
from segue.plan.layout import BITS, DUE, LOG, SETTLED, folded_slots
from segue.records import NEVER

State = list[Any]


class LateEvents:
    """How a plan's states take late events, and when their logs are settled."""

    def __init__(self, program: Program) -> None:
        plan = program.plan
        self._program = program
        self._order = [kind.order for kind in plan.kinds]
        self.slots = folded_slots(plan)
        """what SETTLED holds, after its bits"""
        self._bits = 0
        for leaf in plan.folded_leaves:
            self._bits |= plan.leaf_bit(leaf)
        for segment, definition in enumerate(plan.segments):
            if definition.enter is not None:
                self._bits |= plan.segment_bit(segment) | plan.enter_bit(segment)
        self.kept_bits = self._bits
        """what SETTLED holds of the bits: a truth without its evidence would be asked for a time it does not have"""
        for segment in plan.folded_segments:
            self.kept_bits |= plan.segment_bit(segment)

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
        before = state[BITS]
        self._program.insert(state, kind, time_ms, *values)
        if kind in self._program.folding_kinds:
            self._place_in_log(state[LOG], kind, time_ms, values)
            self._replay_into(state, person, moment)
        self._ask_all(state, person, moment, before, "correction", (row, time_ms), arm, changes)

    def work_out(
        self, state: State, person: bytes, moment: int, cause: str, arm: Any, changes: list[Any] | None
    ) -> None:
        """Every truth and timer of a state whose evidence came from elsewhere; emit what differs as of `moment`."""
        before = state[BITS]
        if state[LOG]:
            self._replay_into(state, person, moment)
        self._ask_all(state, person, moment, before, cause, None, arm, changes)

    def _ask_all(
        self,
        state: State,
        person: bytes,
        moment: int,
        before: int,
        cause: str,
        row: Any,
        arm: Any,
        changes: list[Any] | None,
    ) -> None:
        program = self._program
        bits = program.settle_bits(state, moment)
        state[DUE] = NEVER
        arm(state, person, program.next_due_with(state, bits))
        program.flip(state, person, moment, bits, before, cause, row, arm, changes)

    def order_of(self, kind: int) -> int:
        """Of the source, for the place of an event at its time."""
        return self._order[kind]

    def settle(self, state: State, person: bytes, horizon_ms: int) -> int:
        """Apply the log's events before `horizon_ms` to the settled slots; returns how many had to go early."""
        log = state[LOG]
        n = sum(1 for entry in log if entry[1] < horizon_ms)
        overflow = max(0, len(log) - n - LOG_EVENTS)
        n += overflow
        if n:
            state[SETTLED] = self.settled(self._replay(state, person, log[:n]))
            del log[:n]
        return overflow

    def _place_in_log(self, log: list[Any], kind: int, time_ms: int, values: list[Any]) -> None:
        place = (time_ms, self._order[kind])
        i = len(log)
        while i and (log[i - 1][1], self._order[log[i - 1][0]]) > place:
            i -= 1
        log.insert(i, (kind, time_ms, *values))

    def _replay(self, state: State, person: bytes, log: list[Any]) -> State:
        """A scratch state: the settled slots with the log's events applied."""
        scratch = self._program.blank(person)
        if state[SETTLED] is not None:
            scratch[BITS] = state[SETTLED][0]
            for slot, value in zip(self.slots, state[SETTLED][1:], strict=True):
                scratch[slot] = copied(value)
            scratch[DUE] = 0
        rows = ((entry[0], person, entry[1], None, *entry[2:]) for entry in log)
        self._program.run(rows, {person: scratch}, self._program.blank, arm_alone, None)
        return scratch

    def _replay_into(self, state: State, person: bytes, moment: int) -> None:
        scratch = self._replay(state, person, state[LOG])
        if scratch[DUE] <= moment:
            self._program.advance(scratch, b"", moment, arm_alone, None)
        for slot in self.slots:
            state[slot] = scratch[slot]
        state[BITS] = (state[BITS] & ~self._bits) | (scratch[BITS] & self._bits)

    def settled(self, state: State) -> list[Any]:
        """A state's folds as SETTLED holds them; the state's own lists, not copies."""
        return [state[BITS] & self.kept_bits, *(state[slot] for slot in self.slots)]
