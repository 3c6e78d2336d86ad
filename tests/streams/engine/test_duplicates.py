"""The same event told twice is applied once: whatever the rules, the order of arrival, the cuts and the restarts."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st
from tests.streams.engine.by_hand import BUY, VIEW
from tests.streams.engine.driving import DAY, HOUR, MINUTE, T0, Run, columns, engine_of
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event, told_once
from tests.streams.engine.strategies import PERSONS, histories, rule_sets
from tests.streams.engine.test_against_oracle import History, agree_now_and_in_the_end, end_of
from tests.streams.engine.test_migrate import go_on

from segue.limits import IDS_REMEMBERED
from segue.records import Rejected
from segue.rules import tree as t

ADA = b"ada"
SPENDER = t.Segment("behavior_spender", when=t.Aggregate("sum", BUY, "price", ">=", (100,)))
VIEWER = t.Segment("behavior_viewer", when=t.Count(VIEW, ">=", 2, None, t.Last(DAY)))
RULES = t.RuleSet((SPENDER, VIEWER), ())


def arriving(history: History, chance: random.Random, copies: float, reused: float) -> tuple[History, set[int]]:
    """(rows in another order of arrival, within the lateness, some of them told again; which are told again).

    `reused`: how often an event has the id of an earlier one.
    """
    rows = []
    for i, (person, e) in enumerate(history):
        id_ = str(chance.randrange(i) if i and chance.random() < reused else i)
        first = e.time + chance.choice([0, 0, MINUTE, HOUR, 5 * HOUR])
        rows.append((first, False, person, replace(e, id=id_)))
        while chance.random() < copies:
            rows.append((first + chance.choice([0, 1, MINUTE, 5 * HOUR, 18 * HOUR]), True, person, replace(e, id=id_)))
    rows.sort(key=lambda row: row[0])
    offsets = {1: 0, 2: 0, 3: 0}
    out: History = []
    for _, _, person, e in rows:
        out.append((person, replace(e, offset=offsets[e.order])))
        offsets[e.order] += 1
    return out, {i for i, row in enumerate(rows) if row[1]}


@law(rule_sets(), histories(), st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_copies_change_nothing(
    rules: t.RuleSet, history: History, chance: random.Random, chunk: int, max_rows: int, reload: bool
) -> None:
    """Every change, with its cause and its number, is that of the history in which nothing is told twice."""
    arrival, again = arriving(history, chance, copies=0.4, reused=0)
    bare, run, end = Run(rules), Run(rules, deduplicate=True), end_of(history)
    bare.feed([row for i, row in enumerate(arrival) if i not in again])
    run.feed(arrival, chunk, max_rows, reload)
    for r in (bare, run):
        r.let_time_pass(end)
    for person in PERSONS:
        assert [c for c in run.changes if c.person == person] == [c for c in bare.changes if c.person == person]
    assert (run.applied, run.rejected) == (bare.applied, [])


@law(rule_sets(), histories(), st.randoms(use_true_random=False), st.integers(1, 4), st.booleans(), times=2)
def test_memberships_are_those_of_what_was_told_once(
    rules: t.RuleSet, history: History, chance: random.Random, chunk: int, reload: bool
) -> None:
    """With copies and ids used again, sooner and later than the window, piece by piece: as the oracle says of the rest."""
    arrival, _ = arriving(history, chance, copies=0.3, reused=0.3)
    run = Run(rules, deduplicate=True)
    read = [(p, e) for p, e in arrival if e.name in run.plan.inputs[e.order - 1].kinds]
    kept, copies, conflicts = told_once(read, DAY)
    run.feed(arrival, chunk, reload=reload, merged=False)
    agree_now_and_in_the_end(run, kept)
    assert (run.applied, run.duplicates) == (len(kept), len(copies))
    assert sorted(run.rejected) == sorted((e.order - 1, e.offset, "id_conflict") for e in conflicts)


@law(rule_sets(), histories(), st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 4))
def test_every_record_is_accounted_for_once(
    rules: t.RuleSet, history: History, chance: random.Random, chunk: int, max_rows: int
) -> None:
    """Whatever a record is: of a batch, consumed = applied + late + irrelevant + rejected + duplicates; of all, none lacks.

    Among copies and conflicts there are records that do not decode, that are far too late, and some of the future.
    """
    arrival, _ = arriving(history, chance, copies=0.3, reused=0.3)
    run = Run(rules, deduplicate=chance.random() < 0.8)
    passed, wrong, read_in_order = 0, 0, list[tuple[bytes, Event]]()
    for i in range(0, len(arrival), chunk):
        for source in range(3):
            mine = [(p, e) for p, e in arrival[i : i + chunk] if e.order == source + 1]
            moved = [(p, replace(e, time=e.time + chance.choice([0, 0, 0, -3 * DAY, 10 * DAY]))) for p, e in mine]
            good = [row for row in moved if chance.random() < 0.8]
            read = columns(run.plan, source, good, max((e.time for _, e in mine), default=T0))
            read.rejected = [Rejected(source, e.offset, "undecodable", "", None) for p, e in moved if (p, e) not in good]
            read_in_order += [(p, e) for p, e in good if e.name in run.plan.inputs[source].kinds]
            if mine:
                read.next_offset = mine[-1][1].offset + 1
                run.merger.feed(source, read)
                passed, wrong = passed + len(mine), wrong + len(read.rejected)
            run.merger.at_end(source)
        run.drain(max_rows)
    assert run.consumed == passed
    assert sum(reason == "undecodable" for _, _, reason in run.rejected) == wrong
    refused = {(source, offset): reason for source, offset, reason in run.rejected}
    assert len(refused) == len(run.rejected)
    if run.plan.id_slots:
        late_or_early = {place for place, reason in refused.items() if reason != "id_conflict"}
        judged = [(p, e) for p, e in read_in_order if (e.order - 1, e.offset) not in late_or_early]
        kept, copies, conflicts = told_once(judged, DAY)
        assert (run.applied, run.duplicates) == (len(kept), len(copies))
        assert {p for p, why in refused.items() if why == "id_conflict"} == {(e.order - 1, e.offset) for e in conflicts}


# --- by hand


@dataclass(frozen=True)
class Told:
    """An order of 60."""

    minute: float
    id: str = "x"
    person: bytes = ADA
    price: float = 60.0
    name: str = "buy"
    order: int = 1


@dataclass(frozen=True)
class Case:
    """What is told, in order of arrival; how many count, are dropped, are rejected."""

    claim: str
    told: list[Told]
    counts: tuple[int, int, int]


CASES = [
    Case("two events of two ids are two", [Told(0), Told(1, "y")], (2, 0, 0)),
    Case("the same event again is one", [Told(0), Told(0)], (1, 1, 0)),
    Case("and again", [Told(0), Told(0), Told(0), Told(0)], (1, 3, 0)),
    Case("a copy a day later", [Told(0), Told(1440, "y"), Told(0)], (2, 1, 0)),
    Case("later than that it is too late", [Told(0), Told(1440 + 1 / 60_000, "y"), Told(0)], (2, 0, 1)),
    Case("a first one that is late is known too", [Told(9, "y"), Told(0), Told(0)], (2, 1, 0)),
    Case("an id is a person's", [Told(0), Told(0, person=b"bob"), Told(0, person=b"bob")], (2, 1, 0)),
    Case("an id is a source's", [Told(0, name="view"), Told(0, name="view", order=2)], (2, 0, 0)),
    Case("another price under the id", [Told(0), Told(0, price=61)], (1, 0, 1)),
    Case("another time under the id", [Told(0), Told(1)], (1, 0, 1)),
    Case("the first counts, whichever is earlier", [Told(9), Told(0)], (1, 0, 1)),
    Case("what conflicts is not remembered", [Told(0), Told(1), Told(1), Told(0)], (1, 1, 2)),
    Case("a day later, to the millisecond, the id is still taken", [Told(0), Told(1440)], (1, 0, 1)),
    Case("a millisecond more and it is another event", [Told(0), Told(1440 + 1 / 60_000)], (2, 0, 0)),
    Case("of which there may be copies", [Told(0), Told(2000), Told(2000)], (2, 1, 0)),
    Case("events that no rule reads have no state", [Told(0, name="idle"), Told(0, name="idle")], (0, 0, 0)),
    Case("nor do they take an id", [Told(0, name="idle"), Told(0)], (1, 0, 0)),
]


def rows_of(told: list[Told]) -> History:
    return [
        (x.person, Event(T0 + round(x.minute * MINUTE), x.order, i, x.name, (("price", x.price),), x.id))
        for i, x in enumerate(told)
    ]


@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.claim)
def test_what_counts(case: Case, chunk: int) -> None:
    """In one batch, or a batch and a restart each."""
    run = Run(RULES, deduplicate=True)
    run.feed(rows_of(case.told), chunk, reload=chunk == 1, merged=False)
    assert (run.applied, run.duplicates, len(run.rejected)) == case.counts


def test_rows_behind_a_dropped_one_keep_their_places() -> None:
    """Late rows and the causes of changes, in a batch that loses rows before and between them."""
    told = [Told(0), Told(0), Told(5, "y"), Told(0), Told(2, "z"), Told(5, "y"), Told(7, "v"), Told(2, "z")]
    run = Run(RULES, deduplicate=True)
    run.feed(rows_of(told))
    assert [(c.cause, c.cause_event, c.at_ms) for c in run.changes] == [("event", (0, 2), T0 + 5 * MINUTE)]
    assert (run.applied, run.duplicates) == (4, 4)
    late = Run(RULES, deduplicate=True)
    late.feed(rows_of([Told(0), Told(0), Told(5, "y", price=1), Told(0), Told(2, "z")]))
    assert [(c.cause, c.cause_event, c.at_ms) for c in late.changes] == [("correction", (0, 4), T0 + 5 * MINUTE)]


def test_a_conflict_leaves_with_its_record_and_says_what_is_wrong() -> None:
    """The shell's handle, the two times and the source; nothing of the payload."""
    run = Run(RULES, deduplicate=True)
    rows = rows_of([Told(0, name="idle"), Told(0, price=7.25), Told(1)])
    run.merger.feed(0, columns(run.plan, 0, rows))
    for source in range(3):
        run.merger.at_end(source)
    batch = run.merger.take(10)
    assert batch is not None
    step = run.state.step(batch)
    (rejected,) = step.rejected
    assert (rejected.source, rejected.offset, rejected.reason, rejected.record) == (0, 2, "id_conflict", 2)
    assert rejected.detail == (
        f"the id of this event, of time {T0 + MINUTE}, is that of an event of time {T0} with another body; "
        "source site takes an id once in 24 h"
    )
    assert step.dropped == [1]
    assert step.touched == {ADA}


