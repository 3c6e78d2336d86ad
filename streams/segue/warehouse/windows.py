"""Windows: whether a time lies in one, seen from a frame's row, and when it leaves by time alone.

Most windows are arithmetic. Three need a value for each row of the frame, a *mark* (a common table expression with
the frame's keys): where the newest E stands (`since E`), which run of events is the newest (`in the session`), when
the day began in a zone. Zones are tables too, printed from our own rules of time zones: a row for every stretch of
days of one length, so that no dialect's idea of a zone is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlglot import exp

from segue import calendars
from segue.rules import tree
from segue.warehouse.frames import Frame
from segue.warehouse.statement import Statement
from segue.warehouse.table import SEQ
from segue.warehouse.terms import (
    above,
    all_of,
    at_least,
    at_most,
    below,
    column,
    constant,
    equal,
    every,
    minus,
    named,
    only_if,
    otherwise,
    over,
    plus,
    rest_of,
    rows_of,
    select,
    where,
)

DAY_MS: Final = 86_400_000
_LENGTH_MS: Final = {"day": DAY_MS, "week": 7 * DAY_MS}
_MONDAY_MS: Final = {"day": 0, "week": 3 * DAY_MS}
"""from the Monday before to the epoch, which was a Thursday"""
ZONES_END_MS: Final = 2_524_608_000_000
"""2050: how far the rules of a zone are written out"""


@dataclass(frozen=True, slots=True)
class Lies:
    """The condition that a time lies in a window, and the mark it needs beside it, if any."""

    condition: exp.Condition | None
    mark: str | None = None
    left: bool = False
    """whether places without a mark count"""


def lies(
    statement: Statement, frame: Frame, window: tree.Window | None, time: exp.Condition, called: str | None = None
) -> Lies:
    """For windows of times alone. `time` is at or before the row's instant. `called`: what the mark is joined as."""
    match window:
        case None:
            return Lies(None)
        case tree.Last(ms):
            return Lies(above(time, frame.ago(ms)))
        case tree.Ago(near_ms, far_ms):
            return Lies(every(above(time, frame.ago(far_ms)), at_most(time.copy(), frame.ago(near_ms))))
        case tree.SinceTime(at_ms):
            return Lies(at_least(time, at_ms))
        case tree.Calendar(unit, zone) if statement.as_of is not None and not frame.steps:
            return Lies(at_least(time, calendars.start_ms(unit, zone, statement.as_of)))
        case tree.Calendar(unit, zone) if zone == "UTC":
            return Lies(at_least(time, _utc_start(unit, frame.instant())))
        case tree.Calendar(unit, zone):
            mark = _starts(statement, frame, unit, zone)
            return Lies(at_least(time, column("start_ms", called or mark)), mark)
    raise AssertionError(f"the checks let no {window} stand here")


def of_events(statement: Statement, frame: Frame, window: tree.Window | None, events: tree.Events) -> tuple[str, Lies]:
    """(the rows to look at, whether one of them, as `h`, lies in the window). A session's rows are the events already."""
    match window:
        case tree.SinceEvents(since):
            mark = statement.add("since", _newest(frame, statement.history, statement.is_one(since)))
            after = above(column(SEQ, "h"), otherwise(column(SEQ, "m"), 0))
            return statement.history, Lies(after, mark, left=True)
        case tree.Session(gap_ms):
            runs = statement.add("runs", _runs(statement, events, gap_ms))
            mark = statement.add("session", _newest(frame, runs, None, "run"))
            in_time = above(column("time_ms", "m"), frame.ago(gap_ms))
            return runs, Lies(every(equal(column("run", "h"), column("run", "m")), in_time), mark)
    return statement.history, lies(statement, frame, window, column("time_ms", "h"), "m")


