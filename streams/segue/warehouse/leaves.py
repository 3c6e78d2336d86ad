"""Leaves over single events: a relation with a row for each place that has something to say, and the truth of that.

Each function adds the relation to the statement and gives (its name, the leaf's truth where that relation is joined
under its own name). Truths are of two values: a place without a row is a place where nothing happened.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from segue.rules import tree
from segue.warehouse.filters import called, compared
from segue.warehouse.frames import Frame
from segue.warehouse.statement import Statement
from segue.warehouse.table import SEQ, property_column
from segue.warehouse.terms import (
    at_most,
    column,
    constant,
    count_rows,
    equal,
    every,
    flag,
    known,
    named,
    only_if,
    otherwise,
    over,
    rows_of,
    select,
    where,
)
from segue.warehouse.windows import lies, of_events


class Answer(NamedTuple):
    """A relation with at most one row for each place, and what its columns say."""

    name: str
    truth: exp.Condition
    mark: str | None = None
    """another relation that `truth` reads, to be joined under its own name as well"""


def _chosen(
    statement: Statement,
    frame: Frame,
    events: tree.Events,
    window: tree.Window | None,
    more: exp.Condition | None = None,
) -> exp.Select:
    """The keys of each place FROM the events it is about, as `h`, of which `more` is true."""
    rows, inside = of_events(statement, frame, window, events)
    query = frame.over(rows)
    if inside.mark is not None:
        query = frame.joined(query, inside.mark, left=inside.left)
    which = None if isinstance(window, tree.Session) else statement.is_one(events)
    return where(query, which, inside.condition, more)


def count(statement: Statement, frame: Frame, leaf: tree.Count) -> Answer:
    """How many there are."""
    query = _chosen(statement, frame, leaf.events, leaf.window).select(named(count_rows(), "n"))
    name = statement.add("count", query.group_by(*frame.own_keys()))
    bounds = (leaf.n,) if leaf.upper is None else (leaf.n, leaf.upper)
    return Answer(name, compared(otherwise(column("n", name), 0), leaf.op, bounds))


def aggregate(statement: Statement, frame: Frame, leaf: tree.Aggregate) -> Answer:
    """Null takes no part in SQL's aggregates either. `avg` is the sum by the number, so that it is as exact."""
    value = column(property_column(leaf.field), "h")
    found: exp.Condition
    match leaf.function:
        case "sum":
            found = exp.Sum(this=value)
        case "avg":
            found = exp.Div(this=exp.Sum(this=value), expression=exp.Count(this=value.copy()))
        case "min":
            found = exp.Min(this=value)
        case "max":
            found = exp.Max(this=value)
        case "distinct":
            found = exp.Count(this=exp.Distinct(expressions=[value]))
    query = _chosen(statement, frame, leaf.events, leaf.window, compared(value.copy(), "is known", ()))
    name = statement.add(leaf.function, query.select(named(found, "value")).group_by(*frame.own_keys()))
    result = column("value", name)
    if leaf.function in ("sum", "distinct"):
        return Answer(name, compared(otherwise(result, 0), leaf.op, leaf.values))
    return Answer(name, known(compared(result, leaf.op, leaf.values)))


def pick(statement: Statement, frame: Frame, leaf: tree.Pick) -> Answer:
    """One event's field."""
    query = _chosen(statement, frame, leaf.events, leaf.window).select(
        named(column(property_column(leaf.field), "h"), "value")
    )
    query = ranked(frame, query, [column(SEQ, "h")], newest_first=leaf.which == "last")
    name = statement.add(leaf.which, query)
    return Answer(name, known(compared(column("value", name), leaf.op, leaf.values)))


def ranked(frame: Frame, query: exp.Select, order: list[exp.Condition], *, newest_first: bool) -> exp.Select:
    """The first row of each place of a query made by `Frame.over`, by the order."""
    rank = over(exp.RowNumber(), frame.own_keys(), order, newest_first=newest_first)
    inner = query.select(named(rank, "nth"))
    kept = [column(s.alias_or_name, "h") for s in query.selects]
    return select(*kept).from_(inner.subquery("h")).where(equal(column("nth", "h"), 1))


