"""The plan: what is shared, what is folded, what the author is told."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.streams.engine.world import CATALOG, DAY, HOUR

from segue.catalog import Catalog
from segue.engine import Engine
from segue.plan import compile_plan, layout_of, report
from segue.plan.leaves import Threshold
from segue.rules import tree as t

VIEWS = t.Events(("view",))


def views(op: t.Operator, n: int, window_ms: int | None = DAY) -> t.Count:
    return t.Count(VIEWS, op, n, None, None if window_ms is None else t.Last(window_ms))


def test_every_count_is_thresholds_over_one_stream() -> None:
    """`>= 3`, `< 3`, `= 2` and a longer window of the same events share one list of times."""
    plan = compile_plan(
        t.RuleSet(
            (
                t.Segment("segment_a", when=views(">=", 3)),
                t.Segment("segment_b", when=t.And((views("<", 3), views(">=", 1)))),
                t.Segment("segment_c", when=views("=", 2)),
                t.Segment("segment_d", when=views(">", 3, HOUR)),
            ),
            (),
        ),
        CATALOG,
    )
    assert len(plan.streams) == 1
    assert plan.streams[0].keep == 4
    assert set(plan.leaves) == {
        Threshold(0, 3, DAY),
        Threshold(0, 1, DAY),
        Threshold(0, 2, DAY),
        Threshold(0, 4, HOUR),
    }


def test_what_stands_under_enter_is_the_segments_own() -> None:
    """Two enter/exit segments over the same events keep apart, as each starts anew at its own exit."""

    def one(name: str) -> t.Segment:
        return t.Segment(name, enter=views(">=", 3), exit_after_ms=DAY)

    plan = compile_plan(
        t.RuleSet((one("segment_a"), one("segment_b"), t.Segment("segment_c", when=views(">=", 3))), ()), CATALOG
    )
    assert [s.scope for s in plan.streams] == [0, 1, None]
    assert [s.folded for s in plan.streams] == [True, True, False]


def test_the_layout_is_named_by_the_meaning() -> None:
    """A title changes nothing; a window does."""

    def layout(window_ms: int, title: str) -> str:
        segment = t.Segment("segment_a", when=views(">=", 3, window_ms), title=title)
        return layout_of(compile_plan(t.RuleSet((segment,), ()), CATALOG)).id

    assert layout(DAY, "old") == layout(DAY, "new")
    assert layout(DAY, "old") != layout(HOUR, "old")


def test_events_no_rule_reads_have_no_kind() -> None:
    """The decoder is told only what matters."""
    plan = compile_plan(t.RuleSet((t.Segment("segment_a", when=views(">=", 1)),), ()), CATALOG)
    assert [dict(i.kinds) for i in plan.inputs] == [{"view": 0}, {"view": 1}, {}]


def test_the_report_says_what_a_rule_costs() -> None:
    """Leaves in words, who shares them, timers, unknown values."""
    price = t.Events(("view",), t.Compare("price", ">", (10,)))
    rules = t.RuleSet(
        (
            t.Segment("segment_a", when=t.Count(price, ">=", 3, None, t.Last(DAY))),
            t.Segment("segment_b", when=t.And((t.InSegment("segment_a"), views(">=", 1)))),
        ),
        (),
    )
    first, second = report(compile_plan(rules, CATALOG))
    (leaf,) = first.leaves
    assert leaf == "count(view where price > 10) >= 3 in the last 1 day"
    assert first.shared_with == {leaf: ("segment_b",)}
    assert "price" in first.unknown
    assert second.timers == 2


def kept_for(days: int | None) -> Catalog:
    """The catalog with topics that keep their events so long; None: for ever."""
    kept = None if days is None else days * DAY
    return Catalog(tuple(replace(s, retention_ms=kept) for s in CATALOG.sources))


@pytest.mark.parametrize(
    ("window", "days", "exactness"),
    [
        (t.Last(30 * DAY), 30, "exact on the stream"),
        (t.Last(30 * DAY + 1), 30, "warehouse only"),
        (t.Ago(DAY, 31 * DAY), 30, "warehouse only"),
        (t.Ago(DAY, 31 * DAY), None, "exact on the stream"),
        (t.Calendar("week", "UTC"), 7, "exact on the stream"),
        (None, 30, "exact after backfill"),
        (None, None, "exact on the stream"),
        (t.SinceTime(0), 30, "exact after backfill"),
    ],
)
def test_the_class_is_what_the_log_can_give(window: t.Window | None, days: int | None, exactness: str) -> None:
    """A window within the topics' retention is exact; a longer one is the warehouse's; what has no end needs a backfill."""
    segment = t.Segment("segment_a", when=t.Count(VIEWS, ">=", 1, None, window))
    (found,) = report(compile_plan(t.RuleSet((segment,), ()), kept_for(days)))
    assert found.exactness == exactness
    assert bool(found.reason) == (exactness != "exact on the stream")


def test_a_condition_and_its_order_share() -> None:
    """`a and b` and `b and a`, a leaf and its negation, filters in another order: the same leaves."""
    a, b = views(">=", 2), t.Aggregate("sum", VIEWS, "price", ">=", (5,), t.Last(DAY))
    under = t.Aggregate("sum", VIEWS, "price", "<", (5.0,), t.Last(DAY))
    p, q = t.Compare("price", ">", (1,)), t.Compare("item", "=", ("a",))
    ways = [t.Count(t.Events(("view",), t.AllOf(order)), ">=", 1) for order in ((p, q), (q, p))]
    segments = [t.And((a, b)), t.And((b, a)), t.And((t.Not(a), under, ways[0])), t.And((a, ways[1]))]
    plan = compile_plan(t.RuleSet(tuple(t.Segment(f"segment_{i}", when=c) for i, c in enumerate(segments)), ()), CATALOG)
    assert len(plan.leaves) == 3


def test_a_hundred_segments_of_leaves_of_their_own_compile_quickly() -> None:
    """Plan and generated step of 100 segments, four leaves each, none shared, in under two seconds."""

    def leaf(i: int) -> tuple[t.Condition, ...]:
        events = t.Events(("view",), t.Compare("item", "=", (f"item {i}",)))
        return (
            t.Count(events, ">=", 3, None, t.Last(DAY + i)),
            t.Aggregate("sum", events, "price", ">", (i,), t.Last(HOUR + i)),
            t.Absence(events, t.Events(("buy",)), HOUR + i),
            t.Pick("last", events, "price", ">", (i,)),
        )

    rules = t.RuleSet(tuple(t.Segment(f"segment_{i}", when=t.And(leaf(i))) for i in range(100)), ())
    started = time.process_time()
    engine = Engine(compile_plan(rules, CATALOG))
    assert time.process_time() - started < 2
    assert len(engine.plan.leaves) == 400
