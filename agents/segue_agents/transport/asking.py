"""What Kafka is asked about topics and groups, and what it means when it does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition

from segue.errors import Unreachable
from segue_agents.transport.refusals import raise_refusal

ANSWER_WITHIN_S: Final = 10.0
REASONED_AFTER_S: Final = 1.0
"""asked in parts of that: a wrong password need not be waited for to the end"""
COMMITTED_WITHIN_S: Final = 40.0
"""a dead worker's open transaction is waited for, 15 s by default"""

SLEEPS_S: Final = 1.0
"""librdkafka's thread for a broker with nothing to fetch, at the most"""
WAKE_WITHIN_S: Final = 0.1


def metadata(client: Any, bootstrap: str, topic: str | None = None) -> Any:
    """Of all topics, or of one (which then may hold an error). `client`: one of `opening` says why it gets no answer.

    Before anything is read with it. Raises Unreachable.
    """
    until = time.monotonic() + ANSWER_WITHIN_S
    troubles = getattr(client, "troubles", None)
    while True:
        left_s = until - time.monotonic()
        try:
            return client.list_topics(*(() if topic is None else (topic,)),
                                      timeout=left_s if troubles is None else min(left_s, REASONED_AFTER_S))
        except KafkaException as error:
            reason = None
            if troubles is not None:
                client.poll(0)  # what it has heard is told now
                reason = troubles.reason()
            if time.monotonic() >= until - 0.1 or (reason is not None and reason.final):
                if reason is not None:
                    raise Unreachable(f"{reason.what}.", reason.to_do) from error
                raise Unreachable(
                    f"No Kafka answers at {bootstrap} ({error.args[0].str()}).",
                    "Check the address, or start one with `segue up`.",
                ) from error


def partition_counts(client: Any, bootstrap: str) -> dict[str, int]:
    """Topic -> how many partitions it has, of all topics. Raises Unreachable."""
    found = metadata(client, bootstrap).topics
    return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}


def bounds(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    """A partition's first offset, and the one after its last that the consumer's isolation shows. Raises Unreachable."""
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_WITHIN_S, cached=False)
    except KafkaException as error:
        raise_refusal(error.args[0], "Describe", topic=topic)
        raise Unreachable(
            f"The ends of {topic} partition {partition} cannot be learnt: {error.args[0].str()}.", "See the broker's log."
        ) from error
    return int(low), int(high)


def committed_offsets(consumer: Any, group: str, asked: Iterable[Any]) -> list[Any]:
    """The TopicPartitions with the group's offset each, below 0 where there is none, or an error. Raises Unreachable."""
    try:
        return list(consumer.committed(list(asked), timeout=COMMITTED_WITHIN_S))
    except KafkaException as error:
        raise_refusal(error.args[0], "Read", group=group)
        raise Unreachable(
            f"The committed offsets of group {group!r} cannot be learnt: {error.args[0].str()}.",
            "A transaction of a dead worker hangs there? See the broker's log.",
        ) from error


def resume_at_once(consumer: Any, partitions: list[Any]) -> None:
    """Resumes paused TopicPartitions, and has them fetched now."""
    consumer.resume(partitions)
    wake(consumer, partitions)


def wake(consumer: Any, partitions: list[Any]) -> None:
    """Has TopicPartitions fetched now that have been resumed or assigned.

    librdkafka's thread for a broker none of whose partitions it may fetch sleeps up to `SLEEPS_S`, and `resume` does not
    wake it; `assign` does, but often before there is something to fetch. A request to the leaders of these partitions
    wakes it; its answer does not matter. Waits 0.1 s at most.
    """
    with suppress(KafkaException):  # what is wrong with them is said when they are read
        consumer.offsets_for_times([TopicPartition(p.topic, p.partition, 0) for p in partitions], WAKE_WITHIN_S)
