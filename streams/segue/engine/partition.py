"""One partition's persons: their states, the wheel of their timers, and the step over a batch.

The mental model is the whole of it: a dict of persons and a wheel of timers, fed by a log. A batch goes in,
changes come out; nothing here reads a clock or a disk. The shell looks up what `missing` names before a step,
and stores what `encode` gives after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from segue.engine.compile import Program
from segue.engine.duplicates import Duplicates
from segue.engine.late import LateEvents
from segue.engine.migrate import Migration
from segue.engine.unite import united
from segue.engine.wheel import Wheel
from segue.engine.wide import packed, packed_settled, unpack_settled, unpacked
from segue.errors import StateError
from segue.limits import MIGRATED_AT_ONCE, WHEEL_SHIFT
from segue.plan.layout import BITS, BUCKET, DUE, JUMPS, LOG, SETTLED, SLOTS
from segue.plan.stored import Layout
from segue.records import NEVER, Batch, Change, Rejected, Step

_NO_BUCKET = NEVER >> WHEEL_SHIFT
_HEAD = np.dtype([("due", ">i8"), ("tag", ">u4")])
"""what an encoded state begins with"""
_encode = msgspec.msgpack.Encoder().encode
_DECODER = msgspec.msgpack.Decoder(type=list)
_JUMP = itemgetter(Change._fields.index("segment"), Change._fields.index("entered"))
_LOG_SETTLES_AT = 16
"""a log this long is settled at the next commit: replaying a few events now and then beats storing them all"""

State = list[Any]


class _Head(msgspec.Struct, array_like=True):
    """The first of what is behind an encoded state's first 12 bytes; the rest is passed over."""

    bits: int | bytes


_head = msgspec.msgpack.Decoder(type=_Head).decode


