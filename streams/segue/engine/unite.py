"""Two states of one person put together: as if one state had seen both histories.

Entries and totals unite as they are. Folds are worked out anew over the events both still have in their logs; so the
result is exact as long as what either has settled came before all that the other has not. Where both have settled
folds, or one has settled past the other's events, the order of what was settled is lost: what is newer counts, and
the answer is said not to be exact. Nor is it when both have counted an event of the same id. Else traits, sums, counts
and windows are exact always.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from segue.engine.compile import Program, arm_alone, copied
from segue.engine.duplicates import united_ids
from segue.engine.late import LateEvents
from segue.engine.totals import merged
from segue.plan.evidence import Stream
from segue.plan.layout import BITS, DUE, JUMPS, LOG, SETTLED

State = list[Any]


def united(program: Program, late: LateEvents, person: bytes, a: State, b: State, moment: int) -> tuple[State, bool]:
    """(the state of both histories as of `moment`, whether it is exact). Of equal places `a`'s events come first.

    Timers of both must have been fired up to `moment`. Both are left as they were.
    """
    state = program.blank(person)
    _unite_evidence(program, state, a, b)
    state[JUMPS] = {
        segment: max(a[JUMPS].get(segment, (0, 0)), b[JUMPS].get(segment, (0, 0)), key=tuple)
        for segment in {*a[JUMPS], *b[JUMPS]}
    }
    state[LOG] = sorted(
        [tuple(entry) for entry in (*a[LOG], *b[LOG])], key=lambda entry: (entry[1], late.order_of(entry[0]))
    )
    exact = True
    settled = [s for s in (a, b) if s[SETTLED] is not None]
    if settled:
        base = max(settled, key=lambda s: min(map(itemgetter(1), s[LOG]), default=moment))
        other = b if base is a else a
        horizon = min(map(itemgetter(1), base[LOG]), default=moment)
        exact = len(settled) == 1 and all(entry[1] >= horizon for entry in other[LOG])
        state[SETTLED] = copied(base[SETTLED])
        if not state[LOG]:
            _take_settled(late, state)
    for slot in program.plan.id_slots.values():
        state[slot], apart = united_ids(a[slot], b[slot])
        exact = exact and apart
    late.work_out(state, person, moment, "merge", arm_alone, None)
    state[DUE] = program.next_due(state)
    return state, exact


def _unite_evidence(program: Program, state: State, a: State, b: State) -> None:
    for evidence in program.plan.evidence:
        slot = evidence.slot
        if not isinstance(evidence, Stream):
            state[slot] = merged(evidence, a[slot], b[slot])
            continue
        lists = range(slot, slot + 1 + len(evidence.values))
        rows = [row for s in (a, b) for row in zip(*(s[i] for i in lists), strict=True)]
        rows.sort(key=itemgetter(0))
        for i, place in enumerate(lists):
            state[place] = [row[i] for row in rows]
        if evidence.horizon_ms:
            state[evidence.dropped_slot] = max(a[evidence.dropped_slot], b[evidence.dropped_slot])


def _take_settled(late: LateEvents, state: State) -> None:
    """Without an event to replay, the folds are as they were settled."""
    bits, *values = state[SETTLED]
    state[BITS] |= bits
    for slot, value in zip(late.slots, values, strict=True):
        state[slot] = copied(value)

