"""What each leaf of the rule language says of the events seen so far, read off its sentence in tree.py.

A `View` is all a leaf may look at. Nothing is kept from one look to the next: every answer is worked out anew
from the whole list of events, so there is no state that could be wrong. No code is shared with the engine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from segue.catalog import Profile
from segue.rules import tree as t


@dataclass(frozen=True)
class Event:
    """One event of one person; `order` is its source's, `offset` its place in the source."""

    time: int
    order: int
    offset: int
    name: str
    fields: tuple[tuple[str, Any], ...] = ()
    id: str = ""
    """as its source names it, for sources that deduplicate"""

    def place(self) -> tuple[int, int, int]:
        return (self.time, self.order, self.offset)

    def get(self, name: str) -> Any:
        return next((value for known, value in self.fields if known == name), None)


@dataclass(frozen=True)
class View:
    """Where a leaf stands: what has been seen, and what of it the segment may see since its last exit."""

    seen: Sequence[Event]
    now: int
    own: Sequence[Event]
    person: bytes | None = None
    profile: Profile = field(default_factory=Profile)


# --- values and filters


def compares(value: Any, op: str, values: Sequence[Any]) -> bool:
    """`value op values`; null is false whatever the operator."""
    if value is None:
        return False
    one = values[0] if values else None
    return {
        "is known": lambda: True,
        "=": lambda: value == one,
        "!=": lambda: value != one,
        ">": lambda: value > one,
        ">=": lambda: value >= one,
        "<": lambda: value < one,
        "<=": lambda: value <= one,
        "between": lambda: values[0] <= value <= values[1],
        "in": lambda: value in values,
        "not in": lambda: value not in values,
        "contains": lambda: one in value,
        "starts with": lambda: value.startswith(one),
    }[op]()


def passes(where: t.Filter | None, e: Event) -> bool:
    match where:
        case None:
            return True
        case t.AllOf(items):
            return all(passes(i, e) for i in items)
        case t.AnyOf(items):
            return any(passes(i, e) for i in items)
        case t.NoneOf(item):
            return not passes(item, e)
        case t.Compare(name, op, values):
            return compares(e.get(name), op, values)


def is_one(events: t.Events | None, e: Event) -> bool:
    return events is not None and e.name in events.names and passes(events.where, e)


# --- windows


def lies(window: t.Window | None, time: int, now: int) -> bool:
    """Whether a time up to now lies in a window that is made of times alone."""
    match window:
        case None:
            return True
        case t.Last(ms):
            return now - ms < time <= now
        case t.Ago(near_ms, far_ms):
            return now - far_ms < time <= now - near_ms
        case t.SinceTime(at_ms):
            return at_ms <= time
        case t.Calendar(unit, zone):
            return calendar_page(unit, zone, time) == calendar_page(unit, zone, now)
    raise AssertionError(f"{window} is made of events")


@lru_cache(maxsize=100_000)
def calendar_page(unit: str, zone: str, time: int) -> tuple[int, ...]:
    """The local day a time lies in, or its week: equal pages are one window."""
    day: date = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)).astimezone(ZoneInfo(zone)).date()
    return (day.toordinal(),) if unit == "day" else tuple(day.isocalendar()[:2])


def chosen(events: t.Events, window: t.Window | None, v: View) -> list[Event]:
    """The events a leaf's answer is made of, in order."""
    own = list(v.own)
    if isinstance(window, t.SinceEvents):
        for i, e in enumerate(v.own):
            if is_one(window.events, e):
                own = list(v.own[i + 1 :])
    found = [e for e in own if is_one(events, e)]
    match window:
        case t.SinceEvents():
            return found
        case t.Session(gap_ms):
            return newest_run(found, gap_ms, v.now)
    return [e for e in found if lies(window, e.time, v.now)]


def newest_run(found: list[Event], gap_ms: int, now: int) -> list[Event]:
    if not found or found[-1].time <= now - gap_ms:
        return []
    first = len(found) - 1
    while first > 0 and found[first].time - found[first - 1].time < gap_ms:
        first -= 1
    return found[first:]


# --- leaves


def holds(leaf: t.Condition, v: View) -> bool:
    """A leaf's truth; `in S`, `and`, `or`, `not` are the oracle's own."""
    match leaf:
        case t.Count(events, op, n, upper, window):
            return compares(len(chosen(events, window, v)), op, (n, upper))
        case t.Aggregate():
            return compares(aggregate(leaf, v), leaf.op, leaf.values)
        case t.Pick(which, events, name, op, values, window):
            found = chosen(events, window, v)
            return bool(found) and compares(found[-1 if which == "last" else 0].get(name), op, values)
        case t.First(events, window):
            ever = [e for e in v.seen if is_one(events, e)]
            return bool(ever) and lies(window, ever[0].time, v.now)
        case t.Sequence():
            matches = [b.time for b in v.own if any(follows(leaf, a, b) for a in v.own)]
            return bool(matches) and lies(leaf.window, matches[-1], v.now)
        case t.Absence():
            return absence(leaf, v)
        case t.Trait():
            return trait(leaf, v)
        case t.Consents(purpose):
            return consents(purpose, v)
        case t.Bucket(salt, low, high):
            assert v.person is not None, "a bucket needs the person"
            text = salt.encode() + b":" + v.person
            return low <= int(hashlib.md5(text).hexdigest()[:8], 16) * 100 / 2**32 < high
    raise AssertionError(leaf)


