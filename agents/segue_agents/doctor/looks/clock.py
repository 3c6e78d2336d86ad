"""The broker's clock against this machine's, exactly: the one look that writes, and only when it is asked to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from segue_agents.settings import Settings
from segue_agents.transport.clients import common_config

ANSWER_S: Final = 5.0
STAMPS: Final = 6


def probe_topic(app_id: str) -> str:
    """Made, written to and deleted within a second. Not the clock's topic: a record there would be a tick."""
    return f"segue-{app_id}-doctor"


def measure_skew(settings: Settings) -> float:
    """How far the broker's clock is ahead, ms; right to half of a round trip. Raises KafkaException, TimeoutError."""
    topic, admin = probe_topic(settings.app_id), AdminClient(common_config(settings))
    made = NewTopic(topic, num_partitions=1, replication_factor=-1, config={"message.timestamp.type": "LogAppendTime"})
    admin.create_topics([made], operation_timeout=ANSWER_S)[topic].result()
    try:
        producer = Producer({**common_config(settings), "linger.ms": 0, "message.timeout.ms": int(ANSWER_S * 1_000)})
        found = list(_stamps(producer, topic))
        return min(found[1:] or found, key=lambda one: one[1])[0]  # the first one connects
    finally:
        admin.delete_topics([topic], operation_timeout=ANSWER_S)[topic].result()


def _stamps(producer: Any, topic: str) -> Iterator[tuple[float, float]]:
    """Some. A topic that has just been made may have no leader for a moment, which is waited for."""
    until, taken = time.monotonic() + ANSWER_S, 0
    while taken < STAMPS:
        try:
            yield _stamp(producer, topic)
            taken += 1
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _stamp(producer: Any, topic: str) -> tuple[float, float]:
    """How far the broker is ahead, and the round trip; ms."""
    found: list[tuple[Any, int]] = []
    sent_ms = time.time_ns() / 1e6
    producer.produce(topic, b"", on_delivery=lambda error, m: found.append((error, 0 if error else m.timestamp()[1])))
    producer.flush(ANSWER_S)
    answered_ms = time.time_ns() / 1e6
    if not found:
        raise TimeoutError("no record was taken")
    if found[0][0] is not None:
        raise KafkaException(found[0][0])
    return found[0][1] - (sent_ms + answered_ms) / 2, answered_ms - sent_ms
