"""The engine and a naive oracle that re-reads the whole history agree, whatever the rules, cuts and order."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from tests.streams.engine.driving import CATALOG, HOUR, MINUTE, T0, Run
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event, Oracle
from tests.streams.engine.strategies import FEATURES, PERSONS, histories, leaves_and_histories, rule_sets

from segue.rules import tree as t

History = list[tuple[bytes, Event]]


def oracle_of(rules: t.RuleSet) -> Oracle:
    return Oracle(rules, CATALOG.profile)


def of_person(history: History, person: bytes) -> list[Event]:
    return [e for p, e in history if p == person]


def expected(rules: t.RuleSet, history: History, person: bytes, until: int) -> list[tuple[str, bool, int]]:
    return oracle_of(rules).changes(of_person(history, person), until, person)


def end_of(history: History) -> int:
    return max((e.time for _, e in history), default=T0) + 7 * HOUR


def shuffled(history: History, chance: random.Random, delays: list[int]) -> History:
    """In another order of arrival, within the lateness: at equal times the place is the offset, which is that order."""
    arrival = sorted(history, key=lambda row: row[1].time + chance.choice(delays))
    offsets = {1: 0, 2: 0, 3: 0}
    out: History = []
    for person, e in arrival:
        out.append((person, Event(e.time, e.order, offsets[e.order], e.name, e.fields)))
        offsets[e.order] += 1
    return out


def memberships(run: Run, person: bytes) -> set[str]:
    return {name for name, who in run.members().items() if person in who}


@law(rule_sets(), histories())
def test_changes_equal_the_oracles(rules: t.RuleSet, history: History) -> None:
    """Every change and its time, in order, for each person."""
    run, end = Run(rules), end_of(history)
    run.feed(history)
    run.let_time_pass(end)
    for person in PERSONS:
        assert run.of(person) == expected(rules, history, person, end)


@law(rule_sets(), histories(), st.lists(st.integers(0, 40 * 60), min_size=1, max_size=3))
def test_memberships_equal_the_oracles_at_any_instant(rules: t.RuleSet, history: History, minutes: list[int]) -> None:
    """As of an instant, with all events up to it and none after; now and then a millisecond beside an event."""
    first = min((e.time for _, e in history), default=T0)
    beside = [history[m % len(history)][1].time + m % 3 - 1 for m in minutes] if history else []
    for at in [*beside, *(first + m * MINUTE for m in minutes)]:
        run = Run(rules)
        run.feed([(p, e) for p, e in history if e.time <= at])
        run.let_time_pass(at)
        for person in PERSONS:
            mine = of_person(history, person)
            assert memberships(run, person) == oracle_of(rules).memberships(mine, at, person)


@law(rule_sets(), histories(), st.integers(1, 5), st.integers(1, 4))
def test_cuts_and_restarts_change_nothing(rules: t.RuleSet, history: History, chunk: int, max_rows: int) -> None:
    """Batches cut anywhere, the state saved and loaded between every two of them: the same changes."""
    whole, pieces, end = Run(rules), Run(rules), end_of(history)
    whole.feed(history)
    pieces.feed(history, chunk, max_rows, reload=True)
    for run in (whole, pieces):
        run.let_time_pass(end)
    for person in PERSONS:
        assert [c for c in pieces.changes if c.person == person] == [c for c in whole.changes if c.person == person]


def agree_now_and_in_the_end(run: Run, arrived: History) -> None:
    """Memberships as of the newest event, and hours later; no change is told of a time that is over."""
    for at in (run.state.engine_time_ms, end_of(arrived)):
        run.let_time_pass(at)
        for person in PERSONS:
            mine = of_person(arrived, person)
            assert memberships(run, person) == oracle_of(run.rules).memberships(mine, at, person)
    for person in PERSONS:
        times = [at for _, _, at in run.of(person)]
        assert times == sorted(times)


@law(rule_sets(), histories(), st.randoms(use_true_random=False), st.integers(1, 4), st.booleans())
def test_order_of_arrival_changes_no_membership(
    rules: t.RuleSet, history: History, chance: random.Random, chunk: int, reload: bool
) -> None:
    """Shuffled within the lateness, the memberships afterwards are those of the history."""
    arrival = shuffled(history, chance, [0, 0, HOUR, 5 * HOUR])
    run = Run(rules)
    run.feed(arrival, chunk, reload=reload, merged=False)
    agree_now_and_in_the_end(run, arrival)


@law(leaves_and_histories(), st.randoms(use_true_random=False), st.booleans(), times=4)
def test_each_leaf_by_itself(made: tuple[t.RuleSet, History], chance: random.Random, reload: bool) -> None:
    """In order every change, in any other order every membership, of many leaves side by side."""
    rules, history = made
    run, end = Run(rules), end_of(history)
    run.feed(history)
    run.let_time_pass(end)
    for person in PERSONS:
        assert run.of(person) == expected(rules, history, person, end)
    run, arrival = Run(rules), shuffled(history, chance, [0, 0, MINUTE, HOUR])
    run.feed(arrival, 1, reload=reload, merged=False)
    agree_now_and_in_the_end(run, arrival)


@law(rule_sets(), histories(60, 25, st.just(b"ada")), st.randoms(use_true_random=False))
def test_a_long_log_is_settled_and_late_events_still_find_their_place(
    rules: t.RuleSet, history: History, chance: random.Random
) -> None:
    """Of one person so many events that their log is settled now and then, some of them almost a day late."""
    arrival = shuffled(history, chance, [0, 0, 0, 0, HOUR, 23 * HOUR])
    run = Run(rules)
    run.feed(arrival, 3, reload=True, merged=False)
    agree_now_and_in_the_end(run, arrival)


ADD, BUY, REMOVE, VIEW = (t.Events((n,)) for n in ("add", "buy", "remove", "view"))
ORDERED = t.RuleSet(
    (
        t.Segment("segment_open", when=t.Absence(ADD, BUY, 5 * MINUTE, REMOVE)),
        t.Segment(
            "segment_cart", enter=t.Absence(ADD, BUY, 30 * MINUTE, REMOVE), exit_events=(BUY,), exit_after_ms=3 * HOUR
        ),
        t.Segment("segment_three", enter=t.Count(VIEW, ">=", 2, None, t.Last(HOUR)), exit_events=(ADD,), attach=("cart",)),
    ),
    FEATURES,
)


@law(histories(), st.randoms(use_true_random=False), st.booleans(), times=4)
def test_folds_take_late_events_at_their_place(history: History, chance: random.Random, reload: bool) -> None:
    """Absences, exits and carts depend on order: any order of arrival gives what the history says."""
    names = ["view", "add", "add", "remove", "buy"]
    arrival = sorted(history, key=lambda row: row[1].time + chance.choice([0, MINUTE, 31 * MINUTE, 5 * HOUR]))
    ada = [
        (b"ada", Event(e.time, 1, offset, names[(e.offset + e.order) % 5], e.fields))
        for offset, (_, e) in enumerate(arrival)
    ]
    run, end = Run(ORDERED), end_of(history)
    run.feed(ada, 1, reload=reload, merged=False)
    now = run.state.engine_time_ms
    events = [e for _, e in ada]
    if run.store:
        state = run.state.states.get(b"ada") or run.loaded(b"ada")
        assert run.engine.program.feature(state, "cart", now) == oracle_of(ORDERED).feature("cart", events, now)
    run.let_time_pass(end)
    assert memberships(run, b"ada") == oracle_of(ORDERED).memberships(events, end, b"ada")


@law(rule_sets(), histories())
def test_expiry_is_the_next_jump_by_time_alone(rules: t.RuleSet, history: History) -> None:
    """`expires_at` of a person's last change of a segment is when it flips if nothing more happens."""
    run, end = Run(rules), end_of(history)
    run.feed(history)
    told = {(c.person, c.segment): c for c in run.changes}
    last = {p: max(of_person(history, p), key=Event.place) for p, _ in history}
    seen = len(run.changes)
    run.let_time_pass(end + 30 * HOUR)
    for (person, segment), change in told.items():
        newest = last[person]
        if change.at_ms > newest.time or change.cause_event == (newest.order - 1, newest.offset):
            later = [c.at_ms for c in run.changes[seen:] if (c.person, c.segment) == (person, segment)]
            assert change.expires_at_ms == (later[0] if later else change.expires_at_ms)
            assert later or change.expires_at_ms is None or change.expires_at_ms > end + 30 * HOUR


@law(rule_sets(), histories())
def test_attached_features_equal_the_oracles(rules: t.RuleSet, history: History) -> None:
    """What a timer's change carries of recent views and the cart is what the history up to then says."""
    run, end = Run(rules), end_of(history)
    run.feed(history)
    run.let_time_pass(end)
    oracle = oracle_of(rules)
    for change in run.changes:
        if change.cause == "timer" and change.features:
            mine = [e for e in of_person(history, change.person) if e.time < change.at_ms]
            for name, values in change.features.items():
                assert values == oracle.feature(name, mine, change.at_ms)


@law(rule_sets(), histories())
def test_sequences_count_and_alternate(rules: t.RuleSet, history: History) -> None:
    """1, 2, 3 ... per person and segment, entered and exited in turn."""
    run = Run(rules)
    run.feed(history, 2, 2, merged=False)
    run.let_time_pass(end_of(history))
    for key in {(c.person, c.segment) for c in run.changes}:
        mine = [c for c in run.changes if (c.person, c.segment) == key]
        assert [c.sequence for c in mine] == list(range(1, len(mine) + 1))
        assert [c.entered for c in mine] == [i % 2 == 0 for i in range(len(mine))]
