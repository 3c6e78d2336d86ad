"""The events table in DuckDB, filled with the histories that the engine's tests use."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
from tests.streams.engine.oracle import Event
from tests.streams.engine.world import CATALOG

from segue.rules import parse_rules
from segue.rules import tree as t
from segue.warehouse import create_table_sql, membership_sql

OWN = 5
"""columns before those of the properties"""


def rules_of(text: str) -> t.RuleSet:
    """A rule file over the tests' catalog."""
    return parse_rules([("rules.yaml", text)], CATALOG)


class EventsTable:
    """One table; each `fill` empties it first."""

    def __init__(self) -> None:
        self.database = duckdb.connect(config={"threads": 1})
        self.database.execute(create_table_sql(CATALOG))
        self.columns = [row[0] for row in self.database.execute("DESCRIBE events").fetchall()]

    def fill(self, history: Iterable[tuple[bytes, Event]]) -> None:
        rows = [
            [person.decode(), e.name, e.time, e.order, e.offset, *(e.get(c) for c in self.columns[OWN:])]
            for person, e in history
        ]
        self.database.execute("DELETE FROM events")
        if rows:
            marks = ", ".join("?" for _ in self.columns)
            self.database.executemany(f"INSERT INTO events VALUES ({marks})", rows)

    def members(self, rules: t.RuleSet, segment: str, at: int) -> list[str]:
        """By a query with the instant written into it."""
        return self.asked(membership_sql(rules, segment, CATALOG, as_of=at))

    def asked(self, sql: str, at: int | None = None) -> list[str]:
        """By a query, with the instant as its parameter."""
        found = self.database.execute(sql, None if at is None else {"as_of": at}).fetchall()
        return sorted(row[0] for row in found)
