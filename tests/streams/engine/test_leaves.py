"""Each leaf and window against answers worked out by hand, so that the oracle itself is proven: edges first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.streams.engine.by_hand import (
    A_ITEMS,
    BUY,
    LAST_TEN,
    MS,
    TEN,
    THIRTY,
    VIEW,
    Case,
    about,
    at,
    count,
    decides,
    engine_flips_of,
    flips_of,
    pick,
    plan,
    priced,
    says,
    scored,
)

from segue.rules import tree as t

WINDOWS = [
    Case("an event leaves at exactly its time + D", count(1, LAST_TEN), [(0, "view")], [0, 10]),
    Case("two are needed: the second at the first's end is too late", count(2, LAST_TEN), [(0, "view"), (10, "view")], []),
    Case("and a millisecond earlier it is not", count(2, LAST_TEN), [(0, "view"), (10 - MS, "view")], [10 - MS, 10]),
    Case("without a window it is for ever", count(2), [(0, "view"), (9_000, "view")], [9_000]),
    Case("equals, and then no more", count(1, None, "="), [(1, "view"), (2, "view")], [1, 2]),
    Case("less than two: of nobody true, so with one at least", t.And((count(1), count(2, None, "<"))), [(1, "view")], [1]),
    Case(
        "between takes both ends in",
        t.Count(VIEW, "between", 2, 3),
        [(m, "view") for m in (1, 2, 3, 4)],
        [2, 4],
    ),
    Case(
        "only what passes the filter",
        count(1, None, ">=", A_ITEMS),
        [(0, "view", {"item": "b"}), (1, "view", {"item": "a"})],
        [1],
    ),
    Case("null fails the filter", count(1, None, ">=", A_ITEMS), [(0, "view", {"item": None})], []),
    Case(
        "null fails != as well",
        count(1, None, ">=", t.Events(("view",), t.Compare("item", "!=", ("a",)))),
        [(0, "view", {"item": None}), (1, "view", {"item": "b"})],
        [1],
    ),
    Case(
        "but not a `not`",
        count(1, None, ">=", t.Events(("view",), t.NoneOf(t.Compare("item", "=", ("a",))))),
        [(0, "view", {"item": None})],
        [0],
    ),
    Case("ago: enters after D1, leaves after D2", count(1, t.Ago(TEN, THIRTY)), [(0, "view")], [10, 30]),
    Case("ago: a second one takes over", count(1, t.Ago(TEN, THIRTY)), [(0, "view"), (20, "view")], [10, 50]),
    Case("since: the instant itself is in", count(1, t.SinceTime(at(5))), [(5, "view")], [5]),
    Case("since: a millisecond before is not", count(1, t.SinceTime(at(5))), [(5 - MS, "view"), (7, "view")], [7]),
    Case(
        "since an event: what came after the newest",
        count(1, t.SinceEvents(BUY)),
        [(1, "view"), (2, "buy"), (3, "view"), (4, "buy")],
        [1, 2, 3, 4],
    ),
    Case("since an event: at one time the offset decides", count(1, t.SinceEvents(BUY)), [(1, "buy"), (1, "view")], [1]),
    Case("since an event: and the other way round", count(1, t.SinceEvents(BUY)), [(1, "view"), (1, "buy")], [1, 1]),
    Case(
        "since itself: the newest is not after itself",
        count(1, t.SinceEvents(A_ITEMS)),
        [(0, "view", {"item": "b"}), (1, "view", {"item": "a"})],
        [0, 1],
    ),
    Case("a session ends D after its newest", count(2, t.Session(TEN)), [(0, "view"), (9, "view")], [9, 19]),
    Case("D apart is another session", count(2, t.Session(TEN)), [(0, "view"), (10, "view")], []),
    Case(
        "a millisecond less is the same, however long it gets",
        count(3, t.Session(TEN)),
        [(0, "view"), (10 - MS, "view"), (19, "view")],
        [19, 29],
    ),
    Case(
        "a session is of the leaf's own events",
        count(2, t.Session(TEN)),
        [(0, "view"), (6, "add"), (12, "view")],
        [],
    ),
]

AGGREGATES = [
    Case("the sum of a window", about("sum", ">", 20, window=LAST_TEN), priced((0, 15), (5, 6)), [5, 10]),
    Case("a null takes no part", about("avg", "=", 10), priced((0, None), (1, 10), (2, None)), [1]),
    Case("the sum of nothing is 0", t.And((count(1), about("sum", "<=", 0))), priced((0, None), (1, 5)), [0, 1]),
    Case("the average of nothing is false", t.And((count(1), about("avg", "<=", 0))), priced((0, None)), []),
    Case("and so is its !=", about("max", "!=", 3, window=LAST_TEN), priced((0, 5)), [0, 10]),
    Case(
        "sums are exact: 1e16 takes no cent along when it goes",
        about("sum", "=", 0.1),
        priced((0, 1e16), (1, 0.1), (2, -1e16)),
        [2],
    ),
    Case(
        "beyond the largest number a sum is infinite, and comes back",
        about("sum", ">", 1e308),
        priced((0, 1.5e308), (1, 1.5e308), (2, -1.5e308), (3, -1.5e308)),
        [0, 3],
    ),
    Case(
        "and so is its average",
        about("avg", ">", 1.6e308),
        priced((0, 1e308), (1, 1.5e308), (2, -1.5e308)),
        [1, 2],
    ),
    Case(
        "so it is in a window",
        about("sum", "<", -1e308, window=LAST_TEN),
        priced((0, -1.5e308), (1, -1.5e308)),
        [0, 11],
    ),
    Case("the least", about("min", "<", 3), priced((0, 5), (1, 2)), [1]),
    Case("the greatest, and when it leaves", about("max", ">=", 5, window=LAST_TEN), priced((0, 5), (1, 2)), [0, 10]),
    Case("between, both included", about("sum", "between", 5, 10), priced((0, 5), (1, 5), (2, 0.5)), [0, 2]),
    Case(
        "distinct values, nulls aside",
        about("distinct", ">=", 2, window=LAST_TEN),
        [(m, "view", {"item": i}) for m, i in ((0, "a"), (1, "a"), (2, None), (3, "b"), (4, "a"))],
        [3, 13],
    ),
    Case(
        "a session with a null in it: the null keeps it going and adds nothing",
        about("sum", ">=", 2, window=t.Session(TEN)),
        priced((0, 1), (9, None), (18, 1)),
        [18, 28],
    ),
]


PICKS = [
    Case("the newest counts", pick("last", ">=", 5), priced((0, 5), (1, 4), (2, 6)), [0, 1, 2]),
    Case("a newest that is null is false, != too", pick("last", "!=", 5), priced((0, 4), (1, None)), [0, 1]),
    Case("at one time the later offset is newer", pick("last", "=", 5), priced((0, 4), (0, 5)), [0]),
    Case("the first stays the first", pick("first", "=", 5), priced((0, 5), (1, 4)), [0]),
    Case("until it leaves the window", pick("first", "=", 5, window=LAST_TEN), priced((0, 5), (1, 4)), [0, 10]),
    Case("and then the next is", pick("first", "=", 4, window=LAST_TEN), priced((0, 5), (1, 4)), [10, 11]),
    Case("known or not", pick("last", "is known"), priced((0, None), (1, 0), (2, None)), [1, 2]),
    Case("first ever: new for ten minutes", t.First(VIEW, LAST_TEN), [(0, "view"), (5, "view"), (20, "view")], [0, 10]),
    Case("first ever, later", t.First(VIEW, t.Ago(TEN, THIRTY)), [(0, "view"), (5, "view")], [10, 30]),
    Case("first ever, without a window", t.First(VIEW), [(3, "view")], [3]),
]


PROFILES = [
    Case("the newest plan", plan("=", "a"), [says(0, plan="a"), says(1, plan="b"), says(2, plan="a")], [0, 1, 2]),
    Case("a null states nothing", plan("=", "a"), [says(0, plan="a"), says(1, plan=None, age=20.0)], [0]),
    Case("unknown: != is false", plan("!=", "a"), [says(0, plan=None), says(1, plan="b")], [1]),
    Case("unknown: not in is false", plan("not in", "a", "z"), [says(0, age=20.0), says(1, plan="b")], [1]),
    Case("known", plan("is known"), [(0, "view"), says(1, plan="b")], [1]),
    Case("held for ten minutes", plan("=", "a", held=TEN), [says(0, plan="a")], [10]),
    Case("said again is no break", plan("=", "a", held=TEN), [says(0, plan="a"), says(8, plan="a")], [10]),
    Case(
        "another value that compares equally is none",
        plan("in", "a", "b", held=TEN),
        [says(0, plan="a"), says(8, plan="b")],
        [10],
    ),
    Case("a break begins anew", plan("=", "a", held=TEN), [says(0, plan="a"), says(8, plan="b"), says(9, plan="a")], [19]),
    Case(
        "a break within one ms is one",
        plan("=", "a", held=TEN),
        [says(0, plan="a"), says(8, plan="b"), says(8, plan="a")],
        [18],
    ),
    Case(
        "ten minutes are reached before the break of that ms",
        plan("=", "a", held=TEN),
        [says(0, plan="a"), says(10, plan="b")],
        [10, 10],
    ),
    Case("a null is no break", plan("=", "a", held=TEN), [says(0, plan="a"), says(8, plan=None)], [10]),
    Case(
        "a score by its name",
        t.Trait("score", "p", ">", (0.5,)),
        [scored(0, "q", 0.9), scored(1, "p", 0.9), scored(2, "p", 0.5)],
        [1, 2],
    ),
    Case(
        "a score without a value or a name",
        t.Trait("score", "p", ">", (0.5,)),
        [scored(0, "p", 0.9), scored(1, "p", None), scored(2, None, 0.1)],
        [0],
    ),
    Case(
        "consent: granted, withdrawn",
        t.Consents("m"),
        [decides(0, "m", True), decides(1, "n", False), decides(2, "m", False)],
        [0, 2],
    ),
    Case("a decision without an answer is none", t.Consents("m"), [decides(0, "m", True), decides(1, "m", None)], [0]),
    Case(
        "in one ms a withdrawal wins, whichever came first",
        t.Consents("m"),
        [decides(0, "m", False), decides(0, "m", True), decides(1, "m", True)],
        [1],
    ),
    Case(
        "and of the grants of that ms none undoes it",
        t.Consents("m"),
        [decides(0, "m", True), decides(1, "m", False), decides(1, "m", True)],
        [0, 1],
    ),
]


@pytest.mark.parametrize("case", WINDOWS + AGGREGATES + PICKS + PROFILES, ids=lambda c: c.claim)
def test_leaves(case: Case) -> None:
    """Each case's name is its claim; the oracle holds it, and so does the engine."""
    segment, expected = t.Segment("segment_a", when=case.condition), [at(m) for m in case.changes]
    assert flips_of(segment, case.history) == expected
    assert engine_flips_of(segment, case.history) == expected


