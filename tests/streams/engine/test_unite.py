"""Two states of one person united are the state of both histories."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.streams.engine.driving import DAY, HOUR, MINUTE, T0, Run
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event
from tests.streams.engine.strategies import histories, rule_sets
from tests.streams.engine.test_against_oracle import History, end_of

from segue.plan.layout import BITS
from segue.rules import tree as t

ADA = b"ada"


def state_of(rules: t.RuleSet, events: list[Event], end: int) -> Run:
    run = Run(rules)
    run.feed([(ADA, e) for e in events], merged=False)
    run.let_time_pass(end)
    return run


@law(rule_sets(), histories(15), st.integers(0, 2**25 - 1))
def test_united_is_the_fold_of_the_union(rules: t.RuleSet, history: History, which: int) -> None:
    """However one history is dealt out to two states, uniting them gives the memberships and the timers of the whole.

    So long as the logs hold what the folds read: 15 events are not settled yet.
    """
    end = end_of(history)
    events = [e for _, e in history]
    places = sorted({(e.time, e.order) for e in events})  # at one place offsets decide, and states do not keep those
    hands = [[e for e in events if (which >> places.index((e.time, e.order)) & 1) == hand] for hand in (0, 1)]
    a, b = (state_of(rules, hand, end) for hand in hands)
    whole = state_of(rules, events, end)
    if not (a.store and b.store and whole.store):
        return
    state = whole.state
    expected = state.states[ADA] if ADA in state.states else whole.loaded(ADA)
    next_due = whole.engine.program.next_due  # what the state holds of it may be earlier, a reminder too many
    bits, due = expected[BITS], next_due(expected)
    mask = (1 << len(whole.plan.segments)) - 1
    encoded, exact = state.unite(ADA, a.store[ADA], b.store[ADA])
    assert exact
    united = state.states[ADA]
    assert united[BITS] & mask == bits & mask
    assert next_due(united) == due
    assert encoded[:8] == int(due).to_bytes(8, "big")


@law(rule_sets(), histories(15))
def test_members_are_counted_when_two_become_one(rules: t.RuleSet, history: History) -> None:
    """Of one partition: whoever they were members of, and whatever the two are together."""
    run = Run(rules)
    run.feed(history, merged=False)
    run.let_time_pass(end_of(history))
    both = sorted(run.store)[:2]
    if len(both) < 2:
        return
    for person in both:
        run.state.states.pop(person, None)  # as after a restart
    run.store[both[0]], _ = run.state.unite(both[0], *(run.store.pop(person) for person in both))
    run.assert_members_counted()


CART = t.RuleSet(
    (
        t.Segment(
            "behavior_cart", enter=t.Absence(t.Events(("add",)), t.Events(("buy",)), 30 * MINUTE),
            exit_events=(t.Events(("buy",)),), exit_after_ms=100 * DAY,
        ),
        t.Segment("behavior_spender", when=t.Aggregate("sum", t.Events(("buy",)), "price", ">=", (60,))),
    ),
    (),
)  # fmt: skip


def test_settled_folds_are_said_not_to_be_exact() -> None:
    """Where both have forgotten the order of their events it is said; sums are exact all the same."""

    def many(first: int) -> list[Event]:
        names, numbers = ["add", "buy"], range(first, first + 120, 2 - first % 2)
        return [Event(T0 + i * HOUR, 1, i, names[i % 2], (("price", 1.0),)) for i in numbers]

    a, b = state_of(CART, many(0), T0 + 40 * DAY), state_of(CART, many(1), T0 + 40 * DAY)
    encoded, exact = a.state.unite(ADA, a.store[ADA], b.store[ADA])
    assert not exact
    a.store[ADA] = encoded
    assert a.members()["behavior_spender"] == [ADA]
