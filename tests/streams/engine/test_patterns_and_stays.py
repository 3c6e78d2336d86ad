"""Patterns, and what it means to enter and to exit, against answers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from tests.streams.engine.by_hand import (
    ADD,
    BUY,
    LAST_TEN,
    MS,
    REMOVE,
    TEN,
    THIRTY,
    VIEW,
    Case,
    Happening,
    about,
    at,
    changes_of,
    count,
    engine_changes_of,
    engine_flips_of,
    events_of,
    flips_of,
    item,
    no_buy,
    plan,
    priced,
    says,
    then,
)
from tests.streams.engine.oracle import Oracle
from tests.streams.engine.world import CATALOG, HOUR

from segue.rules import tree as t

PATTERNS = [
    Case("A then B", then(), [(0, "add"), (5, "buy")], [5]),
    Case("B at exactly tA + D is too late", then(), [(0, "add"), (10, "buy")], []),
    Case("a millisecond sooner is not", then(), [(0, "add"), (10 - MS, "buy")], [10 - MS]),
    Case("at one time is not after", then(), [(0, "add"), (0, "buy")], []),
    Case("any A in reach will do", then(), [(0, "add"), (8, "add"), (12, "buy")], [12]),
    Case("the match leaves its window", then(window=t.Last(THIRTY)), [(0, "add"), (5, "buy")], [5, 35]),
    Case("a newer match takes over", then(window=t.Last(THIRTY)), [(0, "add"), (5, "buy"), (9, "buy")], [5, 39]),
    Case(
        "of two matches only the newest is asked for",
        then(window=t.Ago(TEN, THIRTY)),
        [(0, "add"), (5, "buy"), (7, "buy")],
        [17, 37],
    ),
    Case("the same item", then(same="item"), [item(0, "add", "a"), item(1, "buy", "b"), item(2, "buy", "a")], [2]),
    Case("null is like nothing", then(same="item"), [item(0, "add", None), item(1, "buy", None)], []),
    Case("one event can be both, of different pairs", t.Sequence(VIEW, VIEW, TEN), [(0, "view"), (9, "view")], [9]),
    Case("A then no B", no_buy(), [(0, "add")], [10]),
    Case("a purchase in time", no_buy(), [(0, "add"), (10 - MS, "buy")], []),
    Case("a purchase at the very moment: the timer acts first", no_buy(), [(0, "add"), (10, "buy")], [10, 10]),
    Case("a purchase one ms late takes the match back", no_buy(), [(0, "add"), (10 + MS, "buy")], [10, 10 + MS]),
    Case("a further A starts again", no_buy(), [(0, "add"), (6, "add")], [16]),
    Case("a further A leaves the match and sets the clock", no_buy(), [(0, "add"), (12, "add")], [10]),
    Case(
        "so that the match is newer afterwards",
        no_buy(window=LAST_TEN),
        [(0, "add"), (12, "add")],
        [10, 20, 22, 32],
    ),
    Case("two matches, one window", no_buy(window=t.Last(THIRTY)), [(0, "add"), (12, "add")], [10, 52]),
    Case("a purchase between clock and match", no_buy(), [(0, "add"), (12, "add"), (15, "buy")], [10, 15]),
    Case("R starts again while open", no_buy(again=REMOVE), [(0, "add"), (9, "remove"), (15, "remove")], [25]),
    Case("R starts nothing before an A", no_buy(again=REMOVE), [(0, "remove")], []),
    Case(
        "R after the match changes nothing",
        no_buy(again=REMOVE, window=t.Last(THIRTY)),
        [(0, "add"), (11, "remove")],
        [10, 40],
    ),
    Case("each item has its clock", no_buy("item"), [item(0, "add", "a"), item(2, "add", "b"), item(5, "buy", "a")], [12]),
    Case("and its match", no_buy("item"), [item(0, "add", "a"), item(2, "add", "b"), item(11, "buy", "a")], [10, 11, 12]),
    Case(
        "of all items' matches the newest decides",
        no_buy("item", t.Ago(TEN, THIRTY)),
        [item(0, "add", "a"), item(2, "add", "b")],
        [22, 42],
    ),
    Case(
        "and when it is taken back, the newest that is left",
        no_buy("item", t.Ago(TEN, THIRTY)),
        [item(0, "add", "a"), item(2, "add", "b"), item(21, "buy", "b")],
        [21, 40],
    ),
    Case("of an unknown item there is none", no_buy("item"), [item(0, "add", None)], []),
    Case(
        "a purchase of something unknown closes nothing", no_buy("item"), [item(0, "add", "a"), item(5, "buy", None)], [10]
    ),
    Case(
        "that which opens and closes: it closes, and opens anew",
        t.Absence(VIEW, VIEW, TEN),
        [(0, "view"), (5, "view"), (30, "view")],
        [15, 30, 40],
    ),
    Case("a match enters and leaves a window of the past", no_buy(window=t.Ago(TEN, THIRTY)), [(0, "add")], [20, 40]),
]


@pytest.mark.parametrize("case", PATTERNS, ids=lambda c: c.claim)
def test_patterns(case: Case) -> None:
    """Each case's name is its claim; the oracle holds it, and so does the engine."""
    segment, expected = t.Segment("segment_a", when=case.condition), [at(m) for m in case.changes]
    assert flips_of(segment, case.history) == expected
    assert engine_flips_of(segment, case.history) == expected


def test_segments_of_segments() -> None:
    """`in S` follows S within the same instant, in whatever way S changes."""
    rules = t.RuleSet(
        (
            t.Segment("segment_a", when=count(1, LAST_TEN)),
            t.Segment("segment_b", when=t.And((count(1), t.Not(t.InSegment("segment_a"))))),
        ),
        (),
    )
    for changes in (changes_of, engine_changes_of):
        assert changes(rules, [(0, "view")], 100) == [
            ("segment_a", True, at(0)),
            ("segment_a", False, at(10)),
            ("segment_b", True, at(10)),
        ]


