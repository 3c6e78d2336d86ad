"""A resumed partition is read at once, though librdkafka's thread for its broker sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from segue_agents.transport.asking import SLEEPS_S, resume_at_once


def first_read_s(broker: str, topic: str, resume: Callable[[Any, list[Any]], None]) -> float:
    """From the resumption of a paused partition to its first record."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": topic, "fetch.queue.backoff.ms": 5})
    paused = [TopicPartition(topic, 0, 0)]
    consumer.list_topics(topic, timeout=10)
    consumer.assign(paused)
    consumer.pause(paused)
    began = time.monotonic()
    while time.monotonic() - began < 0.2:
        assert consumer.poll(0.05) is None
    began = time.monotonic()
    resume(consumer, paused)
    assert consumer.poll(10.0) is not None
    took = time.monotonic() - began
    consumer.close()
    return took


def test_a_resumed_partition_is_read_at_once(broker: str, topic_prefix: str) -> None:
    """In the best of three; resumed by librdkafka alone it seldom is, which is why we ask the leaders something."""
    topic = f"{topic_prefix}paused"
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(topic, b"x")
    assert producer.flush(30) == 0
    assert min(first_read_s(broker, topic, resume_at_once) for _ in range(3)) < SLEEPS_S / 2
    assert max(first_read_s(broker, topic, lambda c, p: c.resume(p)) for _ in range(3)) > SLEEPS_S / 2