def test_a_copy_touches_nobody() -> None:
    """A batch of copies alone writes no state."""
    run = Run(RULES, deduplicate=True)
    run.feed(rows_of([Told(0)]), merged=False)
    before = dict(run.store)
    run.store.clear()
    run.feed([(ADA, replace(e, offset=9)) for _, e in rows_of([Told(0)])], merged=False)
    assert (run.duplicates, run.store) == (1, {})
    assert before


def test_ids_are_forgotten_when_no_copy_can_come_any_more() -> None:
    """An id waits for the window and the lateness, two days here, and goes with the state's next commit."""
    run = Run(RULES, deduplicate=True)
    slot = run.plan.id_slots[0]
    run.feed(rows_of([Told(0), Told(1, "y"), Told(2880, "z")]), merged=False)
    assert len(run.loaded(ADA)[slot]) == 3  # type: ignore[arg-type]
    run.feed([(ADA, replace(e, offset=9)) for _, e in rows_of([Told(2881, "v")])], merged=False)
    assert len(run.loaded(ADA)[slot]) == 3  # type: ignore[arg-type]


def test_beyond_the_limit_the_oldest_id_is_forgotten_and_it_is_said() -> None:
    """One more than a person keeps: a copy of the first counts again, a copy of the second does not."""
    run = Run(RULES, deduplicate=True)
    told = [Told(i / 1000, str(i)) for i in range(IDS_REMEMBERED + 1)]
    run.feed(rows_of(told), 500, merged=False, reload=True)
    assert run.applied == IDS_REMEMBERED + 1
    run.feed([(ADA, replace(e, offset=5_000)) for _, e in rows_of([told[1]])], merged=False)
    assert (run.applied, run.duplicates) == (IDS_REMEMBERED + 1, 1)
    run.feed([(ADA, replace(e, offset=5_001)) for _, e in rows_of([told[0]])], merged=False)
    assert (run.applied, run.duplicates) == (IDS_REMEMBERED + 2, 1)
    assert run.state.duplicates.forgotten == 1


