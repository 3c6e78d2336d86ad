"""The broker's clock against this machine's, exactly: the one look that writes, and only when it is asked to."""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from segue_agents.settings import Settings
from segue_agents.transport.clients import common_config

ANSWER_S: Final = 5.0


def probe_topic(app_id: str) -> str:
    """Made, written to and deleted within a second. Not the clock's topic: a record there would be a tick."""
    return f"segue-{app_id}-doctor"


def measure_skew(settings: Settings) -> float:
    """How far the broker's clock is ahead, ms; right to half of a round trip. Raises KafkaException."""
    topic, admin = probe_topic(settings.app_id), AdminClient(common_config(settings))
    made = NewTopic(topic, num_partitions=1, replication_factor=-1, config={"message.timestamp.type": "LogAppendTime"})
    admin.create_topics([made], operation_timeout=ANSWER_S)[topic].result()
    try:
        producer = Producer({**common_config(settings), "linger.ms": 0, "message.timeout.ms": int(ANSWER_S * 1_000)})
        _connect(producer, topic)
        return min((_stamp(producer, topic) for _ in range(5)), key=lambda found: found[1])[0]
    finally:
        admin.delete_topics([topic], operation_timeout=ANSWER_S)[topic].result()


def _connect(producer: Any, topic: str) -> None:
    """Until a record of the topic is taken, which has no leader for a moment after it was made."""
    until = time.monotonic() + ANSWER_S
    while True:
        try:
            _stamp(producer, topic)
            return
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
    if not found or found[0][0] is not None:
        raise KafkaException(*(found[0][:1] if found else ()))
    return found[0][1] - (sent_ms + answered_ms) / 2, answered_ms - sent_ms
