"""`A then B`, `A then no B`: their matches, which need no frame, and the newest of them that a place sees.

**A then no B within D** as sets. Take the rows that concern it (A, R or B, of one person and one value of `same`) in
order. A row *starts the clock* if it is an A, or an R while the pattern is open. The clock of such a row is reached,
at its time + D, unless the next row lies before that: a B would have closed the pattern, an A or R started the clock
again. So a match is a starting row whose next row, if any, is D or more away; it stands until the next B.

When is an R's pattern open? Walk back over Rs that are each less than D after the row before: they end at an A
(open), a B (closed), or at an R that came too late for the row before it, or first of all (closed; a *dead end*).
So an R starts the clock if the newest A up to it is newer than the newest dead end, a B without A being one too.

An exit hides what came before it. Of the rows up to the newest A a starting row needs none, so a match is seen by a
place if that A is.
"""

from __future__ import annotations

from sqlglot import exp

from segue.rules import tree
from segue.warehouse.dialects import SAME
from segue.warehouse.filters import compared
from segue.warehouse.frames import Frame
from segue.warehouse.leaves import Answer, in_window
from segue.warehouse.statement import Statement
from segue.warehouse.table import SEQ, property_column
from segue.warehouse.terms import (
    above,
    all_of,
    at_least,
    at_most,
    below,
    column,
    equal,
    every,
    flag,
    is_null,
    minus,
    named,
    only_if,
    otherwise,
    over,
    plus,
    rows_of,
    select,
    some,
    where,
)


def sequence(statement: Statement, frame: Frame, leaf: tree.Sequence) -> Answer:
    """The newest B that an A came before."""
    matches = statement.add("matches", _followed(statement, leaf))
    query = frame.over(matches, first="first_seq").select(named(exp.Max(this=column("time_ms", "h")), "time_ms"))
    name = statement.add("sequence", query.group_by(*frame.own_keys()))
    return in_window(statement, frame, leaf.window, name)


def _followed(statement: Statement, leaf: tree.Sequence) -> exp.Select:
    """Each B with an A in the time before it: its place and time, and the place of the newest such A."""
    a, b = column("time_ms", "a"), column("time_ms", "b")
    alike = None
    if leaf.same is not None:
        alike = equal(column(property_column(leaf.same), "a"), column(property_column(leaf.same), "b"))
    person = equal(column("person_id", "a"), column("person_id", "b"))
    near = every(person, below(a, b), above(a.copy(), minus(b.copy(), leaf.within_ms)))
    of_b = [column(c, "b") for c in ("person_id", SEQ, "time_ms")]
    matches = (
        select(*of_b, named(exp.Max(this=column(SEQ, "a")), "first_seq"))
        .from_(rows_of(statement.history, "b"))
        .join(rows_of(statement.history, "a"), on=every(near, alike))
        .group_by(*(c.copy() for c in of_b))
    )
    return where(matches, statement.is_one(leaf.second, "b"), statement.is_one(leaf.first, "a"))


def absence(statement: Statement, frame: Frame, leaf: tree.Absence) -> Answer:
    """The newest match that no B has taken back."""
    matches = statement.add("matches", _unmet(statement, leaf))
    # what a match is made of lies before its time, so the time says whether it is seen
    query = frame.over(matches, first="opened_seq", last=None).select(named(exp.Max(this=column("time_ms", "h")), "time_ms"))
    stands = is_null(column("taken_back_seq", "h"))
    if frame.steps:
        stands = some(stands, above(column("taken_back_seq", "h"), column("upto", "f")))
    query = query.where(at_most(column("time_ms", "h"), frame.instant()), stands)
    name = statement.add("absence", query.group_by(*frame.own_keys()))
    return in_window(statement, frame, leaf.window, name)


def _unmet(statement: Statement, leaf: tree.Absence) -> exp.Select:
    """The matches: their time, the place of the A that opened, the place of the B that takes them back or null."""
    rows = _concerned(statement, leaf)
    opened = column("opened_seq", "h") if leaf.restarting_on else column(SEQ, "h")
    if leaf.restarting_on is None:
        starts = equal(column("opens", "h"), 1)
    else:
        rows = _with_dead_ends(rows, leaf)
        starts = above(opened.copy(), otherwise(column("dead_end_seq", "h"), 0))
    due = plus(column("time_ms", "h"), leaf.within_ms)
    undisturbed = some(is_null(column("next_ms", "h")), at_least(column("next_ms", "h"), due.copy()))
    return (
        select(column("person_id", "h"), named(opened, "opened_seq"), named(due, "time_ms"), column("taken_back_seq", "h"))
        .from_(rows.subquery("h"))
        .where(starts, undisturbed)
    )


def _order(leaf: tree.Absence) -> tuple[list[exp.Condition], list[exp.Condition]]:
    alike = [] if leaf.same is None else [column(SAME, "h")]
    return [column("person_id", "h"), *alike], [column(SEQ, "h")]


def _concerned(statement: Statement, leaf: tree.Absence) -> exp.Select:
    """The rows that are A, R or B, with the times of their neighbours and the place of the next B."""
    which = [statement.is_one(leaf.first), statement.is_one(leaf.missing)]
    flags = [named(flag(which[0].copy()), "opens"), named(flag(which[1].copy()), "closes")]
    if leaf.restarting_on is not None:
        which.append(statement.is_one(leaf.restarting_on))
    base = [column(c, "h") for c in ("person_id", SEQ, "time_ms")]
    rows = select(*base, *flags).from_(rows_of(statement.history, "h"))
    alike = None
    if leaf.same is not None:
        same = column(property_column(leaf.same), "h")
        rows, alike = rows.select(named(same, SAME)), compared(same.copy(), "is known", ())
    rows = where(rows, some(*which), alike)
    ahead = exp.Min(this=only_if(equal(column("closes", "h"), 1), column(SEQ, "h")))
    neighbours = [
        named(over(exp.Lead(this=column("time_ms", "h")), *_order(leaf)), "next_ms"),
        named(over(ahead, *_order(leaf), rows="after"), "taken_back_seq"),
    ]
    if leaf.restarting_on is not None:
        opened = exp.Max(this=only_if(equal(column("opens", "h"), 1), column(SEQ, "h")))
        neighbours.append(named(over(opened, *_order(leaf), rows="before"), "opened_seq"))
        neighbours.append(named(over(exp.Lag(this=column("time_ms", "h")), *_order(leaf)), "previous_ms"))
    return select(all_of("h"), *neighbours).from_(rows.subquery("h"))


def _with_dead_ends(rows: exp.Select, leaf: tree.Absence) -> exp.Select:
    """The place of the newest row, up to each, that is no A and leaves the pattern closed whatever came before it."""
    too_late = at_least(minus(column("time_ms", "h"), column("previous_ms", "h")), leaf.within_ms)
    first_of_all = is_null(column("previous_ms", "h"))
    dead = every(equal(column("opens", "h"), 0), some(equal(column("closes", "h"), 1), first_of_all, too_late))
    newest = over(exp.Max(this=only_if(dead, column(SEQ, "h"))), *_order(leaf), rows="before")
    return select(all_of("h"), named(newest, "dead_end_seq")).from_(rows.subquery("h"))
