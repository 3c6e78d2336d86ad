"""Windows to checked tree: durations, dates and zones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from segue.rules import syntax, tree
from segue.rules.checking import Checker, suggestion
from segue.rules.messages import quoted
from segue.rules.zones import zone_names

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(T([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(2100, 1, 1, tzinfo=UTC)
_ZONES_SHOWN: Final = "Zones have names such as Europe/Paris, America/New_York and UTC."

_OTHERS: Final = "Write 'in the last 7 days', 'between 7 days and 30 days ago', 'since 2026-01-01' or 'this week'."

Refused = Mapping[type[syntax.Window], tuple[str, str]]
"""what is wrong with a window of the type, and what to do"""
NO_PATTERN: Final[Refused] = {
    syntax.SinceEvents: ("a pattern's window holds the time of its match; 'since E' holds events", _OTHERS),
    syntax.Session: ("a pattern's window holds the time of its match; a session holds events", _OTHERS),
}
NO_FIRST: Final[Refused] = {
    syntax.SinceEvents: ("the first event ever is one for all time; it does not begin anew 'since E'", _OTHERS),
    syntax.Session: ("the first event ever is one event; a session is a run of them", _OTHERS),
}


def checked(checker: Checker, node: syntax.Window | None, refused: Refused | None = None) -> tuple[tree.Window | None, bool]:
    """(the window, None meaning ever; whether it is in order). Problems are noted with the checker."""
    if node is None:
        return None, True
    if refused and type(node) in refused:
        checker.refuse(node, *refused[type(node)])
        return None, False
    window = _window(checker, node)
    return window, window is not None


def _window(checker: Checker, node: syntax.Window) -> tree.Window | None:
    match node:
        case syntax.Last():
            ms = checker.duration(node.duration)
            return None if ms is None else tree.Last(ms)
        case syntax.Ago():
            return _ago(checker, node)
        case syntax.SinceTime():
            at_ms = _instant(checker, node.date)
            return None if at_ms is None else tree.SinceTime(at_ms)
        case syntax.SinceEvents():
            events = checker.events(node.events)
            return None if events is None else tree.SinceEvents(events)
        case syntax.Calendar():
            zone = "UTC" if node.zone is None else node.zone.text
            return tree.Calendar(node.unit, zone) if node.zone is None or _known(checker, node.zone) else None
        case syntax.Session():
            gap_ms = checker.duration(node.gap)
            return None if gap_ms is None else tree.Session(gap_ms)


def _ago(checker: Checker, node: syntax.Ago) -> tree.Window | None:
    one, other = node.one, node.other
    if one.unit is None and other.unit is not None:
        unit, (near, far) = other.unit.text, sorted((one.number, other.number))
        checker.refuse(
            one,
            "both times of 'between ... ago' need a unit",
            f"Write 'between {near:g} {unit} and {far:g} {unit} ago'.",
        )
        return None
    near_ms, far_ms = checker.duration(one), checker.duration(other)
    if near_ms is None or far_ms is None:
        return None
    if near_ms >= far_ms:
        text = checker.scalar.value
        written, further = text[one.start : one.end], text[other.start : other.end]
        checker.refuse(
            syntax.Node(one.start, other.end),
            "the nearer time comes first" if near_ms > far_ms else "nothing lies between a time and itself",
            f"Write 'between {further} and {written} ago'." if near_ms > far_ms else "Make the second one longer.",
        )
        return None
    return tree.Ago(near_ms, far_ms)


def _instant(checker: Checker, word: syntax.Word) -> int | None:
    """Milliseconds since the epoch of `2026-01-01` or `2026-01-01T10:00+02:00`; UTC unless it says otherwise."""
    try:
        at = datetime.fromisoformat(word.text) if _DATE.fullmatch(word.text) else None
    except ValueError:  # the 30th of February
        at = None
    if at is None:
        checker.refuse(word, f"{quoted(word.text)} is no date", _date_hint(word.text))
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if not _EPOCH <= at < _END:
        checker.refuse(word, "dates lie between 1970 and 2100", "Write the year in four digits, as in 2026-01-01.")
        return None
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _date_hint(text: str) -> str:
    numbers = re.findall(r"\d+", text)
    if re.fullmatch(r"\d{4}-\d\d-\d\d\s+\d\d:\d\d.*", text, re.DOTALL):
        return f"Put a T between day and time: {'T'.join(text.split())}."
    if len(numbers) == 3 and len(numbers[0]) == 4 and (day := _day(numbers)):
        return f"Write {day}."
    return "Write year-month-day as in 2026-01-01, or with a time as in 2026-01-01T10:00+02:00."


def _day(numbers: Sequence[str]) -> str | None:
    try:
        return date(*map(int, numbers)).isoformat()
    except ValueError:
        return None


def _known(checker: Checker, zone: syntax.Word) -> bool:
    if zone.text in zone_names():
        return True
    same = {n.lower(): n for n in sorted(zone_names())}
    places = {n.rpartition("/")[2].lower(): n for n in sorted(zone_names())}
    word = zone.text.lower().replace("-", "_")
    near = same.get(word) or places.get(word)
    hint = f"Did you mean {near!r}?" if near else suggestion(zone.text, zone_names(), _ZONES_SHOWN)
    checker.refuse(zone, f"unknown time zone {quoted(zone.text)}", hint)
    return False
