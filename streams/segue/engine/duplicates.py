"""Duplicates: the same event told twice, under two offsets, is applied once.

A producer that sends again what was written already makes a record that no broker can know from a new one; its id can.
A person's state keeps, per source that deduplicates (`deduplicate: D`), the ids of the events applied. Of two records
with one id, of one person and source, whose own times are at most D apart, the one of the lower offset counts. The
other, if it has the same bytes, is dropped; with other bytes it is rejected as `id_conflict`.

Times here are the events' own. So what is a duplicate is a function of the source's log alone: not of engine time, of
batches, of when ids are forgotten. An id is forgotten once every record that could match it would be too late, which
is when engine time is more than D and the lateness past it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from segue.engine.compile import Program
from segue.limits import IDS_REMEMBERED
from segue.records import Batch, Rejected

State = list[Any]
Memory = dict[bytes, bytes]
"""digest of an id -> digest of the body (8 bytes), the event's time (8 bytes); in the order in which they were applied"""


def digest(value: bytes) -> bytes:
    """8 bytes that stand for an id or a body.

    Should two ids of a person ever share theirs, the bodies differ: an id_conflict, to be seen, and no loss in silence.
    """
    return hashlib.blake2b(value, digest_size=8).digest()


class Duplicates:
    """Finds the copies in a batch, and keeps what finding them needs in the states."""

    def __init__(self, program: Program) -> None:
        plan = program.plan
        self.slots = plan.id_slots
        """source -> its slot; empty if none deduplicates"""
        self.forgotten = 0
        """ids so far that went beyond IDS_REMEMBERED while a copy of theirs could still come"""
        self._blank = program.blank
        self._sources = plan.catalog.sources
        self._within_ms = [s.deduplicate_ms or 0 for s in self._sources]
        self._kept_ms = [s.lateness_ms + (s.deduplicate_ms or 0) for s in self._sources]
        """an event older than that is matched by nothing that is not too late"""

    def sift(self, batch: Batch, states: dict[bytes, State]) -> tuple[Batch, list[int], list[Rejected]]:
        """(the batch without them, its rows that are copies or conflicts, a reject for each conflict).

        The first of each id is noted in its person's state, which must be in `states` unless the person is new.
        """
        dropped: list[int] = []
        rejected: list[Rejected] = []
        slots, count = self.slots, range(len(batch.kind))
        rows = zip(count, batch.ids or (), batch.bodies, batch.source, batch.person, batch.time_ms, strict=True)
        for i, id_, body, source, person, time_ms in rows:
            if id_ is None:
                continue
            state = states.get(person)
            if state is None:
                state = states[person] = self._blank(person)
            memory: Memory = state[slots[source]]
            told = body + time_ms.to_bytes(8, "big")
            known = memory.get(id_)
            if known is None:
                memory[id_] = told
                if len(memory) > IDS_REMEMBERED:
                    self._forget_oldest(memory, source, batch.engine_time_ms)
            elif known == told:
                dropped.append(i)
            elif abs(_time_of(known) - time_ms) <= self._within_ms[source]:
                dropped.append(i)
                rejected.append(self._conflict(batch, i, _time_of(known)))
            else:  # the id is used again, for another event: from now on it is that one's
                del memory[id_]
                memory[id_] = told
        return (without(batch, dropped) if dropped else batch), dropped, rejected

    def forget(self, state: State, engine_time_ms: int) -> None:
        """Drop the ids, oldest first, of which no copy can be accepted any more. What is a duplicate stays the same."""
        for source, slot in self.slots.items():
            memory: Memory = state[slot]
            horizon_ms = engine_time_ms - self._kept_ms[source]
            n = 0
            for known in memory.values():
                if int.from_bytes(known[8:], "big") >= horizon_ms:
                    break
                n += 1
            if n:
                for id_ in list(islice(memory, n)):
                    del memory[id_]

    def _forget_oldest(self, memory: Memory, source: int, engine_time_ms: int) -> None:
        gone = memory.pop(next(iter(memory)))
        self.forgotten += _time_of(gone) >= engine_time_ms - self._kept_ms[source]

    def _conflict(self, batch: Batch, i: int, known_ms: int) -> Rejected:
        source = batch.source[i]
        detail = (
            f"the id of this event, of time {batch.time_ms[i]}, is that of an event of time {known_ms} with another body; "
            f"source {self._sources[source].name} takes an id once in {self._within_ms[source] / 3_600_000:g} h"
        )
        return Rejected(source, batch.offset[i], "id_conflict", detail, batch.records[i])


def without(batch: Batch, dropped: Sequence[int]) -> Batch:
    """The batch as if these rows, ascending, had not been in it."""
    gone = set(dropped)
    kept = [i for i in range(len(batch.kind)) if i not in gone]
    moved = {row: i for i, row in enumerate(kept)}
    late = [(moved[row], moment) for row, moment in zip(batch.late, batch.moment, strict=True) if row not in gone]
    return replace(
        batch,
        kind=[batch.kind[i] for i in kept],
        person=[batch.person[i] for i in kept],
        time_ms=[batch.time_ms[i] for i in kept],
        slots=[[column[i] for i in kept] for column in batch.slots],
        source=[batch.source[i] for i in kept],
        offset=[batch.offset[i] for i in kept],
        late=[row for row, _ in late],
        moment=[moment for _, moment in late],
        ids=None,
        bodies=[],
        records=[],
        arrival_ms=None,
    )


def united_ids(a: Memory, b: Memory) -> tuple[Memory, bool]:
    """(the ids both have seen, whether none was seen by both). Of one that both know the newer counts."""
    known = sorted([*a.items(), *b.items()], key=lambda entry: _time_of(entry[1]))
    together = dict(known[-IDS_REMEMBERED:])
    return together, not a.keys() & b.keys()


def _time_of(known: bytes) -> int:
    return int.from_bytes(known[8:], "big")