SUNDAY = int(datetime(2026, 10, 25, 12, tzinfo=UTC).timestamp() * 1000)
"""of the weekend on which Europe sets its clocks back: the day has 25 hours in Paris, from 22:00 to 23:00 UTC"""


@pytest.mark.parametrize(
    ("unit", "zone", "minute", "ends"),
    [
        ("day", "Europe/Paris", 0, 11 * 60),
        ("day", "Europe/Paris", -14 * 60, 11 * 60),
        ("day", "Europe/Paris", -14 * 60 - MS, -14 * 60),
        ("day", "America/New_York", 0, 16 * 60),
        ("day", "Asia/Kolkata", 0, 6 * 60 + 30),
        ("week", "Europe/Paris", -5 * 24 * 60, 11 * 60),
        ("week", "Europe/Paris", -6 * 24 * 60 - 14 * 60, 11 * 60),
        ("week", "Asia/Kolkata", 6 * 60 + 30, 7 * 24 * 60 + 6 * 60 + 30),
        ("day", "Atlantic/Azores", 0, 13 * 60),
        ("day", "Atlantic/Azores", -12 * 60, 13 * 60),
    ],
)
def test_calendars(unit: Any, zone: str, minute: float, ends: float) -> None:
    """A day ends at the zone's next midnight, 25 hours after the last if the clocks go back; a week on Monday."""
    segment = t.Segment("segment_a", when=count(1, t.Calendar(unit, zone)))
    expected = [at(minute, SUNDAY), at(ends, SUNDAY)]
    assert flips_of(segment, [(minute, "view")], start=SUNDAY) == expected
    assert engine_flips_of(segment, [(minute, "view")], start=SUNDAY) == expected


def test_buckets() -> None:
    """md5("x:ada") begins with bb6bbc09, which is 73.2 of 100; the lower end is in, the upper is not."""
    first = 0xBB6BBC09 * 100 / 2**32
    for low, high, inside in ((first, 100.0, True), (0.0, first, False), (0.0, 100.0, True), (74.0, 100.0, False)):
        segment = t.Segment("segment_a", when=t.And((count(1), t.Bucket("x", low, high))))
        for flips in (flips_of, engine_flips_of):
            assert flips(segment, [(0, "view")]) == ([at(0)] if inside else [])
