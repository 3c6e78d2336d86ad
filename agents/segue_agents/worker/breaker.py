"""The circuit breaker: a partition whose records are mostly wrong is stopped rather than poured into the dead letters.

One bad record is its producer's fault and goes to the dead letters. Hundreds in a row are a fault of something shared:
another serializer, a schema that nobody declared, another topic's records. These come back when that is mended, if they
are still in their topic; so the partition stops *before* the batch that shows it is stepped over, and its offset stays.

Fed with whole batches, one call each. A trip moves no result: the batch is not taken, and whoever takes it later takes
all of it. What it counts lives in memory only, so a start counts anew.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from segue.limits import BREAKER_WINDOW_RECORDS
from segue.records import Batch, Rejected

FORGIVEN: Final = frozenset({"too_late"})
"""reasons that do not count: a stretch of late events after an outage is nobody's mistake, and stopping would make them no
earlier. A reason that is not listed counts"""

Why = Literal["in a row", "of the last"]


@dataclass(frozen=True, slots=True)
class Trip:
    """A partition that is stopped, and why."""

    partition: int
    topic: str
    offset: int
    """of the first refused record of the batch that was not taken"""
    why: Why
    rejected: int
    records: int
    """among how many; the same as `rejected` for a run"""
    reason: str
    """the commonest"""
    detail: str
    """of the first record refused for it"""

    @property
    def what(self) -> str:
        """What happened, in a sentence or two."""
        how_many = (f"{self.rejected:,} records in a row" if self.why == "in a row"
                    else f"{self.rejected:,} of the last {self.records:,} records")
        return (f"{self.topic} partition {self.partition} is stopped at offset {self.offset}: {how_many} were refused, "
                f"mostly as {self.reason} ({self.detail.rstrip('.')}).")

    @property
    def to_do(self) -> str:
        """What the operator does about it."""
        setting = "breaker_consecutive" if self.why == "in a row" else "breaker_ratio"
        return (f"Nothing is lost: they are still in the topic. Mend the producer, or declare the schema, and restart the "
                f"worker; to send them to the dead letters all the same, restart it with a higher {setting} (0: no limit).")


@dataclass(slots=True)
class _Seen:
    """What has passed of one topic's partition."""

    run: int = 0
    """refused ones since the last good one"""
    next_offset: int = -1
    """after the newest batch"""
    window: deque[tuple[int, int]] = field(default_factory=deque)
    """(records, refused) of the newest batches, BREAKER_WINDOW_RECORDS of them or a few more"""
    records: int = 0
    rejected: int = 0

    def passed(self, records: int, rejected: int) -> None:
        """A batch has passed."""
        self.window.append((records, rejected))
        self.records += records
        self.rejected += rejected
        while self.records - self.window[0][0] >= BREAKER_WINDOW_RECORDS:
            gone, gone_rejected = self.window.popleft()
            self.records -= gone
            self.rejected -= gone_rejected


class Breaker:
    """Of one worker. Not for several threads at a time."""

    def __init__(self, topics: Sequence[str], consecutive: int, ratio: float) -> None:
        """`topics`: by the index of their source. `consecutive`, `ratio`: the settings; 0 is off."""
        self._topics = topics
        self._consecutive, self._ratio = consecutive, ratio
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._tripped: dict[int, Trip] = {}

    @property
    def on(self) -> bool:
        """Whether anything can trip it."""
        return self._consecutive > 0 or self._ratio > 0

    @property
    def trips(self) -> dict[int, Trip]:
        """Of the partitions that are stopped. From any thread."""
        return dict(self._tripped)

    def check(self, batch: Batch) -> Trip | None:
        """Before the batch is stepped over: None, and it may be; or why its partition is stopped from here on."""
        if not self.on:
            return None
        tripped = self._tripped.get(batch.partition)
        if tripped is None:
            by_source: dict[int, list[Rejected]] = {}
            for rejected in batch.rejected:
                if rejected.reason not in FORGIVEN:
                    by_source.setdefault(rejected.source, []).append(rejected)
            for source in batch.consumed:
                tripped = tripped or self._count(batch, source, by_source.get(source, []))
            if tripped is not None:
                self._tripped[batch.partition] = tripped
        return tripped

    def forget(self, partitions: Iterable[int]) -> list[Trip]:
        """They have gone, or begin again from their committed offsets, and are counted anew. Those that were stopped."""
        gone = set(partitions)
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] not in gone}
        return [self._tripped.pop(partition) for partition in gone & self._tripped.keys()]

    def _count(self, batch: Batch, source: int, rejected: list[Rejected]) -> Trip | None:
        records, next_offset = batch.consumed[source], batch.next_offsets[source]
        seen = self._seen.setdefault((batch.partition, source), _Seen())
        seen.passed(records, len(rejected))
        longest, seen.run = _runs(seen, records, rejected, next_offset)
        seen.next_offset = next_offset
        if not rejected:
            return None
        if 0 < self._consecutive < longest:
            return self._trip(batch.partition, source, rejected, "in a row", longest, longest)
        if 0 < self._ratio < seen.rejected / seen.records and seen.records >= BREAKER_WINDOW_RECORDS:
            return self._trip(batch.partition, source, rejected, "of the last", seen.rejected, seen.records)
        return None

    def _trip(self, partition: int, source: int, rejected: list[Rejected], why: Why, n: int, records: int) -> Trip:
        reason = Counter(r.reason for r in rejected).most_common(1)[0][0]
        detail = next(r.detail for r in rejected if r.reason == reason)
        return Trip(partition, self._topics[source], rejected[0].offset, why, n, records, reason, detail)


def _runs(seen: _Seen, records: int, rejected: Sequence[Rejected], next_offset: int) -> tuple[int, int]:
    """The longest run of refused records up to the end of a batch, and the one that may go on in the next.

    In a batch with good records too, neighbours are told by their offsets: a hole (a marker of a producer's transaction, a
    record that was compacted away) ends a run, since what stood there cannot be known. A run is never counted too long;
    what is missed by that, the ratio sees.
    """
    if len(rejected) == records:
        return seen.run + records, seen.run + records
    longest, run, expected = seen.run, seen.run, seen.next_offset
    for r in rejected:
        run = run + 1 if r.offset == expected else 1
        longest, expected = max(longest, run), r.offset + 1
    return longest, run if rejected and expected == next_offset else 0
