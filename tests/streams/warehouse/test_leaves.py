"""Each form of the language as SQL, at its edges: plain histories of one person, asked of DuckDB."""

from __future__ import annotations

import hashlib

import pytest
from tests.streams.engine.oracle import Event
from tests.streams.engine.world import CATALOG, DAY, HOUR, MINUTE, T0
from tests.streams.warehouse.events_table import EventsTable, rules_of
from tests.streams.warehouse.forms import FORMS, Row, file_of

ORDER = {"open": 2, "click": 2, "identify": 3, "score_updated": 3, "consent_updated": 3}


def ms(minutes: float) -> int:
    return T0 + round(minutes * MINUTE)


def history(rows: list[Row]) -> list[tuple[bytes, Event]]:
    return [
        (b"ada", Event(ms(row[0]), ORDER.get(row[1], 1), i, row[1], tuple((row[2] if len(row) > 2 else {}).items())))
        for i, row in enumerate(rows)
    ]


def inside(table: EventsTable, rule: str, rows: list[Row], minutes: float) -> bool:
    """Whether ada is in."""
    table.fill(history(rows))
    return table.members(rules_of(file_of(rule)), "segment_x", ms(minutes)) == ["ada"]


@pytest.mark.parametrize(("rule", "rows", "truths"), FORMS, ids=[f"{i}: {f[0]}" for i, f in enumerate(FORMS)])
def test_is_true_when_the_language_says_so(
    rule: str, rows: list[Row], truths: dict[float, bool], events_table: EventsTable
) -> None:
    """At each instant, minutes after T0, she is in or not."""
    assert {at: inside(events_table, rule, rows, at) for at in truths} == truths


def test_a_bucket_is_the_hash_of_salt_and_person(events_table: EventsTable) -> None:
    """The same people as by the hash itself, its bounds included and not."""
    people = [f"person {i}" for i in range(200)]
    share = {p: int(hashlib.md5(f"x:{p}".encode()).hexdigest()[:8], 16) * 100 / 2**32 for p in people}
    events_table.fill([(p.encode(), Event(T0, 1, i, "view")) for i, p in enumerate(people)])
    for text, low, high in (("< 10%", 0, 10), (">= 10%", 10, 100), ("between 12.5% and 50%", 12.5, 50)):
        rules = rules_of(f'segment: segment_x\nwhen: did view and bucket("x") {text}\n')
        found = events_table.members(rules, "segment_x", T0)
        assert found == sorted(p for p in people if low <= share[p] < high)
        assert len(found) > 5


def test_segments_of_segments(events_table: EventsTable) -> None:
    """`in S` of a lasting condition and of one with exits, from either kind, as of now and on the way."""
    rules = rules_of(
        "segment: segment_now\nwhen: did view in the last 1 hour\n---\n"
        "segment: segment_held\nenter: did add\nexit: buy\n---\n"
        "segment: segment_both\nwhen: in segment_now and in segment_held\n---\n"
        "segment: segment_met\nenter: in segment_now and in segment_held\nexit: click\n"
    )
    events_table.fill(history([(0, "add"), (10, "view"), (20, "click"), (30, "buy"), (31, "add"), (80, "buy")]))
    asked = {
        name: [events_table.members(rules, f"segment_{name}", ms(at)) != [] for at in (9, 10, 20, 30, 31, 70)]
        for name in ("now", "held", "both", "met")
    }
    assert asked == {
        "now": [False, True, True, True, True, False],
        "held": [True, True, True, False, True, True],
        "both": [False, True, True, False, True, False],
        "met": [False, True, False, False, True, True],
    }


def test_only_events_up_to_the_instant_count(events_table: EventsTable) -> None:
    """A table with later events gives the same answer as one without."""
    rules = rules_of("segment: segment_x\nenter: did view\nexit: buy, or 2 days after entering\n")
    rows: list[Row] = [(0, "view"), (5, "buy"), (6, "view"), (7, "view")]
    events_table.fill(history(rows))
    with_later = [events_table.members(rules, "segment_x", ms(at)) for at in range(8)]
    for at in range(8):
        events_table.fill(history([r for r in rows if r[0] <= at]))
        assert events_table.members(rules, "segment_x", ms(at)) == with_later[at]


def test_the_order_of_equal_times_is_source_then_position(events_table: EventsTable) -> None:
    """The table is a set: rows go in backwards and come out in the order of the history."""
    rules = rules_of("segment: segment_x\nenter: did view\nexit: click\n")
    first_day = [Event(T0, 1, 5, "view"), Event(T0, 2, 0, "click")]
    events = [*first_day, Event(T0 + DAY, 1, 7, "view"), Event(T0 + DAY, 1, 9, "idle")]
    events_table.fill([(b"ada", e) for e in reversed(events)])
    assert events_table.members(rules, "segment_x", T0 + HOUR) == []
    assert events_table.members(rules, "segment_x", T0 + DAY) == ["ada"]
    assert CATALOG.sources[0].order < CATALOG.sources[1].order
