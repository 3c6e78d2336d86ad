"""The events table: what a warehouse has to hold, and how a rule's fields are found in it.

One row an event. (person_id, time_ms, source_order, position) orders a person's history and is unique. Properties
of all events stand side by side, each nullable; a property that is called like one of the table's own columns has
`property_` before its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlglot import exp

from segue.catalog import Catalog, FieldType
from segue.errors import SegueError

OWN: Final = {
    "person_id": "text",
    "event": "text",
    "time_ms": "bigint",
    "source_order": "int",
    "position": "bigint",
}
"""the columns of every event, and their types"""
SEQ: Final = "seq"
"""what queries call an event's place in its person's history; no property may be called so either"""
_TYPES: Final[dict[FieldType, str]] = {"string": "text", "number": "double", "boolean": "boolean", "other": "text"}


class WarehouseUnsupported(SegueError):
    """A rule that cannot be asked of an events table."""

    exit_code = 2


def property_column(field: str) -> str:
    """The column that holds a property."""
    return f"property_{field}" if field in OWN or field == SEQ else field


def column_type(catalog: Catalog, field: str) -> str:
    """text, double or boolean. Raises WarehouseUnsupported where sources do not agree on the property's type."""
    types = {s.name: s.fields[field].type for s in catalog.sources if field in s.fields}
    if len(set(types.values())) > 1:
        said = ", ".join(f"{kind} in {source!r}" for source, kind in sorted(types.items()))
        raise WarehouseUnsupported(
            f"The property {field!r} has no one type: {said}. A column has one.",
            "Give the property of one source another name.",
        )
    return _TYPES[types.popitem()[1]]


def check_columns(catalog: Catalog, fields: Iterable[str]) -> None:
    """Raises WarehouseUnsupported for properties that cannot be one column."""
    for field in fields:
        column_type(catalog, field)


def create_table(catalog: Catalog, table: exp.Table) -> exp.Create:
    """The CREATE TABLE of the events table. Raises WarehouseUnsupported."""
    fields = sorted({name for s in catalog.sources for name in s.fields})
    needed = exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())
    columns = [_definition(name, kind, [needed.copy()]) for name, kind in OWN.items()]
    columns += [_definition(property_column(f), column_type(catalog, f), []) for f in fields]
    return exp.Create(this=exp.Schema(this=table, expressions=columns), kind="TABLE")


def _definition(name: str, kind: str, constraints: list[exp.ColumnConstraint]) -> exp.ColumnDef:
    return exp.ColumnDef(this=exp.to_identifier(name), kind=exp.DataType.build(kind), constraints=constraints)
