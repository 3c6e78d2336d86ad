"""Bytes to columns: the same answer as a strict decoder of one record, whatever the schema and the bytes."""

from __future__ import annotations

import dataclasses
import io
import struct
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.agents.codecs.records import (
    NOW_MS,
    Record,
    avro,
    corrupted,
    decoder_of,
    event_schema,
    events,
    framed,
    schemas,
    source_of,
    value_at,
)

import segue_schemas
from segue.catalog import Catalog
from segue.engine.duplicates import digest
from segue.errors import ContractError
from segue.limits import STRING_BYTES
from segue.plan import SourceInputs
from segue_agents.codecs.checks import KEY_WORD_BYTES
from segue_agents.codecs.columns import ColumnDecoder, UnknownSchemas
from segue_agents.codecs.nodes import read_schema
from segue_agents.codecs.rows import Undecodable, decode_row

quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def expected(decoder: ColumnDecoder, values: list[Any]) -> list[list[Any]]:
    return [[value_at(v, f.path) for v in values] for f in decoder.inputs.fields]


@quick
@given(st.data())
def test_random_records_of_random_schemas_decode_as_fastavro_reads_them(data: st.DataObject) -> None:
    """Every scalar of every record equals what fastavro reads, and none had to be decoded alone."""
    schema = data.draw(schemas())
    bodies = [avro(schema, v) for v in data.draw(st.lists(events(schema), min_size=1, max_size=6))]
    decoder = decoder_of(schema)
    columns = decoder.decode([Record(framed(b), i) for i, b in enumerate(bodies)])
    parsed = fastavro.parse_schema(schema)
    read = [fastavro.schemaless_reader(io.BytesIO(b), parsed) for b in bodies]
    assert columns.rejected == []
    assert decoder.decoded_alone == 0
    assert columns.fields == expected(decoder, read)
    assert columns.time_ms.tolist() == [v["ts"] for v in read]
    assert [type(v) for column in columns.fields for v in column] == [
        type(v) for column in expected(decoder, read) for v in column]


def strictly(node: Any, body: bytes) -> Any:
    try:
        return decode_row(node, body)
    except Undecodable:
        return Undecodable


@quick
@given(st.data())
def test_corrupted_records_are_rejected_exactly_when_a_strict_decoder_rejects_them(data: st.DataObject) -> None:
    """Accepted with equal values or rejected as the strict decoder does, and neighbours always pass."""
    schema = data.draw(schemas())
    good = [avro(schema, v) for v in data.draw(st.lists(events(schema), min_size=1, max_size=4))]
    bodies = []
    for body in good:
        bodies += [body, corrupted(data.draw, body)]
    decoder = decoder_of(schema)
    node = read_schema(schema)
    strict = [strictly(node, b) for b in bodies]
    columns = decoder.decode([Record(framed(b), i) for i, b in enumerate(bodies)])
    undecodable = {r.offset for r in columns.rejected if r.reason == "undecodable"}
    assert undecodable == {i for i, v in enumerate(strict) if v is Undecodable}
    assert not any(r.offset % 2 == 0 for r in columns.rejected)
    rejected = {r.offset for r in columns.rejected}
    assert columns.offset.tolist() == [i for i in range(len(bodies)) if i not in rejected]
    seen = [v for i, v in enumerate(strict) if i not in rejected and v["event"] == "seen"]
    assert columns.fields == expected(decoder, seen)


@quick
@given(st.data())
def test_the_strict_decoder_accepts_nothing_that_fastavro_does_not(data: st.DataObject) -> None:
    """What it accepts, fastavro reads equally; what fastavro reads and writes back equally, it accepts."""
    schema = data.draw(schemas())
    body = corrupted(data.draw, avro(schema, data.draw(events(schema))))
    ours = strictly(read_schema(schema), body)
    parsed = fastavro.parse_schema(schema)
    stream = io.BytesIO(body)
    try:
        theirs = fastavro.schemaless_reader(stream, parsed)
    except (EOFError, IndexError, ValueError, OverflowError, MemoryError, StopIteration, struct.error):
        assert ours is Undecodable
        return
    if ours is not Undecodable:
        assert repr(ours) == repr(theirs)
        return
    try:
        again = avro(schema, theirs)
    except Exception:  # noqa: BLE001  what fastavro read is not of the schema: an int of 64 bits
        return
    assert again != body


SIMPLE = event_schema([{"name": "price", "type": ["null", "double"]}, {"name": "name", "type": ["null", "string"]}])
GOOD = avro(SIMPLE, {"event": "seen", "price": 1.5, "name": "ü", "ts": NOW_MS})


