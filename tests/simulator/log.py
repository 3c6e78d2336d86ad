"""One topic partition of the simulated broker: records, transaction markers, what read_committed shows of them."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from random import Random
from typing import Any, Final

OPEN, COMMITTED, ABORTED, MARKER = range(4)
_OFFSET: Final = attrgetter("offset")


class Record:
    """As it lies in the log. `place`: its number among all appends of the cluster."""

    __slots__ = ("at_ms", "headers", "key", "offset", "place", "state", "value")

    def __init__(self, offset: int, key: Any, value: Any, headers: Any, at_ms: int, place: int, state: int) -> None:
        self.offset, self.key, self.value, self.headers = offset, key, value, headers
        self.at_ms, self.place, self.state = at_ms, place, state


class Log:
    """Offsets from `low` to `high`, with holes where compaction has been."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.records: list[Record] = []
        self.low = self.high = 0
        self._open: dict[int, list[Record]] = {}
        """producer id -> the records of its transaction"""

    def append(self, key: Any, value: Any, headers: Any, at_ms: int, place: int, producer: int | None = None) -> None:
        """`producer`: of the transaction it is part of."""
        record = Record(self.high, key, value, headers, at_ms, place, COMMITTED if producer is None else OPEN)
        self.records.append(record)
        self.high += 1
        if producer is not None:
            self._open.setdefault(producer, []).append(record)

    def mark(self, producer: int, commit: bool, at_ms: int, place: int) -> None:
        """The end of a transaction: a control record, which takes an offset."""
        for record in self._open.pop(producer, ()):
            record.state = COMMITTED if commit else ABORTED
        self.records.append(Record(self.high, None, None, None, at_ms, place, MARKER))
        self.high += 1

    def stable(self) -> int:
        """The last stable offset: read_committed goes no further."""
        return min((records[0].offset for records in self._open.values()), default=self.high)

    def read(self, position: int, most: int, committed: bool) -> tuple[list[Record], int]:
        """Up to `most` records from a position on, and the position after them."""
        end = self.stable() if committed else self.high
        found: list[Record] = []
        i = bisect_left(self.records, position, key=_OFFSET)
        while i < len(self.records) and len(found) < most:
            record = self.records[i]
            if record.offset >= end:
                break
            if record.state == COMMITTED or (not committed and record.state != MARKER):
                found.append(record)
            i += 1
        if len(found) == most and found:
            return found, found[-1].offset + 1
        return found, max(position, end)

    def visible(self) -> list[Record]:
        """All that read_committed shows."""
        return self.read(self.low, 1 << 60, committed=True)[0]

    def compact(self, chance: Random, before_ms: int) -> None:
        """As a cleaner does now and then, up to a time: all of a key's records but the newest, some of the aborted, go."""
        young = next((r.offset for r in self.records if r.at_ms > before_ms), self.high)
        clean_to = min(young, self.stable() - chance.randrange(4))
        newest = {r.key: r.offset for r in self.records if r.state == COMMITTED and r.offset < clean_to}
        self.records = [
            r for r in self.records
            if r.offset >= clean_to
            or (r.state == COMMITTED and newest[r.key] == r.offset)
            or (r.state != COMMITTED and chance.random() < 0.3)
        ]
