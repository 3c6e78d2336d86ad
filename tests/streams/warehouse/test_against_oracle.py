"""SQL, run by DuckDB, and the naive oracle agree on who is in, whatever the rules, the history and the instant."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event, Oracle
from tests.streams.engine.strategies import DURATIONS, PERSONS, histories, rule_sets
from tests.streams.engine.world import CATALOG, DAY, HOUR, T0
from tests.streams.warehouse.events_table import EventsTable

from segue.rules import tree as t
from segue.warehouse import membership_sql

History = list[tuple[bytes, Event]]
TABLE = EventsTable()


def in_reach_of_sums(history: History) -> History:
    """Without the values that take turns in being lost in a sum: no database adds those up exactly."""
    tamed = {1e16: 30.0, -1e16: -4.5}
    return [
        (p, Event(e.time, e.order, e.offset, e.name, tuple((n, tamed.get(v, v)) for n, v in e.fields))) for p, e in history
    ]


@st.composite
def asked(draw: st.DrawFn) -> tuple[History, list[int]]:
    """A history, and two instants: one near some event of it, one near or after its end."""
    history = in_reach_of_sums(draw(histories()))
    times = [e.time for _, e in history] or [T0]
    near = draw(st.sampled_from(times)) + draw(st.sampled_from([0, 0, -1, 1, *DURATIONS, 3 * HOUR - 1, DAY]))
    return history, [near, max(times) + draw(st.sampled_from([0, HOUR, 3 * HOUR + 1, 26 * HOUR]))]


def expected(rules: t.RuleSet, history: History, at: int) -> dict[str, list[str]]:
    inside: dict[str, list[str]] = {s.name: [] for s in rules.segments}
    for person in PERSONS:
        mine = [e for p, e in history if p == person]
        for segment in Oracle(rules, CATALOG.profile).memberships(mine, at, person):
            inside[segment].append(person.decode())
    return inside


def found(rules: t.RuleSet, instants: Sequence[int], written_in: bool) -> list[dict[str, list[str]]]:
    names = [s.name for s in rules.segments]
    if written_in:
        return [{n: TABLE.members(rules, n, at) for n in names} for at in instants]
    queries = {n: membership_sql(rules, n, CATALOG) for n in names}
    return [{n: TABLE.asked(sql, at) for n, sql in queries.items()} for at in instants]


@law(rule_sets(), asked(), st.booleans())
def test_membership_equals_the_oracles(rules: t.RuleSet, asked: tuple[History, list[int]], written_in: bool) -> None:
    """Every segment has the oracle's people, each once; whether the instant is a parameter or stands in the query."""
    history, instants = asked
    TABLE.fill(history)
    assert found(rules, instants, written_in) == [expected(rules, history, at) for at in instants]
