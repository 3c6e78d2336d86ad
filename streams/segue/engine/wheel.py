"""The wheel of timers: persons by the bucket of time in which something may happen to them without an event.

An entry is only a reminder: the state says when the person is really due. So an entry may be stale, and one person may
have several; nothing is ever looked for in a bucket to be taken out.

Two levels. Buckets that are near are dicts of persons. Whoever waits for a later one is a few bytes in the row of its
span of time, 4 and the person's own: as entries of dicts, ten million persons would be 1.5 GB. A row becomes buckets
when its time is near.
"""

from __future__ import annotations

import heapq
from array import array
from itertools import accumulate, pairwise
from typing import Final

import numpy as np

from segue.limits import WHEEL_NEAR_ENTRIES, WHEEL_NEAR_SPANS, WHEEL_SPAN_SHIFT
from segue.records import Int64s

_MASK: Final = (1 << WHEEL_SPAN_SHIFT) - 1
_ROW_ENTRIES: Final = 2_048
"""a row is not looked through for repeated entries before it has grown by as many"""


class _Row:
    """The entries of a far span of time, in the order they came."""

    __slots__ = ("heads", "look_at", "persons")

    def __init__(self) -> None:
        self.heads = array("I")
        """of each entry: the person's length, and in the lowest bits the bucket within the span"""
        self.persons = bytearray()
        """one behind the other"""
        self.look_at = _ROW_ENTRIES
        """number of entries from which on it is worth looking for repeated ones"""

    def unpacked(self) -> list[bytes]:
        """The persons, an object each again."""
        packed = bytes(self.persons)
        ends = accumulate([head >> WHEEL_SPAN_SHIFT for head in self.heads], initial=0)
        return [packed[start:end] for start, end in pairwise(ends)]

    def forget_repeats(self) -> None:
        """A person whose state comes and goes leaves an entry every time. Looked for when a row has doubled: little each."""
        kept = dict.fromkeys(zip(self.unpacked(), self.heads, strict=True))
        self.heads = array("I", [head for _, head in kept])
        self.persons = bytearray(b"".join([person for person, _ in kept]))
        self.look_at = 2 * len(kept) + _ROW_ENTRIES


class Wheel:
    """Bucket number -> persons. A bucket is 2**limits.WHEEL_SHIFT ms."""

    def __init__(self) -> None:
        self._persons: dict[int, dict[bytes, None]] = {}
        self._order: list[int] = []
        self._rows: dict[int, _Row] = {}
        self._spans: list[int] = []
        """a heap of the keys of `_rows`"""
        self._far_from = 0
        """the first bucket that is far, and the first of its span"""
        self._span = -1
        """of the last bucket asked for"""

    def schedule(self, person: bytes, bucket: int) -> None:
        """One entry more; at most one a person and bucket where that is near, and rarely several where it is far."""
        if bucket >= self._far_from:
            self._put_by(person, bucket)
            return
        entries = self._persons.get(bucket)
        if entries is None:
            self._persons[bucket] = {person: None}
            heapq.heappush(self._order, bucket)
        else:
            entries[person] = None

    def schedule_all(self, persons: list[bytes], buckets: Int64s) -> None:
        """An entry each, of different persons: as `schedule`, by columns, for a start with millions."""
        near = np.flatnonzero(buckets < self._far_from)
        for i in near.tolist():
            self.schedule(persons[i], int(buckets[i]))
        spans = buckets >> WHEEL_SPAN_SHIFT
        order = np.argsort(spans, kind="stable")[near.size :]  # the near ones come first: far begins with a span
        if not order.size:
            return
        lengths = np.fromiter(map(len, persons), np.int64, len(persons))
        heads = (lengths << WHEEL_SPAN_SHIFT | buckets & _MASK)[order].astype(np.uint32)
        spans, sorted_persons = spans[order], [persons[i] for i in order.tolist()]
        edges = [0, *(np.flatnonzero(np.diff(spans)) + 1).tolist(), len(order)]
        for start, end in pairwise(edges):
            row = self._row(int(spans[start]))
            row.heads.frombytes(heads[start:end].tobytes())
            row.persons += b"".join(sorted_persons[start:end])
            row.look_at = max(row.look_at, 2 * len(row.heads) + _ROW_ENTRIES)  # none of these is a repeat

    def _put_by(self, person: bytes, bucket: int) -> None:
        row = self._row(bucket >> WHEEL_SPAN_SHIFT)
        row.heads.append(len(person) << WHEEL_SPAN_SHIFT | bucket & _MASK)
        row.persons += person
        if len(row.heads) > row.look_at:
            row.forget_repeats()

    def _row(self, span: int) -> _Row:
        row = self._rows.get(span)
        if row is None:
            row = self._rows[span] = _Row()
            heapq.heappush(self._spans, span)
        return row

    def until(self, last: int) -> list[int]:
        """Buckets up to `last`, in order. Few: those that were taken are gone."""
        if last >> WHEEL_SPAN_SHIFT > self._span:
            self._bring_near(last >> WHEEL_SPAN_SHIFT)
        passed = []
        while self._order and self._order[0] <= last:
            passed.append(heapq.heappop(self._order))
        for bucket in passed:
            heapq.heappush(self._order, bucket)
        return passed

    def _bring_near(self, span: int) -> None:
        """Makes buckets of the rows up to `span`, and of some more while the buckets hold few."""
        self._span = span
        near = sum(map(len, self._persons.values()))
        for far in range(max(span + 1, self._far_from >> WHEEL_SPAN_SHIFT), span + 2 + WHEEL_NEAR_SPANS):
            if self._far_from > span << WHEEL_SPAN_SHIFT and near > WHEEL_NEAR_ENTRIES:
                return
            self._far_from = far << WHEEL_SPAN_SHIFT
            while self._spans and self._spans[0] < far:
                first = heapq.heappop(self._spans)
                row = self._rows.pop(first)
                near += len(row.heads)
                self._unfold(row, first << WHEEL_SPAN_SHIFT)

    def _unfold(self, row: _Row, first: int) -> None:
        """A row's entries to the buckets from `first` on, none of which is there: they were far until now."""
        within: list[dict[bytes, None]] = [{} for _ in range(_MASK + 1)]
        for person, head in zip(row.unpacked(), row.heads, strict=True):
            within[head & _MASK][person] = None
        for bucket, persons in enumerate(within, first):
            if persons:
                self._persons[bucket] = persons
                heapq.heappush(self._order, bucket)

    def of(self, bucket: int) -> dict[bytes, None]:
        """The persons of a bucket, to be looked at."""
        return self._persons[bucket]

    def take(self, bucket: int) -> dict[bytes, None]:
        """The persons of a bucket, which is empty then, and may be filled again."""
        persons = self._persons[bucket]
        self._persons[bucket] = {}
        return persons

    def first(self) -> int | None:
        """The last bucket that what is due soonest can be in, of far ones the last of its span. None: nothing waits."""
        far = [(self._spans[0] << WHEEL_SPAN_SHIFT) | _MASK] if self._spans else []
        return min([*self._order[:1], *far], default=None)

    def tidy(self) -> None:
        """Forgets the first buckets as far as they are empty."""
        while self._order and not self._persons[self._order[0]]:
            del self._persons[heapq.heappop(self._order)]

    def __len__(self) -> int:
        """Entries; those of far buckets with their repeats."""
        return sum(map(len, self._persons.values())) + sum(len(row.heads) for row in self._rows.values())
