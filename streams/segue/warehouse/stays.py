"""Segments of `enter` and `exit`: every stay of every person, worked out as sets and then walked.

What comes of a moment depends on the last exit before it, and that on the moments before. So everything that could
be asked is asked first, as sets; then the walk only looks up.

moments   when anything can change by time alone: windows end, absences are due, stays have lasted long enough
steps     of a person, in order: each moment (by time alone, before the events of that ms), each event. How many
          events have been seen then (`upto`), and whether the event is one that exits
starts    where the segment begins anew: at first, and at every step that could be an exit. From then on its leaves
          see only what comes after the `since` events that had been seen
truths    for every start and every step after it, whether `enter` is true
rises     where it is true and was not at the step before: there the segment is entered
turns     for every start, the first rise after it, and the first exit after that
walk      from the first start to its exit, which is a start, to its exit ...: as many rounds as a person has stays
stays     the walk, in terms of instants and events, which other segments' steps can be compared with
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from segue.rules import tree
from segue.warehouse.conditions import Look, Segments
from segue.warehouse.filters import called, compared
from segue.warehouse.frames import Frame
from segue.warehouse.needs import condition_of, leaves
from segue.warehouse.statement import Statement
from segue.warehouse.table import SEQ, property_column
from segue.warehouse.terms import (
    above,
    at_least,
    at_most,
    below,
    column,
    constant,
    equal,
    every,
    flag,
    named,
    otherwise,
    over,
    plus,
    rows_of,
    select,
    some,
    where,
)
from segue.warehouse.windows import expiries


def stays(statement: Statement, segments: Segments, segment: tree.Segment) -> tuple[str, str]:
    """(the walk, the stays) of a segment of enter and exit."""
    steps = statement.add("steps", _steps(statement, segment, moments(statement, segments, segment)))
    starts = statement.add("starts", _starts(statement, steps, segment))
    truths = statement.add("truths", _truths(statement, segments, segment, steps, starts))
    rises = statement.add("rises", _rises(truths))
    turns = statement.add("turns", _turns(statement, segment, steps, starts, rises))
    walk = _walk(statement, turns)
    return walk, statement.add("stays", _in_time(walk, steps))


# --- moments


def moments(statement: Statement, segments: Segments, segment: tree.Segment) -> str:
    """(person_id, time_ms): when the segment can change by time alone, up to the statement's instant."""
    found = list(_changes(statement, segments, segment)) or [_times(statement.history).where(exp.false())]
    if segment.exit_after_ms is not None:
        # it can be entered at any event and any change, and is left so long after
        changes = statement.add("changes", _union(found))
        found = [_times(changes), *(_times(rows, segment.exit_after_ms) for rows in (changes, statement.history))]
    every_one = _union(found).subquery("h")
    query = select(column("person_id", "h"), column("time_ms", "h")).from_(every_one)
    return statement.add("moments", query.where(at_most(column("time_ms", "h"), statement.now())))


def _times(rows: str, later_ms: int = 0) -> exp.Select:
    time = column("time_ms", "h")
    moved = named(plus(time, later_ms), "time_ms") if later_ms else time
    return select(column("person_id", "h"), moved).from_(rows_of(rows, "h"))


def _changes(statement: Statement, segments: Segments, segment: tree.Segment) -> Iterator[exp.Select]:
    """When its condition can."""
    for leaf in leaves(condition_of(segment, statement.catalog)):
        if not isinstance(leaf, tree.InSegment):
            yield from _expiries(statement, leaf)
            continue
        named_one = segments.segment(leaf.name)
        if named_one.when is None:
            yield _times(moments(statement, segments, named_one))
        else:
            yield from _changes(statement, segments, named_one)