def test_rows_that_no_rule_reads_move_time_and_make_no_values() -> None:
    """An irrelevant event has a time and no person, no values."""
    other = avro(SIMPLE, {"event": "seen!", "price": 2.0, "name": "n", "ts": NOW_MS + 1})
    columns = decoder_of(SIMPLE).decode([Record(framed(other), 0), Record(framed(GOOD), 1)])
    assert columns.kind.tolist() == [-1, 0]
    assert columns.time_ms.tolist() == [NOW_MS + 1, NOW_MS]
    assert columns.fields == [[1.5], ["ü"]]


def test_event_names_that_share_words_are_told_apart() -> None:
    """Names alike in their first sixteen bytes, prefixes of each other, or empty get their own kinds."""
    kinds = {"Product Added": 0, "Product Added to Wishlist": 1, "Product Added to Wishlists": 2, "Prod": 3, "é": 4}
    names = [*kinds, "Product", "", "Product Added to Wishlist!?", "Product Addee", "e\u0301"]
    bodies = [avro(SIMPLE, {"event": n, "price": None, "name": None, "ts": NOW_MS}) for n in names]
    columns = decoder_of(SIMPLE, kinds).decode([Record(framed(b), i) for i, b in enumerate(bodies)])
    assert columns.kind.tolist() == [0, 1, 2, 3, 4, -1, -1, -1, -1, -1]


def test_one_partition_may_mix_schemas() -> None:
    """Older writers lack a field, which takes the reader's default, or write ints where others write doubles."""
    older = {"type": "record", "name": "Event", "fields": [
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "price", "type": "int"},
        {"name": "event", "type": {"type": "enum", "name": "K", "symbols": ["none", "seen"]}}]}
    reader = event_schema([{"name": "price", "type": ["null", "double"]},
                           {"name": "shop", "type": "string", "default": "main"}])
    source = source_of(reader)
    decoder = ColumnDecoder(0, source, SourceInputs(0, {"seen": 5}, tuple(source.fields.values())),
                            {70_000: reader, 200: older})
    new = avro(reader, {"event": "seen", "price": 2.5, "shop": "øst", "ts": NOW_MS})
    old = avro({**older, "fields": [{"name": "ts", "type": "long"}, *older["fields"][1:]]},
               {"ts": NOW_MS * 1000 + 999, "price": 3, "event": "seen"})
    columns = decoder.decode([Record(framed(b, i), at) for at, (b, i) in enumerate(
        [(new, 70_000), (old, 200), (new, 70_000), (old, 200)])])
    assert columns.rejected == []
    assert columns.fields == [[2.5, 3, 2.5, 3], ["øst", "main", "øst", "main"]]
    assert columns.time_ms.tolist() == [NOW_MS] * 4
    assert columns.kind.tolist() == [5] * 4


def test_an_array_longer_than_the_columns_take_is_decoded_alone() -> None:
    """A record with 1,000 items between small ones gives its values, in both sized and unsized blocks."""
    items = {"type": "array", "items": "string"}
    schema = event_schema([{"name": "items", "type": items}, {"name": "n", "type": "int"}])
    decoder = decoder_of(schema)
    sizes = (1, 1000, 2, 0)
    bodies = [avro(schema, {"event": "seen", "items": ["ü"] * n, "n": n, "ts": NOW_MS}) for n in sizes]
    sized = b"\x08seen" + avro("long", -1) + avro("long", 2) + b"\x02x\x00" + avro("int", 9) + avro("long", NOW_MS)
    columns = decoder.decode([Record(framed(b), i) for i, b in enumerate([*bodies, sized])])
    assert columns.rejected == []
    assert decoder.decoded_alone == 1
    assert columns.fields == [[1, 1000, 2, 0, 9]]