def expiries(
    statement: Statement, rows: exp.Select, time: exp.Condition, window: tree.Window | None
) -> Iterator[exp.Select]:
    """When what happened at `time` leaves or comes into the window: `rows`, a FROM without columns, with these."""

    def at(value: exp.Condition, query: exp.Select = rows) -> exp.Select:
        return query.select(column("person_id", "h"), named(value, "time_ms"))

    match window:
        case tree.Last(ms) | tree.Session(ms):
            yield at(plus(time.copy(), ms))
        case tree.Ago(near_ms, far_ms):
            yield at(plus(time.copy(), near_ms))
            yield at(plus(time.copy(), far_ms))
        case tree.Calendar(unit, zone) if zone == "UTC":
            yield at(plus(_utc_start(unit, time), _LENGTH_MS[unit]))
        case tree.Calendar(unit, zone):
            spans = _zone(statement, unit, zone)
            yield at(plus(_span_start(time), column("length_ms", "z")), rows.join(rows_of(spans, "z"), on=_in_span(time)))


def _newest(frame: Frame, rows: str, which: exp.Condition | None, value: str = SEQ) -> exp.Select:
    """For each place, the newest row it sees: its value (which rises in the order of the history) and time."""
    query = frame.over(rows).select(
        named(exp.Max(this=column(value, "h")), value), named(exp.Max(this=column("time_ms", "h")), "time_ms")
    )
    return where(query, which).group_by(*frame.own_keys())


def _runs(statement: Statement, events: tree.Events, gap_ms: int) -> exp.Select:
    """The history's rows that are one of the events, with the number of their run."""
    order = ([column("person_id", "h")], [column(SEQ, "h")])
    since_last = minus(column("time_ms", "h"), over(exp.Lag(this=column("time_ms", "h")), *order))
    apart = select(all_of("h"), named(since_last, "since_last_ms")).from_(rows_of(statement.history, "h"))
    apart = where(apart, statement.is_one(events))
    begins = only_if(at_least(column("since_last_ms", "h"), gap_ms), constant(1))
    run = over(exp.Count(this=begins), *order, rows="before")
    return select(all_of("h"), named(run, "run")).from_(apart.subquery("h"))


# --- calendars


def _utc_start(unit: calendars.Unit, time: exp.Condition) -> exp.Condition:
    shift = _MONDAY_MS[unit]
    return minus(time.copy(), rest_of(plus(time.copy(), shift) if shift else time.copy(), _LENGTH_MS[unit]))


def _starts(statement: Statement, frame: Frame, unit: calendars.Unit, zone: str) -> str:
    """The mark: when the day or week of each place began."""
    spans = _zone(statement, unit, zone)
    query = frame.from_self().select(named(_span_start(frame.instant()), "start_ms"))
    return statement.add("calendar", query.join(rows_of(spans, "z"), on=_in_span(frame.instant())))


def _in_span(time: exp.Condition) -> exp.Condition:
    return every(at_least(time.copy(), column("from_ms", "z")), below(time.copy(), column("to_ms", "z")))


def _span_start(time: exp.Condition) -> exp.Condition:
    return minus(time.copy(), rest_of(minus(time.copy(), column("from_ms", "z")), column("length_ms", "z")))


def _zone(statement: Statement, unit: calendars.Unit, zone: str) -> str:
    """The relation of a zone's stretches of days (weeks) of one length: [from_ms, to_ms), length_ms."""
    known = spans_of(unit, zone)
    if statement.as_of is not None:
        known = tuple(span for span in known if span[0] <= statement.as_of)
    spans = exp.values(known, alias="z", columns=["from_ms", "to_ms", "length_ms"])
    place = re.sub(r"[^a-z]+", "_", zone.rpartition("/")[2].lower())
    return statement.add(f"{unit}s_in_{place}", select(exp.Star()).from_(spans))


@lru_cache(maxsize=64)
def spans_of(unit: calendars.Unit, zone: str) -> tuple[tuple[int, int, int], ...]:
    """From 1970 to ZONES_END_MS: (from, to, length of each day in between), all in ms."""
    spans = []
    begin = start = calendars.start_ms(unit, zone, 0)
    length = calendars.end_ms(unit, zone, start) - start
    while start <= ZONES_END_MS:
        end = calendars.end_ms(unit, zone, start)
        if end - start != length:
            spans.append((begin, start, length))
            begin, length = start, end - start
        start = end
    return (*spans, (begin, start, length))
