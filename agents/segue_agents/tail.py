"""Follows a topic of changes from outside, as any consumer would: `segue watch` and the demo read through this."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, Message, TopicPartition

from segue.errors import Unreachable
from segue_agents.codecs.changes import decode_change
from segue_agents.transport.asking import metadata
from segue_agents.transport.opening import open_consumer
from segue_agents.transport.refusals import raise_refusal

MESSAGES_AT_ONCE: Final = 500


class ChangeTail:
    """The committed changes of a topic: within a partition in order, across partitions as they come.

    It joins no group and commits nothing, so watching disturbs nobody.
    """

    def __init__(
        self, bootstrap: str, topic: str, *, from_beginning: bool, config: Mapping[str, Any] | None = None
    ) -> None:
        """`config`: of Kafka's clients, as `common_config` gives it: TLS and SASL.

        Raises Unreachable when the broker does not answer or has no such topic.
        """
        self._consumer = open_consumer({
            "bootstrap.servers": bootstrap,
            **(config or {}),
            "group.id": f"segue-watch-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "log_level": 0,  # what goes wrong is raised, in our words
        })  # fmt: skip
        try:
            start = OFFSET_BEGINNING if from_beginning else OFFSET_END
            self._consumer.assign([TopicPartition(topic, p, start) for p in self._partitions(bootstrap, topic)])
        except BaseException:
            self._consumer.close()
            raise

    def read(self, timeout_s: float) -> list[dict[str, Any]]:
        """The next changes, field names of `segue.SegmentChange`, times in ms; empty when none came in time."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        # consume() waits its whole timeout for the full number: poll first, then take what is there
        messages = [first, *self._consumer.consume(MESSAGES_AT_ONCE, 0)]
        return [decode_change(value) for message in messages if (value := _value(message)) is not None]

    def close(self) -> None:
        """Lets go of the broker."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _partitions(self, bootstrap: str, topic: str) -> list[int]:
        found = metadata(self._consumer, bootstrap, topic).topics[topic]
        raise_refusal(found.error, "Read", "consumer", topic=topic)
        if found.error is not None or not found.partitions:
            raise Unreachable(f"{bootstrap} has no topic {topic!r}.", "A worker creates it: `segue run`.")
        return sorted(found.partitions)


def _value(message: Message) -> bytes | None:
    error = message.error()
    if error is None:
        return message.value()  # type: ignore[no-any-return]
    if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return None  # it joins none, though librdkafka looks for the coordinator of it
    raise_refusal(error, "Read", "consumer", topic=message.topic() or "")
    if error.retriable() or error.code() < 0:
        return None  # of the connection, not of the topic: librdkafka comes back by itself
    raise Unreachable(f"Reading the changes failed: {error.str()}.", "See the broker's log.")
