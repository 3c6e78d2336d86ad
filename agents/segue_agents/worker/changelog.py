"""The changelog: states and checkpoints of the app's partitions as records of a compacted topic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from segue.errors import Unreachable
from segue_agents.settings import Settings
from segue_agents.topics import state_topic
from segue_agents.transport.clients import changelog_config

READ_AT_ONCE: Final = 5_000
ANSWER_WITHIN_S: Final = 10.0
STALLED_AFTER_S: Final = 90.0
"""an open transaction of a dead worker holds up a reader until its timeout, 15 s by default"""


class Piece(NamedTuple):
    """Records of the changelog, in order."""

    records: list[tuple[bytes, bytes | None]]
    """key, value; value None: the person has no state any more"""
    next_offset: int


class Changelog:
    """Reads partitions of the changelog to their end."""

    def __init__(self, settings: Settings) -> None:
        self.topic = state_topic(settings.app_id)
        self._committed = Consumer(changelog_config(settings, "read_committed"))
        # asked for the high watermark only: with read_committed it would be that of the last finished transaction
        self._all = Consumer(changelog_config(settings, "read_uncommitted"))

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first offset there, and the one after the last, of open transactions too. Raises Unreachable."""
        try:
            low, high = self._all.get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=ANSWER_WITHIN_S, cached=False
            )
        except KafkaException as error:
            raise Unreachable(
                f"The end of {self.topic} cannot be learnt: {error.args[0].str()}.", "See the broker's log."
            ) from error
        return int(low), int(high)

    def read(self, partition: int, start: int, end: int) -> Iterator[Piece]:
        """Committed records from `start` up to `end`, in pieces.

        It ends by the position, never by having seen the record `end - 1`, which may be a transaction's marker or
        compacted away. An open transaction before `end` is waited for. Raises Unreachable when that takes too long.
        """
        if start >= end:
            return
        first = start if start > 0 else OFFSET_BEGINNING
        self._committed.assign([TopicPartition(self.topic, partition, first)])
        position, moved_at = start, time.monotonic()
        try:
            while position < end:
                messages = self._committed.consume(READ_AT_ONCE, 0.1)
                piece = self._piece(messages, position)
                if piece.next_offset > position:
                    position, moved_at = piece.next_offset, time.monotonic()
                elif time.monotonic() - moved_at > STALLED_AFTER_S:
                    raise Unreachable(
                        f"{self.topic} partition {partition} stands at offset {position} of {end}.",
                        "A transaction hangs there? kafka-transactions.sh find-hanging names it.",
                    )
                yield piece
        finally:
            self._committed.unassign()

    def _piece(self, messages: list[Any], position: int) -> Piece:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append((message.key(), message.value()))
                position = max(position, message.offset() + 1)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public spelling)
                position = max(position, message.offset())
            elif not error.retriable() and error.code() not in _PASSING:
                raise Unreachable(f"Reading {self.topic} failed: {error.str()}.", "See the broker's log.")
        return Piece(records, position)

    def close(self) -> None:
        """Lets go of the broker."""
        self._committed.close()
        self._all.close()


_PASSING: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT})  # noqa: SLF001
"""librdkafka comes back from these by itself"""
