"""How far the commits are behind the ends of the topics: in records, and in the age of the oldest that waits.

Counted from what is committed, so that a worker which reads on and commits nothing is seen to lag. Where everything that
was read is committed, reading's own position counts: behind the last record of a transaction stands its marker, which is
never a record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition

ENDS_ASKED_EVERY_S: Final = 10.0
"""of partitions that are paused, whose ends no fetch brings"""
ENDS_ASKED_AT_ONCE: Final = 8
ANSWER_WITHIN_S: Final = 0.5

Partition = tuple[str, int]


@dataclass(slots=True)
class _Read:
    """Of one topic's partition."""

    committed: int
    """-1: not known"""
    position: int = -1
    """the offset to be read next; -1: nothing was read"""
    after: int = -1
    """one past the last record read"""
    runs: deque[tuple[int, int]] = field(default_factory=deque)
    """(one past the last record, when the first came to Kafka) of what was read and is not committed"""
    end: int = -1
    asked_s: float = -ENDS_ASKED_EVERY_S
    known_ms: int | None = None
    """since when records are known that have not been read"""

    @property
    def records(self) -> int:
        """Not committed."""
        done = self.position if 0 <= self.after <= self.committed else self.committed
        return max(0, self.end - done) if done >= 0 else 0


class Lag:
    """Of one consumer's partitions. `waiting` may be asked from any thread, all else by the session's."""

    def __init__(self) -> None:
        self._read: dict[Partition, _Read] = {}
        self.waiting: Mapping[Partition, tuple[int, int | None]] = {}
        """(records that wait, when the oldest came to Kafka, ms; None: none waits); a new map each time"""

    def assigned(self, positions: Iterable[Any]) -> None:
        """TopicPartitions and the offsets that count as committed."""
        for p in positions:
            self._read[p.topic, p.partition] = _Read(p.offset)

    def gone(self, indexes: Iterable[int]) -> None:
        """Partitions of these indexes."""
        gone = set(indexes)
        self._read = {key: read for key, read in self._read.items() if key[1] not in gone}
        self.waiting = {key: waits for key, waits in self.waiting.items() if key[1] not in gone}

    def read(self, topic: str, index: int, messages: Sequence[Any]) -> None:
        """Messages of one partition, in their order, at least one."""
        read = self._read.get((topic, index))
        if read is not None:
            read.position = read.after = messages[-1].offset() + 1
            read.runs.append((read.after, messages[0].timestamp()[1]))

    def at_end(self, topic: str, index: int, offset: int) -> None:
        """The end of a partition."""
        read = self._read.get((topic, index))
        if read is not None:
            read.position = offset

    def look(
        self, consumer: Any, committed: Mapping[int, Mapping[str, int]], fetched: Collection[Partition], now_s: float,
        now_ms: int,
    ) -> None:
        """Once a second or so. `committed`: index -> topic -> offset of the last commit, of partitions that run.

        `fetched`: those that are not paused; only of these does librdkafka know the end.
        """
        asks = ENDS_ASKED_AT_ONCE
        for (topic, index), read in self._read.items():
            read.committed = committed.get(index, {}).get(topic, read.committed)
            while read.runs and read.runs[0][0] <= read.committed:
                read.runs.popleft()
            where = TopicPartition(topic, index)
            read.end = max(read.end, consumer.get_watermark_offsets(where, cached=True)[1])
            if asks and (topic, index) not in fetched:
                asks -= _ask(consumer, where, read, now_s)
            read.known_ms = (read.known_ms or now_ms) if read.records and not read.runs else None
        self.waiting = {
            key: (read.records, None if not read.records else read.runs[0][1] if read.runs else read.known_ms)
            for key, read in self._read.items()
        }


def _ask(consumer: Any, where: Any, read: _Read, now_s: float) -> bool:
    """Asks Kafka for the end, unless it was asked a while ago; whether it was."""
    if now_s - read.asked_s < ENDS_ASKED_EVERY_S:
        return False
    read.asked_s = now_s
    with suppress(KafkaException):  # Kafka is away: that is said elsewhere
        read.end = max(read.end, consumer.get_watermark_offsets(where, timeout=ANSWER_WITHIN_S)[1])
    return True
