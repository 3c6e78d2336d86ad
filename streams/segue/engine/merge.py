"""The merger: rows of all sources of one partition, in the order of the history.

The order is that of the *keys* `time * 16 + order of the source`. Each source's rows keep their offset order: a
row stands at the running maximum of its source's keys, so a row that is behind its own source is late at its
place and moves nobody. A source holds the others back until its own running maximum has passed them, unless it
has reached the end of its partition. So what comes out depends on the logs alone, not on how they were fetched,
as long as no source is read to its end while its producers lag; then its rows come out late, and are folded in.

Ticks are rows of a source of order 0: at one time a tick comes before the events, so an event of the tick's own
millisecond is not late. Ticks hold nobody back.

All of it is columns: numpy over what was fed, Python objects only for the rows rules read.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segue.catalog import Catalog
from segue.limits import MAX_FUTURE_MS
from segue.records import IRRELEVANT, Batch, Columns, Int64s, Rejected

_TOP = (1 << 63) - 1
CLOCK = -1


@dataclass(slots=True)
class _Chunk:
    """Columns in a queue, with their keys and how far they have been taken."""

    columns: Columns
    keys: Int64s
    """own keys"""
    places: Int64s
    """running maximum of the source's keys"""
    relevant: Int64s
    """indexes of the relevant rows"""
    taken: int = 0


@dataclass(slots=True)
class _Slice:
    """Rows [start, stop) of a chunk, about to leave."""

    source: int
    chunk: _Chunk
    start: int
    stop: int


