"""Bad inputs at the decode door and their answers: one table, to be extended by a line.

A row says what is thrown (the record's key and value, as they come from Kafka) and the reason it must be put aside with,
or PASSES. `says` is a part of the detail. Each is thrown with a good neighbour before and behind it that must pass
untouched (test_doors.py). Numbers are those of the list of bad inputs that the project keeps; rows of one number are
readings of one input. Not here, because no decoder can answer them: 16 (a bomb in gzip: fetch sizes, `settings`), 25-28
(the registry), 46 (local times: `calendars`; an event's time is an instant), 47-49 (late and doubled events).
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from tests.agents.codecs.records import NOW_MS, avro, framed

from segue.catalog import Catalog
from segue.limits import EVENT_BYTES, EVENT_VALUES, MAX_FUTURE_MS, STRING_BYTES

PASSES: Final = "passes"

READER: Final[dict[str, Any]] = {"type": "record", "name": "Event", "namespace": "doors", "fields": [
    {"name": "event", "type": "string"},
    {"name": "user_id", "type": ["null", "string"], "default": None, "aliases": ["customer"]},
    {"name": "anonymous_id", "type": ["null", "string"], "default": None},
    {"name": "price", "type": ["null", "double"], "default": None, "aliases": ["amount"]},
    {"name": "name", "type": ["null", "string"], "default": None},
    {"name": "shop", "type": "string", "default": "main"},
    {"name": "quantity", "type": "int"},
    {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["red", "blue"]}, "default": "red"},
    {"name": "paid", "type": "boolean", "default": False},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {"name": "counts", "type": {"type": "map", "values": "int"}, "default": {}},
    {"name": "ts", "type": "long"}]}
"""the source's own schema; `tags` and `counts` are read by no rule"""
SOURCE: Final = Catalog.from_declarations([{
    "source": "doors", "topic": "t", "schema": READER, "person": "user_id or anonymous_id", "event": "event", "time": "ts",
    "order": 1, "events": ["seen"]}]).sources[0]
GOOD: Final = {"event": "seen", "user_id": "ann", "anonymous_id": None, "price": 1.5, "name": "ü", "shop": "øst",
               "quantity": 1, "colour": "blue", "paid": True, "tags": ["a"], "counts": {"a": 1}, "ts": NOW_MS}


def writer(*changes: tuple[str, Any], drop: tuple[str, ...] = ()) -> dict[str, Any]:
    """READER with other types, (name, type), of fields that may be new, and without some."""
    fields = {f["name"]: {"name": f["name"], "type": f["type"]} for f in READER["fields"] if f["name"] not in drop}
    fields |= {name: {"name": name, "type": type_} for name, type_ in changes}
    return {**READER, "fields": list(fields.values())}


