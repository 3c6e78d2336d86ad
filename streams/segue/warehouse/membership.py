"""Who is in a segment as of an instant: a statement, from the segments it names to itself."""

from __future__ import annotations

import difflib

from sqlglot import exp

from segue.catalog import Catalog
from segue.errors import ConfigError
from segue.rules import tree
from segue.warehouse.conditions import Look
from segue.warehouse.dialects import check_dialect, printed, table_named
from segue.warehouse.frames import Frame
from segue.warehouse.needs import condition_of, needs
from segue.warehouse.statement import Statement
from segue.warehouse.stays import stays
from segue.warehouse.table import create_table
from segue.warehouse.terms import column, is_null, rows_of, select, where
from segue.warehouse.windows import ZONES_END_MS


def membership_sql(
    rules: tree.RuleSet,
    segment: str,
    catalog: Catalog,
    dialect: str = "duckdb",
    table: str = "events",
    as_of: int | None = None,
) -> str:
    """A query for the `person_id` of everybody in the segment at `as_of` (ms since the epoch), events of it included.

    `as_of` None: the query has a parameter called as_of. `table`: the events table (table.py), as the dialect writes
    its name. Raises ConfigError for an unknown segment or dialect, a table name or instant that is none,
    WarehouseUnsupported for a rule that cannot be asked.
    """
    check_dialect(dialect)
    if as_of is not None and not 0 <= as_of < ZONES_END_MS:
        raise ConfigError(f"{as_of} ms is no instant between 1970 and 2050.", "Name one, or leave it to a parameter.")
    names = [s.name for s in rules.segments]
    if segment not in names:
        near = difflib.get_close_matches(segment, names, n=1)
        to_do = f"Did you mean {near[0]!r}?" if near else f"The rules have {', '.join(names) or 'none'}."
        raise ConfigError(f"There is no segment {segment!r} in the rules.", to_do)
    statement = Statement(catalog, needs(rules, segment, catalog), table_named(table, dialect), as_of)
    members = _Segments(statement, rules).members(segment)
    return printed(statement.query(select(column("person_id", "s")).from_(rows_of(members, "s"))), dialect)


def create_table_sql(catalog: Catalog, dialect: str = "duckdb", table: str = "events") -> str:
    """The CREATE TABLE of the events table. Raises ConfigError, WarehouseUnsupported."""
    check_dialect(dialect)
    return printed(create_table(catalog, table_named(table, dialect)), dialect)


class _Segments:
    """Segments as relations of a statement, each made once."""

    def __init__(self, statement: Statement, rules: tree.RuleSet) -> None:
        self.statement = statement
        self._segments = {s.name: s for s in rules.segments}
        self._members: dict[str, str] = {}
        self._stays: dict[str, tuple[str, str]] = {}

    def segment(self, name: str) -> tree.Segment:
        """By its name."""
        return self._segments[name]

    def members(self, name: str) -> str:
        """The relation of its people as of the statement's instant."""
        if name not in self._members:
            segment = self._segments[name]
            query = self._true_now(segment) if segment.when is not None else self._inside_now(name)
            self._members[name] = self.statement.add(name, query, plain=True)
        return self._members[name]

    def stays(self, name: str) -> str:
        """The relation of all stays in a segment of enter and exit."""
        return self._walked(name)[1]

    def _walked(self, name: str) -> tuple[str, str]:
        if name not in self._stays:
            self._stays[name] = stays(self.statement, self, self._segments[name])
        return self._stays[name]

    def _true_now(self, segment: tree.Segment) -> exp.Select:
        people = Frame(self.statement.people, ("person_id",), self.statement.now())
        look = Look(self.statement, self, people, people)
        truth = look.truth(condition_of(segment, self.statement.catalog))
        return where(look.joined(), truth)

    def _inside_now(self, name: str) -> exp.Select:
        walk = rows_of(self._walked(name)[0], "w")
        still = is_null(column("exit_step", "w"))
        return select(column("person_id", "w")).from_(walk).where(still)
