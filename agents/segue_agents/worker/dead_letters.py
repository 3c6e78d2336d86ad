"""Records that took no part: the original bytes, and headers that say why, under Kafka Streams' names (KIP-1034)."""

from __future__ import annotations

from typing import Any, Final

from segue.records import Rejected

PREFIX: Final = "__streams.errors."
FIRST: Final = (f"{PREFIX}exception", b"segue.records.Rejected")
"""the header with which ours begin; the record's own stand before it"""
REASON: Final = "segue.reason"


def dead_letter_headers(rejected: Rejected, topic: str, partition: int) -> list[tuple[str, bytes]]:
    """The record's own headers, and ours."""
    own = rejected.record.headers() if rejected.record is not None else None
    return [
        *((name, value) for name, value in own or ()),
        FIRST,
        (f"{PREFIX}message", rejected.detail.encode()),
        (f"{PREFIX}stacktrace", b""),  # a record that is wrong has none of interest
        (f"{PREFIX}topic", topic.encode()),
        (f"{PREFIX}partition", str(partition).encode()),
        (f"{PREFIX}offset", str(rejected.offset).encode()),
        (REASON, rejected.reason.encode()),
    ]


def original(record: Any) -> tuple[bytes | None, bytes | None]:
    """Key and value as they were."""
    return (None, None) if record is None else (record.key(), record.value())