RECURSIVE: Final = writer(("more", ["null", "doors.Event"]))
WRITERS: Final[dict[int, dict[str, Any]]] = {
    1: READER,
    2: writer(("price", "string")),
    3: writer(drop=("shop", "tags")),
    4: writer(("customer", "string"), ("amount", "int"), drop=("user_id", "price")),
    5: writer(drop=("quantity",)),
    6: writer(("price", ["null", "string", "long"]), ("name", "bytes"), ("colour", "string")),
    7: writer(("quantity", "long")),
    8: writer(("ts", {"type": "long", "logicalType": "timestamp-micros"})),
    9: writer(drop=("ts",)),
    10: RECURSIVE,
    11: writer(("tags", {"type": "array", "items": "null"})),
    12: writer(("ts", "string")),
    13: writer(("more", {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": "int"}}})),
    14: writer(("event", "long")),
    15: writer(("ts", {"type": "long", "logicalType": "timestamp-nanos"})),
    16: writer(("ts", ["null", "long"])),
}
"""schema id: what a writer wrote with. 9 to 11 are refused when they are learnt"""
REFUSED: Final = {9: "lacks the field 'ts'", 10: "recursive", 11: "no bytes"}


class Door(NamedTuple):
    """One row."""

    number: int
    thrown: str
    value: bytes | None
    answer: str
    says: str = ""
    key: bytes | None = b"ann"


def body(schema: int = 1, /, **changed: Any) -> bytes:
    """A good record but for some fields, as the writer of this schema writes it."""
    return framed(avro(WRITERS[schema], {**GOOD, **changed}), schema)


def with_bytes(name: str, raw: bytes) -> bytes:
    """A good record with these bytes where the field's value should stand."""
    fields = [raw if f["name"] == name else avro(_type(f), GOOD[f["name"]]) for f in READER["fields"]]
    return framed(b"".join(fields))


def _type(field: dict[str, Any]) -> Any:
    return field["type"]


def text(raw: bytes) -> bytes:
    """Bytes as the value of a nullable string."""
    return b"\x02" + avro("bytes", raw)


def number(value: float) -> bytes:
    return b"\x02" + struct.pack("<d", value)


WHOLE: Final = body()
MANY: Final = avro("long", 120_000) + b"\x00\x00" * 120_000 + b"\x00"
SIXTY: Final = avro("long", 60) + b"\x02" * 60 + b"\x00"
DEEP: Final = avro("long", 50) + (avro("long", 50) + SIXTY * 50 + b"\x00") * 50 + b"\x00"

DOORS: Final = [
    Door(1, "no value at all", None, "undecodable", "no value"),
    Door(1, "an empty value", b"", "undecodable", "empty"),
    Door(2, "a first byte that is not 0", b"\x01" + WHOLE[1:], "undecodable", "first byte is 1"),
    Door(2, "JSON", b'{"event": "seen"}', "undecodable", "first byte is 123"),
    Door(3, "four bytes", WHOLE[:4], "undecodable", "4 bytes"),
    Door(4, "a header without a body", WHOLE[:5], "undecodable", "event"),
    Door(5, "a body cut short", WHOLE[:-1], "undecodable", "ts"),
    Door(6, "bytes left over", WHOLE + b"\x00", "undecodable", "1 bytes are left over"),
    Door(7, "a number without end", with_bytes("quantity", b"\xff" * 12), "undecodable", "quantity: a number of more"),
    Door(7, "an int of 33 bits", with_bytes("quantity", avro("long", 1 << 32)), "undecodable", "more than 32 bits"),
    Door(8, "a string of -1 bytes", with_bytes("shop", b"\x01"), "undecodable", "shop: -1 bytes are claimed"),
    Door(9, "a string of 2^31 bytes with three", with_bytes("shop", avro("long", 1 << 31) + b"abc"), "undecodable",
         "2147483648 bytes are claimed"),
    Door(10, "symbol -1 of an enum", with_bytes("colour", b"\x01"), "undecodable", "symbol -1 of 2"),
    Door(11, "symbol n of an enum", with_bytes("colour", b"\x04"), "undecodable", "symbol 2 of 2"),
    Door(12, "branch -1 of a union", with_bytes("name", b"\x01"), "undecodable", "branch -1 of 2"),
    Door(12, "branch 2 of two", with_bytes("name", b"\x04"), "undecodable", "branch 2 of 2"),
    Door(12, "a boolean of 2", with_bytes("paid", b"\x02"), "undecodable", "boolean of 2"),
    Door(13, "an array of 10^9 strings in few bytes", with_bytes("tags", avro("long", 10**9)), "undecodable",
         "1000000000 items are claimed"),
    Door(13, "an array of nulls: the schema is refused", framed(b"", 11), "incompatible_schema", "no bytes"),
    Door(14, "a map of many keys", with_bytes("counts", MANY), "too_large", f"more than {EVENT_VALUES} values"),
    Door(14, "an array of many items", with_bytes("tags", avro("long", 60_000) + b"\x00" * 60_000 + b"\x00"), "too_large",
         f"more than {EVENT_VALUES} values"),
    Door(14, "arrays in arrays in arrays", body(13, more=[]).removesuffix(b"\x00") + DEEP, "too_large",
         f"more than {EVENT_VALUES} values"),
    Door(14, "arrays in arrays in arrays, but few", body(13, more=[[[1]] * 30] * 30), PASSES),
    Door(14, "1,000 items", body(tags=["x"] * 1000), PASSES),
    Door(15, "recursion: the schema is refused", framed(b"\x00" * 5000, 10), "incompatible_schema", "recursive"),
    Door(17, "a string that is not UTF-8", with_bytes("name", text(b"\xff")), "undecodable", "UTF-8"),
    Door(17, "the same where no rule reads", with_bytes("tags", b"\x02\x02\xff\x00"), "undecodable", "UTF-8"),
    Door(18, "half a character", with_bytes("name", text(b"\xed\xa0\x80")), "undecodable", "UTF-8"),
    Door(19, "a zero byte in a string is a character", body(name="a\0b"), PASSES),
    Door(20, "a string of 10 MB", body(name="x" * 10_000_000), "too_large", "event has 10000"),
    Door(20, "a string beyond its limit", body(name="x" * (STRING_BYTES + 1)), "too_large", "string in 'name'"),
    Door(20, "the longest string", body(name="x" * STRING_BYTES), PASSES),
    Door(21, "NaN", with_bytes("price", number(float("nan"))), "not_finite", "'price'"),
    Door(22, "infinity", with_bytes("price", number(float("inf"))), "not_finite", "'price'"),
    Door(22, "less than all numbers", with_bytes("price", number(float("-inf"))), "not_finite", "'price'"),
    Door(23, "minus zero is zero", body(price=-0.0), PASSES),
    Door(24, "a number of which two have no sum", body(price=1e308), "too_large", "'price' is beyond 1e+300"),
    Door(24, "the same below zero, decoded alone", body(price=-1e308, tags=["x"] * 1000), "too_large", "'price' is beyond"),
    Door(24, "the largest number", body(price=-1e300), PASSES),
    Door(25, "an unknown schema id", framed(b"\x00", 99), "unknown_schema", "id 99"),
    Door(29, "a price in words", body(2, price="cheap"), "incompatible_schema", "'price' holds a string"),
    Door(29, "a union's branch that does not fit", body(6, price="cheap", name=b"n"), "incompatible_schema",
         "'price' holds a string"),
    Door(29, "a union's branch that does", body(6, price=3, name="ü".encode(), colour="green"), PASSES),
    Door(29, "a long where an int is read", body(7), "incompatible_schema", "'quantity' holds a long"),
    Door(29, "a field without default left out", body(5), "incompatible_schema", "'quantity' is not written"),
    Door(29, "a schema without the time", framed(b"", 9), "incompatible_schema", "lacks the field 'ts'"),
    Door(29, "a time in words", body(12, ts="2026-01-01"), "incompatible_schema", "'ts' holds a string"),
    Door(29, "an event that is a number", body(14, event=5), "incompatible_schema", "'event' holds a long"),
    Door(29, "bytes that are read as text and are none", body(6, price=3, name=b"\xff"), "undecodable", "UTF-8"),
    Door(30, "a newer field with a default", body(3), PASSES),
    Door(31, "fields by their former names", body(4, customer="ann", amount=3), PASSES),
    Door(32, "no key", WHOLE, "no_person", "no key", key=None),
    Door(33, "an empty key", WHOLE, "no_person", "empty", key=b""),
    Door(34, "a key of 1 MB", WHOLE, "too_large", "key has 1000000 bytes", key=b"k" * 1_000_000),
    Door(34, "a key that is not UTF-8", WHOLE, "no_person", "not UTF-8", key=b"\xff"),
    Door(34, "a zero byte in a key", WHOLE, "no_person", "zero byte", key=b"ann\0"),
    Door(35, "a key that is not the body's person", WHOLE, "key_mismatch", "'user_id' or 'anonymous_id'", key=b"bob"),
    Door(35, "the same, of another length", WHOLE, "key_mismatch", "key is not the person", key=b"anna"),
    Door(35, "the second field when the first is set", body(anonymous_id="a1"), "key_mismatch", "", key=b"a1"),
    Door(35, "the second field when the first is not", body(user_id=None, anonymous_id="ann"), PASSES),
    Door(35, "the same for an empty first", body(user_id="", anonymous_id="ann"), PASSES),
    Door(35, "the second field is somebody else", body(user_id=None, anonymous_id="a1"), "key_mismatch"),
    Door(35, "a body that names nobody", body(user_id=None), PASSES),
    Door(35, "a record no rule reads", body(event="other"), PASSES, key=b"bob"),
    Door(35, "decoded alone", body(tags=["x"] * 1000), "key_mismatch", key=b"bob"),
    Door(35, "a long id", body(user_id="i" * 100 + "a"), "key_mismatch", key=b"i" * 100 + b"b"),
    Door(35, "a person in another writer's words", body(4, customer="bob", amount=3), "key_mismatch"),
    Door(36, "a key in capitals is somebody else", body(user_id="ANN"), PASSES, key=b"ANN"),
    Door(36, "so the body must have them too", WHOLE, "key_mismatch", key=b"Ann"),
    Door(37, "one letter or two that look like one are two persons", body(user_id="e\u0301"), "key_mismatch",
         key="é".encode()),
    Door(38, "a space is a character", body(user_id="ann "), "key_mismatch"),
    Door(39, "time 0", body(ts=0), "no_time", "is 0"),
    Door(39, "no time", body(16, ts=None), "incompatible_schema", "'ts' holds a null"),
    Door(40, "time -1", body(ts=-1), "no_time", "is -1"),
    Door(40, "the least time there is", body(ts=-(1 << 63)), "no_time", "is -"),
    Door(41, "seconds", body(ts=NOW_MS // 1000), "time_unit", "seconds"),
    Door(42, "microseconds", body(ts=NOW_MS * 1000), "time_unit", "micro"),
    Door(42, "nanoseconds", body(ts=NOW_MS * 1_000_000), "time_unit", "micro"),
    Door(42, "microseconds that the schema tells of", body(8, ts=NOW_MS * 1000), PASSES),
    Door(42, "the same decoded alone", body(8, ts=NOW_MS * 1000, tags=["x"] * 1000), PASSES),
    Door(42, "nanoseconds that the schema tells of", body(15, ts=NOW_MS * 1_000_000), PASSES),
    Door(43, "five minutes and a millisecond ahead", body(ts=NOW_MS + 2 + MAX_FUTURE_MS), "in_the_future"),
    Door(43, "five minutes ahead", body(ts=NOW_MS + 1 + MAX_FUTURE_MS), PASSES),
    Door(44, "the year 2099", body(ts=4_070_908_800_000), "in_the_future"),
    Door(45, "time 2^62", body(ts=1 << 62), "time_unit"),
    Door(45, "the largest time there is", body(ts=(1 << 63) - 1), "time_unit"),
    Door(50, "an event without an id passes, unless the source deduplicates", body(), PASSES),
    Door(51, "an event that no rule names", body(event="never heard of"), PASSES),
    Door(52, "an event name with a slash, a line break, nothing", body(event="a/b\n\0"), PASSES),
    Door(52, "an empty event name", body(event=""), PASSES),
    Door(20, "the longest event that is allowed and one byte", b"\0" * (EVENT_BYTES + 1), "too_large", "are allowed"),
]
