"""Case files: text to cases, or everything that is wrong with it at once, each with its place underlined."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from segue.calendars import zone_of
from segue.catalog import Catalog
from segue.errors import Problem, RuleError
from segue.testing.cases import Arrives, Case, Changes, IsIn, Lateness, Line, Quiet
from segue.testing.layout import Header, Layout, Written, lay_out
from segue.testing.sayings import Speaker
from segue.testing.times import FORMS, Calendar
from segue.testing.words import Mistake, Word, about, words

FIRST_DAY: Final = date(2026, 1, 5)
"""day 1 of a case that does not say: a Monday"""

_GOES_BACK: Final = (
    "Write the day with it if another day is meant (day 2 10:00), or 'late' behind the time of an event that arrives late."
)


@dataclass(frozen=True, slots=True)
class RulesNamed:
    """Which rules a case file is about. Neither: those that lie beside it."""

    files: tuple[str, ...]
    """what `rules:` names"""
    inline: str
    """the rules written in the file, each at the line of the file where it stands; empty: none"""


def rules_named(name: str, text: str) -> RulesNamed:
    """What rules a case file names or holds. Never raises: `read_cases` says what is wrong with the file."""
    layout = lay_out(name, text)
    files = [f for part in layout.parts if isinstance(part, Header) and part.key == "rules" for f in _listed(part.value)]
    return RulesNamed(tuple(dict.fromkeys(files)), layout.inline)


def read_cases(name: str, text: str, catalog: Catalog, segments: Collection[str] | None = None) -> tuple[Case, ...]:
    """The cases of a file. Raises RuleError with all problems.

    `segments`: names of the segments there are; None when the rules could not be read, and any name will do.
    """
    reader = _Reader(lay_out(name, text), catalog, segments)
    cases = reader.read()
    if reader.problems:
        raise RuleError(sorted(reader.problems, key=lambda p: (p.line, p.column)))
    return cases


@dataclass(slots=True)
class _Settings:
    """What headers set: for the file, and anew for each of its cases."""

    first_day: date = FIRST_DAY
    zone: ZoneInfo = field(default_factory=lambda: zone_of("UTC"))
    only: tuple[str, ...] | None = None


@dataclass(slots=True)
class _Open:
    """The case being read."""

    header: Header
    settings: _Settings
    lines: list[Line] = field(default_factory=list)
    clock_ms: int | None = None
    written: bool = False
    """whether a line has been met, right or wrong"""


class _Reader:
    def __init__(self, layout: Layout, catalog: Catalog, segments: Collection[str] | None) -> None:
        self.problems: list[Problem] = layout.problems
        self._layout = layout
        self._speaker = Speaker(catalog, segments)
        self._settings = _Settings()
        self._names: dict[str, int] = {}
        self._case: _Open | None = None
        self._done: list[Case] = []

    def read(self) -> tuple[Case, ...]:
        """All cases; `problems` says what could not be read."""
        for part in self._layout.parts:
            try:
                if isinstance(part, Written):
                    self._line(part)
                elif part.key == "case":
                    self._begin(part)
                else:
                    self._set(part)
            except Mistake as mistake:
                self._note(mistake)
        self._end()
        if not self._done and not self.problems:
            self._layout.problem(0, 1, "the file holds no case", "A case begins with a line such as 'case: a purchase'.")
        return tuple(self._done)

    def _note(self, m: Mistake) -> None:
        self._layout.problem(m.start, m.end, m.what, m.hint)

    # --- headers

    def _begin(self, header: Header) -> None:
        self._end()
        s = self._settings
        self._case = _Open(header, _Settings(s.first_day, s.zone, s.only))
        if header.value in self._names:
            raise _about(header, f"a case of this name stands at line {self._names[header.value]}", "Give it another name.")
        self._names[header.value] = header.number

    def _end(self) -> None:
        case = self._case
        if case is None:
            return
        if not case.written:
            self._note(_about(case.header, "this case has no line", "Write what happens, one line an event."))
        s = case.settings
        self._done.append(
            Case(
                self._layout.file.name, case.header.value, case.header.number, s.first_day.isoformat(), s.zone.key,
                s.only, tuple(case.lines),
            )
        )  # fmt: skip
        self._case = None

    def _set(self, header: Header) -> None:
        case = self._case
        if case is not None and (case.written or header.key == "rules"):
            where = "the first case" if header.key == "rules" else "the lines of its case"
            raise _about(header, f"{header.key!r} comes too late", f"Put it before {where}.")
        settings = self._settings if case is None else case.settings
        if header.key == "date":
            try:
                settings.first_day = date.fromisoformat(header.value)
            except ValueError:
                raise _about(header, f"{header.value!r} is no date", "Write it as in 2026-03-02.") from None
        elif header.key == "zone":
            try:
                settings.zone = zone_of(header.value)
            except (ValueError, OSError, ImportError):
                raise _about(header, f"{header.value!r} is no time zone", "Write it as in Europe/Paris.") from None
        elif header.key == "only":
            settings.only = None  # a name that is not there is reported once, here
            names = _listed(header.value)
            for name in names:
                self._speaker.known_segment(Word(name, header.value_start + header.value.index(name)))
            settings.only = tuple(names)

    # --- lines

    def _line(self, written: Written) -> None:
        line = words(written.text, written.start)
        case = self._case
        if case is None:
            raise about(line, "this line is in no case", "Begin the case above it, as in 'case: a purchase'.")
        case.written = True
        settings = case.settings
        time_ms, i = self._time(case, Calendar(settings.first_day, settings.zone), line)
        lateness, i = _lateness(line, i)
        if i >= len(line):
            raise about(line, "nothing happens here", "Write who does what: ada Product Viewed price=9.5")
        clock_ms = case.clock_ms
        if clock_ms is None or time_ms > clock_ms:
            case.clock_ms = time_ms
        says = self._says(line, i, lateness, time_ms, clock_ms)
        if says is not None:
            case.lines.append(Line(written.number, written.text.strip(), time_ms, says))

    def _says(
        self, line: list[Word], i: int, lateness: Lateness, time_ms: int, clock_ms: int | None
    ) -> Arrives | Changes | IsIn | Quiet | None:
        """What the words from i on say, where the clock stood at `clock_ms`; all their mistakes are noted."""
        assert self._case is not None
        settings = self._case.settings
        calendar = Calendar(settings.first_day, settings.zone)
        rest, mistakes = line[i:], list[Mistake]()
        behind = clock_ms is not None and time_ms < clock_ms
        if behind and not lateness:
            shown = calendar.write(clock_ms or 0)
            mistakes.append(about(line[: max(i, 1)], f"the time goes back: the clock is at {shown}", _GOES_BACK))
        says = self._speaker.says(rest, time_ms, calendar, lateness, mistakes)
        if isinstance(says, Changes | IsIn) and settings.only is not None and says.segment not in settings.only:
            word = next(w for w in rest if w.text == says.segment)
            mistakes.append(word.mistake(f"{says.segment!r} is not among the segments of 'only'", "Add it there."))
        if lateness and isinstance(says, Arrives) and not behind:
            mistakes.append(about(line[:i], "this is not behind the clock, so it is not late", "Delete 'late'."))
        if lateness and says is not None and not isinstance(says, Arrives):
            mistakes.append(about(line[:i], "only an event can be late", "Delete 'late'; what is expected is about now."))
        for mistake in mistakes:
            self._note(mistake)
        return None if mistakes else says

    def _time(self, case: _Open, calendar: Calendar, line: list[Word]) -> tuple[int, int]:
        """(ms, the word after it). A line without a time is at the time of the clock."""
        found = calendar.read(line, 0, case.clock_ms)
        if found is not None:
            return found
        if case.clock_ms is None:
            case.clock_ms = calendar.midnight()  # said once
            raise line[0].mistake("the first line of a case needs a time", f"Times are {FORMS}.")
        return case.clock_ms, 0


def _lateness(line: list[Word], i: int) -> tuple[Lateness, int]:
    if i == 0 or i >= len(line):
        return "", i
    if line[i].text == "late":
        return "late", i + 1
    if line[i].text == "too" and i + 1 < len(line) and line[i + 1].text == "late":
        return "too late", i + 2
    return "", i


def _listed(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _about(header: Header, what: str, hint: str) -> Mistake:
    return Mistake(header.start, header.value_start + len(header.value), what, hint)
