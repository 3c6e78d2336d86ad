"""The changelog: states and checkpoints of the app's partitions as records of a compacted topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, TopicPartition

from segue.errors import Unreachable
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.state.checkpoint import KEY, Checkpoint, decode_checkpoint
from segue_agents.topics import state_topic
from segue_agents.transport.asking import SLEEPS_S, bounds, wake
from segue_agents.transport.clients import changelog_config, common_config
from segue_agents.transport.refusals import raise_refusal

READ_AT_ONCE: Final = 4_000
"""of partitions restored side by side, whoever reads waits for the GIL after each time: at 1,000 a tenth slower, at 10,000
the messages are in no cache any more"""
STALLED_AFTER_S: Final = 90.0
"""an open transaction of a dead worker holds up a reader until its timeout, 15 s by default"""

Record = tuple[bytes, bytes | None]
"""key, value; value None: the person has no state any more"""


class Mark(NamedTuple):
    """A checkpoint as it stands in the changelog."""

    checkpoint: Checkpoint
    at_ms: int
    """the record's time, of the wall"""


class Piece(NamedTuple):
    """Records of the changelog in order, up to a checkpoint or to the end of what was read at once."""

    records: list[Record]
    """without the checkpoint"""
    next_offset: int
    mark: Mark | None = None
    """the checkpoint they end with"""


class Changelog:
    """Reads partitions of the changelog to their end."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self.topic = state_topic(settings.app_id)
        self._outside = outside
        self._committed = outside.consumer(changelog_config(settings, "read_committed"))
        # asked for the high watermark only: with read_committed it would be that of the last finished transaction
        self._all = outside.consumer(changelog_config(settings, "read_uncommitted"))
        self._config = common_config(settings)
        self._identity: tuple[str, str] | None = None

    def identity(self) -> tuple[str, str]:
        """(the cluster's id, the topic's id), asked once. Raises Unreachable."""
        if self._identity is None:
            self._identity = self._outside.topic_identity(self._config, self.topic)
        return self._identity

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first offset there, and the one after the last, of open transactions too. Raises Unreachable."""
        return bounds(self._all, self.topic, partition)

    def read(self, partition: int, start: int, end: int) -> Iterator[Piece]:
        """Committed records from `start` up to `end`, in pieces.

        It ends by the position, never by having seen the record `end - 1`, which may be a transaction's marker or
        compacted away. An open transaction before `end` is waited for, with empty pieces meanwhile, so that whoever reads
        can leave it. Raises Unreachable when that takes too long, StateError for a checkpoint that cannot be read.
        """
        if start >= end:
            return
        monotonic = self._outside.monotonic
        # a number, never "the beginning": librdkafka asks for that one's number, and tries again only after 500 ms when it
        # does not know the partition's leader yet
        assigned = [TopicPartition(self.topic, partition, start)]
        self._committed.assign(assigned)
        position, moved_at = start, (began := monotonic())
        try:
            while position < end:
                before = position
                for piece in self._pieces(self._committed.consume(READ_AT_ONCE, 0.02), position):
                    position = piece.next_offset
                    yield piece
                if position > before:
                    moved_at = monotonic()
                    continue
                if position == start and monotonic() - began < SLEEPS_S:
                    wake(self._committed, assigned)
                yield Piece([], position)
                if monotonic() - moved_at > STALLED_AFTER_S:
                    raise Unreachable(
                        f"{self.topic} partition {partition} stands at offset {position} of {end}.",
                        "A transaction hangs there? kafka-transactions.sh find-hanging names it.",
                    )
        finally:
            self._committed.unassign()

    def _pieces(self, messages: list[Any], position: int) -> Iterator[Piece]:
        """By columns: what is not a state, a checkpoint or an error (which has no key), is rare."""
        keys = [message.key() for message in messages]
        values = [message.value() for message in messages]
        first, last = 0, len(messages)
        rare = KEY in keys or None in keys  # asked of the list as a whole: a fifth of the time
        for i in [i for i, key in enumerate(keys) if key is None or key == KEY] if rare else ():
            records = list(zip(keys[first:i], values[first:i], strict=True))
            first, message = i + 1, messages[i]
            if message.error() is not None:
                position = max(position, self._after(message, messages[i - 1] if records else None))
                yield Piece(records, position)
            elif values[i] is not None:
                position = message.offset() + 1
                yield Piece(records, position, Mark(decode_checkpoint(values[i]), message.timestamp()[1]))
        if first < last:
            yield Piece(list(zip(keys[first:], values[first:], strict=True)), messages[-1].offset() + 1)

    def _after(self, message: Any, before: Any) -> int:
        """The position after a message that is an error. Raises Unreachable for one that does not pass by itself."""
        error = message.error()
        position = before.offset() + 1 if before is not None else 0
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public spelling)
            return max(position, int(message.offset()))
        raise_refusal(error, "Read", topic=self.topic)
        if not error.retriable() and error.code() not in _PASSING:
            raise Unreachable(f"Reading {self.topic} failed: {error.str()}.", "See the broker's log.")
        return position

    def close(self) -> None:
        """Lets go of the broker."""
        self._committed.close()
        self._all.close()


_PASSING: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT})  # noqa: SLF001
"""librdkafka comes back from these by itself"""