def test_the_event_that_exits_does_not_enter() -> None:
    """Not even when it makes the condition rise: that truth is the one from which the next rise is told."""
    rules = t.RuleSet(
        (
            t.Segment("segment_a", when=count(1, LAST_TEN)),
            t.Segment("segment_b", enter=t.InSegment("segment_a"), exit_events=(VIEW,)),
        ),
        (),
    )
    history: list[Happening] = [(0, "view"), (20, "view"), (40, "view"), (60, "view")]
    of_b = [(0, True), (20, False), (40, True), (60, False)]
    for changes in (changes_of, engine_changes_of):
        found = changes(rules, history, 100)
        assert [(when, entered) for name, entered, when in found if name == "segment_b"] == [
            (at(m), entered) for m, entered in of_b
        ]


def test_a_universe_is_left_by_not_being_seen() -> None:
    """Whoever has not been seen for D is in no such segment, whatever its condition says of them."""
    segment = t.Segment("segment_a", when=t.Not(count(1)), universe_ms=THIRTY)
    history: list[Happening] = [(0, "add"), (20, "idle"), (60, "open"), (70, "view")]
    for flips in (flips_of, engine_flips_of):
        assert flips(segment, history) == [at(m) for m in (0, 50, 60, 70)]


STAYS: list[tuple[str, t.Condition, tuple[t.Events, ...], int | None, list[Happening], list[float]]] = [
    ("enters when the condition rises, stays when it ends", count(1, LAST_TEN), (), HOUR, [(0, "view")], [0, 60]),
    ("leaves by an event of exit", count(1), (BUY,), None, [(0, "view"), (5, "buy")], [0, 5]),
    ("only an event after the entry", count(1), (VIEW,), None, [(0, "view"), (5, "view")], [0, 5]),
    ("the event that exits does not count", count(1), (VIEW,), None, [(m, "view") for m in (0, 1, 2)], [0, 1, 2]),
    (
        "after an exit only later events count",
        count(2),
        (BUY,),
        None,
        [(0, "view"), (1, "view"), (2, "buy"), (3, "view")],
        [1, 2],
    ),
    (
        "and enough of them enter again",
        count(2),
        (BUY,),
        None,
        [(m, n) for m, n in enumerate(["view", "view", "buy", "view", "view"])],
        [1, 2, 4],
    ),
    ("a timed exit comes before the event of its ms", count(1), (), TEN, [(0, "view"), (10, "view")], [0, 10, 10, 20]),
    (
        "a trait is no history: still true, it does not rise",
        plan("=", "a"),
        (BUY,),
        None,
        [says(0, plan="a"), (1, "buy"), (2, "view"), says(3, plan="a")],
        [0, 1],
    ),
    (
        "it must fall and rise",
        plan("=", "a"),
        (BUY,),
        None,
        [says(0, plan="a"), (1, "buy"), says(2, plan="b"), says(3, plan="a")],
        [0, 1, 3],
    ),
    (
        "the first ever stays the first",
        t.First(VIEW, LAST_TEN),
        (BUY,),
        None,
        [(0, "view"), (1, "buy"), (2, "view")],
        [0, 1],
    ),
    (
        "a pattern starts over",
        then(),
        (REMOVE,),
        None,
        [(0, "add"), (1, "buy"), (2, "remove"), (3, "buy"), (4, "add"), (5, "buy")],
        [1, 2, 5],
    ),
    (
        "an open clock is forgotten",
        t.Or((count(1), no_buy())),
        (REMOVE,),
        None,
        [(0, "add"), (1, "view"), (2, "remove"), (20, "open")],
        [1, 2],
    ),
    (
        "and an aggregate",
        about("sum", ">", 8),
        (BUY,),
        None,
        [*priced((0, 9)), (1, "buy"), *priced((2, 5), (3, 5))],
        [0, 1, 3],
    ),
    (
        "what is since E starts over too",
        count(1, t.SinceEvents(ADD)),
        (BUY,),
        None,
        [(0, "add"), (1, "view"), (2, "buy"), (3, "view")],
        [1, 2, 3],
    ),
    (
        "a negation that is true right after the exit does not rise",
        t.And((count(1, None, ">=", ADD), t.Not(count(1)))),
        (BUY,),
        None,
        [(0, "add"), (1, "buy"), (2, "add")],
        [0, 1, 2],
    ),
]


@pytest.mark.parametrize(("claim", "enter", "exits", "after", "history", "changes"), STAYS, ids=lambda c: str(c)[:60])
def test_stays(claim: str, enter: Any, exits: Any, after: int | None, history: Any, changes: list[float]) -> None:
    """Each case's name is its claim."""
    segment = t.Segment("segment_a", enter=enter, exit_events=exits, exit_after_ms=after)
    assert flips_of(segment, history) == [at(m) for m in changes], claim
    assert engine_flips_of(segment, history) == [at(m) for m in changes], claim


def test_memberships_are_as_of_the_instant() -> None:
    """Events and timers of the instant itself are in, later ones are not."""
    oracle = Oracle(t.RuleSet((t.Segment("segment_a", when=count(1, LAST_TEN)),), ()), CATALOG.profile)
    history = events_of([(0, "view"), (30, "view")])
    inside = [oracle.memberships(history, at(m)) == {"segment_a"} for m in (-1, 0, 10 - MS, 10, 29, 30, 40)]
    assert inside == [False, True, True, False, False, True, False]