class Merger:
    """Feed it columns as they are read; take batches in the order of the history."""

    def __init__(
        self,
        catalog: Catalog,
        partition: int,
        clock: Literal["ticks", "none"] = "none",
        clock_key: int = 0,
        clock_delay_ms: int = 0,
        hold_until_ms: int = 0,
        max_future_ms: int = MAX_FUTURE_MS,
    ) -> None:
        """`clock_key`: from the checkpoint. With ticks nothing leaves before a tick at or after `hold_until_ms`."""
        self.partition = partition
        self.key = clock_key
        self._sources = catalog.sources
        self._clock = clock
        self._delay_ms = clock_delay_ms
        self._hold_until_ms = hold_until_ms
        self._max_future_ms = max_future_ms
        self._queues: list[deque[_Chunk]] = [deque() for _ in catalog.sources]
        self._unplaced: list[deque[Columns]] = [deque() for _ in catalog.sources]
        self._reached = [clock_key] * len(catalog.sources)
        self._fed = [False] * len(catalog.sources)
        self._at_end = [False] * len(catalog.sources)
        self._ticks: deque[tuple[int, int]] = deque()
        self._newest_tick_ms: int | None = None
        self._held = clock == "ticks"

    @property
    def engine_time_ms(self) -> int:
        """Every jump up to here has been, or is being, emitted."""
        return self.key >> 4

    def feed(self, source: int, columns: Columns) -> None:
        """Rows just read of a source, in offset order."""
        self._at_end[source] = False
        self._fed[source] = True
        if self._held:
            self._unplaced[source].append(columns)
        else:
            self._place(source, columns)

    def at_end(self, source: int) -> None:
        """The source is read to the end of its partition: it holds nobody back until it is fed again."""
        self._at_end[source] = True

    def hold(self, source: int) -> None:
        """Rows of the source are there that cannot be fed yet: it holds the others back, its end is none."""
        self._at_end[source] = False

    def tick(self, time_ms: int, offset: int) -> None:
        """A clock reading of the log."""
        if self._newest_tick_ms is None or time_ms > self._newest_tick_ms:
            self._newest_tick_ms = time_ms
        self._ticks.append(((time_ms - self._delay_ms) << 4, offset))
        if self._held and time_ms >= self._hold_until_ms:
            self._held = False
            for source, waiting in enumerate(self._unplaced):
                while waiting:
                    self._place(source, waiting.popleft())

    def buffered(self, source: int) -> int:
        """Rows of the source that wait."""
        waiting = sum(len(c.time_ms) for c in self._unplaced[source])
        return waiting + sum(len(c.keys) - c.taken for c in self._queues[source])

    def take(self, max_rows: int) -> Batch | None:
        """The next rows that no source can still come before, at most about `max_rows`; None if there are none."""
        if self._held:
            return None
        bound = self._bound(max_rows)
        slices = [s for source in range(len(self._sources)) for s in self._slices(source, bound)]
        tick_key, tick_offset = self._pass_ticks(bound)
        if not slices and tick_offset is None:
            return None
        batch = self._merge(slices, tick_key)
        batch.clock_offset = None if tick_offset is None else tick_offset + 1
        return batch

    # --- feeding

    def _place(self, source: int, columns: Columns) -> None:
        newest = columns.arrival_ms if self._newest_tick_ms is None else self._newest_tick_ms
        future = columns.time_ms > newest + self._max_future_ms
        keys = (columns.time_ms << 4) | self._sources[source].order
        if future.any():
            columns = self._reject_future(source, columns, future)
            keys = np.where(future, 0, keys)
        if len(keys):
            places = np.maximum.accumulate(keys)
            np.maximum(places, self._reached[source], out=places)
            self._reached[source] = int(places[-1])
        else:
            places = keys
        self._queues[source].append(_Chunk(columns, keys, places, np.flatnonzero(columns.kind >= 0)))

    def _reject_future(self, source: int, c: Columns, future: Any) -> Columns:
        """Rows ahead of the clock become rejects: they stay as irrelevant rows that move no time."""
        rejected = [
            Rejected(
                source,
                int(c.offset[i]),
                "in_the_future",
                f"its time {int(c.time_ms[i])} is more than {self._max_future_ms // 1000} s ahead of the clock",
                c.records[i],
            )
            for i in np.flatnonzero(future)
        ]
        keep = ~future[c.kind >= 0]
        return Columns(
            time_ms=c.time_ms,
            kind=np.where(future, IRRELEVANT, c.kind).astype(np.int32),
            offset=c.offset,
            arrival_ms=c.arrival_ms,
            person=[p for p, k in zip(c.person, keep, strict=True) if k],
            fields=[[v for v, k in zip(f, keep, strict=True) if k] for f in c.fields],
            records=c.records,
            next_offset=c.next_offset,
            rejected=sorted([*c.rejected, *rejected], key=lambda r: r.offset),
            ids=_kept(c.ids, keep),
            bodies=_kept(c.bodies, keep),
        )

    # --- taking

    def _bound(self, max_rows: int) -> int:
        """Up to which key rows may leave now."""
        bound = _TOP
        for source, queue in enumerate(self._queues):
            if not self._at_end[source]:
                bound = min(bound, self._reached[source] if self._fed[source] else self.key)
            seen = 0
            for chunk in queue:  # a source's own share of the batch is bounded too
                left = len(chunk.keys) - chunk.taken
                if seen + left > max_rows:
                    bound = min(bound, int(chunk.places[chunk.taken + max_rows - seen - 1]))
                    break
                seen += left
        return bound

    def _slices(self, source: int, bound: int) -> list[_Slice]:
        out = []
        queue = self._queues[source]
        while queue:
            chunk = queue[0]
            stop = int(np.searchsorted(chunk.places, bound, side="right")) if len(chunk.places) else 0
            stop = max(stop, chunk.taken)
            if stop > chunk.taken or not len(chunk.places):
                out.append(_Slice(source, chunk, chunk.taken, stop))
            chunk.taken = stop
            if stop < len(chunk.places):
                break
            queue.popleft()
        return out

    def _pass_ticks(self, bound: int) -> tuple[int, int | None]:
        key, offset = 0, None
        while self._ticks and self._ticks[0][0] <= bound:
            k, offset = self._ticks.popleft()
            key = max(key, k)
        return key, offset

    def _merge(self, slices: list[_Slice], tick_key: int) -> Batch:
        rejected: list[Rejected] = []
        next_offsets: dict[int, int] = {}
        consumed: dict[int, int] = {}
        newest_ms: dict[int, int] = {}
        arrived_ms = 0
        last_key = max(self.key, tick_key)
        in_the_future = 0
        for s in slices:
            c, taken_all = s.chunk.columns, s.stop == len(s.chunk.keys)
            until = c.next_offset if taken_all else int(c.offset[s.stop])
            next_offsets[s.source] = until
            leaving = [r for r in c.rejected if r.offset < until]
            undecoded = sum(r.reason != "in_the_future" for r in leaving)
            in_the_future += len(leaving) - undecoded
            del c.rejected[: len(leaving)]
            rejected += leaving
            consumed[s.source] = consumed.get(s.source, 0) + (s.stop - s.start) + undecoded
            if s.stop > s.start:
                last_key = max(last_key, int(s.chunk.places[s.stop - 1]))
                arrived_ms = max(arrived_ms, int(c.arrival_ms[s.stop - 1]))
                newest = int(s.chunk.keys[s.start : s.stop].max()) >> 4
                if newest > newest_ms.get(s.source, 0):  # the key of one in the future is 0
                    newest_ms[s.source] = newest
        batch = self._rows(slices, rejected)
        batch.irrelevant -= in_the_future
        self.key = last_key
        batch.engine_time_ms, batch.clock_key = last_key >> 4, last_key
        batch.next_offsets, batch.consumed, batch.rejected = next_offsets, consumed, rejected
        batch.newest_ms, batch.arrived_ms = newest_ms, arrived_ms
        return batch

    def _rows(self, slices: list[_Slice], rejected: list[Rejected]) -> Batch:
        """The relevant rows, permuted into their order; late ones marked, those too late rejected."""
        n_columns = max((len(s.chunk.columns.fields) for s in slices), default=0)
        persons: list[bytes] = []
        slots: list[list[Any]] = [[] for _ in range(n_columns)]
        parts: list[tuple[Int64s, ...]] = []
        batch = Batch(self.partition, [], [], [], slots, [], [], [], [], 0, 0, {})
        for s in slices:
            c = s.chunk.columns
            lo, hi = (int(i) for i in np.searchsorted(s.chunk.relevant, (s.start, s.stop)))
            rows = s.chunk.relevant[lo:hi]
            batch.irrelevant += s.stop - s.start - len(rows)
            persons += c.person[lo:hi]
            for i in range(n_columns):
                slots[i] += c.fields[i][lo:hi] if i < len(c.fields) else [None] * (hi - lo)
            places = np.maximum(s.chunk.places[rows], self.key)
            parts.append(
                (
                    places,
                    s.chunk.keys[rows],
                    c.kind[rows].astype(np.int64),
                    c.time_ms[rows],
                    c.offset[rows],
                    np.full(len(rows), s.source, np.int64),
                    c.arrival_ms[rows],
                )
            )
        if not persons:
            return batch
        places, keys, kind, time, offset, source, arrival = (np.concatenate(p) for p in zip(*parts, strict=True))
        order = np.argsort(places, kind="stable")
        too_late = self._too_late(places, time, source)
        if too_late.any():
            rejected += self._reject_too_late(slices, np.flatnonzero(too_late), source, offset, time, places)
            order = order[~too_late[order]]
        picks = order.tolist()
        batch.person = [persons[i] for i in picks]
        batch.slots = [[values[i] for i in picks] for values in slots]
        batch.kind, batch.time_ms = kind[order].tolist(), time[order].tolist()
        batch.source, batch.offset = source[order].tolist(), offset[order].tolist()
        batch.arrival_ms = arrival[order]
        if any(s.chunk.columns.ids is not None for s in slices):
            _carry_ids(batch, slices, picks)
        late = np.flatnonzero(keys[order] < places[order])
        batch.late, batch.moment = late.tolist(), (places[order][late] >> 4).tolist()
        return batch

    def _too_late(self, places: Int64s, time: Int64s, source: Int64s) -> Any:
        lateness = np.array([s.lateness_ms for s in self._sources], np.int64)
        return time < (places >> 4) - lateness[source]

    def _reject_too_late(
        self, slices: list[_Slice], rows: Int64s, source: Int64s, offset: Int64s, time: Int64s, places: Int64s
    ) -> list[Rejected]:
        out = []
        for i in rows.tolist():
            origin = self._sources[int(source[i])]
            behind_h = (int(places[i] >> 4) - int(time[i])) / 3_600_000
            allowed_h = origin.lateness_ms / 3_600_000
            detail = (
                f"its time {int(time[i])} is {behind_h:.1f} h behind the engine's; "
                f"source {origin.name} allows {allowed_h:g} h"
            )
            record = _record_at(slices, int(source[i]), int(offset[i]))
            out.append(Rejected(int(source[i]), int(offset[i]), "too_late", detail, record))
        return out


