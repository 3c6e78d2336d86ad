"""What a case file says, as values: lines in the order they were written, each at its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from segue.records import Value

Lateness = Literal["", "late", "too late"]
Why = Literal["event", "late event", "time"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one person, as a producer would send it."""

    person: str
    source: int
    """index into Catalog.sources"""
    name: str
    """raw: `Product Viewed`"""
    time_ms: int
    fields: Mapping[str, Value] = field(default_factory=dict)
    """property -> value; what is not there is null"""


@dataclass(frozen=True, slots=True)
class Arrives:
    """`10:00 ada Product Viewed price=9.5`: an event; behind the clock only if it says so."""

    event: Event
    lateness: Lateness = ""
    """`late`: takes its place in the history; `too late`: is expected to take no part"""


@dataclass(frozen=True, slots=True)
class Changes:
    """`10:30 ada enters S because of time until 11:00`: one change that must happen at this very time."""

    person: str
    segment: str
    entered: bool
    why: Why | None = None
    """None: not stated"""
    event: str = ""
    """snake_case name of the event that is the reason"""
    until_ms: int | None = None
    """when it changes by itself; NEVER: not before something happens; None: not stated"""


@dataclass(frozen=True, slots=True)
class IsIn:
    """`11:00 ada is in S`, `is not in`: membership at this point."""

    person: str
    segment: str
    inside: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """`11:00 nobody changes`: since the line before and up to this time."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a case."""

    number: int
    """1-based, in the file"""
    text: str
    """as written, without its indentation"""
    time_ms: int
    says: Arrives | Changes | IsIn | Quiet


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a file. Every change must be expected, or only those of the segments in `only`."""

    file: str
    name: str
    number: int
    """line of the file it begins at, 1-based"""
    date: str
    """day 1, ISO"""
    zone: str
    """IANA name of the zone its clock times are in"""
    only: tuple[str, ...] | None
    lines: tuple[Line, ...]
