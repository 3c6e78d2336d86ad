"""Change -> the record of `segment-changes`: key, value and CloudEvents headers; and back.

The Avro body is written by hand: the record is fixed, and 14 known fields need no schema walk.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from segue.records import Change
from segue_agents.codecs.framing import HEADER
from segue_agents.codecs.nodes import Node, read_schema
from segue_agents.codecs.rows import decode_row
from segue_schemas import load_schema

if TYPE_CHECKING:
    from segue.plan import Plan

Format = Literal["avro", "json"]
Headers = list[tuple[str, bytes]]
SCHEMA_NAME = "segment_change.v1"
CONTENT_TYPES: Mapping[str, bytes] = {"avro": b"application/avro", "json": b"application/json"}


def change_as_dict(plan: Plan, change: Change, emitted_at_ms: int, partition: int | None = None) -> dict[str, Any]:
    """A change under the contract's field names, JSON-able, times in ms.

    `partition` completes the cause's place to topic/partition/offset; without it, it is topic/offset.
    """
    from segue.engine import change_id

    segment = plan.segments[change.segment]
    return {
        "change_id": change_id(change, plan),
        "person_id": change.person.decode(),
        "segment": segment.name,
        "segment_version": segment.version,
        "change": "entered" if change.entered else "exited",
        "at": change.at_ms,
        "emitted_at": emitted_at_ms,
        "cause": change.cause,
        "cause_event": _cause_event(plan, change, partition),
        "sequence": change.sequence,
        "revokes": change.revokes,
        "expires_at": change.expires_at_ms,
        "tags": list(segment.tags),
        "features": change.features or {},
    }


def _cause_event(plan: Plan, change: Change, partition: int | None) -> str | None:
    if change.cause_event is None:
        return None
    source, offset = change.cause_event
    topic = plan.catalog.sources[source].topic
    return f"{topic}/{offset}" if partition is None else f"{topic}/{partition}/{offset}"


class ChangeEncoder:
    """Encodes the changes of one plan. `format` json needs no schema."""

    def __init__(self, plan: Plan, schema_id: int, format: Format = "avro") -> None:
        self._plan = plan
        self._format = format
        self._header = struct.pack(">bI", 0, schema_id)
        self._source = b"/segue/" + plan.layout_id.encode()
        self._tags = [_strings(s.tags) for s in plan.segments]
        self._content = ("content-type", CONTENT_TYPES[format])

    def encode(self, change: Change, emitted_at_ms: int, partition: int | None = None) -> tuple[bytes, bytes, Headers]:
        """(key, value, headers)."""
        fields = change_as_dict(self._plan, change, emitted_at_ms, partition)
        if self._format == "json":
            value = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        else:
            value = self._header + _body(fields, change.person, self._tags[change.segment])
        return change.person, value, [
            ("ce_specversion", b"1.0"),
            ("ce_id", fields["change_id"].encode()),
            ("ce_type", b"segue.SegmentChange." + fields["change"].encode()),
            ("ce_source", self._source),
            ("ce_time", _iso(change.at_ms)),
            self._content,
        ]


def decode_change(value: bytes) -> dict[str, Any]:
    """The change in a record's value, Avro or JSON, times in ms. Raises ValueError for anything else."""
    if value[:1] == b"{":
        decoded = json.loads(value)
    elif value[:1] == b"\0" and len(value) > HEADER:
        decoded = decode_row(_change_node(), value[HEADER:])
    else:
        raise ValueError("This is neither a JSON object nor Avro in Confluent's framing.")
    return dict(decoded)


@cache
def _change_node() -> Node:
    return read_schema(load_schema(SCHEMA_NAME))


def _long(number: int) -> bytes:
    zigzag = (number << 1) ^ (number >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append((zigzag & 0x7F) | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def _string(text: str) -> bytes:
    raw = text.encode()
    return _long(len(raw)) + raw


def _strings(items: tuple[str, ...] | list[str]) -> bytes:
    """An array in one block."""
    return _long(len(items)) + b"".join(map(_string, items)) + b"\0" if items else b"\0"


def _optional_string(text: str | None) -> bytes:
    return b"\0" if text is None else b"\x02" + _string(text)


def _body(fields: Mapping[str, Any], person: bytes, tags: bytes) -> bytes:
    features = fields["features"]
    lists = b"".join(_string(name) + _strings(values) for name, values in features.items())
    expires_at = fields["expires_at"]
    return b"".join((
        _string(fields["change_id"]),
        _long(len(person)), person,
        _string(fields["segment"]),
        _long(fields["segment_version"]),
        _string(fields["change"]),
        _long(fields["at"]),
        _long(fields["emitted_at"]),
        _string(fields["cause"]),
        _optional_string(fields["cause_event"]),
        _long(fields["sequence"]),
        _optional_string(fields["revokes"]),
        b"\0" if expires_at is None else b"\x02" + _long(expires_at),
        tags,
        _long(len(features)) + lists + b"\0" if features else b"\0",
    ))


def _iso(time_ms: int) -> bytes:
    stamp = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{time_ms % 1000:03d}Z".encode()