def test_what_no_copy_could_match_is_forgotten_without_a_word() -> None:
    """Beyond the limit within one batch: the oldest is two days behind, so nothing is lost with it."""
    run = Run(RULES, deduplicate=True)
    run.feed(rows_of([Told(0, "x"), *(Told(2881, str(i)) for i in range(IDS_REMEMBERED))]))
    assert (run.applied, run.state.duplicates.forgotten) == (IDS_REMEMBERED + 1, 0)


def test_an_id_used_again_is_as_new_as_its_event() -> None:
    """Beyond the limit it is not the first to be forgotten."""
    run = Run(RULES, deduplicate=True)
    told = [Told(0, "x"), Told(0, "w"), Told(2000, "x")]
    told += [Told(2000 + i / 1000, str(i)) for i in range(IDS_REMEMBERED - 1)]
    told.append(Told(2000, "x"))
    run.feed(rows_of(told), 500, merged=False)
    assert (run.applied, run.duplicates, run.state.duplicates.forgotten) == (IDS_REMEMBERED + 2, 1, 1)


def test_without_deduplicate_nothing_is_different() -> None:
    """The same layout and code as ever, the same bytes; with it the state has one more slot per source, the code none."""
    off, on = engine_of(RULES).program, engine_of(RULES, True).program
    assert off.layout.id == "687e90902d3caa1b"
    assert on.layout.id != off.layout.id
    assert on.layout.slots == [*off.layout.slots, "ids of site", "ids of email"]
    assert (on.source, on.layout.bits) == (off.source, off.layout.bits)
    run = Run(RULES)
    run.feed(rows_of([Told(0), Told(0)]))
    assert (run.applied, run.plan.id_slots, run.state.duplicates.slots) == (2, {}, {})
    assert run.store[ADA].hex() == "4000000000000000687e9090960581009201cf000001a0c4506c0090c0909202cb405e000000000000"


