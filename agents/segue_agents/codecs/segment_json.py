"""Events in the Segment shape, as its SDKs and exports write them: to rows for a replay, to Avro for a producer.

`{"type": "track", "event": "Product Viewed", "userId": "u1", "timestamp": "2026-09-21T14:03:11Z", "messageId": "m1",
"properties": {"product_id": "p7"}}`. A `page` or `identify` call names its event by its type. Property and trait
names are snake-cased (`productId` and `product_id` are one), as the contracts write them.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import fastavro
import numpy as np
from fastavro.validation import validate

from segue.catalog import Catalog, Field, Source
from segue.engine.duplicates import digest
from segue.limits import EVENT_BYTES, STRING_BYTES
from segue.records import IRRELEVANT, Columns, Rejected, RejectReason
from segue_agents.codecs.checks import EARLIEST_MS, LATEST_MS, time_problem
from segue_agents.codecs.nodes import read_schema

if TYPE_CHECKING:
    from segue.plan import SourceInputs

_TYPES: Final = {"page", "screen", "identify", "alias", "group"}
_ALIASES: Final = {"email_subject": "subject"}
"""Segment's spec name -> ours"""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class SegmentEvent:
    """One event."""

    source: int
    """index into Catalog.sources"""
    person: bytes
    event: str
    """raw name"""
    time_ms: int
    id: str | None
    properties: Mapping[str, Any]
    """snake-cased; properties, traits and context flattened together"""
    line: int = 0
    """1-based; the row's offset in a replay"""
    ids: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """user_id, anonymous_id, previous_id as far as stated"""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes."""

    time_ms: int
    line: int = 0


class NoEvent(ValueError):
    """What stands there is no event; `reason` is the dead letter's."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: RejectReason = reason


def parse_line(line: str | bytes, catalog: Catalog, number: int = 0) -> SegmentEvent | Tick:
    """One JSON line. Raises NoEvent."""
    if len(line) > EVENT_BYTES:
        raise NoEvent("too_large", f"The line has {len(line)} bytes; {EVENT_BYTES} are allowed.")
    try:
        data = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        raise NoEvent("undecodable", f"The line is not JSON: {e}.") from None
    return parse_event(data, catalog, number)


def parse_event(data: Any, catalog: Catalog, number: int = 0) -> SegmentEvent | Tick:
    """The same from a dict. Raises NoEvent."""
    if not isinstance(data, Mapping):
        raise NoEvent("undecodable", "The line is JSON, but no object.")
    kind = data.get("type", "track")
    time_ms = _time_ms(data.get("timestamp", data.get("originalTimestamp")))
    if kind == "tick":
        return Tick(time_ms, number)
    event = kind if kind in _TYPES else data.get("event")
    if not isinstance(event, str) or not event:
        raise NoEvent("undecodable", "The event has no name in 'event'.")
    ids = {ours: _text(data[theirs]) for theirs in ("userId", "anonymousId", "previousId", "user_id", "anonymous_id",
           "previous_id") if data.get(theirs) not in (None, "") for ours in (_snake(theirs),)}
    person = ids.get("user_id") or ids.get("anonymous_id")
    if not person:
        raise NoEvent("no_person", "The event has neither 'userId' nor 'anonymousId'.")
    found = data.get("messageId", data.get("message_id"))
    return SegmentEvent(source_of(catalog, event), _utf8(person), event, time_ms,
                        None if found is None else str(found), _properties(data), number, ids)


def source_of(catalog: Catalog, event: str) -> int:
    """Index of the source whose contract names the event; else of `site`, or the first."""
    for i, source in enumerate(catalog.sources):
        if event in source.events:
            return i
    return next((i for i, s in enumerate(catalog.sources) if s.name == "site"), 0)


def to_columns(events: Sequence[SegmentEvent], source: Source, inputs: SourceInputs, next_offset: int | None = None,
               rejected: Iterable[Rejected] = ()) -> Columns:
    """Rows of events that are all of one source, in the order they came. A row's offset is its line.

    Values are those that the same events would have as Avro records of the source.
    """
    if next_offset is None:
        next_offset = events[-1].line + 1 if events else 0
    deduplicates = source.deduplicate_ms is not None
    if deduplicates:
        nameless = [e for e in events if not e.id and e.event in inputs.kinds]
        rejected = [*rejected, *(Rejected(e.source, e.line, "no_id", "The event has no 'messageId'.", e) for e in nameless)]
        events = [e for e in events if e.id or e.event not in inputs.kinds]
    kinds = [inputs.kinds.get(e.event, IRRELEVANT) for e in events]
    relevant = [e for e, kind in zip(events, kinds, strict=True) if kind >= 0]
    time_ms = np.array([e.time_ms for e in events], np.int64)
    offset = np.array([e.line for e in events], np.int64)
    return Columns(
        time_ms=time_ms, kind=np.array(kinds, np.int32), offset=offset, arrival_ms=time_ms.copy(),
        person=[e.person for e in relevant],
        fields=[_field_values(relevant, f, avro_types(source, f)) for f in inputs.fields],
        records=list(events), next_offset=next_offset, rejected=list(rejected),
        ids=[digest(_utf8(e.id or "")) for e in relevant] if deduplicates else None,
        bodies=[_body(e) for e in relevant] if deduplicates else None,
    )


def _body(event: SegmentEvent) -> bytes:
    """What the record of the event would be told by, in a replay: two lines that differ in spelling only are equal."""
    said = [event.event, event.time_ms, event.properties, event.ids]
    return digest(json.dumps(said, sort_keys=True, ensure_ascii=True, default=str).encode())


