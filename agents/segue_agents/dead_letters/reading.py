"""Reads the dead-letter topic from outside: it joins no group and commits nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from segue.errors import ConfigError, Unreachable
from segue_agents.dead_letters.letter import RETRIED, RETRIED_OFFSETS, Letter, Place, letter_of, offsets_in
from segue_agents.settings import Settings
from segue_agents.topics import dead_letters_topic
from segue_agents.transport.asking import ANSWER_WITHIN_S, bounds, metadata
from segue_agents.transport.clients import changelog_config
from segue_agents.transport.opening import open_consumer
from segue_agents.transport.refusals import raise_refusal

READ_AT_ONCE: Final = 1_000
STALLED_AFTER_S: Final = 60.0
"""an open transaction of a dead worker holds up a reader until its timeout, 15 s by default"""


def read_letters(settings: Settings, since_ms: int | None = None, *, whole: bool = False) -> Iterator[Letter]:
    """Letters, marks and gaps from the oldest, or from those written at `since_ms`, to the end as it is now.

    In order within a partition. `whole`: what open transactions hold back is waited for; without it the end is where the
    first of them begins. Raises Unreachable.
    """
    with closing(_consumer(settings, "read_committed")) as consumer:
        topic = dead_letters_topic(settings.app_id)
        starts = _starts(consumer, topic, _partitions(consumer, settings, topic), since_ms)
        ends = _whole_ends(settings, starts) if whole else _ends(consumer, starts)
        left = {p.partition: ends[p.partition] for p in starts if 0 <= p.offset < ends[p.partition]}
        consumer.assign([p for p in starts if p.partition in left])
        moved_at = time.monotonic()
        while left:
            messages = consumer.consume(READ_AT_ONCE, 0.1)
            for message in messages:
                end = left.get(message.partition(), 0)
                if message.error() is None and message.offset() < end:
                    yield letter_of(message)
                if _reached(message) >= end:
                    left.pop(message.partition(), None)
            if messages:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_AFTER_S:
                raise Unreachable(f"{topic} stands still before its end in partitions {sorted(left)}.",
                                  "A transaction hangs there? kafka-transactions.sh find-hanging names it.")


def read_letter(settings: Settings, place: Place) -> Letter:
    """The letter at a place. Raises ConfigError when there is none, Unreachable."""
    topic = dead_letters_topic(settings.app_id)
    with closing(_consumer(settings, "read_committed")) as consumer:
        if place.partition in _partitions(consumer, settings, topic):
            at = TopicPartition(topic, place.partition, place.offset)
            low, high = bounds(consumer, topic, place.partition)
            consumer.assign([at] if low <= place.offset < high else [])
            until = time.monotonic() + ANSWER_WITHIN_S
            while low <= place.offset < high and time.monotonic() < until:
                message = consumer.poll(0.2)
                if message is not None and message.error() is None and message.offset() == place.offset:
                    return letter_of(message)
                if message is not None and _reached(message) > place.offset:
                    break
    raise ConfigError(f"There is no dead letter at {place} in {topic}.",
                      "`segue dead-letters ls --each` names those that there are; old ones go with the topic's retention.")


def read_retried(settings: Settings) -> dict[int, set[int]]:
    """Partition -> offsets of the letters that were sent again, by all that is committed now. Raises Unreachable."""
    found: dict[int, set[int]] = {}
    for letter in read_letters(settings, whole=True):
        if letter.reason == RETRIED:
            found.setdefault(letter.place.partition, set()).update(offsets_in(letter.note(RETRIED_OFFSETS)))
    return found


def _consumer(settings: Settings, isolation: str) -> Any:
    return open_consumer({**changelog_config(settings, isolation), "auto.offset.reset": "earliest",
                          "queued.min.messages": 2_000})


def _partitions(consumer: Any, settings: Settings, topic: str) -> list[int]:
    found = metadata(consumer, settings.bootstrap, topic).topics[topic]
    raise_refusal(found.error, "Read", "operator", topic=topic)
    if found.error is not None or not found.partitions:
        raise Unreachable(f"{settings.bootstrap} has no topic {topic!r}.",
                          "Is --app-id the worker's? A worker creates the topic when it starts.")
    return sorted(found.partitions)


def _starts(consumer: Any, topic: str, partitions: list[int], since_ms: int | None) -> list[Any]:
    """With the offset each begins at; -1: nothing there is as young as that."""
    if since_ms is None:
        return [TopicPartition(topic, p, bounds(consumer, topic, p)[0]) for p in partitions]
    asked = [TopicPartition(topic, p, since_ms) for p in partitions]
    try:
        return list(consumer.offsets_for_times(asked, timeout=ANSWER_WITHIN_S))
    except KafkaException as error:
        raise Unreachable(f"The offsets of {topic} at a time cannot be learnt: {error.args[0].str()}.",
                          "See the broker's log.") from error


def _whole_ends(settings: Settings, starts: list[Any]) -> dict[int, int]:
    # with read_committed the end is where the first open transaction begins
    with closing(_consumer(settings, "read_uncommitted")) as consumer:
        return _ends(consumer, starts)


def _ends(consumer: Any, starts: list[Any]) -> dict[int, int]:
    return {p.partition: bounds(consumer, p.topic, p.partition)[1] for p in starts}


def _reached(message: Any) -> int:
    """How far its partition has been read; -1 for an error that passes by itself. Raises Unreachable for others."""
    error = message.error()
    if error is None:
        return int(message.offset()) + 1
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public spelling)
        return int(message.offset())
    raise_refusal(error, "Read", "operator", topic=message.topic() or "")
    if error.retriable() or error.code() < 0:
        return -1  # of the connection, not of the topic: librdkafka comes back by itself
    raise Unreachable(f"Reading {message.topic()} failed: {error.str()}.", "See the broker's log.")
