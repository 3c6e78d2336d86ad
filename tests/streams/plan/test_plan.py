"""The plan: what is shared, what is folded, what the author is told."""

from __future__ import annotations

from tests.streams.engine.world import CATALOG, DAY, HOUR

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