def aggregate(leaf: t.Aggregate, v: View) -> float | int | None:
    values = [x for e in chosen(leaf.events, leaf.window, v) if (x := e.get(leaf.field)) is not None]
    match leaf.function:
        case "distinct":
            return len({(isinstance(x, bool), x) for x in values})
        case "sum":
            return exact_sum(values)
        case "avg":
            return exact_sum(values) / len(values) if values else None
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)


def exact_sum(values: Sequence[float]) -> float:
    """Rounded once; beyond the largest number there is, infinity."""
    total = sum((Fraction(float(x)) for x in values), Fraction())
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def follows(leaf: t.Sequence, a: Event, b: Event) -> bool:
    alike = leaf.same is None or (a.get(leaf.same) is not None and a.get(leaf.same) == b.get(leaf.same))
    return is_one(leaf.first, a) and is_one(leaf.second, b) and alike and b.time - leaf.within_ms < a.time < b.time


def absence(leaf: t.Absence, v: View) -> bool:
    """Each value has its own clock and its own match; the newest of those that stand decides."""
    if leaf.same is None:
        matches = [absence_match(leaf, v.own, v.now)]
    else:
        values = {e.get(leaf.same) for e in v.own} - {None}
        matches = [absence_match(leaf, [e for e in v.own if e.get(leaf.same) == x], v.now) for x in values]
    newest = max((m for m in matches if m is not None), default=None)
    return newest is not None and lies(leaf.window, newest, v.now)


def absence_match(leaf: t.Absence, events: Sequence[Event], now: int) -> int | None:
    """The newest match that stands. Walks the events: a clock reached before the next one is a match."""
    clock: int | None = None
    match: int | None = None
    for e in events:
        if clock is not None and clock <= e.time:
            match, clock = clock, None
        if is_one(leaf.missing, e):
            match, clock = None, None
        if is_one(leaf.restarting_on, e) and clock is not None:
            clock = e.time + leaf.within_ms
        if is_one(leaf.first, e):
            clock = e.time + leaf.within_ms
    return clock if clock is not None and clock <= now else match


def statements(leaf: t.Trait, v: View) -> Iterator[tuple[int, Any]]:
    """(time, value) each time the trait or score was stated; a null states nothing."""
    p = v.profile
    for e in v.seen:
        if leaf.kind == "trait":
            assert leaf.name in p.traits, f"give the oracle the catalog's profile: it lacks {leaf.name}"
            value = e.get(leaf.name) if e.name in p.trait_events else None
        else:
            assert p.score_event is not None, "give the oracle the catalog's profile: it lacks scores"
            value = e.get(p.score) if e.name == p.score_event and e.get(p.score_name) == leaf.name else None
        if value is not None:
            yield e.time, value


def trait(leaf: t.Trait, v: View) -> bool:
    since: int | None = None
    for time, value in statements(leaf, v):
        if not compares(value, leaf.op, leaf.values):
            since = None
        elif since is None:
            since = time
    return since is not None and since + (leaf.held_ms or 0) <= v.now


def consents(purpose: str, v: View) -> bool:
    p = v.profile
    assert p.consent_event is not None, "give the oracle the catalog's profile: it lacks consents"
    decided = [
        (e.time, e.get(p.consent_granted))
        for e in v.seen
        if e.name == p.consent_event and e.get(p.consent_purpose) == purpose and e.get(p.consent_granted) is not None
    ]
    return bool(decided) and all(granted for time, granted in decided if time == decided[-1][0])


# --- when a leaf can change by time alone


def delays(leaf: t.Condition) -> set[int]:
    """How long after an event the leaf can change by itself."""
    match leaf:
        case t.Count() | t.Aggregate() | t.Pick() | t.First() | t.Sequence():
            return edges(leaf.window)
        case t.Absence():
            return {leaf.within_ms} | {leaf.within_ms + x for x in edges(leaf.window)}
        case t.Trait(held_ms=held_ms) if held_ms is not None:
            return {held_ms}
    return set()


def edges(window: t.Window | None) -> set[int]:
    match window:
        case t.Last(ms) | t.Session(ms):
            return {ms}
        case t.Ago(near_ms, far_ms):
            return {near_ms, far_ms}
    return set()


def dates(leaf: t.Condition, first: int, until: int) -> set[int]:
    """The instants at which the leaf can change whatever has happened: local midnights, the time of a `since`."""
    match getattr(leaf, "window", None):
        case t.SinceTime(at_ms):
            return {at_ms}
        case t.Calendar(unit, zone):
            quarters = range(first - first % 900_000, until + 1, 900_000)  # no zone's day begins between two of them
            return {x for x in quarters if calendar_page(unit, zone, x) != calendar_page(unit, zone, x - 1)}
    return set()
