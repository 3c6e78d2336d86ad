"""Messages as they come, cut into runs of one topic partition: C calls over the whole list, no loop per message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress, pairwise
from operator import ne
from typing import Any, NamedTuple

from confluent_kafka import Message


class Run(NamedTuple):
    """Neighbouring messages of one topic partition; or one error message, alone."""

    topic: str | None
    partition: int
    messages: list[Any]
    error: Any = None


def runs(messages: Sequence[Message]) -> Iterator[Run]:
    """In the order of the messages, so that an end of partition stands after the records before it."""
    n = len(messages)
    topics = list(map(Message.topic, messages))
    partitions = list(map(Message.partition, messages))
    cuts = {0, n}
    cuts.update(compress(range(1, n), map(ne, partitions, partitions[1:])))
    cuts.update(compress(range(1, n), map(ne, topics, topics[1:])))
    if any(map(Message.error, messages)):
        # told by identity: comparing a KafkaError with None leaves an exception set, to be raised somewhere else
        cuts.update(j for i, m in enumerate(messages) if m.error() is not None for j in (i, i + 1))
    for start, stop in pairwise(sorted(cuts)):
        yield Run(topics[start], partitions[start], list(messages[start:stop]), messages[start].error())
