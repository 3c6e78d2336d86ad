"""Records that took no part: the original bytes, and headers that say why, under Kafka Streams' names (KIP-1034)."""

from __future__ import annotations

from typing import Any, Final

from segue.limits import DEAD_LETTER_BYTES, DEAD_LETTER_KEY_BYTES
from segue.records import Rejected

PREFIX: Final = "__streams.errors."
FIRST: Final = (f"{PREFIX}exception", b"segue.records.Rejected")
"""the header with which ours begin; the record's own stand before it"""
REASON: Final = "segue.reason"
CUT: Final = "segue.cut-from-bytes"
"""how long a value was of which the dead letter has the beginning only; the place in the headers still has it all"""
LEFT_OUT: Final = "segue.headers-left-out"
"""how many headers a record had that were too long together to be kept"""
KEY_CUT: Final = "segue.key-cut-from-bytes"


def dead_letter_headers(rejected: Rejected, topic: str, partition: int) -> list[tuple[str, bytes]]:
    """The record's own headers, and ours."""
    own = (rejected.record.headers() if rejected.record is not None else None) or []
    if sum(len(name) + len(value or b"") for name, value in own) > DEAD_LETTER_KEY_BYTES:
        own = [(LEFT_OUT, str(len(own)).encode())]
    return [
        *((name, value) for name, value in own),
        FIRST,
        (f"{PREFIX}message", rejected.detail.encode()),
        (f"{PREFIX}stacktrace", b""),  # a record that is wrong has none of interest
        (f"{PREFIX}topic", topic.encode()),
        (f"{PREFIX}partition", str(partition).encode()),
        (f"{PREFIX}offset", str(rejected.offset).encode()),
        (REASON, rejected.reason.encode()),
    ]


def dead_letter(
    rejected: Rejected, topic: str, partition: int
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """Key, value and headers. Both as they were, but for a value no topic would take: that is cut, and a header says so."""
    key, value = original(rejected.record)
    headers = dead_letter_headers(rejected, topic, partition)
    if value is not None and len(value) > DEAD_LETTER_BYTES:
        headers.append((CUT, str(len(value)).encode()))
        value = value[:DEAD_LETTER_BYTES]
    if key is not None and len(key) > DEAD_LETTER_KEY_BYTES:
        headers.append((KEY_CUT, str(len(key)).encode()))
        key = key[:DEAD_LETTER_KEY_BYTES]
    return key, value, headers


def original(record: Any) -> tuple[bytes | None, bytes | None]:
    """Key and value as they were."""
    return (None, None) if record is None else (record.key(), record.value())