def _kept(values: list[bytes] | None, keep: Any) -> list[bytes] | None:
    return None if values is None else [v for v, k in zip(values, keep, strict=True) if k]


def _carry_ids(batch: Batch, slices: list[_Slice], picks: list[int]) -> None:
    """What finding duplicates among the batch's rows needs: only of sources that deduplicate."""
    ids: list[bytes | None] = []
    bodies: list[bytes] = []
    records: list[Any] = []
    for s in slices:
        c = s.chunk.columns
        lo, hi = (int(i) for i in np.searchsorted(s.chunk.relevant, (s.start, s.stop)))
        if c.ids is None or c.bodies is None:
            ids += [None] * (hi - lo)
            bodies += [b""] * (hi - lo)
            records += [None] * (hi - lo)
        else:
            ids += c.ids[lo:hi]
            bodies += c.bodies[lo:hi]
            records += [c.records[i] for i in s.chunk.relevant[lo:hi].tolist()]
    batch.ids = [ids[i] for i in picks]
    batch.bodies = [bodies[i] for i in picks]
    batch.records = [records[i] for i in picks]


def _record_at(slices: list[_Slice], source: int, offset: int) -> Any:
    """The shell's handle on a record that is about to leave."""
    for s in slices:
        offsets = s.chunk.columns.offset[s.start : s.stop]
        if s.source == source and len(offsets) and offsets[0] <= offset <= offsets[-1]:
            return s.chunk.columns.records[s.start + int(np.searchsorted(offsets, offset))]
    raise AssertionError(offset)
