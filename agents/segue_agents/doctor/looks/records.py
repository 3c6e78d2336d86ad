"""The newest records of the inputs and the clock, and the first one of an open transaction. Nothing is committed."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, TopicPartition

from segue_agents.codecs.framing import HEADER
from segue_agents.doctor.facts import Ends, Look, Partition, Sample
from segue_agents.doctor.looks.partitioners import murmur2
from segue_agents.settings import Settings
from segue_agents.topics import clock_topic
from segue_agents.transport.clients import changelog_config

NEWEST: Final = 50
"""records of a partition"""
PARTITIONS: Final = 16
"""of a topic: enough to see a partitioner"""
READS_S: Final = 3.0


def sample(settings: Settings, inputs: Iterable[str], look: Look) -> dict[str, Sample]:
    """Topic -> its newest records, of the inputs and the clock; one without records has an empty one."""
    clock = clock_topic(settings.app_id)
    asked = {*inputs, clock}
    counts: dict[str, int] = {}
    for topic, index in look.ends:
        counts[topic] = max(counts.get(topic, 0), index + 1)
    wanted = {
        where: max(e.low, e.high - (NEWEST if where[0] != clock else 3))
        for where, e in look.ends.items()
        if where[0] in asked and where[1] < PARTITIONS and e.high > e.low
    }
    records: dict[str, list[Any]] = {topic: [] for topic in counts if topic in asked}
    for message in _read(settings, wanted, look.ends):
        records[message.topic()].append(message)
    return {topic: _sampled(found, counts[topic], framed=topic != clock) for topic, found in records.items()}


def first_of(settings: Settings, at: Mapping[Partition, int]) -> dict[Partition, int]:
    """Partition -> the timestamp of the record at this offset, ms."""
    ends = {where: Ends(offset, offset, offset + 1) for where, offset in at.items()}
    return {(m.topic(), m.partition()): m.timestamp()[1] for m in _read(settings, at, ends)}


def _read(settings: Settings, start: Mapping[Partition, int], ends: Mapping[Partition, Ends]) -> Iterator[Any]:
    """Records from these offsets up to the ends as they were, or until the time is over."""
    if not start:
        return
    open_ = set(start)
    until = time.monotonic() + READS_S
    with closing(Consumer({**changelog_config(settings, "read_uncommitted"), "queued.min.messages": NEWEST})) as consumer:
        consumer.assign([TopicPartition(topic, index, offset) for (topic, index), offset in start.items()])
        while open_ and time.monotonic() < until:
            for message in consumer.consume(500, 0.05):
                where = (message.topic(), message.partition())
                if message.error() is None:
                    if message.offset() < ends[where].high:
                        yield message
                    if message.offset() >= ends[where].high - 1:
                        open_.discard(where)
                elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (librdkafka's own codes)
                    open_.discard(where)


def _sampled(messages: Iterable[Any], partitions: int, *, framed: bool) -> Sample:
    messages = list(messages)
    keyed = [(m.key(), m.partition()) for m in messages if m.key()]
    values = [m.value() for m in messages if m.value() is not None] if framed else []
    newest = max(messages, key=lambda m: m.timestamp()[1], default=None)
    return Sample(
        records=len(messages),
        without_key=len(messages) - len(keyed),
        murmur2=sum((murmur2(key) & 0x7FFFFFFF) % partitions == index for key, index in keyed),
        crc32=sum(zlib.crc32(key) % partitions == index for key, index in keyed),
        schema_ids=frozenset(int.from_bytes(v[1:HEADER], "big") for v in values if _is_framed(v)),
        unframed=sum(not _is_framed(v) for v in values),
        newest_ms=None if newest is None else newest.timestamp()[1],
        by_broker=newest is not None and newest.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME,
        looked_ms=time.time_ns() // 1_000_000,
    )


def _is_framed(value: bytes) -> bool:
    return len(value) >= HEADER and value[0] == 0