class PartitionState:
    """The persons of one partition index."""

    def __init__(self, program: Program, partition: int) -> None:
        self.partition = partition
        self.engine_time_ms = 0
        self.states: dict[bytes, State] = {}
        self.log_overflows = 0
        self.member_counts = [0] * len(program.plan.segments)
        """per segment: the persons who are in it, of all states, also those that are not in memory"""
        self._program = program
        self.duplicates = Duplicates(program)
        self._late = LateEvents(program)
        self._wheel = Wheel()
        self._bytes: dict[bytes, int] = {}
        """encoded size of the states in memory, as of their last load or encoding"""
        self._bytes_in_all = 0
        self._due_ms: list[int] = []
        """when what the step in hand has fired was due"""
        self._tag = program.layout.tag
        self._wide = len(program.layout.bits) > 64
        self._migrations: dict[bytes, Migration] = {}
        self._moved: dict[bytes, None] = {}
        """persons loaded from a state written under other rules, whose segments are still to be asked"""
        self._unread: dict[bytes, None] = {}
        """persons whose stored state is of other rules and has not been loaded yet"""

    # --- what the shell brings

    def know(self, layout: Layout) -> None:
        """Read states written under other rules as well: those of this layout. Before any is restored."""
        if layout.tag != self._tag:
            self._migrations[layout.tag] = Migration(layout, self._program, self._late)

    def resume(self, engine_time_ms: int, member_counts: Sequence[int] | None = None) -> None:
        """Go on from a checkpoint's engine time and, unless they have been counted, its members per segment."""
        self.engine_time_ms = engine_time_ms
        if member_counts is not None:
            self.member_counts = list(member_counts)

    def count_members(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        """At a start whose checkpoint does not say how many there are: add these persons' memberships.

        States of other rules count by the segments that are in both. Raises StateError for rules nobody has told of.
        """
        segments = (1 << len(self.member_counts)) - 1
        try:
            counted = Counter((e[8:12], _head(e[12:]).bits) for _, e in stored)
        except msgspec.MsgspecError as error:
            raise StateError(
                f"A stored state of partition {self.partition} cannot be read: {error}.",
                "Remove the partition's folder: it is restored from the changelog.",
            ) from error
        for (tag, bits), persons in counted.items():
            if tag == self._tag:
                mine = unpacked(bits) & segments
            elif tag in self._migrations:
                mine = self._migrations[tag].segments_of(unpacked(bits))
            else:
                raise StateError(
                    f"Partition {self.partition} has states of a layout {tag.hex()} of which nothing is known.",
                    "Were they written by another version? Go on with that, or start under a new app_id.",
                )
            self._add_members(mine, persons)

    def _add_members(self, bits: int, persons: int) -> None:
        while bits:
            low = bits & -bits
            bits ^= low
            self.member_counts[low.bit_length() - 1] += persons

    def restore(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        """At start: note the timers of stored states, and nothing else of them. Persons and encoded states, many at once.

        Raises StateError for one that is too short to be a state.
        """
        rows = list(stored)
        heads = b"".join([encoded[:12] for _, encoded in rows])
        if len(heads) < 12 * len(rows):
            raise StateError(
                f"A stored state of partition {self.partition} has fewer than the 12 bytes of its head.",
                "Remove the partition's folder: it is restored from the changelog.",
            )
        columns = np.frombuffer(heads, _HEAD)
        due = columns["due"].astype(np.int64)
        waiting = np.flatnonzero(due < NEVER)
        self._wheel.schedule_all([rows[i][0] for i in waiting.tolist()], due[waiting] >> WHEEL_SHIFT)
        tags = columns["tag"]
        for i in np.flatnonzero(tags != np.frombuffer(self._tag, ">u4")).tolist():
            self._unread[rows[i][0]] = None

    def missing(self, batch: Batch) -> list[bytes]:
        """Persons whose states the step will need and memory lacks, each once."""
        states = self.states
        wanted = set(batch.person).difference(states)
        for bucket in self._wheel.until(batch.engine_time_ms >> WHEEL_SHIFT):
            wanted.update(set(self._wheel.of(bucket)).difference(states))
        if self._unread:
            wanted.update(islice(self._unread, MIGRATED_AT_ONCE))
        return list(wanted)

    def load(self, person: bytes, encoded: bytes | None) -> None:
        """A state looked up; None: there is none, the person is new."""
        if encoded is None:
            return
        due = int.from_bytes(encoded[:8], "big")
        bits, *rest = _DECODER.decode(encoded[12:])
        state = [due, unpacked(bits), due >> WHEEL_SHIFT, *rest]
        unpack_settled(state)
        if encoded[8:12] != self._tag:
            state = self._migrations[encoded[8:12]](person, state)
            self._moved[person] = None
            self._unread.pop(person, None)
            due = NEVER
        self.states[person] = state
        self._note_bytes(person, len(encoded))
        if due < NEVER:
            self._wheel.schedule(person, due >> WHEEL_SHIFT)

    # --- the step

    def step(self, batch: Batch) -> Step:
        """Apply the batch's rows in order, then fire what its end has made due."""
        dropped: list[int] = []
        rejected: list[Rejected] = []
        if batch.ids is not None:
            batch, dropped, rejected = self.duplicates.sift(batch, self.states)
        changes: list[Any] = []
        touched: set[bytes] = set(batch.person)
        self._due_ms = []
        if self._moved:
            self._ask_moved(touched, changes)
        start = 0
        for i, moment in zip(batch.late, batch.moment, strict=True):
            self._run(batch, start, i, changes)
            self._fold_in(batch, i, moment, changes)
            start = i + 1
        self._run(batch, start, len(batch.kind), changes)
        self.engine_time_ms = max(self.engine_time_ms, batch.engine_time_ms)
        self._sweep(touched, changes)
        jumps: Counter[tuple[int, bool]] = Counter(map(_JUMP, changes))
        for (segment, entered), persons in jumps.items():
            self.member_counts[segment] += persons if entered else -persons
        return Step(
            changes=self._finish(batch, changes),
            touched=touched,
            applied=len(batch.kind) - len(batch.late),
            late=len(batch.late),
            timers_fired=len(self._due_ms),
            duplicates=len(dropped) - len(rejected),
            rejected=rejected,
            dropped=dropped,
            jumps=jumps,
            due_ms=self._due_ms,
        )

    def _run(self, batch: Batch, start: int, stop: int, changes: list[Any]) -> None:
        if start == stop:
            return
        columns: list[Any] = [batch.kind, batch.person, batch.time_ms, range(len(batch.kind)), *self._slots(batch)]
        rows: Iterable[tuple[Any, ...]]
        if start == 0 and stop == len(batch.kind):
            rows = zip(*columns, strict=True)
        else:
            rows = zip(*(c[start:stop] for c in columns), strict=True)
        self._program.run(rows, self.states, self._program.blank, self._arm, changes)

    def _slots(self, batch: Batch) -> list[list[Any]]:
        short = self._program.plan.n_columns - len(batch.slots)
        return batch.slots if short == 0 else batch.slots + [[None] * len(batch.kind)] * short

    def _fold_in(self, batch: Batch, i: int, moment: int, changes: list[Any]) -> None:
        person = batch.person[i]
        state = self.states.get(person)
        if state is None:
            state = self.states[person] = self._program.blank(person)
        if state[DUE] <= moment:
            self._program.advance(state, person, moment, self._arm, changes)
        values = [column[i] for column in self._slots(batch)]
        self._late.fold_in(state, person, batch.kind[i], batch.time_ms[i], values, moment, i, self._arm, changes)

    def _ask_moved(self, touched: set[bytes], changes: list[Any]) -> None:
        """States written under other rules: what these rules say of them as of engine time."""
        for person in self._moved:
            self._late.work_out(self.states[person], person, self.engine_time_ms, "rule_change", self._arm, changes)
        touched.update(self._moved)
        self._moved = {}

    def _sweep(self, touched: set[bytes], changes: list[Any]) -> None:
        """Fire what is due by engine time. A popped entry whose person is scheduled later is stale, and dropped."""
        now = self.engine_time_ms
        for bucket in self._wheel.until(now >> WHEEL_SHIFT):
            for person in self._wheel.take(bucket):
                state = self.states[person]
                if state[BUCKET] > bucket:
                    continue
                state[BUCKET] = _NO_BUCKET
                if state[DUE] <= now:
                    self._due_ms.append(state[DUE])
                    touched.add(person)
                    self._program.advance(state, person, now, self._arm, changes)
                else:
                    self._arm(state, person, state[DUE])
        self._wheel.tidy()

    def _arm(self, state: State, person: bytes, due: int) -> None:
        state[DUE] = due
        bucket = due >> WHEEL_SHIFT
        if bucket < state[BUCKET]:
            state[BUCKET] = bucket
            self._wheel.schedule(person, bucket)

    def _finish(self, batch: Batch, changes: list[Any]) -> list[Change]:
        """Rows become the events they were: (source, offset)."""
        source, offset, new = batch.source, batch.offset, tuple.__new__  # a third of what Change(...) takes
        return [
            new(Change, c if (r := c[5]) is None else (*c[:5], (source[r], offset[r]), *c[6:])) for c in changes
        ]

    def unite(self, person: bytes, a: bytes, b: bytes) -> tuple[bytes, bool]:
        """Two encoded states as one, of both histories, as of engine time; and whether it is exact. Nothing is emitted."""
        states = []
        segments = (1 << len(self.member_counts)) - 1
        for encoded in (a, b):
            self.load(person, encoded)
            state = self.states.pop(person)
            self._add_members(state[BITS] & segments, -1)
            self._program.advance(state, person, self.engine_time_ms, self._arm, None)
            states.append(state)
        self.states[person], exact = united(self._program, self._late, person, states[0], states[1], self.engine_time_ms)
        self._add_members(self.states[person][BITS] & segments, 1)
        return self.encode(person), exact

    # --- what the shell takes away

    def encode(self, person: bytes) -> bytes:
        """The state as stored and as on the changelog: 8 bytes of the next timer, 4 of the layout, then MessagePack."""
        return self.encoded((person,))[0][1]

    def encoded(self, persons: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """Persons and their states, each as `encode` says."""
        states, tag, sizes, out = self.states, self._tag, self._bytes, []
        in_all, forget, settled_until = 0, self.duplicates.slots, self.engine_time_ms - self._program.plan.lateness_ms
        for person in persons:
            state = states[person]
            if forget:
                self.duplicates.forget(state, self.engine_time_ms)
            if len(state[LOG]) > _LOG_SETTLES_AT:
                self.log_overflows += self._late.settle(state, person, settled_until)
            slots = _packed(state) if self._wide else [state[BITS], *state[JUMPS:]]
            encoded = b"%b%b%b" % (state[DUE].to_bytes(8, "big"), tag, _encode(slots))
            out.append((person, encoded))
            in_all += len(encoded) - sizes.get(person, 0)
            sizes[person] = len(encoded)
        self._bytes_in_all += in_all
        return out

    def _note_bytes(self, person: bytes, size: int) -> None:
        self._bytes_in_all += size - self._bytes.get(person, 0)
        self._bytes[person] = size

    def evict(self, max_persons: int, max_bytes: int, recent: Iterable[bytes] = ()) -> None:
        """Keep at most `max_persons` states of at most `max_bytes` (encoded) in memory, those longest unused leave first.

        Use is counted per commit: `recent` are the persons touched since the last call. Whoever leaves must
        have been stored.
        """
        states = self.states
        for person in recent:
            states[person] = states.pop(person)
        over = len(states) - max_persons
        if over <= 0 and self._bytes_in_all <= max_bytes:
            return
        leaving: list[bytes] = []
        left = self._bytes_in_all
        for person in states:
            if len(leaving) >= over and left <= max_bytes:
                break
            leaving.append(person)
            left -= self._bytes.get(person, 0)
        for person in leaving:
            del states[person]
            self._bytes.pop(person, None)
        self._bytes_in_all = left

    @property
    def bytes_in_memory(self) -> int:
        """Encoded size of the states in memory; as Python objects they take several times as much."""
        return self._bytes_in_all

    def take_dropped(self) -> int:
        """Entries of windows that went beyond their bound since this was last asked, by any partition of the program."""
        dropped, self._program.dropped[0] = self._program.dropped[0], 0
        return dropped

    @property
    def timers_pending(self) -> int:
        """Entries of the wheel; a person has one, and now and then a stale one."""
        return len(self._wheel)

    @property
    def first_timer_ms(self) -> int | None:
        """When the first timer that waits is due at the latest: to the 16 s, and 17 min if it is far. None: none waits."""
        bucket = self._wheel.first()
        return None if bucket is None else (bucket + 1) << WHEEL_SHIFT

    def members(self, segment: int) -> list[bytes]:
        """Persons in memory who are in the segment now."""
        bit = self._program.plan.segment_bit(segment)
        return [p for p, s in self.states.items() if s[BITS] & bit]


def _packed(state: State) -> list[Any]:
    """What is stored of a state of more truths than MessagePack's integers have bits."""
    return [packed(state[BITS]), *state[JUMPS:SETTLED], packed_settled(state[SETTLED]), *state[SLOTS:]]
