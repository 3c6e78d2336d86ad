"""The Segment shape, as rows and as Avro."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.agents.codecs.records import NOW_MS, Record

import segue_schemas
from segue.catalog import Catalog
from segue.limits import EVENT_BYTES, STRING_BYTES
from segue.plan import SourceInputs
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.codecs.segment_json import NoEvent, SegmentEvent, Tick, encode_event, parse_line, to_columns

CATALOG = Catalog.from_declarations(segue_schemas.load_declarations())


def line(**changes: Any) -> str:
    event = {"type": "track", "event": "Product Viewed", "userId": "u1", "messageId": "m1", "timestamp": NOW_MS}
    return json.dumps({**event, **changes})


def event_of(**changes: Any) -> SegmentEvent:
    event = parse_line(line(**changes), CATALOG, 4)
    assert isinstance(event, SegmentEvent)
    return event


def test_a_line_says_who_what_and_when() -> None:
    """Camel case and snake case properties are one; the row's place is its line."""
    event = event_of(properties={"productId": "p7", "cart_id": "c1", "Price": 3})
    assert (event.source, event.person, event.event, event.time_ms) == (0, b"u1", "Product Viewed", NOW_MS)
    assert (event.id, event.line) == ("m1", 4)
    assert event.properties == {"product_id": "p7", "cart_id": "c1", "price": 3}


@pytest.mark.parametrize(("changes", "source", "name"), [
    ({"event": "Email Opened"}, "email", "Email Opened"), ({"event": "Unsubscribed"}, "email", "Unsubscribed"),
    ({"type": "page"}, "site", "page"), ({"type": "identify"}, "profile", "identify"),
    ({"event": "Never Heard Of"}, "site", "Never Heard Of"),
])
def test_an_events_source_is_the_one_whose_contract_names_it(changes: dict[str, Any], source: str, name: str) -> None:
    """Else it is the site's."""
    event = event_of(**changes)
    assert (CATALOG.sources[event.source].name, event.event) == (source, name)


@pytest.mark.parametrize(("stamp", "time_ms"), [
    ("2026-09-21T14:13:20Z", NOW_MS), ("2026-09-21T16:13:20.123456+02:00", NOW_MS + 123),
    ("2026-09-21T14:13:20", NOW_MS), (NOW_MS + 1, NOW_MS + 1), (float(NOW_MS), NOW_MS),
])
def test_times_are_iso_8601_or_milliseconds(stamp: Any, time_ms: int) -> None:
    """An offset is honoured, none is UTC, fractions below a millisecond are dropped."""
    assert event_of(timestamp=stamp).time_ms == time_ms
    assert parse_line(json.dumps({"type": "tick", "timestamp": stamp}), CATALOG) == Tick(time_ms)


@pytest.mark.parametrize(("text", "reason"), [
    ("", "undecodable"), ("{", "undecodable"), ("[1]", "undecodable"), ("[" * 100_000, "undecodable"),
    (line(event=None), "undecodable"), (line(properties=[1]), "undecodable"), (line(properties={"a": float("nan")}),
    "undecodable"), (line(userId=None), "no_person"), (line(userId=""), "no_person"), (line(userId=["u"]), "no_person"),
    (line(userId="\ud800"), "no_person"), (line(timestamp=None), "no_time"), (line(timestamp="yesterday"), "no_time"),
    (line(timestamp=0), "no_time"), (line(timestamp=1_790_000_000), "time_unit"), (line(timestamp=True), "no_time"),
    (line(timestamp=NOW_MS * 1000), "time_unit"), (line()[:-1] + ', "timestamp": 1e999}', "time_unit"),
    (line(properties={"url": "x" * (STRING_BYTES + 1)}), "too_large"),
    (line(pad="x" * EVENT_BYTES), "too_large"),
])
def test_a_line_that_is_no_event_has_a_reason(text: str, reason: str) -> None:
    """The same reasons as for records."""
    with pytest.raises(NoEvent) as caught:
        parse_line(text, CATALOG)
    assert caught.value.reason == reason


def test_rows_of_a_replay_equal_those_of_the_records() -> None:
    """The same events as lines and as Avro records give the same columns."""
    source = CATALOG.sources[0]
    inputs = SourceInputs(0, {"Product Viewed": 0, "page": 1}, tuple(source.fields.values()))
    lines = [
        line(properties={"product_id": "p7", "price": 3, "quantity": 2.0, "name": "Ü"}, userId=None, anonymousId="a9"),
        line(event="Signed In"),
        line(type="page", name="Home", properties={"price": "2.5", "url": 7, "path": None, "coupon": True}),
    ]
    events = [e for n, text in enumerate(lines) if isinstance(e := parse_line(text, CATALOG, n), SegmentEvent)]
    replayed = to_columns(events, source, inputs)
    made = [encode_event(source, 1, json.loads(text)) for text in lines]
    decoder = ColumnDecoder(0, source, inputs, {1: source.schema})
    read = decoder.decode([Record(v, i, k) for i, (k, v) in enumerate(made)])
    assert read.rejected == []
    assert repr(replayed.fields) == repr(read.fields)
    assert replayed.person == read.person == [b"a9", b"u1"]
    for name in ("time_ms", "kind", "offset"):
        assert getattr(replayed, name).tolist() == getattr(read, name).tolist()
    assert replayed.next_offset == read.next_offset


def test_an_alias_keeps_both_ids() -> None:
    """previousId travels in the record of profile updates."""
    source = CATALOG.sources[2]
    key, value = encode_event(source, 3, {"type": "alias", "userId": "u1", "previousId": "a9", "timestamp": NOW_MS})
    inputs = SourceInputs(2, {"alias": 0}, (source.fields["previous_id"],))
    columns = ColumnDecoder(2, source, inputs, {3: source.schema}).decode([Record(value, 0, key)])
    assert (columns.person, columns.fields) == ([b"u1"], [["a9"]])
