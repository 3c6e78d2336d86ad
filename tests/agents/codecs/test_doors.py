"""The table of bad inputs, thrown at the real decoder and merger; and that nothing thrown at them can do harm."""

from __future__ import annotations

import re
import time
import tracemalloc
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.agents.codecs.doors import DOORS, GOOD, PASSES, READER, REFUSED, SOURCE, WHOLE, WRITERS, Door, body
from tests.agents.codecs.records import Record, avro, corrupted, framed

from segue.catalog import Catalog
from segue.engine.merge import Merger
from segue.errors import ContractError
from segue.plan import SourceInputs
from segue.records import Batch, Rejected, RejectReason
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.codecs.nodes import read_schema

quick = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
READ = ("price", "name", "shop", "quantity", "colour", "paid")
"""fields that rules read"""
PLAIN = [1.5, "ü", "øst", 1, "blue", True]
"""what they are in GOOD"""


def decoder() -> ColumnDecoder:
    """One that has met all writers."""
    made = ColumnDecoder(0, SOURCE, SourceInputs(0, {"seen": 0}, tuple(SOURCE.fields[n] for n in READ)), {1: READER})
    for schema_id, schema in WRITERS.items():
        if schema_id in REFUSED:
            with pytest.raises(ContractError, match=REFUSED[schema_id]):
                made.learn(schema_id, schema)
        else:
            made.learn(schema_id, schema)
    return made


DECODER = decoder()


def through(*thrown: tuple[bytes | None, bytes | None]) -> Batch:
    """(value, key) of records in offset order, decoded and merged."""
    merger = Merger(Catalog((SOURCE,)), 0)
    merger.feed(0, DECODER.decode([Record(value, i, key) for i, (value, key) in enumerate(thrown)]))
    merger.at_end(0)
    batch = merger.take(1000)
    assert batch is not None
    return batch


def rows(batch: Batch) -> dict[int, list[Any]]:
    """offset -> the values rules read."""
    return {offset: [column[i] for column in batch.slots] for i, offset in enumerate(batch.offset)}


def neighboured(door: Door) -> tuple[Batch, list[Rejected], float]:
    began = time.process_time()
    batch = through((WHOLE, b"ann"), (door.value, door.key), (WHOLE, b"ann"))
    return batch, batch.rejected, time.process_time() - began


@pytest.mark.parametrize("door", DOORS, ids=[f"{d.number} {d.thrown}" for d in DOORS])
def test_a_bad_input_gets_its_answer_and_its_neighbours_pass(door: Door) -> None:
    """The table; and none takes longer than a second."""
    batch, rejected, seconds = neighboured(door)
    assert seconds < 1
    if door.answer == PASSES:
        assert rejected == []
    else:
        assert [(r.offset, r.reason) for r in rejected] == [(1, door.answer)], rejected
        assert door.says in rejected[0].detail
        assert len(rejected[0].detail) < 300
        assert rejected[0].record.body is door.value
    found = rows(batch)
    assert found[0] == found[2] == PLAIN
    assert batch.next_offsets == {0: 3}
    assert batch.consumed == {0: 3}


VALUES = [
    ("minus zero is zero", body(price=-0.0), {"price": 0.0}),
    ("a newer field with a default", body(3), {"shop": "main"}),
    ("fields by their former names", body(4, customer="ann", amount=3), {"price": 3.0}),
    ("bytes and other numbers and words", body(6, price=3, name="ü".encode(), colour="green"),
     {"price": 3.0, "colour": "green"}),
    ("the same decoded alone", body(6, price=3, name="ü".encode(), colour="green", tags=["x"] * 1000),
     {"price": 3.0, "colour": "green"}),
    ("a newer field with a default, decoded alone", body(4, customer="ann", amount=3, tags=["x"] * 1000), {"price": 3.0}),
]


@pytest.mark.parametrize(("what", "value", "changed"), VALUES, ids=[v[0] for v in VALUES])
def test_what_passes_is_read_as_the_source_declares_it(what: str, value: bytes, changed: dict[str, Any]) -> None:
    """Values have the reader's types: an int written for a double is one, and minus zero prints as zero."""
    found = rows(through((value, b"ann")))[0]
    expected = [changed.get(name, plain) for name, plain in zip(READ, PLAIN, strict=True)]
    assert [repr(v) for v in found] == [repr(v) for v in expected], what


