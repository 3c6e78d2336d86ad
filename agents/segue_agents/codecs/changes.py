"""Change -> the record of `segment-changes`: key, value and CloudEvents headers; and back.

The Avro body is written by hand: the record is fixed, and half of it is the same for every change of a segment.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final, Literal

import msgspec

from segue.engine import change_id, id_middle, id_of
from segue.plan import Plan, layout_of
from segue.records import Change
from segue.rules.tree import Segment
from segue_agents.codecs.framing import HEADER
from segue_agents.codecs.nodes import Node, read_schema
from segue_agents.codecs.rows import decode_row
from segue_agents.codecs.varints import SMALL, long, string, strings
from segue_schemas import load_schema

Format = Literal["avro", "json"]
Headers = list[tuple[str, bytes]]
Record = tuple[bytes, bytes, Headers]
"""key, value, headers"""
Features = Mapping[str, list[str]]
SCHEMA_NAME = "segment_change.v1"
CHANGE_ID_CHARACTERS: Final = 24
_CHANGES = ("exited", "entered")
_text = msgspec.json.Encoder().encode
"""any JSON; a string takes 0.05 us"""
CONTENT_TYPES: Mapping[str, bytes] = {"avro": b"application/avro", "json": b"application/json"}


def change_as_dict(plan: Plan, change: Change, emitted_at_ms: int, partition: int | None = None) -> dict[str, Any]:
    """A change under the contract's field names, JSON-able, times in ms.

    `partition` completes the cause's place to topic/partition/offset; without it, it is topic/offset.
    """
    segment = plan.segments[change.segment]
    return {
        "change_id": change_id(change, plan),
        "person_id": change.person.decode(),
        "segment": segment.name,
        "segment_version": segment.version,
        "change": _CHANGES[change.entered],
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
    """Encodes the changes of one plan. `format` json needs no schema.

    What all changes of a segment and direction have in common is prepared once; a change fills in the rest. Both loops
    spell out what they do to a change: a call for each field would cost as much as all the rest.
    """

    def __init__(self, plan: Plan, schema_id: int, format: Format = "avro") -> None:  # noqa: A002  the setting's name
        self._topics = [s.topic for s in plan.catalog.sources]
        self._values = self._json if format == "json" else self._avro
        self._header = struct.pack(">bI", 0, schema_id) + long(CHANGE_ID_CHARACTERS)
        source = b"/segue/" + layout_of(plan).id.encode()
        fixed = [("ce_specversion", b"1.0"), ("ce_source", source), ("content-type", CONTENT_TYPES[format])]
        self._prepared = [
            tuple(_Prepared(s, d, [*fixed, ("ce_type", b"segue.SegmentChange." + _CHANGES[d].encode())]) for d in (0, 1))
            for s in plan.segments
        ]

    def encode(self, change: Change, emitted_at_ms: int, partition: int | None = None) -> Record:
        """A single change."""
        return next(self.encoded((change,), emitted_at_ms, partition))

    def encoded(self, changes: Iterable[Change], emitted_at_ms: int, partition: int | None = None) -> Iterator[Record]:
        """(key, value, headers) of each."""
        between = "/" if partition is None else f"/{partition}/"
        return self._values(changes, emitted_at_ms, [topic + between for topic in self._topics])

    def _json(self, changes: Iterable[Change], emitted_at_ms: int, places: list[str]) -> Iterator[Record]:
        prepared, text, emitted_at = self._prepared, _text, b"%d" % emitted_at_ms
        causes = [text(place).replace(b"%", b"%%")[:-1] + b'%d"' for place in places]
        for person, segment, entered, at_ms, cause, event, sequence, revokes, expires_at_ms, features in changes:
            known = prepared[segment][entered]
            name = id_of(person, known.middle, at_ms, sequence).encode()
            value = known.template % (
                name, text(person.decode()), at_ms, emitted_at, cause.encode(),
                b"null" if event is None else causes[event[0]] % event[1],
                sequence,
                b"null" if revokes is None else text(revokes),
                b"null" if expires_at_ms is None else b"%d" % expires_at_ms,
                text(features) if features else b"{}",
            )  # fmt: skip
            yield person, value, [*known.headers, ("ce_id", name), ("ce_time", _iso(at_ms))]

    def _avro(self, changes: Iterable[Change], emitted_at_ms: int, places: list[str]) -> Iterator[Record]:
        prepared, header, emitted_at, small = self._prepared, self._header, long(emitted_at_ms), SMALL
        causes = [place.encode().replace(b"%", b"%%") + b"%d" for place in places]
        for person, segment, entered, at_ms, cause, event, sequence, revokes, expires_at_ms, features in changes:
            known = prepared[segment][entered]
            name = id_of(person, known.middle, at_ms, sequence).encode()
            place = None if event is None else causes[event[0]] % event[1]
            value = b"".join((
                header, name,
                small[len(person)], person,
                known.verdict,
                long(at_ms),
                emitted_at,
                _cause(cause),
                b"\0" if place is None else b"\x02" + small[len(place)] + place,
                small[sequence],
                b"\0" if revokes is None else b"\x02" + string(revokes),
                b"\0" if expires_at_ms is None else b"\x02" + long(expires_at_ms),
                known.tags,
                _features(features) if features else b"\0",
            ))  # fmt: skip
            yield person, value, [*known.headers, ("ce_id", name), ("ce_time", _iso(at_ms))]


class _Prepared:
    """Of a segment and a direction, what all its changes share. `headers`: those that do not differ."""

    __slots__ = ("headers", "middle", "tags", "template", "verdict")

    def __init__(self, segment: Segment, entered: int, headers: Headers) -> None:
        change = _CHANGES[entered]
        self.headers = headers
        self.middle = id_middle(segment, bool(entered))
        """of what the id is made of"""
        self.template = _template(segment, change)
        """JSON"""
        self.verdict = string(segment.name) + long(segment.version) + string(change)
        """Avro, as is `tags`"""
        self.tags = strings(segment.tags)


def _template(segment: Segment, change: str) -> bytes:
    """The JSON of such changes, as `change_as_dict` orders it, with places for what differs."""
    name, tags = (_text(x).replace(b"%", b"%%") for x in (segment.name, list(segment.tags)))
    return (
        b'{"change_id":"%%b","person_id":%%b,"segment":%b,"segment_version":%d,"change":"%b","at":%%d,"emitted_at":%%b,'
        b'"cause":"%%b","cause_event":%%b,"sequence":%%d,"revokes":%%b,"expires_at":%%b,"tags":%b,"features":%%b}'
    ) % (name, segment.version, change.encode(), tags)


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


@cache
def _cause(cause: str) -> bytes:
    return string(cause)


def _features(features: Features) -> bytes:
    """A map in one block."""
    return SMALL[len(features)] + b"".join(string(n) + strings(v) for n, v in features.items()) + b"\0"


_SECONDS = [b"%02d." % s for s in range(60)]
_MS = [b"%03dZ" % ms for ms in range(1_000)]


def _iso(time_ms: int) -> bytes:
    minute, ms = divmod(time_ms, 60_000)
    return _minute(minute) + _SECONDS[ms // 1_000] + _MS[ms % 1_000]


@lru_cache(maxsize=4096)
def _minute(minute: int) -> bytes:
    """`2026-11-25T06:54:`"""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:").encode()
