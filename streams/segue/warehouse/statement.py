"""A statement as it grows: common table expressions in order, each with one name, equal ones once."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from segue.catalog import Catalog
from segue.rules import tree
from segue.warehouse.dialects import AS_OF
from segue.warehouse.filters import called, passes
from segue.warehouse.needs import Needs
from segue.warehouse.table import SEQ, check_columns, property_column
from segue.warehouse.terms import at_most, column, constant, every, named, over, rows_of, select

_NAME_LENGTH: Final = 60
"""longer names are cut by PostgreSQL (63) and might then be two of the same"""


class Statement:
    """The common table expressions of one query over an events table, as of an instant or a parameter."""

    def __init__(self, catalog: Catalog, needs: Needs, table: exp.Table, as_of: int | None) -> None:
        """Raises WarehouseUnsupported for properties that cannot be columns."""
        check_columns(catalog, needs.fields)
        self.catalog = catalog
        self.as_of = as_of
        self._events = needs.events
        self.recursive = False
        self._parts: dict[str, exp.CTE] = {}
        self._names: dict[exp.Query, str] = {}
        self._taken = {table.name.lower()}
        self.history = self.add("history", self._history(needs, table), plain=True)
        self.people = self.add(
            "people", select(column("person_id", "h")).distinct().from_(rows_of(self.history, "h")), plain=True
        )

    def now(self) -> exp.Condition:
        """The instant asked about, ms since the epoch."""
        if self.as_of is None:
            return exp.Cast(this=exp.Placeholder(this=AS_OF), to=exp.DataType.build("bigint"))
        return constant(self.as_of)

    def is_one(self, events: tree.Events, table: str = "h") -> exp.Condition:
        """Whether a row of the history is one of the events. True where the history has no others."""
        name = None if set(events.names) >= set(self._events) else called(events.names, table)
        return every(name, None if events.where is None else passes(events.where, table))

    def add(self, stem: str, query: exp.Query, *, plain: bool = False) -> str:
        """The name of a query: `stem_1`, or the stem itself if it is `plain`. An equal one that is there is taken."""
        if query in self._names:
            return self._names[query]
        name = self.name(stem, plain=plain)
        self._names[query] = name
        self.put(name, query)
        return name

    def name(self, stem: str, *, plain: bool = False) -> str:
        """A name that nothing else has."""
        wanted = stem if len(stem) <= _NAME_LENGTH else "segment"
        name, n = wanted if plain else f"{wanted}_1", 1
        while name.lower() in self._taken:
            n += 1
            name = f"{wanted}_{n}"
        self._taken.add(name.lower())
        return name

    def put(self, name: str, query: exp.Query, columns: tuple[str, ...] = ()) -> None:
        """A query under a name from `name`; one that speaks of itself names its columns."""
        alias = exp.TableAlias(this=exp.to_identifier(name), columns=[exp.to_identifier(c) for c in columns])
        self._parts[name] = exp.CTE(this=query, alias=alias)

    def query(self, last: exp.Select) -> exp.Select:
        """All of it, ending in a select."""
        last.set("with_", exp.With(expressions=list(self._parts.values()), recursive=self.recursive))
        return last

    def _history(self, needs: Needs, table: exp.Table) -> exp.Select:
        """The events that matter, up to now, each with its place in its person's history."""
        order = [column(c, "e") for c in ("time_ms", "source_order", "position")]
        place = over(exp.RowNumber(), [column("person_id", "e")], order)
        fields = [column(property_column(f), "e") for f in needs.fields]
        return (
            select(column("person_id", "e"), column("event", "e"), column("time_ms", "e"), named(place, SEQ), *fields)
            .from_(exp.alias_(table, "e", table=True))
            .where(at_most(column("time_ms", "e"), self.now()), called(needs.events, "e"))
        )