def test_details_never_show_the_payload() -> None:
    """What a record holds is a person's: a detail names fields, types, lengths and places only."""
    secret = "Seldom-Seen"
    for value, key in ((body(name=secret)[:-3], b"ann"), (body(name=secret), secret.encode()),
                       (body(2, price=secret), b"ann"), (body(name=secret) + secret.encode(), b"ann"),
                       (body(name=secret, event=secret, ts=5), b"ann"), (secret.encode(), b"ann")):
        rejected = through((value, key)).rejected
        assert len(rejected) == 1
        assert secret not in rejected[0].detail


def test_persons_are_told_apart_by_their_bytes() -> None:
    """Case, composed letters and spaces make other persons, each with a row of their own."""
    names = ["ann", "Ann", "ANN", "ann ", " ann", "é", "e\u0301", "\u212b", "\u00c5", "a\u200bnn"]
    batch = through(*[(body(user_id=name), name.encode()) for name in names])
    assert batch.rejected == []
    assert len(set(batch.person)) == len(names)


def test_every_reason_is_in_the_contracts_and_every_answer_is_a_reason() -> None:
    """docs/contracts.md lists the Literal, no more and no less, in its order."""
    reasons = list(typing.get_args(RejectReason))
    page = (Path(__file__).parents[3] / "docs" / "contracts.md").read_text()
    table = page.split("\n## Dead letters")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == reasons
    assert {d.answer for d in DOORS} <= {*reasons, PASSES}


@quick
@given(st.lists(st.tuples(st.one_of(st.none(), st.binary(max_size=60), st.binary(max_size=60).map(framed)),
                          st.one_of(st.none(), st.binary(max_size=12))), max_size=5))
def test_random_bytes_are_put_aside_and_nothing_else_happens(junk: list[tuple[bytes | None, bytes | None]]) -> None:
    """Whatever it is, it raises nothing, has a reason or is a good record, and good neighbours pass."""
    among(junk)


@quick
@given(st.data())
def test_mutated_records_are_put_aside_and_nothing_else_happens(data: st.DataObject) -> None:
    """The same for records of all writers after some accidents, to the key as well."""
    junk = []
    for _ in range(data.draw(st.integers(1, 4))):
        door = data.draw(st.sampled_from(DOORS).filter(lambda d: d.value and len(d.value) < 5000))
        value, key = door.value or b"", door.key or b""
        junk.append((value[:5] + corrupted(data.draw, value[5:]), data.draw(st.sampled_from([b"ann", key, key + b"\xc3"]))))
    among(junk)


def among(junk: list[tuple[bytes | None, bytes | None]]) -> None:
    thrown = [(WHOLE, b"ann")]
    for one in junk:
        thrown += [one, (WHOLE, b"ann")]
    began = time.process_time()
    batch = through(*thrown)
    assert time.process_time() - began < 2
    assert not any(r.offset % 2 == 0 for r in batch.rejected)
    found = rows(batch)
    assert all(found[offset] == PLAIN for offset in range(0, len(thrown), 2))
    assert batch.consumed == {0: len(thrown)}


def test_twenty_thousand_event_names_leave_nothing_behind() -> None:
    """Names that no rule reads are compared and forgotten: what the decoder holds does not grow with them."""
    def batch(first: int) -> None:
        DECODER.decode([Record(names[first + i], i) for i in range(2_000)])

    schema, rest = READER["fields"][0]["type"], avro(READER, GOOD)[len(avro("string", "seen")):]
    names = [framed(avro(schema, f"event number {i:07d}") + rest) for i in range(20_000)]
    batch(0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for first in range(2_000, 20_000, 2_000):
            batch(first)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


def test_a_batch_of_hostile_arrays_does_not_slow_its_neighbours_down() -> None:
    """Arrays in arrays in arrays, each short: columns give up on them early, and what is too much is put aside."""
    nested = read_schema(WRITERS[13])
    assert nested.depth <= 17
    value = body(13, more=[[[1] * 30] * 30] * 30)
    began = time.process_time()
    batch = through(*[(value, b"ann"), (WHOLE, b"ann")] * 5)
    assert time.process_time() - began < 2
    assert [r.offset for r in batch.rejected] == []
    assert len(batch.offset) == 10
