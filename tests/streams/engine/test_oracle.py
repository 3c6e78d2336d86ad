"""The oracle against itself: what must hold of it if it is to judge others."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event, Oracle, leaves
from tests.streams.engine.oracle_leaves import View, delays
from tests.streams.engine.strategies import PERSONS, histories, rule_sets
from tests.streams.engine.world import CATALOG, HOUR, MINUTE, T0

from segue.rules import tree as t

History = list[tuple[bytes, Event]]


@law(rule_sets(), histories(12), st.lists(st.integers(0, 40 * 60), max_size=10))
def test_looking_more_often_changes_nothing(rules: t.RuleSet, history: History, minutes: list[int]) -> None:
    """Every sum of two waits after every event, a millisecond around each, and any other instant: nothing new there."""
    waits = {w for s in rules.segments for leaf in leaves(s.when or s.enter) for w in delays(leaf)}
    waits |= {s.exit_after_ms or 0 for s in rules.segments} | {s.universe_ms or 0 for s in rules.segments}
    first = min((e.time for _, e in history), default=T0)
    end = max((e.time for _, e in history), default=T0) + 7 * HOUR
    more = {e.time + a + b + near for _, e in history for a in waits for b in waits for near in (-1, 0, 1)}
    more |= {first + m * MINUTE for m in minutes}
    for person in PERSONS:
        mine = [e for p, e in history if p == person]
        few = Oracle(rules, CATALOG.profile).changes(mine, end, person)
        many = Oracle(rules, CATALOG.profile).changes(mine, end, person, also=more)
        assert many == few


@law(rule_sets(), histories(), st.lists(st.integers(0, 40 * 60), max_size=10))
def test_a_when_is_a_function_of_the_history_and_the_time(rules: t.RuleSet, history: History, minutes: list[int]) -> None:
    """Walked to from the first event or looked at straight away, a condition without `enter` says the same."""
    plain = t.RuleSet(tuple(s for s in rules.segments if s.when and not _names_another(s)), ())
    first = min((e.time for _, e in history), default=T0)
    for at in [first + m * MINUTE for m in minutes] + [e.time for _, e in history]:
        seen = [e for p, e in history if p == b"ada" and e.time <= at]
        oracle = Oracle(plain, CATALOG.profile)
        walked = oracle.memberships(seen, at, b"ada")
        for s in plain.segments:
            recent = s.universe_ms is None or any(e.time > at - s.universe_ms for e in seen)
            assert (s.name in walked) == (recent and oracle.holds(s.when, View(seen, at, seen, b"ada", CATALOG.profile)))


def _names_another(s: t.Segment) -> bool:
    return any(isinstance(leaf, t.InSegment) for leaf in leaves(s.when or s.enter))
