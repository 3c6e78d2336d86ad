"""Writers' schemas: fitted to the source's own as Avro resolves them, refused when they are bombs, learnt at any time."""

from __future__ import annotations

import io
import time
from functools import reduce
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.agents.codecs.doors import READER, SOURCE, WHOLE, WRITERS, body, writer
from tests.agents.codecs.records import NOW_MS, Record, avro, event_schema, framed, source_of

from segue.catalog import Catalog, Field
from segue.errors import ContractError
from segue.plan import SourceInputs
from segue_agents.codecs.columns import ColumnDecoder, UnknownSchemas

quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

TYPES = ["null", "boolean", "int", "long", "float", "double", "string", ["null", "int"], ["null", "double"],
         ["null", "string"], ["string", "long"], ["null", "boolean", "float"], "bytes"]


@quick
@given(st.data())
def test_writers_and_readers_meet_as_fastavro_has_it(data: st.DataObject) -> None:
    """A value is rejected as incompatible exactly when fastavro cannot resolve it, and else is the one it reads.

    Asked in two ways: by columns, and decoded alone behind an array that is too long for them.
    """
    written, read = data.draw(st.sampled_from(TYPES)), data.draw(st.sampled_from(TYPES[:-1]))
    name = data.draw(st.sampled_from(["f", "former"]))
    default = data.draw(st.sampled_from([{}, {"default": example(read)}]))
    items = {"name": "items", "type": {"type": "array", "items": "int"}}
    reader = event_schema([items, {"name": "f", "type": read, "aliases": ["former"], **default}])
    fields = [{"name": name, "type": written}] if data.draw(st.booleans()) else []
    wrote = event_schema([items, *fields])
    value = example(data.draw(st.sampled_from(written if isinstance(written, list) else [written])))
    made = ColumnDecoder(0, source_of(reader), SourceInputs(0, {"seen": 0}, (Field("f", ("f",), "other"),)), {1: reader})
    made.learn(2, wrote)
    for long in (False, True):
        record = avro(wrote, {"event": "seen", "items": [1] * (100 if long else 1), name: value, "ts": NOW_MS})
        try:
            theirs = fastavro.schemaless_reader(io.BytesIO(record), *map(fastavro.parse_schema, (wrote, reader)))
        except (fastavro.read.SchemaResolutionError, TypeError):
            theirs = None
        columns = made.decode([Record(framed(record, 2), 0)])
        if theirs is None:
            assert [r.reason for r in columns.rejected] == ["incompatible_schema"]
        else:
            assert columns.rejected == []
            assert [repr(c) for c in columns.fields] == [repr([theirs["f"]])]


def example(schema: Any) -> Any:
    kind = schema[0] if isinstance(schema, list) else schema
    return {"null": None, "boolean": True, "int": 3, "long": 1 << 40, "float": 0.5, "double": 0.1, "string": "ü",
            "bytes": "ü".encode()}[kind]


def test_a_union_is_fitted_branch_by_branch_below_a_nullable_record() -> None:
    """Properties in a record that may be null: none, lacking, and of another type."""
    inner = [{"name": "price", "type": ["null", "double"], "default": None}, {"name": "size", "type": "int", "default": 7}]
    properties = {"type": "record", "name": "P", "fields": inner}
    reader = event_schema([{"name": "p", "type": ["null", properties], "default": None}])
    older = event_schema([{"name": "p", "type": ["null", {"type": "record", "name": "P", "fields": [
        {"name": "price", "type": "int"}]}]}])
    none = event_schema([])
    declared = Catalog.from_declarations([{
        "source": "s", "topic": "t", "schema": reader, "person": "event", "event": "event", "time": "ts", "order": 1,
        "events": ["seen"], "properties": "p"}]).sources[0]
    made = ColumnDecoder(0, declared, SourceInputs(0, {"seen": 0}, tuple(declared.fields.values())), {1: reader})
    made.learn(2, older)
    made.learn(3, none)
    records = [(2, {"p": {"price": 3}}), (2, {"p": None}), (3, {}), (1, {"p": {"price": 1.5, "size": 2}})]
    schemas = {1: reader, 2: older, 3: none}
    columns = made.decode([Record(framed(avro(schemas[i], {"event": "seen", "ts": NOW_MS, **v}), i), n, b"seen")
                           for n, (i, v) in enumerate(records)])
    assert columns.rejected == []
    assert columns.fields == [[3.0, None, None, 1.5], [7, None, None, 2]]


BOMBS = [
    ("names that multiply", writer(*[(f"x{i}", {"type": "record", "name": f"R{i}", "fields": [
        {"name": f"a{k}", "type": f"R{i - 1}" if i else "int"} for k in range(10)]}) for i in range(12)])),
    ("names that make it deep", writer(*[(f"x{i}", {"type": "record", "name": f"R{i}", "fields": [
        {"name": "a", "type": f"R{i - 1}" if i else "int"}]}) for i in range(900)])),
    ("a fixed of less than nothing", writer(("x", {"type": "fixed", "name": "F", "size": -8}))),
    ("a fixed of 2^70", writer(("x", {"type": "fixed", "name": "F", "size": 1 << 70}))),
    ("two fields of one name", {**READER, "fields": [*READER["fields"], READER["fields"][3]]}),
    ("a record without fields", {"type": "record", "name": "Event"}),
    ("fields that are no list", {"type": "record", "name": "Event", "fields": 5}),
    ("an array without items", writer(("x", {"type": "array"}))),
    ("a type that is a number", writer(("x", 5))),
    ("wrappers without end", writer(("x", reduce(lambda t, _: {"type": t}, range(900), "int")))),
]


@pytest.mark.parametrize(("what", "schema"), BOMBS, ids=[b[0] for b in BOMBS])
def test_a_schema_that_is_a_bomb_or_no_schema_is_refused_at_once(what: str, schema: Any) -> None:
    """Refused with a reason, in well under a second; its records become dead letters."""
    made = ColumnDecoder(0, SOURCE, SourceInputs(0, {"seen": 0}, ()), {1: READER})
    began = time.process_time()
    with pytest.raises(ContractError):
        made.learn(50, schema)
    assert time.process_time() - began < 1, what
    assert made.knows(50)
    columns = made.decode([Record(framed(b"", 50), 0), Record(WHOLE, 1)])
    assert [(r.offset, r.reason) for r in columns.rejected] == [(0, "incompatible_schema")]


def test_a_schema_learnt_late_is_used_from_then_on() -> None:
    """Records of its id are unknown before, and good afterwards, beside others."""
    made = ColumnDecoder(0, SOURCE, SourceInputs(0, {"seen": 0}, (SOURCE.fields["colour"],)), {1: READER})
    value = body(6, price=3, name=b"n", colour="green")
    assert [r.reason for r in made.decode([Record(value, 0)]).rejected] == ["unknown_schema"]
    with pytest.raises(UnknownSchemas) as unknown:
        made.decode([Record(value, 0), Record(framed(b"", 7), 1), Record(framed(b"", 8), 2)],
                    {8: ("unknown_schema", "Gone.")})
    assert unknown.value.ids == {6, 7}
    refused = made.decode([Record(value, 0)], {6: ("unknown_schema", "Gone.")}).rejected
    assert [(r.reason, r.detail) for r in refused] == [("unknown_schema", "Gone.")]
    assert not made.knows(6)
    made.learn(6, WRITERS[6])
    columns = made.decode([Record(value, 0), Record(WHOLE, 1)])
    assert columns.rejected == []
    assert columns.fields == [["green", "blue"]]