def first(statement: Statement, frame: Frame, leaf: tree.First) -> Answer:
    """When it was seen first."""
    query = frame.over(statement.history).select(named(exp.Min(this=column("time_ms", "h")), "time_ms"))
    name = statement.add("first_seen", where(query, statement.is_one(leaf.events)).group_by(*frame.own_keys()))
    return in_window(statement, frame, leaf.window, name)


def in_window(statement: Statement, frame: Frame, window: tree.Window | None, name: str) -> Answer:
    """Whether the `time_ms` of a relation lies in the window; false for places without."""
    time = column("time_ms", name)
    inside = lies(statement, frame, window, time)
    truth = compared(time, "is known", ()) if inside.condition is None else known(inside.condition)
    return Answer(name, truth, inside.mark)


# --- what is known about a person: no exit resets it


def trait(statement: Statement, frame: Frame, leaf: tree.Trait) -> Answer:
    """The newest statement; with held_ms, and since when all of them say the same of the comparison."""
    p = statement.catalog.profile
    if leaf.kind == "trait":
        value = property_column(leaf.name)
        stated = called(p.trait_events, "h")
    else:
        value = property_column(p.score)
        named_so = equal(column(property_column(p.score_name), "h"), constant(leaf.name))
        stated = every(equal(column("event", "h"), constant(p.score_event or "")), named_so)
    stated = every(stated, compared(column(value, "h"), "is known", ()))
    if leaf.held_ms is None:
        query = frame.over(statement.history).select(named(column(value, "h"), "value")).where(stated)
        name = statement.add(leaf.kind, ranked(frame, query, [column(SEQ, "h")], newest_first=True))
        return Answer(name, known(compared(column("value", name), leaf.op, leaf.values)))
    truth = compared(column(value, "h"), leaf.op, leaf.values)
    since = statement.add("held_since", _held(statement, stated, truth))
    query = frame.over(since).select(column("holds", "h"), column("since_ms", "h"))
    name = statement.add(leaf.kind, ranked(frame, query, [column(SEQ, "h")], newest_first=True))
    long_enough = at_most(column("since_ms", name), frame.ago(leaf.held_ms))
    return Answer(name, known(every(equal(column("holds", name), 1), long_enough)))


def _held(statement: Statement, stated: exp.Condition, truth: exp.Condition) -> exp.Select:
    """The statements: whether each makes the comparison true, and since when it has been so without a break."""
    order = ([column("person_id", "h")], [column(SEQ, "h")])
    keep = [column(c, "h") for c in ("person_id", SEQ, "time_ms", "holds")]
    statements = (
        select(*(k.copy() for k in keep[:3]), named(flag(truth), "holds"))
        .from_(rows_of(statement.history, "h"))
        .where(stated)
    )
    before = otherwise(over(exp.Lag(this=column("holds", "h")), *order), 0)
    turned = select(*(k.copy() for k in keep), named(before, "held_before")).from_(statements.subquery("h"))
    begins = every(equal(column("holds", "h"), 1), equal(column("held_before", "h"), 0))
    since = over(exp.Max(this=only_if(begins, column("time_ms", "h"))), *order, rows="before")
    return select(*keep, named(since, "since_ms")).from_(turned.subquery("h"))


def consents(statement: Statement, frame: Frame, leaf: tree.Consents) -> Answer:
    """The newest decision; of those in one ms a withdrawal comes first."""
    p = statement.catalog.profile
    granted = property_column(p.consent_granted)
    query = frame.over(statement.history).select(named(column(granted, "h"), "value")).where(
        equal(column("event", "h"), constant(p.consent_event or "")),
        equal(column(property_column(p.consent_purpose), "h"), constant(leaf.purpose)),
        compared(column(granted, "h"), "is known", ()),
    )  # fmt: skip
    order = [column("time_ms", "h"), flag(column(granted, "h"))]
    name = statement.add("consent", ranked(frame, query, order, newest_first=True))
    return Answer(name, known(column("value", name)))
