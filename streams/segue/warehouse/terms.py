"""The words queries are made of: sqlglot nodes for columns, constants, windows. No text of a rule is ever pasted.

Truths are of two values here. Where a column can be null, `known` turns the unknown into false, so that `NOT` of it
is true; as integers (`flag`) they can be counted and compared in every dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from sqlglot import exp

Span = Literal["before", "after"]
_DECIMAL_DIGITS = 15
"""so many a dialect may read as a decimal and turn into a double without rounding twice"""


def column(name: str, table: str = "") -> exp.Column:
    """`table.name`."""
    return exp.column(exp.to_identifier(name), table=exp.to_identifier(table) if table else None)


def constant(value: str | float | bool) -> exp.Condition:
    """A value of a rule as a literal."""
    if isinstance(value, bool):
        return exp.true() if value else exp.false()
    if isinstance(value, str):
        return exp.Literal.string(value)
    text = repr(abs(value))
    if "." in text and "e" not in text and len(Decimal(text).as_tuple().digits) > _DECIMAL_DIGITS:
        text += "e0"  # DuckDB reads 0.3 as a decimal and 0.3e0 as a double
    return exp.Neg(this=exp.Literal.number(text)) if value < 0 else exp.Literal.number(text)


def every(*conditions: exp.Condition | None) -> exp.Condition:
    """All of them that are not None; true if none is left."""
    found = [part for c in conditions if c is not None for part in (c.flatten() if isinstance(c, exp.And) else [c])]
    found = [c for c in found if c != exp.true()]
    return exp.and_(*found, copy=False) if found else exp.true()


def where(query: exp.Select, *conditions: exp.Condition | None) -> exp.Select:
    """The query with all of them; without a WHERE if that says nothing."""
    condition = every(*conditions)
    return query if condition == exp.true() else query.where(condition)


def some(*conditions: exp.Condition) -> exp.Condition:
    """Any of them."""
    return exp.true() if exp.true() in conditions else exp.or_(*conditions, copy=False)


def negated(condition: exp.Condition) -> exp.Condition:
    """`NOT` the condition, which is of two values."""
    if isinstance(condition, exp.Not):
        inner: exp.Condition = condition.this.unnest()
        return inner
    return exp.Not(this=exp.paren(condition, copy=False) if isinstance(condition, exp.Connector) else condition)


def is_null(value: exp.Condition) -> exp.Condition:
    """`value IS NULL`."""
    return exp.Is(this=value, expression=exp.null())


def equal(value: exp.Condition, other: exp.Condition | int) -> exp.Condition:
    """`value = other`."""
    return exp.EQ(this=value, expression=_operand(other))


def above(value: exp.Condition, other: exp.Condition | int) -> exp.Condition:
    """`value > other`."""
    return exp.GT(this=value, expression=_operand(other))


def below(value: exp.Condition, other: exp.Condition | int) -> exp.Condition:
    """`value < other`."""
    return exp.LT(this=value, expression=_operand(other))


def at_least(value: exp.Condition, other: exp.Condition | int) -> exp.Condition:
    """`value >= other`."""
    return exp.GTE(this=value, expression=_operand(other))


def at_most(value: exp.Condition, other: exp.Condition | int) -> exp.Condition:
    """`value <= other`."""
    return exp.LTE(this=value, expression=_operand(other))


def plus(value: exp.Condition, other: exp.Condition | int) -> exp.Condition:
    """`value + other`."""
    return exp.Add(this=value, expression=_operand(other))


def minus(value: exp.Condition, other: exp.Condition | int) -> exp.Condition:
    """`value - other`. Of two numbers the number."""
    if isinstance(value, exp.Literal) and isinstance(other, int):
        return constant(int(value.name) - other)
    other = _operand(other)
    return exp.Sub(this=value, expression=exp.paren(other) if isinstance(other, exp.Binary) else other)


def _operand(value: exp.Condition | int) -> exp.Condition:
    return constant(value) if isinstance(value, int) else value


def known(condition: exp.Condition) -> exp.Condition:
    """The condition, false where it is unknown."""
    return exp.Coalesce(this=condition, expressions=[exp.false()])


def otherwise(value: exp.Condition, instead: int) -> exp.Condition:
    """The value, or a number where it is null."""
    return exp.Coalesce(this=value, expressions=[constant(instead)])


def flag(condition: exp.Condition) -> exp.Condition:
    """1 where the condition is true, else 0."""
    return exp.Case(ifs=[exp.If(this=condition, true=constant(1))], default=constant(0))


def only_if(condition: exp.Condition, value: exp.Condition) -> exp.Condition:
    """The value where the condition is true, else null."""
    return exp.Case(ifs=[exp.If(this=condition, true=value)])


def rest_of(value: exp.Condition, by: int | exp.Condition) -> exp.Condition:
    """`MOD(value, by)`, as a function: `%` would mean something to drivers that fill parameters in."""
    return exp.Anonymous(this="MOD", expressions=[value, _operand(by)])


def named(value: exp.Condition, name: str) -> exp.Alias:
    """`value AS name`."""
    return exp.Alias(this=value, alias=exp.to_identifier(name))


def count_rows() -> exp.Condition:
    """`COUNT(*)`."""
    return exp.Count(this=exp.Star())


def over(
    function: exp.Func,
    partition: Sequence[exp.Condition],
    order: Sequence[exp.Condition],
    rows: Span | None = None,
    *,
    newest_first: bool = False,
) -> exp.Window:
    """A window function. `rows`: of those up to and with this one (`before`), or of those that follow (`after`)."""
    spec = None
    if rows == "before":
        spec = exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW", end_side=None)
    elif rows == "after":
        spec = exp.WindowSpec(kind="ROWS", start="1", start_side="FOLLOWING", end="UNBOUNDED", end_side="FOLLOWING")
    ordered = [exp.Ordered(this=o, desc=True if newest_first and i == 0 else None) for i, o in enumerate(order)]
    return exp.Window(this=function, partition_by=list(partition), order=exp.Order(expressions=ordered), spec=spec)


def rows_of(name: str, alias: str) -> exp.Table:
    """`name AS alias` after FROM or JOIN."""
    called = None if alias == name else exp.TableAlias(this=exp.to_identifier(alias))
    return exp.Table(this=exp.to_identifier(name), alias=called)


def all_of(alias: str) -> exp.Column:
    """`alias.*`."""
    return exp.Column(this=exp.Star(), table=exp.to_identifier(alias))


def select(*columns: exp.Condition | exp.Alias | exp.Star) -> exp.Select:
    """A select of these."""
    return exp.select(*columns)
