"""The verdict without a registry, against the one that a registry gives."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from segue.errors import ContractError
from segue_agents.codecs.compatibility import misfits
from segue_agents.embedded import Apicurio


def record(*fields: Any, **more: Any) -> dict[str, Any]:
    """A record E in the namespace t with these (name, type[, default]) fields."""
    made = [{"name": f[0], "type": f[1], **({"default": f[2]} if len(f) > 2 else {})} for f in fields]
    return {"type": "record", "name": "E", "namespace": "t", "fields": made, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Colour", "symbols": list(symbols), **more}


def chain(of: str) -> dict[str, Any]:
    """A linked list."""
    return {"type": "record", "name": "L", "fields": [{"name": "v", "type": of}, {"name": "next", "type": ["null", "L"]}]}


def fixed(size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": "F", "size": size}


A = ("a", "string")

TABLE: list[tuple[str, Any, Any, tuple[str, ...]]] = [
    # name, what was written, what reads it, what does not fit
    ("the same", record(A), record(A), ()),
    ("a field more, with a default", record(A), record(A, ("n", ["null", "double"], None)), ()),
    ("a field more, without", record(A), record(A, ("n", "double")),
     ("n: is not written, and has no default when it is read",)),
    ("a field less", record(A, ("n", "int")), record(A), ()),
    ("int to long", record(("n", "int")), record(("n", "long")), ()),
    ("int to double", record(("n", "int")), record(("n", "double")), ()),
    ("float to double", record(("n", "float")), record(("n", "double")), ()),
    ("long to float", record(("n", "long")), record(("n", "float")), ()),
    ("long to int", record(("n", "long")), record(("n", "int")), ("n: long is written, int is read",)),
    ("double to float", record(("n", "double")), record(("n", "float")), ("n: double is written, float is read",)),
    ("string to bytes", record(A), record(("a", "bytes")), ()),
    ("bytes to string", record(("a", "bytes")), record(A), ()),
    ("string to long", record(A), record(("a", "long")), ("a: string is written, long is read",)),
    ("boolean to int", record(("a", "boolean")), record(("a", "int")), ("a: boolean is written, int is read",)),
    ("may be null now", record(A), record(("a", ["null", "string"])), ()),
    ("may be null no more", record(("a", ["null", "string"])), record(A), ("a: null is written, string is read",)),
    ("a branch more", record(("a", ["null", "string"])), record(("a", ["null", "string", "long"])), ()),
    ("a branch less", record(("a", ["null", "string", "boolean"])), record(("a", ["null", "string"])),
     ("a: boolean is written, null or string is read",)),
    ("a branch promoted", record(("a", ["null", "int"])), record(("a", ["null", "double"])), ()),
    ("the order of branches", record(("a", ["null", "string"])), record(("a", ["string", "null"])), ()),
    ("one branch", record(("a", ["string"])), record(A), ()),
    ("a symbol more", record(("c", enum("RED"))), record(("c", enum("RED", "BLUE"))), ()),
    ("a symbol less", record(("c", enum("RED", "BLUE"))), record(("c", enum("RED"))),
     ("c: BLUE may be written, and the enum that is read lacks it and has no default",)),
    ("a symbol less, with a default", record(("c", enum("RED", "BLUE"))), record(("c", enum("RED", default="RED"))), ()),
    ("enum to string", record(("c", enum("RED"))), record(("c", "string")),
     ("c: enum t.Colour is written, string is read",)),
    ("a fixed of another size", record(("f", fixed(4))), record(("f", fixed(5))),
     ("f: fixed t.F is written, fixed t.F is read",)),
    ("items promoted", record(("l", {"type": "array", "items": "int"})),
     record(("l", {"type": "array", "items": "long"})), ()),
    ("items that do not fit", record(("l", {"type": "array", "items": "string"})),
     record(("l", {"type": "array", "items": "long"})), ("l[]: string is written, long is read",)),
    ("values that do not fit", record(("m", {"type": "map", "values": "string"})),
     record(("m", {"type": "map", "values": "long"})), ("m[]: string is written, long is read",)),
    ("array to map", record(("m", {"type": "array", "items": "int"})), record(("m", {"type": "map", "values": "int"})),
     ("m: array is written, map is read",)),
    ("renamed, with an alias", record(A), {"type": "record", "name": "E", "namespace": "t", "fields": [
        {"name": "b", "type": "string", "aliases": ["a"]}]}, ()),
    ("another record", record(A), record(A) | {"name": "Other"},
     ("the record: record t.E is written, record t.Other is read",)),
    ("another record, with an alias", record(A), record(A) | {"name": "Other", "aliases": ["t.E"]}, ()),
    ("a logical type", record(("n", "long")), record(("n", {"type": "long", "logicalType": "timestamp-millis"})), ()),
    ("inside", record(("in", {"type": "record", "name": "I", "fields": [{"name": "x", "type": "string"}]})),
     record(("in", {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]})),
     ("in.x: string is written, int is read",)),
    ("inside what may be null", record(("in", ["null", {"type": "record", "name": "I", "fields": []}])),
     record(("in", ["null", {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]}])),
     ("in.x: is not written, and has no default when it is read",)),
    ("recursive, promoted", chain("int"), chain("long"), ()),
    ("recursive, another type", chain("int"), chain("string"), ("v: int is written, string is read",)),
    ("two at once", record(A, ("b", "int")), record(("a", "int"), ("b", "string")),
     ("a: string is written, int is read", "b: int is written, string is read")),
]


@pytest.mark.parametrize(("written", "read", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_does_not_fit(written: Any, read: Any, says: tuple[str, ...]) -> None:
    """One sentence for each value, and none for what fits."""
    assert misfits(read, written) == says


def test_a_real_registry_says_the_same(apicurio: Apicurio) -> None:
    """Apicurio's verdict, which is Avro's own, for every row of the table."""
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    prefix, verdicts = uuid.uuid4().hex, {}
    with SchemaRegistryClient({"url": apicurio.url, "timeout": 20}) as client:
        for number, (name, written, read, _) in enumerate(TABLE):
            subject = f"{prefix}-{number}-value"
            client.set_compatibility(subject, "BACKWARD_TRANSITIVE")
            client.register_schema(subject, Schema(json.dumps(written), "AVRO"))
            verdicts[name] = client.test_compatibility_all_versions(subject, Schema(json.dumps(read), "AVRO"))
    assert verdicts == {name: not says for name, _, _, says in TABLE}


def test_lenient_is_what_the_decoder_takes() -> None:
    """An enum is text, and names of records do not matter; types do."""
    assert misfits(record(("c", "string")), record(("c", enum("RED"))), lenient=True) == ()
    assert misfits(record(("c", enum("RED"))), record(("c", enum("RED", "BLUE"))), lenient=True) == ()
    assert misfits(record(A) | {"name": "Other"}, record(A), lenient=True) == ()
    assert misfits(record(("a", "long")), record(A), lenient=True)


@pytest.mark.parametrize("nonsense", [{}, {"type": "nonsense"}, "nonsense", 5, None, {"type": "record", "name": "E"}])
def test_what_is_no_schema(nonsense: Any) -> None:
    """Refused, whatever it is."""
    with pytest.raises(ContractError, match="no Avro schema"):
        misfits(record(A), nonsense)