def test_a_record_decoded_alone_may_count_microseconds() -> None:
    """Its time is divided as its neighbours' are."""
    schema = event_schema([{"name": "items", "type": {"type": "array", "items": "string"}}])
    micros = {**schema, "fields": [*schema["fields"][:-1],
                                   {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}
    bodies = [avro(schema, {"event": "seen", "items": ["x"] * n, "ts": NOW_MS * 1000 + 7}) for n in (1, 1000, 1)]
    decoder = decoder_of(micros)
    columns = decoder.decode([Record(framed(b), i) for i, b in enumerate(bodies)])
    assert (columns.rejected, decoder.decoded_alone, columns.time_ms.tolist()) == ([], 1, [NOW_MS] * 3)


def test_an_array_that_claims_a_billion_items_is_rejected_at_once() -> None:
    """The count is checked against the bytes there are, in the columns and alone."""
    schema = event_schema([{"name": "items", "type": {"type": "array", "items": "string"}}])
    columns = decoder_of(schema).decode([Record(framed(b"\x08seen" + avro("long", 10**9) + b"\x00"), 0)])
    assert "1000000000 items are claimed" in columns.rejected[0].detail


def deep(levels: int) -> Any:
    return "string" if levels == 0 else {"type": "array", "items": deep(levels - 1)}


def chain(records: int, times: int) -> Any:
    """Records, each of which names the one before it so many times."""
    made = [{"type": "record", "name": f"R{i}", "fields": [
        {"name": f"f{j}", "type": f"R{i - 1}" if i else "int"} for j in range(times)]} for i in range(records)]
    return {"type": "record", "name": "All", "fields": [{"name": r["name"].lower(), "type": r} for r in made]}


UNSAFE = [
    ({"type": "array", "items": "null"}, "no bytes"),
    ({"type": "array", "items": {"type": "fixed", "name": "Z", "size": 0}}, "no bytes"),
    ({"type": "record", "name": "Event2", "fields": [{"name": "next", "type": ["null", "Event2"]}]}, "recursive"),
    ({"type": "record", "name": "A", "fields": [{"name": "e", "type": ["null", "Event"]}]}, "recursive"),
    (deep(17), "deeper"),
    ("Unheard", "unknown type"),
    ({"type": "fixed", "name": "N", "size": -8}, "-8 bytes"),
    ({"type": "fixed", "name": "N", "size": 1 << 80}, "1208925"),
    ({"type": "record", "name": "N"}, "malformed"),
    ({"type": "enum", "name": "N", "symbols": 5}, "malformed"),
    ({"type": "record", "name": "N", "fields": ["x"]}, "malformed"),
    (chain(40, 1), "deeper"),
    (chain(12, 2), "2,000 fields"),
]


@pytest.mark.parametrize(("type_", "says"), UNSAFE)
def test_a_schema_that_could_kill_a_worker_is_refused(type_: Any, says: str) -> None:
    """Recursion, depth and items without bytes are refused before any byte is decoded."""
    with pytest.raises(ContractError, match=says):
        read_schema(event_schema([{"name": "f", "type": type_}]))


def test_a_writers_schema_without_the_time_is_refused() -> None:
    """The declaration names fields that every writer must have."""
    schema = {"type": "record", "name": "Event", "fields": [{"name": "event", "type": "string"}]}
    with pytest.raises(ContractError, match="lacks the field 'ts'"):
        ColumnDecoder(0, source_of(SIMPLE), SourceInputs(0, {}, ()), {1: schema})


def test_a_field_renamed_is_found_by_the_readers_alias() -> None:
    """In columns and alone; a name that the reader uses otherwise is no alias."""
    items = {"type": "array", "items": "string"}
    reader = event_schema([{"name": "items", "type": items}, {"name": "price", "type": "double", "aliases": ["cost", "sum"]},
                           {"name": "sum", "type": ["null", "double"], "default": None}])
    writer = event_schema([{"name": "items", "type": items}, {"name": "sum", "type": "double"},
                           {"name": "cost", "type": "double"}])
    source = source_of(reader)
    decoder = ColumnDecoder(0, source, SourceInputs(0, {"seen": 0}, tuple(source.fields.values())), {1: writer})
    bodies = [avro(writer, {"event": "seen", "items": ["x"] * n, "sum": 9.0, "cost": 1.5, "ts": NOW_MS}) for n in (1, 1000)]
    columns = decoder.decode([Record(framed(b), i) for i, b in enumerate(bodies)])
    assert (columns.rejected, decoder.decoded_alone) == ([], 1)
    assert dict(zip((f.name for f in decoder.inputs.fields), columns.fields, strict=True)) == {
        "price": [1.5, 1.5], "sum": [9.0, 9.0]}


@pytest.mark.parametrize(("name", "type_", "value"), [
    ("price", "string", "cheap"), ("price", ["null", "double", "boolean"], True), ("shop", "long", 7), ("ts", "double", 1.5),
    ("event", "int", 7)])
def test_a_value_of_another_type_where_rules_read_is_refused(name: str, type_: Any, value: Any) -> None:
    """A string where rules compare numbers never reaches a rule; of other fields the type is free."""
    good = {"event": "seen", "price": 1.5, "shop": "main", "other": "x", "ts": NOW_MS}
    reader = event_schema([{"name": n, "type": "double" if n == "price" else "string"} for n in ("price", "shop", "other")])
    source = source_of(reader)
    inputs = SourceInputs(0, {"seen": 0}, tuple(f for n, f in source.fields.items() if n != "other"))

    def rejected(written: str, as_: Any, what: Any) -> list[str]:
        writer = {**reader, "fields": [{**f, "type": as_ if f["name"] == written else f["type"]} for f in reader["fields"]]}
        decoder = ColumnDecoder(0, source, inputs, {1: writer})
        found = decoder.decode([Record(framed(avro(writer, {**good, written: what})), 0)]).rejected
        assert all(f"in {written!r}" in r.detail or f"{written!r} holds" in r.detail for r in found)
        return [r.reason for r in found]

    assert rejected(name, type_, value) == ["incompatible_schema"]
    assert rejected("other", "long", 7) == []


def test_a_schema_learnt_later_decodes_as_one_known_from_the_start() -> None:
    """Unknown ids are told before anything is decoded; refused ones are dead letters with what was said of them."""
    kind = {"type": "enum", "name": "K", "symbols": ["none", "seen"]}
    fields = [{"name": "price", "type": "int"}, {"name": "name", "type": "string"}]
    writer = event_schema(fields, kind)
    decoder = decoder_of(SIMPLE)
    old = avro(event_schema(fields), {"event": "seen", "price": 3, "name": "x", "ts": NOW_MS})
    new = avro(writer, {"event": "seen", "price": 4, "name": "x", "ts": NOW_MS})
    messages = [Record(framed(b, i), at) for at, (b, i) in enumerate([(GOOD, 1), (new, 8), (old, 9), (GOOD, 1)])]
    with pytest.raises(UnknownSchemas) as unknown:
        decoder.decode(messages, {})
    assert unknown.value.ids == {8, 9}
    decoder.learn(8, writer)
    columns = decoder.decode(messages, {9: ("wrong_subject", "It is of another topic.")})
    assert [(r.offset, r.reason, r.detail) for r in columns.rejected] == [(2, "wrong_subject", "It is of another topic.")]
    assert columns.fields[0] == [1.5, 4, 1.5]
    assert columns.kind.tolist() == [0, 0, 0]


def test_the_examples_of_the_contracts_are_taken_or_rejected_as_they_say() -> None:
    """Every invalid example meets its stated reason; every valid one, encoded, is taken."""
    from segue_agents.codecs.segment_json import encode_event

    catalog = Catalog.from_declarations(segue_schemas.load_declarations())
    ids = segue_schemas.schema_ids()
    for index, source in enumerate(catalog.sources):
        schema_id = ids[segue_schemas.full_name(source.schema)]
        inputs = SourceInputs(index, {raw: i for i, raw in enumerate(source.events)}, tuple(source.fields.values()))
        decoder = ColumnDecoder(index, source, inputs, {schema_id: source.schema})
        for example in segue_schemas.examples(source.name):
            if example.valid:
                key, value = encode_event(source, schema_id, example.event)
            else:
                plain = read_plain(source.schema)
                value = framed(avro(plain, example.event), schema_id) if example.raw is None else example.raw
                key = None if example.key is None else example.key.encode()
            columns = decoder.decode([Record(value, 0, key)])
            reasons = [r.reason for r in columns.rejected]
            assert reasons == ([] if example.valid else [example.reason]), (example.name, columns.rejected)
            assert not example.valid or columns.kind.tolist() != [-1], example.name


def test_a_long_key_is_compared_within_the_buffer_when_the_last_record_overran() -> None:
    """All rows are compared with the batch's longest key, the one as well whose fields lie behind the end of it all."""
    schema = event_schema([{"name": "user_id", "type": "string"}])
    source = dataclasses.replace(source_of(schema), person=("user_id",))
    decoder = ColumnDecoder(0, source, SourceInputs(0, {"seen": 0}, ()), {1: schema})
    name = "n" * KEY_WORD_BYTES
    whole = avro(schema, {"event": "seen", "user_id": name, "ts": NOW_MS})
    columns = decoder.decode([Record(framed(whole), 0, name.encode()), Record(framed(b""), 1)])
    assert [(r.offset, r.reason) for r in columns.rejected] == [(1, "undecodable")]
    assert columns.person == [name.encode()]


def read_plain(schema: Any) -> Any:
    from segue_agents.codecs.segment_json import without_logical

    return without_logical(schema)


# --- ids, where a source deduplicates


def told_once(schema: dict[str, Any], kinds: dict[str, int] | None = None) -> ColumnDecoder:
    source = dataclasses.replace(source_of(schema), id="id", deduplicate_ms=86_400_000)
    fields = tuple(f for name, f in source.fields.items() if name != "id")
    return ColumnDecoder(0, source, SourceInputs(0, {"seen": 0} if kinds is None else kinds, fields), {1: schema})


@pytest.mark.parametrize(("type_", "ids"), [
    ("string", ["a", "b", "a"]), (["null", "string"], ["a", "b", "a"]), ("long", [7, 8, 7]), (["null", "int"], [7, 0, 7]),
    ({"type": "string", "logicalType": "uuid"}, ["a", "b", "a"]),
])
def test_equal_ids_and_bodies_are_known_again(type_: Any, ids: list[Any]) -> None:
    """Eight bytes for the id, eight for the value, of the rows that rules read; beside the values as ever."""
    schema = event_schema([{"name": "price", "type": "double"}, {"name": "id", "type": type_}])
    values = [{"event": "seen", "price": 1.5, "id": id_, "ts": NOW_MS} for id_ in ids]
    values.insert(1, values[0] | {"event": "no rule's"})
    columns = told_once(schema).decode([Record(framed(avro(schema, v)), i) for i, v in enumerate(values)])
    assert columns.ids is not None
    assert columns.bodies is not None
    assert (columns.fields, columns.rejected) == ([[1.5] * 3], [])
    assert columns.ids == [digest(str(id_).encode()) for id_ in ids]
    assert columns.bodies == [digest(framed(avro(schema, values[i]))) for i in (0, 2, 3)]


@pytest.mark.parametrize(("id_", "reason", "says"), [
    (None, "no_id", "is missing"), ("", "no_id", "is empty"), ("x" * (STRING_BYTES + 1), "too_large", "'id'"),
])
def test_a_record_without_an_id_is_rejected(id_: str | None, reason: str, says: str) -> None:
    """Its neighbours pass; an event that no rule reads needs none."""
    schema = event_schema([{"name": "id", "type": ["null", "string"]}])
    bodies = [avro(schema, {"event": e, "id": i, "ts": NOW_MS})
              for e, i in (("seen", "a"), ("seen", id_), ("other", None), ("seen", "b"))]
    columns = told_once(schema).decode([Record(framed(b), i) for i, b in enumerate(bodies)])
    (rejected,) = columns.rejected
    assert (rejected.offset, rejected.reason) == (1, reason)
    assert says in rejected.detail
    assert columns.ids == [digest(b"a"), digest(b"b")]
    assert columns.kind.tolist() == [0, -1, 0]


def test_a_writers_schema_without_the_id_gives_none() -> None:
    """Then every record that a rule reads is rejected; one whose reader has a default has that."""
    schema = event_schema([{"name": "id", "type": ["null", "string"], "default": None}])
    old = event_schema([])
    source = dataclasses.replace(source_of(schema), id="id", deduplicate_ms=86_400_000)
    decoder = ColumnDecoder(0, source, SourceInputs(0, {"seen": 0}, ()), {1: old})
    columns = decoder.decode([Record(framed(avro(old, {"event": "seen", "ts": NOW_MS})), 0)])
    assert [r.reason for r in columns.rejected] == ["no_id"]
    assert columns.ids == []


def test_an_id_that_rules_read_is_read_once() -> None:
    """The same column serves both."""
    schema = event_schema([{"name": "id", "type": "string"}])
    source = dataclasses.replace(source_of(schema), id="id", deduplicate_ms=86_400_000)
    decoder = ColumnDecoder(0, source, SourceInputs(0, {"seen": 0}, tuple(source.fields.values())), {1: schema})
    columns = decoder.decode([Record(framed(avro(schema, {"event": "seen", "id": "a", "ts": NOW_MS})), 0)])
    assert (columns.fields, columns.ids) == ([["a"]], [digest(b"a")])


def test_without_deduplicate_the_id_is_not_read() -> None:
    """The generated reader and the columns are what they were."""
    schema = event_schema([{"name": "id", "type": "string"}])
    source = dataclasses.replace(source_of(schema), id="id")
    plain, ours = (ColumnDecoder(0, s, SourceInputs(0, {"seen": 0}, ()), {1: schema})
                   for s in (dataclasses.replace(source, id=None), source))
    assert ours.code(1) == plain.code(1)
    columns = ours.decode([Record(framed(avro(schema, {"event": "seen", "id": "", "ts": NOW_MS})), 0)])
    assert (columns.ids, columns.bodies, columns.rejected) == (None, None, [])
