"""Plans of more than a hundred segments: bits beyond 64, groups and tables, nested segments, the oracle's answers."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from tests.streams.engine.driving import CATALOG, HOUR, MINUTE, T0, Run
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event, Oracle
from tests.streams.engine.strategies import (
    DURATIONS,
    FEATURES,
    PERSONS,
    aggregates,
    counts,
    histories,
    leaves,
    patterns,
    true_of_nobody,
)

from segue.rules import tree as t

History = list[tuple[bytes, Event]]
SEGMENTS = 110
NAMES = ["view", "view", "view", "add", "buy", "open"]


def made(chance: random.Random, pool: list[t.Condition], names: list[str], depth: int = 0) -> t.Condition:
    """A leaf of the pool, a threshold of its own, a segment before, or two or three of these together."""
    roll = chance.random()
    if depth < 2 and roll < 0.5:
        items = tuple(made(chance, pool, names, depth + 1) for _ in range(chance.randint(2, 3)))
        return t.And(items) if chance.random() < 0.6 else t.Or(items)
    if roll < 0.6:
        return t.Not(made(chance, pool, names, depth + 1))
    if roll < 0.7 and names:
        return t.InSegment(chance.choice(names))
    if roll < 0.85:
        e = t.Events((chance.choice(NAMES),))
        return t.Count(e, ">=", chance.randint(1, 4), None, t.Last(chance.choice(DURATIONS) + chance.choice([0, 1])))
    return chance.choice(pool)


def many(chance: random.Random, pool: list[t.Condition]) -> t.RuleSet:
    """Segments over the pool, one in eight with `enter` and an exit."""
    out: list[t.Segment] = []
    for i in range(SEGMENTS):
        condition = made(chance, pool, [s.name for s in out])
        universe = chance.choice([HOUR, 3 * HOUR]) if true_of_nobody(condition) or chance.random() < 0.05 else None
        name = f"segment_{i:03}"
        if chance.random() < 0.875:
            out.append(t.Segment(name, when=condition, universe_ms=universe))
        else:
            exits = (t.Events((chance.choice(NAMES),)),) if chance.random() < 0.7 else ()
            after = chance.choice(DURATIONS) if not exits or chance.random() < 0.5 else None
            out.append(t.Segment(name, enter=condition, exit_events=exits, exit_after_ms=after, universe_ms=universe))
    return t.RuleSet(tuple(out), FEATURES)


POOLS = st.lists(st.one_of(counts(), counts(), patterns(), aggregates(), leaves(())), min_size=8, max_size=8)
CHANCES = st.integers(0, 1 << 32).map(random.Random)
"""seeded: a choice Hypothesis makes by itself is too dear a hundred times over"""
SHORT = histories(10, 3)


@law(POOLS, CHANCES, SHORT)
def test_many_segments_change_as_the_oracle_says(pool: list[t.Condition], chance: random.Random, history: History) -> None:
    """Every change and its time; and the same when the states are stored and loaded between any two events."""
    rules = many(chance, pool)
    end = max((e.time for _, e in history), default=T0) + 7 * HOUR
    whole, pieces = Run(rules), Run(rules)
    whole.feed(history)
    pieces.feed(history, 1, 1, reload=True)
    for run in (whole, pieces):
        run.let_time_pass(end)
    oracle = Oracle(rules, CATALOG.profile)
    for person in PERSONS:
        mine = [e for p, e in history if p == person]
        assert whole.of(person) == oracle.changes(mine, end, person)
        assert [c for c in pieces.changes if c.person == person] == [c for c in whole.changes if c.person == person]


@law(POOLS, CHANCES, SHORT)
def test_many_segments_take_late_events_at_their_place(
    pool: list[t.Condition], chance: random.Random, history: History
) -> None:
    """In any order of arrival, stored and loaded on the way, the memberships are those of the history."""
    rules = many(chance, pool)
    arrival = sorted(history, key=lambda row: row[1].time + chance.choice([0, 0, MINUTE, 5 * HOUR]))
    offsets = {1: 0, 2: 0, 3: 0}
    for i, (person, e) in enumerate(arrival):
        arrival[i] = (person, Event(e.time, e.order, offsets[e.order], e.name, e.fields))
        offsets[e.order] += 1
    run = Run(rules)
    run.feed(arrival, 1, reload=True, merged=False)
    oracle = Oracle(rules, CATALOG.profile)
    for at in (run.state.engine_time_ms, run.state.engine_time_ms + 7 * HOUR):
        run.let_time_pass(at)
        members = run.members()
        for person in PERSONS:
            mine = [e for p, e in arrival if p == person]
            assert {name for name, who in members.items() if person in who} == oracle.memberships(mine, at, person)


@law(POOLS, CHANCES, SHORT)
def test_many_expiries_are_the_next_jumps_by_time_alone(
    pool: list[t.Condition], chance: random.Random, history: History
) -> None:
    """`expires_at` of a timer's or the last event's change is when the segment flips if nothing more happens."""
    run = Run(many(chance, pool))
    run.feed(history)
    told = {(c.person, c.segment): c for c in run.changes}
    last = {p: max((e for q, e in history if q == p), key=Event.place) for p, _ in history}
    seen, end = len(run.changes), max((e.time for _, e in history), default=T0) + 60 * HOUR
    run.let_time_pass(end)
    for (person, segment), change in told.items():
        newest = last[person]
        if change.at_ms > newest.time or change.cause_event == (newest.order - 1, newest.offset):
            later = [c.at_ms for c in run.changes[seen:] if (c.person, c.segment) == (person, segment)]
            if later:
                assert change.expires_at_ms == later[0]
            else:
                assert change.expires_at_ms is None or change.expires_at_ms > end
