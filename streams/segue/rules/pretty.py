"""Conditions as text a marketer reads and the parser reads back: `parse(text_of(c)) == c`.

Used by the canonical form, by explain and by `segue check`.
"""

from __future__ import annotations

from segue.rules import tree

_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "ms"))
_NEED_QUOTES = frozenset({"did", "count", "in", "not"})
"""event names that would be read as the start of a condition"""


def text_of(condition: tree.Condition) -> str:
    """One line."""
    match condition:
        case tree.Or(items):
            return " or ".join(text_of(i) for i in items)
        case tree.And(items):
            return " and ".join(_bracketed(i, tree.Or) for i in items)
        case tree.Not(tree.Count(events, ">=", 1, None, window_ms)):
            return f"did not {events_text(events)}{_window(window_ms)}"
        case tree.Not(item):
            return f"not {_bracketed(item, tree.Or, tree.And)}"
        case tree.Count(events, ">=", 1, None, window_ms):
            return f"did {events_text(events)}{_window(window_ms)}"
        case tree.Count(events, op, n, upper, window_ms):
            return f"count({_inside(events)}) {comparison_text(op, n, upper)}{_window(window_ms)}"
        case tree.Absence(first, missing, within_ms, restart):
            text = f"{events_text(first)} then no {events_text(missing)} within {duration_text(within_ms)}"
            return text if restart is None else f"{text}, restarting on {events_text(restart)}"
        case tree.InSegment(name):
            return f"in {name}"


def comparison_text(op: str, n: int, upper: int | None) -> str:
    """`>= 5`, `between 2 and 5`."""
    return f"between {n} and {upper}" if op == "between" else f"{op} {n}"


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
        case tree.Compare(field, "is known"):
            return f"{field} is known"
        case tree.Compare(field, "in" | "not in" as op, values):
            return f"{field} {op} ({', '.join(value_text(v) for v in values)})"
        case tree.Compare(field, op, values):
            return f"{field} {op} {value_text(values[0])}"


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


def _inside(events: tree.Events) -> str:
    names = " or ".join(f'"{n}"' if n in _NEED_QUOTES else n for n in events.names)
    return names if events.where is None else f"{names} where {filter_text(events.where)}"


def _window(window_ms: int | None) -> str:
    return "" if window_ms is None else f" in the last {duration_text(window_ms)}"


def _bracketed(item: tree.Condition, *kinds: type) -> str:
    return f"({text_of(item)})" if isinstance(item, kinds) else text_of(item)


def _bracketed_filter(item: tree.Filter, *kinds: type) -> str:
    return f"({filter_text(item)})" if isinstance(item, kinds) else filter_text(item)
