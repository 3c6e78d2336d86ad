"""Comparisons and filters: `price > 10 and not (item = "a")` over the columns of an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from segue.rules import tree
from segue.warehouse.table import property_column
from segue.warehouse.terms import above, column, constant, equal, every, is_null, known, negated, some

_OPERATORS: Final[dict[str, type[exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE]]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    ">": exp.GT,
    ">=": exp.GTE,
    "<": exp.LT,
    "<=": exp.LTE,
}


def compared(value: exp.Condition, op: str, values: Sequence[tree.Literal_]) -> exp.Condition:
    """`value op values`; null where the value is null, which nobody takes for true."""
    if op == "is known":
        return negated(is_null(value))
    if op in ("in", "not in"):
        among = exp.In(this=value, expressions=[constant(v) for v in values])
        return among if op == "in" else exp.Not(this=among)
    if op == "between":
        return exp.Between(this=value, low=constant(values[0]), high=constant(values[1]))
    one = values[0]
    if op in ("contains", "starts with"):
        assert isinstance(one, str)
        return _within(value, op, one)
    return _OPERATORS[op](this=value, expression=constant(one))


def _within(value: exp.Condition, op: str, part: str) -> exp.Condition:
    """By functions that every dialect has; LIKE would give % and _ in the text a meaning."""
    if not part:
        return compared(value, "is known", ())
    if op == "contains":
        return above(exp.StrPosition(this=value, substr=constant(part)), 0)
    return equal(exp.Left(this=value, expression=constant(len(part))), constant(part))


def passes(where: tree.Filter, table: str, *, two_valued: bool = False) -> exp.Condition:
    """Whether a row passes. `two_valued`: unknown has become false, as it must below a `not`."""
    match where:
        case tree.AllOf(items):
            return every(*(passes(i, table, two_valued=two_valued) for i in items))
        case tree.AnyOf(items):
            return some(*(passes(i, table, two_valued=two_valued) for i in items))
        case tree.NoneOf(item):
            return negated(passes(item, table, two_valued=True))
        case tree.Compare(field, op, values):
            found = compared(column(property_column(field), table), op, values)
            return known(found) if two_valued and op != "is known" else found


def called(names: Sequence[str], table: str) -> exp.Condition:
    """Whether a row's event has one of the names."""
    return compared(column("event", table), "=" if len(names) == 1 else "in", names)
