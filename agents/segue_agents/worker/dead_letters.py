"""Records that took no part: the original bytes, and headers that say why, under Kafka Streams' names (KIP-1034)."""

from __future__ import annotations

from typing import Any

from segue.records import Rejected

_PREFIX = "__streams.errors."


def dead_letter_headers(rejected: Rejected, topic: str, partition: int) -> list[tuple[str, bytes]]:
    """The record's own headers, and ours."""
    own = rejected.record.headers() if rejected.record is not None else None
    return [
        *((name, value) for name, value in own or ()),
        (f"{_PREFIX}exception", b"segue.records.Rejected"),
        (f"{_PREFIX}message", rejected.detail.encode()),
        (f"{_PREFIX}stacktrace", b""),  # a record that is wrong has none of interest
        (f"{_PREFIX}topic", topic.encode()),
        (f"{_PREFIX}partition", str(partition).encode()),
        (f"{_PREFIX}offset", str(rejected.offset).encode()),
        ("segue.reason", rejected.reason.encode()),
    ]


def original(record: Any) -> tuple[bytes | None, bytes | None]:
    """Key and value as they were."""
    return (None, None) if record is None else (record.key(), record.value())