def _expiries(statement: Statement, leaf: tree.Condition) -> Iterator[exp.Select]:
    time = column("time_ms", "h")

    def rows(*events: tree.Events | None) -> exp.Select:
        which = [statement.is_one(e) for e in events if e is not None]
        return where(exp.Select().from_(rows_of(statement.history, "h")), some(*which))

    match leaf:
        case tree.Count() | tree.Aggregate() | tree.Pick() | tree.First():
            yield from expiries(statement, rows(leaf.events), time, leaf.window)
        case tree.Sequence(second=second):
            yield from expiries(statement, rows(second), time, leaf.window)
        case tree.Absence(first=first, restarting_on=again):
            due = plus(time, leaf.within_ms)
            yield from expiries(statement, rows(first, again), due, leaf.window)
            yield rows(first, again).select(column("person_id", "h"), named(due, "time_ms"))
        case tree.Trait(held_ms=held_ms) if held_ms is not None:
            yield from expiries(statement, _statements(statement, leaf), time, tree.Last(held_ms))


def _statements(statement: Statement, leaf: tree.Trait) -> exp.Select:
    p = statement.catalog.profile
    events = p.trait_events if leaf.kind == "trait" else (p.score_event or "",)
    value = property_column(leaf.name if leaf.kind == "trait" else p.score)
    query = exp.Select().from_(rows_of(statement.history, "h"))
    return query.where(called(events, "h"), compared(column(value, "h"), "is known", ()))


def _union(queries: list[exp.Select]) -> exp.Query:
    return queries[0].distinct() if len(queries) == 1 else exp.union(*queries, distinct=True)


# --- steps and starts


def _steps(statement: Statement, segment: tree.Segment, times: str) -> exp.Select:
    """(person_id, step, now_ms, upto, by_time, exits)."""
    m = [column("person_id", "m"), column("time_ms", "m")]
    earlier = _same("h", "m", below(column("time_ms", "h"), column("time_ms", "m")))
    timed = (
        select(
            m[0], named(m[1], "now_ms"), named(exp.Count(this=column(SEQ, "h")), "upto"),
            named(constant(1), "by_time"), named(constant(0), "exits"),
        )
        .from_(rows_of(times, "m"))
        .join(rows_of(statement.history, "h"), on=earlier, join_type="left")
        .group_by(*(c.copy() for c in m))
    )  # fmt: skip
    exits = flag(some(*map(statement.is_one, segment.exit_events))) if segment.exit_events else constant(0)
    happened = select(
        column("person_id", "h"), column("time_ms", "h"), column(SEQ, "h"), constant(0), exits
    ).from_(rows_of(statement.history, "h"))  # fmt: skip
    number = over(exp.RowNumber(), [column("person_id", "s")], [column("now_ms", "s"), column("upto", "s")])
    kept = [column(c, "s") for c in ("person_id", "now_ms", "upto", "by_time", "exits")]
    return select(*kept, named(number, "step")).from_(exp.union(timed, happened, distinct=False).subquery("s"))


def _starts(statement: Statement, steps: str, segment: tree.Segment) -> exp.Query:
    """(person_id, step, since)."""
    origin = select(column("person_id", "p"), named(constant(0), "step"), named(constant(0), "since"))
    could = equal(column("exits", "s"), 1)
    if segment.exit_after_ms is not None:
        could = some(could, equal(column("by_time", "s"), 1))
    exits = select(column("person_id", "s"), column("step", "s"), column("upto", "s")).from_(rows_of(steps, "s"))
    return exp.union(origin.from_(rows_of(statement.people, "p")), exits.where(could), distinct=False)


# --- truths


def _truths(statement: Statement, segments: Segments, segment: tree.Segment, steps: str, starts: str) -> exp.Select:
    """(person_id, since, step, truth)."""
    now = column("now_ms", "f")
    everything = Frame(steps, ("person_id", "step"), now, steps=True)
    since = select(column("person_id", "b"), column("since", "b")).distinct().from_(rows_of(starts, "b"))
    reached = _same("s", "b", at_least(column("upto", "s"), column("since", "b")))
    places = (
        select(column("person_id", "s"), column("since", "b"), *(column(c, "s") for c in ("step", "now_ms", "upto")))
        .from_(since.subquery("b"))
        .join(rows_of(steps, "s"), on=reached)
    )
    own = Frame(statement.add("places", places), ("person_id", "since", "step"), now, steps=True, scoped=True)
    look = Look(statement, segments, own, everything)
    truth = look.truth(condition_of(segment, statement.catalog))
    return look.joined().select(named(flag(truth), "truth"))