class EventEncoder:
    """Makes records of one source from events in the Segment shape."""

    def __init__(self, source: Source, schema_id: int) -> None:
        self.source = source
        self.schema_id = schema_id
        self._catalog = Catalog((source,))
        self._header = struct.pack(">bI", 0, schema_id)
        self._schema = fastavro.parse_schema(without_logical(source.schema))
        self._defaults = {f["name"]: f["default"] for f in source.schema["fields"] if "default" in f}
        self._types = {name: avro_types(source, field) for name, field in source.fields.items()}

    def encode(self, data: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """(key, value): the person, and the framed Avro record. Raises NoEvent."""
        event = parse_event(data, self._catalog)
        if isinstance(event, Tick):
            raise NoEvent("undecodable", "A tick is no event of a source.")
        body = io.BytesIO()
        body.write(self._header)
        record = self._record(event)
        try:
            fastavro.schemaless_writer(body, self._schema, record)
        except (ValueError, TypeError, OverflowError, AttributeError):  # their texts quote the value
            name = self.source.schema["name"]
            raise NoEvent("undecodable", f"The event does not fit the record {name}{self._misfit(record)}.") from None
        return event.person, body.getvalue()

    def _misfit(self, record: Mapping[str, Any]) -> str:
        """The first field that cannot be written, in words; '' when it cannot be told."""
        for field in cast("dict[str, Any]", self._schema)["fields"]:
            if not validate(record.get(field["name"]), field["type"], raise_errors=False):
                return f": its field {field['name']!r} holds a {type(record.get(field['name'])).__name__}"
        return ""

    def _record(self, event: SegmentEvent) -> dict[str, Any]:
        source = self.source
        record = dict(self._defaults)
        for name, field in source.fields.items():
            if name in event.properties or len(field.path) > 1:
                value = _value(event.properties.get(name), field, self._types[name])
                if len(field.path) > 1:
                    record[field.path[0]] = {**(record.get(field.path[0]) or {}), field.path[1]: value}
                elif value is not None:
                    record[field.path[0]] = value
        record |= {name: event.ids[name] for name in source.person if name in event.ids}
        if len(source.person) == 1:
            record[source.person[0]] = event.person.decode()
        if "previous_id" in event.ids and "previous_id" in source.fields:
            record["previous_id"] = event.ids["previous_id"]
        record |= {source.event: event.event, source.time: event.time_ms}
        if source.id is not None:
            record[source.id] = event.id or ""
        return record


_encoders: dict[int, EventEncoder] = {}


def encode_event(source: Source, schema_id: int, data: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """(key, value) of an event in the Segment shape as the source's own record. Raises NoEvent."""
    encoder = _encoders.get(id(source))
    if encoder is None or encoder.source is not source or encoder.schema_id != schema_id:
        if len(_encoders) >= 16:
            _encoders.clear()
        encoder = _encoders[id(source)] = EventEncoder(source, schema_id)
    return encoder.encode(data)


def without_logical(schema: Any) -> Any:
    """The schema as bare numbers: fastavro would want datetimes."""
    if isinstance(schema, Mapping):
        return {k: without_logical(v) for k, v in schema.items() if k != "logicalType"}
    return [without_logical(s) for s in schema] if isinstance(schema, list) else schema


def avro_types(source: Source, field: Field) -> frozenset[str]:
    """Names of the Avro types a field may have: {"null", "double"}."""
    node = read_schema(source.schema)
    for name in field.path:
        records = node.children if node.kind == "union" else (node,)
        node = next(c for r in records if r.kind == "record" and (c := r.child(name)) is not None)
    return frozenset(c.kind for c in (node.children if node.kind == "union" else (node,)))


def _field_values(events: Iterable[SegmentEvent], field: Field, types: frozenset[str]) -> list[Any]:
    return [_value(e.properties.get(field.name), field, types) for e in events]


def _value(value: Any, field: Field, types: frozenset[str]) -> str | float | int | bool | None:
    """A property as its column has it; None for what cannot be one, as a warehouse would drop it."""
    if field.type == "string":
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            return None
        return str(value)
    if field.type == "number":
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if abs(value) >= 1 << 63 or not math.isfinite(value):
            return None
        return float(value) + 0.0 if types & {"double", "float"} else int(value)
    return value if isinstance(value, bool) else None


def _properties(data: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(data.get("name"), str):
        found["name"] = data["name"]
    for part in ("traits", "properties"):
        held = data.get(part)
        if held is None:
            continue
        if not isinstance(held, Mapping):
            raise NoEvent("undecodable", f"{part!r} is no object.")
        for name, value in held.items():
            if isinstance(value, str) and len(value) > STRING_BYTES:
                raise NoEvent("too_large", f"The string in {name!r} has more than {STRING_BYTES} bytes.")
            ours = _snake(str(name))
            found[_ALIASES.get(ours, ours)] = value
    return found


@lru_cache(maxsize=4096)
def _snake(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", _CAMEL.sub("_", name).lower()).strip("_")


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise NoEvent("no_person", "An id is neither text nor a whole number.")
    return str(value)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NoEvent("no_person", "The id holds half a character.") from None


def _time_ms(value: Any) -> int:
    """ISO-8601 or ms since the epoch. Raises NoEvent."""
    if isinstance(value, str):
        try:
            stamp = datetime.fromisoformat(value)
        except ValueError:
            raise NoEvent("no_time", "The timestamp is text that is no ISO-8601 time.") from None
        if stamp.tzinfo is None:
            stamp = stamp.replace(tzinfo=UTC)
        since = stamp - datetime(1970, 1, 1, tzinfo=UTC)
        value = since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NoEvent("no_time", "The event has no 'timestamp'.")
    if not EARLIEST_MS <= value < LATEST_MS:
        reason, what = time_problem(value)
        raise NoEvent(reason, f"The timestamp is {what}.")
    return int(value)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
