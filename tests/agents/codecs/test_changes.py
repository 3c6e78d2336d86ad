"""Changes to records and back."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agents.codecs.records import NOW_MS

import segue_schemas
from segue.catalog import Catalog
from segue.engine import change_id
from segue.plan import Plan, compile_plan
from segue.records import Change
from segue.rules.tree import Count, Events, RuleSet, Segment
from segue_agents.codecs import varints
from segue_agents.codecs.changes import ChangeEncoder, change_as_dict, decode_change

CATALOG = Catalog.from_declarations(segue_schemas.load_declarations())


def plan() -> Plan:
    seen = Count(Events(("product_viewed",)), ">=", 5, None, 7 * 86_400_000)
    return compile_plan(RuleSet((
        Segment("behavior_high_intent", version=3, tags=("lifecycle > intent > high", "été 5 %d"), when=seen),
        Segment("engagement_site", when=Count(Events(("page",)), ">=", 1)),
    ), ()), CATALOG)


PLAN = plan()
CHANGE = Change("ü42".encode(), 0, True, NOW_MS, "event", (0, 12_345), 7, None, NOW_MS + 86_400_000,
                {"recent_views": ["p1", "p☀"], "abandoned_cart": []})

text = st.text(max_size=20)
changes = st.builds(
    Change, person=text.map(str.encode), segment=st.integers(0, 1), entered=st.booleans(),
    at_ms=st.integers(1, 1 << 45), cause=st.sampled_from(["event", "timer", "correction"]),
    cause_event=st.none() | st.tuples(st.integers(0, 2), st.integers(0, 1 << 60)), sequence=st.integers(1, 1 << 40),
    revokes=st.none() | text, expires_at_ms=st.none() | st.integers(1, 1 << 45),
    features=st.none() | st.dictionaries(text, st.lists(text, max_size=3), max_size=3),
)


def test_a_change_has_the_contracts_fields() -> None:
    """Names, times in ms, the place of the cause, tags and features."""
    assert change_as_dict(PLAN, CHANGE, NOW_MS + 5, partition=2) == {
        "change_id": change_id(CHANGE, PLAN), "person_id": "ü42", "segment": "behavior_high_intent",
        "segment_version": 3, "change": "entered", "at": NOW_MS, "emitted_at": NOW_MS + 5, "cause": "event",
        "cause_event": "site-events/2/12345", "sequence": 7, "revokes": None, "expires_at": NOW_MS + 86_400_000,
        "tags": ["lifecycle > intent > high", "été 5 %d"],
        "features": {"recent_views": ["p1", "p☀"], "abandoned_cart": []},
    }


@settings(deadline=None, max_examples=100)
@given(st.lists(changes, max_size=4), st.integers(0, 1 << 45), st.none() | st.integers(0, 1000))
def test_every_change_survives_both_formats(some: list[Change], emitted_at_ms: int, partition: int | None) -> None:
    """Encoded many at once and decoded, changes are the same; their bytes are those of fastavro, and of msgspec."""
    avro = list(ChangeEncoder(PLAN, 4).encoded(some, emitted_at_ms, partition))
    json = list(ChangeEncoder(PLAN, 4, "json").encoded(some, emitted_at_ms, partition))
    for change, (key, as_avro, headers), (same_key, as_json, same_headers) in zip(some, avro, json, strict=True):
        wanted = change_as_dict(PLAN, change, emitted_at_ms, partition)
        schema = fastavro.parse_schema(segue_schemas.load_schema("segment_change.v1"))
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, wanted)
        assert (key, as_avro) == (change.person, b"\0\0\0\0\4" + out.getvalue())
        assert (same_key, as_json) == (key, msgspec.json.encode(wanted))
        assert decode_change(as_avro) == decode_change(as_json) == wanted
        for named in (dict(headers), dict(same_headers)):
            assert named["ce_id"] == wanted["change_id"].encode()
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=change.at_ms)
            assert named["ce_time"] == at.strftime("%Y-%m-%dT%H:%M:%S.").encode() + b"%03dZ" % (change.at_ms % 1000)
            assert named["ce_type"] == b"segue.SegmentChange." + wanted["change"].encode()


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 64).flatmap(lambda bits: st.integers(-(1 << bits) // 2, (1 << bits) // 2 - 1)), text)
def test_numbers_and_strings_are_those_of_avro(number: int, word: str) -> None:
    """Of any length, when asked for the first time and when remembered; length by length, as each has its own way."""
    for value, schema, encoders in (
        (number, "long", (varints.long, varints.SMALL.__getitem__)),
        (word, "string", (varints.string,)),
        ([word] * (number % 3), {"type": "array", "items": "string"}, (varints.strings,)),
    ):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
        assert {encode(value) for encode in encoders for _ in range(2)} == {out.getvalue()}


def test_headers_are_those_of_cloudevents() -> None:
    """Binary mode: id, type, source, time and content type, all bytes."""
    _, _, headers = ChangeEncoder(PLAN, 4).encode(CHANGE, NOW_MS)
    named = dict(headers)
    assert named["ce_id"] == change_id(CHANGE, PLAN).encode()
    assert named["ce_time"] == b"2026-09-21T14:13:20.000Z"
    assert named["ce_type"] == b"segue.SegmentChange.entered"
    assert named["content-type"] == b"application/avro"
    assert set(named) == {"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"}


@pytest.mark.parametrize("value", [b"", b"\0\0\0\0\4", b"\0\0\0\0\4\x06abc", b"[1]", b"{", b"\1\0\0\0\4abcdef"])
def test_what_is_no_change_is_refused(value: bytes) -> None:
    """Empty, cut and foreign values are ValueErrors, never half a change."""
    with pytest.raises(ValueError, match=r"."):
        decode_change(value)