def _rises(truths: str) -> exp.Select:
    """(person_id, since, step)."""
    keys = [column(k, "t") for k in ("person_id", "since", "step")]
    before = otherwise(over(exp.Lag(this=column("truth", "t")), keys[:2], keys[2:]), 0)
    looked_back = select(*(k.copy() for k in keys), column("truth", "t"), named(before, "was")).from_(rows_of(truths, "t"))
    kept = select(*(k.copy() for k in keys)).from_(looked_back.subquery("t"))
    return kept.where(equal(column("truth", "t"), 1), equal(column("was", "t"), 0))


def _turns(statement: Statement, segment: tree.Segment, steps: str, starts: str, rises: str) -> exp.Select:
    """(person_id, from_step, enter_step, exit_step or null)."""
    begin = [column("person_id", "b"), column("step", "b")]
    same = _same("r", "b", equal(column("since", "r"), column("since", "b")))
    entered = (
        select(begin[0], named(begin[1], "from_step"), named(exp.Min(this=column("step", "r")), "enter_step"))
        .from_(rows_of(starts, "b"))
        .join(rows_of(rises, "r"), on=every(same, above(column("step", "r"), column("step", "b"))))
        .group_by(*(c.copy() for c in begin))
    )
    enters = statement.add("enters", entered)
    exits = equal(column("exits", "x"), 1)
    if segment.exit_after_ms is not None:
        over_time = at_least(column("now_ms", "x"), plus(column("now_ms", "n"), segment.exit_after_ms))
        exits = some(exits, every(equal(column("by_time", "x"), 1), over_time))
    keys = [column(c, "e") for c in ("person_id", "from_step", "enter_step")]
    at_enter = _same("n", "e", equal(column("step", "n"), column("enter_step", "e")))
    after = _same("x", "e", above(column("step", "x"), column("enter_step", "e")), exits)
    return (
        select(*keys, named(exp.Min(this=column("step", "x")), "exit_step"))
        .from_(rows_of(enters, "e"))
        .join(rows_of(steps, "n"), on=at_enter)
        .join(rows_of(steps, "x"), on=after, join_type="left")
        .group_by(*(k.copy() for k in keys))
    )


def _same(one: str, other: str, *more: exp.Condition) -> exp.Condition:
    return every(equal(column("person_id", one), column("person_id", other)), *more)


# --- the walk


def _walk(statement: Statement, turns: str) -> str:
    """(person_id, enter_step, exit_step or null) of the stays that come to pass."""
    columns = ("person_id", "enter_step", "exit_step")
    turn = [column(c, "t") for c in columns]
    begin = select(*turn).from_(rows_of(turns, "t")).where(equal(column("from_step", "t"), 0))
    name = statement.name("walk")
    on = _same("t", "w", equal(column("from_step", "t"), column("exit_step", "w")))
    again = select(*(t.copy() for t in turn)).from_(rows_of(name, "w")).join(rows_of(turns, "t"), on=on)
    statement.put(name, exp.union(begin, again, distinct=False), columns)
    statement.recursive = True
    return name


def _in_time(walk: str, steps: str) -> exp.Select:
    """(person_id, enter_ms, enter_upto, exit_ms, exit_upto)."""

    def at(alias: str, end: str) -> exp.Condition:
        return _same(alias, "w", equal(column("step", alias), column(f"{end}_step", "w")))

    ends = [named(column(c, a), f"{end}_{short}") for a, end in (("n", "enter"), ("x", "exit"))
            for c, short in (("now_ms", "ms"), ("upto", "upto"))]  # fmt: skip
    return (
        select(column("person_id", "w"), *ends)
        .from_(rows_of(walk, "w"))
        .join(rows_of(steps, "n"), on=at("n", "enter"))
        .join(rows_of(steps, "x"), on=at("x", "exit"), join_type="left")
    )
