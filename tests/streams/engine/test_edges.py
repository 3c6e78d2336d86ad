"""The edges of windows, absences and exits, one sentence each; person ada, times in minutes after T0."""

from __future__ import annotations

import pytest
from tests.streams.engine.driving import MINUTE, T0, Run
from tests.streams.engine.oracle import Event

from segue.engine import change_id
from segue.limits import LOG_EVENTS
from segue.plan.layout import LOG
from segue.rules import tree as t

VIEW, ADD, BUY, REMOVE = (t.Events((n,)) for n in ("view", "add", "buy", "remove"))
CART = t.Segment(
    "behavior_cart", enter=t.Absence(ADD, BUY, 30 * MINUTE, REMOVE), exit_events=(BUY,), exit_after_ms=600 * MINUTE
)
THREE = t.Segment("behavior_three", when=t.Count(VIEW, ">=", 3, None, t.Last(10 * MINUTE)))
NOT_SEEN = t.Segment(
    "behavior_gone", when=t.And((t.Count(VIEW, ">=", 1), t.Not(t.Count(VIEW, ">=", 1, None, t.Last(10 * MINUTE)))))
)
History = list[tuple[float, str]]

CASES: list[tuple[str, t.Segment, History, list[tuple[bool, float]]]] = [
    (
        "an event leaves the window at exactly its time + D",
        THREE,
        [(0, "view"), (5, "view"), (9.9, "view")],
        [(True, 9.9), (False, 10)],
    ),
    ("the third event at exactly the first's end is one too late", THREE, [(0, "view"), (5, "view"), (10, "view")], []),
    (
        "a fourth keeps it true until the second leaves",
        THREE,
        [(0, "view"), (1, "view"), (2, "view"), (3, "view")],
        [(True, 2), (False, 11)],
    ),
    (
        "the cart is abandoned 30 minutes after the last change",
        CART,
        [(0, "add"), (10, "add"), (20, "remove")],
        [(True, 50), (False, 650)],
    ),
    ("a purchase in time closes it", CART, [(0, "add"), (29, "buy")], []),
    ("a purchase at the very moment: the timer acts first", CART, [(0, "add"), (30, "buy")], [(True, 30), (False, 30)]),
    ("a purchase afterwards takes the person out", CART, [(0, "add"), (31, "buy")], [(True, 30), (False, 31)]),
    ("a removal without a cart starts nothing", CART, [(0, "remove")], []),
    (
        "after an exit only later events count",
        CART,
        [(0, "add"), (625, "add"), (700, "view")],
        [(True, 30), (False, 630)],
    ),
    (
        "and a new cart enters again",
        CART,
        [(0, "add"), (640, "add")],
        [(True, 30), (False, 630), (True, 670), (False, 1270)],
    ),
    ("absence in a window comes by time alone", NOT_SEEN, [(0, "view"), (9, "view")], [(True, 19)]),
]


def run_of(segment: t.Segment, history: History, until: float = 5_000) -> Run:
    run = Run(t.RuleSet((segment,), ()))
    run.feed([(b"ada", Event(T0 + int(at * MINUTE), 1, i, name)) for i, (at, name) in enumerate(history)], merged=False)
    run.let_time_pass(T0 + int(until * MINUTE))
    return run


@pytest.mark.parametrize(("claim", "segment", "history", "expected"), CASES, ids=[c[0] for c in CASES])
def test_edges(claim: str, segment: t.Segment, history: History, expected: list[tuple[bool, float]]) -> None:
    """Each case's name is its claim."""
    changes = run_of(segment, history).changes
    assert [(c.entered, (c.at_ms - T0) / MINUTE) for c in changes] == expected, claim


def test_a_late_purchase_takes_back_the_abandonment() -> None:
    """One correction at engine time, naming the change it revokes; nothing of the past is emitted again."""
    run = run_of(CART, [(0, "add"), (40, "view"), (45, "idle"), (20, "buy")], until=100)
    entered, corrected = run.changes
    assert (entered.entered, entered.at_ms) == (True, T0 + 30 * MINUTE)
    assert (corrected.entered, corrected.cause, corrected.at_ms) == (False, "correction", T0 + 45 * MINUTE)
    assert corrected.revokes == change_id(entered, run.plan)
    assert corrected.cause_event == (0, 3)


def test_a_late_event_that_changes_nothing_says_nothing() -> None:
    """A view that is too old to matter is folded in silently."""
    run = run_of(CART, [(0, "add"), (40, "idle"), (10, "view")], until=100)
    assert [c.cause for c in run.changes] == ["timer"]


def test_a_correction_of_what_came_after_revokes_nothing() -> None:
    """A purchase after the abandonment that arrives late ends it, but the abandonment was right."""
    run = run_of(CART, [(0, "add"), (60, "idle"), (50, "buy")], until=100)
    entered, corrected = run.changes
    assert entered.entered and not corrected.entered
    assert corrected.revokes is None


def test_change_ids_differ_and_are_stable() -> None:
    """The same history gives the same ids; no two changes share one."""
    history: History = [(0, "add"), (640, "add")]
    first, again = ([change_id(c, r.plan) for c in r.changes] for r in (run_of(CART, history), run_of(CART, history)))
    assert first == again
    assert len(set(first)) == len(first)


def test_rule_text_never_becomes_source() -> None:
    """A literal that tries to be code is a constant of the generated step."""
    evil = "'); __import__('os').system('true'); ('"
    events = t.Events(("view",), t.Compare("item", "=", (evil,)))
    run = Run(t.RuleSet((t.Segment("segment_evil", when=t.Count(events, ">=", 1)),), ()))
    assert "os" not in run.engine.source.split()
    assert evil not in run.engine.source
    run.feed([(b"ada", Event(T0, 1, 0, "view", (("item", evil),)))])
    assert [c.entered for c in run.changes] == [True]


def test_a_log_at_its_bound_is_settled_early_and_counted() -> None:
    """A person with more events in a day than the log holds keeps an exact state; what was settled early is counted."""
    run = run_of(CART, [(i / 10, "add") for i in range(LOG_EVENTS + 50)], until=LOG_EVENTS / 10 + 34)
    run.state.encode(b"ada")
    assert run.state.log_overflows > 0
    assert len(run.state.states[b"ada"][LOG]) <= LOG_EVENTS
    assert [(c.entered, c.at_ms) for c in run.changes] == []
    run.let_time_pass(T0 + int((LOG_EVENTS + 49) / 10 * MINUTE) + 30 * MINUTE)
    assert [c.entered for c in run.changes] == [True]


def test_what_may_still_come_before_it_is_not_settled() -> None:
    """A purchase exactly a day late stands before the additions that followed it, though the log has been settled since."""
    minutes = [20, 40, *range(60, 24 * 60, 60), 24 * 60 + 9]
    added = [(b"ada", Event(T0 + m * MINUTE, 1, i, "add")) for i, m in enumerate(minutes)]
    bought = (b"ada", Event(T0 + 9 * MINUTE, 1, len(added), "buy"))
    run = Run(t.RuleSet((t.Segment("segment_bought", when=t.Sequence(ADD, BUY, 30 * MINUTE)),), ()))
    run.feed([*added, bought], chunk=1, reload=True, merged=False)
    assert run.rejected == []
    assert run.members()["segment_bought"] == []
