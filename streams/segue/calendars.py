"""Calendar days and weeks in a time zone, as instants: where `today` and `this week` begin and end.

Days are as long as the zone says: 23 or 25 hours when the clocks change, and a day without a midnight begins at
its first instant. The zones' rules are those of the `tzdata` package and not of the machine, so that all workers
agree on them, whatever they run on.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib import resources
from typing import Literal
from zoneinfo import ZoneInfo

Unit = Literal["day", "week"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def start_ms(unit: Unit, zone: str, at_ms: int) -> int:
    """The first instant of the day, or of the week from Monday, that `at_ms` lies in. ms since the epoch."""
    return _bounds(unit, zone, at_ms // 900_000)[0]


def end_ms(unit: Unit, zone: str, at_ms: int) -> int:
    """The first instant of the next one."""
    return _bounds(unit, zone, at_ms // 900_000)[1]


@lru_cache(maxsize=65_536)
def _bounds(unit: Unit, zone: str, quarter_hour: int) -> tuple[int, int]:
    """Of a quarter of an hour: since 1980 no zone's day begins elsewhere than at one's start."""
    tz = zone_of(zone)
    local = (_EPOCH + timedelta(minutes=15 * quarter_hour)).astimezone(tz).date()
    first = local - timedelta(days=local.weekday()) if unit == "week" else local
    return _midnight(first, tz), _midnight(first + timedelta(days=7 if unit == "week" else 1), tz)


@lru_cache(maxsize=1_024)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises OSError, ValueError for what is none."""
    package, _, file = f"tzdata.zoneinfo.{name.replace('/', '.')}".rpartition(".")
    with resources.files(package).joinpath(file).open("rb") as rules:
        return ZoneInfo.from_file(rules, name)


def _midnight(day: date, tz: ZoneInfo) -> int:
    """The first instant of a local day. Where midnight is skipped, fold 0 gives the instant the clocks jump."""
    stamp = datetime.combine(day, time(), tz).astimezone(UTC)
    return (stamp - _EPOCH) // timedelta(milliseconds=1)
