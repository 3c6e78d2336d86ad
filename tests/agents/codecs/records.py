"""Records for the codec tests: a message, a source made of a bare schema, Avro values of random schemas."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
from hypothesis import strategies as st

from segue.catalog import Field, Source, field_type
from segue.limits import NUMBER
from segue.plan import SourceInputs
from segue_agents.codecs.columns import ColumnDecoder

NOW_MS = 1_790_000_000_000
SCALARS = ("boolean", "int", "long", "float", "double", "string")


@dataclass
class Record:
    """A consumed record, with the four methods the decoder calls."""

    body: bytes | None
    at: int
    name: bytes | None = b"ann"

    def value(self) -> bytes | None:
        return self.body

    def key(self) -> bytes | None:
        return self.name

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, NOW_MS + self.at)


def framed(body: bytes, schema_id: int = 1) -> bytes:
    return struct.pack(">bI", 0, schema_id) + body


def avro(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def event_schema(fields: Sequence[Mapping[str, Any]], event: Any = "string") -> dict[str, Any]:
    """A record with an event and a time before and behind the given fields."""
    return {"type": "record", "name": "Event", "fields": [
        {"name": "event", "type": event}, *fields, {"name": "ts", "type": "long"}]}


def source_of(schema: Mapping[str, Any]) -> Source:
    """A source all of whose scalars are fields, those of nested records too."""
    fields = {".".join(p): Field(".".join(p), p, t) for p, t in _paths(schema, ()) if p not in (("event",), ("ts",))}
    return Source("s", "t", 1, schema, (), "event", "ts", None, 0, {"seen": "seen"}, fields)


def decoder_of(schema: Mapping[str, Any], kinds: Mapping[str, int] | None = None) -> ColumnDecoder:
    source = source_of(schema)
    inputs = SourceInputs(0, {"seen": 0} if kinds is None else kinds, tuple(source.fields.values()))
    return ColumnDecoder(0, source, inputs, {1: schema})


def _paths(schema: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(schema, Mapping) and schema["type"] == "record":
        return [found for f in schema["fields"] for found in _paths(f["type"], (*path, f["name"]))]
    kind = field_type(schema)
    return [] if kind == "other" else [(path, kind)]


def value_at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """A record schema of up to five fields, nested three deep, with every kind of type."""
    names = iter(range(1000))
    fields = [{"name": f"f{next(names)}", "type": draw(types(names, 3))} for _ in range(draw(st.integers(0, 5)))]
    return event_schema(fields, draw(st.sampled_from(
        ["string", {"type": "enum", "name": "Kind", "symbols": ["seen", "other"]}, ["null", "string"]])))


@st.composite
def types(draw: st.DrawFn, names: Any, depth: int) -> Any:
    others = ["null", "bytes", "enum", "fixed", "union", "union", "record", "array", "map"]
    kind = draw(st.sampled_from([*SCALARS, *others]))
    if kind == "enum":
        return {"type": "enum", "name": f"E{next(names)}", "symbols": draw(st.sampled_from([["a"], ["a", "b", "c"]]))}
    if kind == "fixed":
        return {"type": "fixed", "name": f"X{next(names)}", "size": draw(st.integers(1, 5))}
    if kind in ("union", "record", "array", "map") and depth == 0:
        return "string"
    if kind == "union":
        return draw(unions(names, depth))
    if kind == "record":
        return {"type": "record", "name": f"R{next(names)}", "fields": [
            {"name": f"g{next(names)}", "type": draw(types(names, depth - 1))} for _ in range(draw(st.integers(1, 3)))]}
    if kind == "array":
        items = draw(types(names, depth - 1).filter(_takes_bytes))
        return {"type": "array", "items": items}
    if kind == "map":
        return {"type": "map", "values": draw(types(names, depth - 1))}
    return kind


@st.composite
def unions(draw: st.DrawFn, names: Any, depth: int) -> Any:
    branches = draw(st.lists(st.sampled_from(["null", *SCALARS, "bytes"]), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        branches.append({"type": "record", "name": f"R{next(names)}", "fields": [
            {"name": f"g{next(names)}", "type": draw(types(names, depth - 1))}]})
    return branches


def _takes_bytes(schema: Any) -> bool:
    if schema == "null":
        return False
    return not (isinstance(schema, dict) and schema["type"] == "record"
                and not any(_takes_bytes(f["type"]) for f in schema["fields"]))


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Values of a schema."""
    if isinstance(schema, list):
        return st.one_of([values(s) for s in schema])
    kind = schema["type"] if isinstance(schema, dict) else schema
    simple = {
        "null": st.none(), "boolean": st.booleans(), "int": st.integers(-(1 << 31), (1 << 31) - 1),
        "long": st.one_of(st.integers(-70, 70), st.integers(-(1 << 63), (1 << 63) - 1)),
        "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "double": st.floats(-NUMBER, NUMBER),
        "string": st.text(max_size=80), "bytes": st.binary(max_size=20),
    }
    if kind in simple:
        return simple[kind]
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    if kind == "fixed":
        return st.binary(min_size=schema["size"], max_size=schema["size"])
    if kind == "array":
        return st.lists(values(schema["items"]), max_size=4)
    if kind == "map":
        return st.dictionaries(st.text(max_size=3), values(schema["values"]), max_size=3)
    return st.fixed_dictionaries({f["name"]: values(f["type"]) for f in schema["fields"]})


@st.composite
def events(draw: st.DrawFn, schema: Any) -> Any:
    """A value of an event schema that a rule reads, at a good time."""
    value = draw(values(schema))
    return {**value, "event": "seen", "ts": draw(st.integers(NOW_MS, NOW_MS + 10**9))}


def corrupted(draw: st.DrawFn, body: bytes) -> bytes:
    """The bytes after one to three accidents."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        junk = draw(st.sampled_from([
            b"\x00", b"\x01", b"\x02", b"\x7f", b"\x80", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80\x80\x00",
            b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\xff" * 12]))
        kept = draw(st.sampled_from([at, at + 1, at + len(junk), len(body)]))
        body = body[:at] + (junk if draw(st.booleans()) else b"") + body[kept:]
    return body