# --- rules that change, states that are put together


def test_ids_outlive_a_change_of_rules() -> None:
    """What is new in the rules does not make a copy count again."""
    before = Run(RULES, deduplicate=True)
    before.feed(rows_of([Told(0)]), merged=False)
    after = go_on(before, t.RuleSet((VIEWER, replace(SPENDER, version=2)), ()))
    after.feed([(ADA, replace(e, offset=1)) for _, e in rows_of([Told(0)])], merged=False)
    assert (after.applied, after.duplicates) == (0, 1)


@pytest.mark.parametrize("first", [False, True])
def test_deduplicate_may_be_turned_on_and_off(first: bool) -> None:
    """States of before are read: turned on, what came before is not known; turned off, it is forgotten."""
    before = Run(RULES, deduplicate=first)
    before.feed(rows_of([Told(0)]), merged=False)
    after = go_on(before, RULES, deduplicate=not first)
    after.feed([(ADA, replace(e, offset=1 + i)) for i, (_, e) in enumerate(rows_of([Told(0), Told(0)]))], merged=False)
    assert (after.applied, after.duplicates) == ((1, 1), (2, 0))[first]
    assert [c.entered for c in after.changes] == [True]


@pytest.mark.parametrize(("ids", "exact"), [(("x", "y"), True), (("x", "x"), False)])
def test_united_states_know_the_ids_of_both(ids: tuple[str, str], exact: bool) -> None:
    """And say so when both have counted the same event."""
    a, b = (Run(RULES, deduplicate=True) for _ in ids)
    for run, id_ in zip((a, b), ids, strict=True):
        run.feed(rows_of([Told(0, id_)]), merged=False)
    a.store[ADA], said = a.state.unite(ADA, a.store[ADA], b.store[ADA])
    assert said is exact
    told = rows_of([Told(0, id_) for id_ in ids])
    a.feed([(ADA, replace(e, offset=1 + i)) for i, (_, e) in enumerate(told)], merged=False)
    assert (a.applied, a.duplicates) == (1, 2)

