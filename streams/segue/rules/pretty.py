"""Conditions as text a marketer reads and the parser reads back: `parse(text_of(c)) == c`.

Used by the canonical form, by explain and by `segue check`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from segue.rules import tree

KEYWORDS: Final = frozenset(
    {"after", "ago", "and", "avg", "between", "bucket", "consents", "contains", "count", "did", "distinct", "entering",
     "ever", "false", "first", "for", "gap", "in", "is", "known", "last", "max", "min", "no", "not", "on", "or",
     "restarting", "same", "score", "seen", "session", "since", "starts", "sum", "the", "then", "this", "to", "today",
     "trait", "true", "week", "where", "with", "within"}
)  # fmt: skip
"""of the grammar; an event called like one takes quotes"""
_UNITS: Final = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "ms"))
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def text_of(condition: tree.Condition) -> str:
    """One line."""
    match condition:
        case tree.Or(items):
            return " or ".join(text_of(i) for i in items)
        case tree.And(items):
            return " and ".join(_bracketed(i, tree.Or) for i in items)
        case tree.Not(item):
            return _negated(item)
        case tree.Sequence(first, second, within_ms, same, window):
            text = f"{events_text(first)} then {events_text(second)} within {duration_text(within_ms)}"
            return f"{text}{_same(same)}{_window(window)}"
        case tree.Absence(first, missing, within_ms, restart, same, window):
            text = f"{events_text(first)} then no {events_text(missing)} within {duration_text(within_ms)}{_same(same)}"
            return f"{text}{'' if restart is None else f', restarting on {events_text(restart)}'}{_window(window)}"
        case tree.Trait(kind, name, op, values, held_ms):
            held = "" if held_ms is None else f" for {duration_text(held_ms)}"
            return f"{kind}.{name} {_test(op, values)}{held}"
        case tree.Consents(purpose):
            return f"consents to {purpose if _NAME.fullmatch(purpose) else value_text(purpose)}"
        case tree.Bucket():
            return _bucket(condition)
        case tree.InSegment(name):
            return f"in {name}"
        case _:
            return _of_events(condition)


def _of_events(condition: tree.Count | tree.Aggregate | tree.Pick | tree.First) -> str:
    window = _window(condition.window)
    match condition:
        case tree.Count(events, ">=", 1, None):
            return f"did {events_text(events)}{window}"
        case tree.Count(events, op, n, upper):
            return f"count({_inside(events)}) {comparison_text(op, n, upper)}{window}"
        case tree.Aggregate(function, events, field, op, values):
            return f"{function}({_field_of(events, field)}) {comparison_text(op, values[0], values[-1])}{window}"
        case tree.Pick(which, events, field, op, values):
            return f"{which}({_inside(events)}).{field} {_test(op, values)}{window}"
        case tree.First(events):
            return f"first {events_text(events)}{window}"


def _negated(item: tree.Condition) -> str:
    match item:
        case tree.Count(events, ">=", 1, None, window):
            return f"did not {events_text(events)}{_window(window)}"
        case tree.Pick(which, events, field, "is known", _, window):
            return f"{which}({_inside(events)}).{field} is not known{_window(window)}"
        case tree.Trait(kind, name, "is known", _, None):
            return f"{kind}.{name} is not known"
        case _:
            return f"not {_bracketed(item, tree.Or, tree.And)}"


def _bucket(bucket: tree.Bucket) -> str:
    low, high = (f"{int(v) if v == int(v) else v}%" for v in (bucket.low, bucket.high))
    compared = f"< {high}" if bucket.low == 0 else f">= {low}" if bucket.high == 100 else f"between {low} and {high}"
    return f"bucket({value_text(bucket.salt)}) {compared}"


def _same(field: str | None) -> str:
    return "" if field is None else f" with the same {field}"


def _window(window: tree.Window | None) -> str:
    return "" if window is None else f" {window_text(window)}"


def window_text(window: tree.Window) -> str:
    """`in the last 7 days`, `today in UTC`."""
    match window:
        case tree.Last(ms):
            return f"in the last {duration_text(ms)}"
        case tree.Ago(near_ms, far_ms):
            return f"between {duration_text(near_ms)} and {duration_text(far_ms)} ago"
        case tree.SinceTime(at_ms):
            return f"since {instant_text(at_ms)}"
        case tree.SinceEvents(events):
            return f"since {events_text(events)}"
        case tree.Calendar(unit, zone):
            return f"{'today' if unit == 'day' else 'this week'} in {zone}"
        case tree.Session(gap_ms):
            return f"in the session with gap {duration_text(gap_ms)}"


def instant_text(at_ms: int) -> str:
    """`2026-01-01` if it is a midnight, else `2026-01-01T10:00:00Z` or with milliseconds; always UTC."""
    day, of_day = divmod(at_ms, 86_400_000)
    if of_day == 0:
        return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
    seconds, ms = divmod(at_ms, 1_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms:03}Z" if ms else f"{whole}Z"


def comparison_text(op: str, low: float, high: float | None) -> str:
    """`>= 5`, `between 2 and 5`."""
    return f"between {low!r} and {high!r}" if op == "between" else f"{op} {low!r}"


def events_text(events: tree.Events) -> str:
    """`a`, `(a or b)`, `(a where x = 1)`: brackets wherever there is more than a name."""
    inside = _inside(events)
    return inside if len(events.names) == 1 and events.where is None else f"({inside})"


def filter_text(where: tree.Filter) -> str:
    """What stands after `where`."""
    match where:
        case tree.AnyOf(items):
            return " or ".join(filter_text(i) for i in items)
        case tree.AllOf(items):
            return " and ".join(_bracketed_filter(i, tree.AnyOf) for i in items)
        case tree.NoneOf(tree.Compare(field, "is known")):
            return f"{field} is not known"
        case tree.NoneOf(item):
            return f"not {_bracketed_filter(item, tree.AnyOf, tree.AllOf)}"
        case tree.Compare(field, op, values):
            return f"{field} {_test(op, values)}"


def _test(op: str, values: tuple[tree.Literal_, ...]) -> str:
    """What stands behind a field."""
    if op == "is known":
        return op
    if op in ("in", "not in"):
        return f"{op} ({', '.join(value_text(v) for v in values)})"
    return f"{op} {value_text(values[0])}"


def value_text(value: tree.Literal_) -> str:
    """A literal as rules write it."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def duration_text(ms: int) -> str:
    """`7 days`: in the largest unit that leaves no fraction."""
    for size, unit in _UNITS:
        if ms % size == 0:
            return f"{ms // size} {unit}{'' if ms == size or unit == 'ms' else 's'}"
    raise AssertionError("every whole number divides by 1")


def _names(events: tree.Events) -> str:
    return " or ".join(n if _NAME.fullmatch(n) and n not in KEYWORDS else f'"{n}"' for n in events.names)


def _inside(events: tree.Events) -> str:
    return _names(events) if events.where is None else f"{_names(events)} where {filter_text(events.where)}"


def _field_of(events: tree.Events, field: str) -> str:
    names = _names(events) if len(events.names) == 1 else f"({_names(events)})"
    return f"{names}.{field}" if events.where is None else f"{names}.{field} where {filter_text(events.where)}"


def _bracketed(item: tree.Condition, *kinds: type) -> str:
    return f"({text_of(item)})" if isinstance(item, kinds) else text_of(item)


def _bracketed_filter(item: tree.Filter, *kinds: type) -> str:
    return f"({filter_text(item)})" if isinstance(item, kinds) else filter_text(item)
