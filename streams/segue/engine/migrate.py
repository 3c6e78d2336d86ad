"""A state written under other rules, read under these: what both share stays, what is new starts empty.

Everything is matched by its name (plan/stored.py). Folds are worked out anew over the log, so that a new one has what
the log still holds. Whether a segment is true now is asked at once, as of engine time, and what differs goes out with
the cause `rule_change`.
"""

from __future__ import annotations

from typing import Any

from segue.engine.compile import Program, copied
from segue.engine.late import LateEvents
from segue.plan.layout import BITS, DUE, JUMPS, LOG, SETTLED, SLOTS
from segue.plan.stored import Layout
from segue.records import NEVER

State = list[Any]


class Migration:
    """From one stored layout to the program's own."""

    def __init__(self, old: Layout, program: Program, late: LateEvents) -> None:
        new = program.layout
        self._program = program
        self._late = late
        places = {name: i for i, name in enumerate(old.slots)}
        self._slots = [(i, places[name]) for i, name in enumerate(new.slots) if i >= SLOTS and name in places]
        bits = {name: i for i, name in enumerate(old.bits)}
        self._bits = [(1 << i, 1 << bits[name]) for i, name in enumerate(new.bits) if name in bits]
        self._fresh = sum(1 << i for i, name in enumerate(new.bits) if name not in bits)
        self._settled = _settled_places(old, new)
        self._settles = any(new.slots[i] in places and places[new.slots[i]] not in old.folded for i in new.folded)
        """evidence that was no fold and is one now: its events are not in the log, which therefore ends here"""
        self._segments_mask = (1 << len(new.rules)) - 1
        segments = {name: i for i, name in enumerate(new.bits) if name.startswith("segment ")}
        self._segments = {i: segments[name] for i, name in enumerate(old.bits) if name in segments}
        kinds = {kind: number for number, kind in enumerate(new.kinds)}
        self._kinds = {
            number: (kinds[kind], [_place(old.columns[number], field) for field in new.columns[kinds[kind]]])
            for number, kind in enumerate(old.kinds)
            if kind in kinds
        }

    def __call__(self, person: bytes, old: State) -> State:
        """The state, its bits as they were; those that are new as for a person of whom nothing is known."""
        state = self._program.blank(person)
        state[BITS] = self._translated(old[BITS], state[BITS])
        state[DUE] = NEVER
        state[JUMPS] = {self._segments[i]: jump for i, jump in old[JUMPS].items() if i in self._segments}
        state[LOG] = [entry for logged in old[LOG] if (entry := self._logged(logged)) is not None]
        for new_slot, old_slot in self._slots:
            state[new_slot] = old[old_slot]
        if self._settles:
            state[LOG] = []
            state[SETTLED] = copied(self._late.settled(state))
        elif old[SETTLED] is not None:
            blank = self._program.blank(person)
            state[SETTLED] = [
                self._translated(old[SETTLED][0], blank[BITS]) & self._late.kept_bits,
                *(blank[slot] if place is None else old[SETTLED][place] for slot, place in self._settled),
            ]
        return state

    def segments_of(self, bits: int) -> int:
        """The segments' bits of an old state's, as these rules number them; those of new segments are not set."""
        return self._translated(bits, 0) & self._segments_mask

    def _translated(self, old: int, blank: int) -> int:
        bits = blank & self._fresh
        for new_bit, old_bit in self._bits:
            if old & old_bit:
                bits |= new_bit
        return bits

    def _logged(self, entry: list[Any]) -> tuple[Any, ...] | None:
        """An event of the log; None if no rule reads it any more. A field it was read without is None."""
        kind, time_ms, *values = entry
        if kind not in self._kinds:
            return None
        number, places = self._kinds[kind]
        taken = [None if place is None else values[place] for place in places]
        return (number, time_ms, *taken, *[None] * (self._program.plan.n_columns - len(taken)))


def _settled_places(old: Layout, new: Layout) -> list[tuple[int, int | None]]:
    """(slot, where SETTLED of old has it, if it does) for what SETTLED of new holds."""
    held = {old.slots[slot]: i for i, slot in enumerate(old.folded, 1)}
    return [(slot, held.get(new.slots[slot])) for slot in new.folded]


def _place(columns: list[str], field: str) -> int | None:
    return columns.index(field) if field in columns else None
