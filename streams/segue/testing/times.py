"""Times as case files write them, and back.

`10:00` is on the day the clock shows, `day 3 10:00` counts from the case's date, `+30m` from the clock, and
`2026-03-02 10:00` is itself. Days of the calendar are those of the case's zone; the `d` of `+1d` is 24 hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from segue.testing.words import Mistake, Word

_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SHIFT = re.compile(r"\+(?:\d+(?:ms|s|min|m|h|d))+", re.ASCII)
_PART = re.compile(r"(\d+)(ms|s|min|m|h|d)", re.ASCII)
_LOOKS_LIKE_A_TIME = re.compile(r"\d+:|\d{4}-\d|\+\d", re.ASCII)
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONG_UNITS = {"second": "s", "minute": "min", "hour": "h", "day": "d"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_END_MS = (datetime(3000, 1, 1, tzinfo=UTC) - _EPOCH) // _MS
"""so that what follows from a time, windows later, is still a date"""
_DAYS_SHOWN = 1_000
"""days after which a date says more than their number"""
FORMS = "10:00, 10:00:05.250, +30m, day 3 10:00 or 2026-03-02 10:00"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Day 1 of a case, and the zone its clocks show."""

    first_day: date
    zone: ZoneInfo

    def read(self, line: list[Word], i: int, clock_ms: int | None) -> tuple[int, int] | None:
        """The time that begins at word i, in ms, and the word after it; None if that word begins no time.

        `clock_ms`: where the clock stands; None at the beginning of a case. Raises Mistake for a time that is none.
        """
        found = self._read(line, i, clock_ms)
        if found is not None and not 0 <= found[0] < _END_MS:
            raise _far(line[i])
        return found

    def _read(self, line: list[Word], i: int, clock_ms: int | None) -> tuple[int, int] | None:
        word, after = line[i], line[i + 1] if i + 1 < len(line) else None
        if word.text == "day" and after is not None and after.text.isdecimal():
            first = self._day(word, after)
            return self._at(first, self._clock_of(line, i + 2, after), after), i + 3
        if word.quoted or not _LOOKS_LIKE_A_TIME.match(word.text):
            return None
        if word.text.startswith("+"):
            return self._shift(line, i, clock_ms)
        if _DATE.fullmatch(word.text):
            return self._at(_date(word), self._clock_of(line, i + 1, word), word), i + 2
        if _DATE.match(word.text):
            return self._iso(word), i + 1
        day = self.first_day if clock_ms is None else self._local(clock_ms).date()
        return self._at(day, _clock(word), word), i + 1

    def midnight(self) -> int:
        """The beginning of day 1."""
        return (datetime.combine(self.first_day, time(), self.zone) - _EPOCH) // _MS

    def write(self, ms: int) -> str:
        """`10:00` on day 1, `day 3 10:00`, or far away the date."""
        local = self._local(ms)
        clock = f"{local:%H:%M}"
        if local.second or local.microsecond:
            clock += f":{local:%S}"
        if local.microsecond:
            clock += f".{local.microsecond // 1_000:03}"
        n = (local.date() - self.first_day).days + 1
        if n == 1:
            return clock
        return f"day {n} {clock}" if 1 < n < _DAYS_SHOWN else f"{local:%Y-%m-%d} {clock}"

    def _local(self, ms: int) -> datetime:
        return (_EPOCH + ms * _MS).astimezone(self.zone)

    def _at(self, day: date, clock: time, word: Word) -> int:
        try:
            return (datetime.combine(day, clock, self.zone) - _EPOCH) // _MS
        except OverflowError:
            raise _far(word) from None

    def _day(self, word: Word, number: Word) -> date:
        try:
            day = self.first_day + timedelta(days=int(number.text) - 1)
        except (OverflowError, ValueError):
            raise _far(number) from None
        if int(number.text) < 1:
            raise Mistake(word.start, number.end, "days are counted from 1", "Day 1 is the date of the case.")
        return day

    def _clock_of(self, line: list[Word], i: int, before: Word) -> time:
        if i >= len(line) or not _CLOCK.fullmatch(line[i].text):
            raise before.mistake("a day needs a time of day behind it", f"Times are {FORMS}.")
        return _clock(line[i])

    def _shift(self, line: list[Word], i: int, clock_ms: int | None) -> tuple[int, int]:
        word, after = line[i], line[i + 1] if i + 1 < len(line) else None
        text, used = word.text, 1
        if text[1:].isdecimal() and after is not None and (unit := _unit(after.text)):
            text, used = text + unit, 2
        if not _SHIFT.fullmatch(text):
            raise word.mistake(f"{word.text!r} is no step in time", "Write +30m, +1h30m, +7d, +500ms.")
        if clock_ms is None:
            raise word.mistake("there is no line before it to count from", "Begin the case with a time of day.")
        ms = clock_ms + sum(int(n) * _UNITS_MS[unit] for n, unit in _PART.findall(text))
        return ms, i + used

    def _iso(self, word: Word) -> int:
        try:
            moment = datetime.fromisoformat(word.text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self.zone)
            return (moment - _EPOCH) // _MS
        except (ValueError, OverflowError):
            raise word.mistake(f"{word.text!r} is no time", f"Times are {FORMS}.") from None


def _clock(word: Word) -> time:
    found = _CLOCK.fullmatch(word.text)
    try:
        if found:
            hour, minute, second, ms = found.groups(default="0")
            return time(int(hour), int(minute), int(second), int(ms.ljust(3, "0")) * 1_000)
    except ValueError:
        pass
    raise word.mistake(f"{word.text!r} is no time", f"Times are {FORMS}.")


def _date(word: Word) -> date:
    try:
        return date.fromisoformat(word.text)
    except ValueError:
        raise word.mistake(f"{word.text!r} is no date", "Write it as in 2026-03-02.") from None


def _unit(text: str) -> str | None:
    return _LONG_UNITS.get(text.removesuffix("s")) or (text if text in _UNITS_MS else None)


def _far(word: Word) -> Mistake:
    return word.mistake("this is too far away", "Times are those of the years 1970 to 2999.")
