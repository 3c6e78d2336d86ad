"""Times and numbers as an explanation says them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from segue.records import Value
from segue.rules.pretty import events_text, value_text
from segue.rules.tree import AllOf, Compare, Events

_DAY_MS = 86_400_000
_YEAR_10000_MS = 253_402_300_800_000
_SHOWN = 60
"""characters of a text"""


def moment(ms: int, at_ms: int) -> str:
    """`09:34`, `09:34:05` or `09:34:05.250`, with the date if it is not the day of `at_ms`. UTC."""
    if not 0 <= ms < _YEAR_10000_MS:
        return f"{ms} ms"
    clock = datetime.fromtimestamp(ms // 1_000, UTC)
    text = f"{clock:%H:%M:%S}" if clock.second or ms % 1_000 else f"{clock:%H:%M}"
    text += f".{ms % 1_000:03}" if ms % 1_000 else ""
    return text if ms // _DAY_MS == at_ms // _DAY_MS else f"{clock:%Y-%m-%d} {text}"


def day_and_moment(ms: int) -> str:
    """`2026-11-24 09:34:05`."""
    return moment(ms, ms + _DAY_MS)


def number(value: float) -> str:
    """`5`, `74.20`, and all the digits where two would not be the truth."""
    if not math.isfinite(value) or abs(value) >= 1 << 53:
        return repr(value)
    if value == int(value):
        return str(int(value))
    return f"{value:.2f}" if float(f"{value:.2f}") == value else repr(value)


def shown(value: Value) -> str:
    """A property's value, of a long text its beginning."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return value_text(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
    return value_text(value) if isinstance(value, bool) else number(value)


def events_said(events: Events, besides: Compare | None = None) -> str:
    """`view where item = "a"`; with one more test that they must pass."""
    if besides is not None:
        events = Events(events.names, besides if events.where is None else AllOf((events.where, besides)))
    said = events_text(events)
    return said[1:-1] if events.where is not None else said
