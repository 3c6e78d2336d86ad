"""What happened, in words: as the lines of a case file say it, so that the two can be held side by side."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from segue.calendars import zone_of
from segue.plan import Plan
from segue.records import Change
from segue.testing.cases import Case, Event
from segue.testing.times import Calendar

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


class Teller:
    """Knows the names of a plan's segments, and the events of a case by their offset."""

    def __init__(self, plan: Plan, case: Case, fed: Sequence[Event]) -> None:
        self._segments = [s.name for s in plan.segments]
        self._calendar = Calendar(date.fromisoformat(case.date), zone_of(case.zone))
        self._fed = fed

    def segment(self, change: Change) -> str:
        """The name of the segment that was entered or left."""
        return self._segments[change.segment]

    def event(self, change: Change) -> Event | None:
        """The event that made it."""
        return None if change.cause_event is None else self._fed[change.cause_event[1]]

    def time(self, ms: int) -> str:
        """As a case file writes it."""
        return self._calendar.write(ms)

    def change(self, change: Change) -> str:
        """`10:30  ada  entered S because of time; ends day 8 10:30 if nothing happens`."""
        verb = "entered" if change.entered else "exited"
        told = f"{self.time(change.at_ms)}  {change.person.decode()}  {verb} {self.segment(change)}"
        return f"{told} {self._because(change)}{self._ends(change)}"

    def membership(self, person: str, segment: str, last: Change | None) -> str:
        """`ada is in S since 10:30 because of time`. `last`: the newest change of the two."""
        if last is None:
            return f"{person} is not in {segment}: never entered"
        told = f"{self.time(last.at_ms)} {self._because(last)}{self._ends(last)}"
        return f"{person} is in {segment} since {told}" if last.entered else f"{person} is not in {segment}: exited {told}"

    def _ends(self, change: Change) -> str:
        if change.expires_at_ms is None:
            return ""
        return f"; {'ends' if change.entered else 'enters again'} {self.time(change.expires_at_ms)} if nothing happens"

    def _because(self, change: Change) -> str:
        """`because of a late Order Completed`."""
        event = self.event(change)
        if change.cause == "timer" or event is None:
            return f"because of {'time' if change.cause == 'timer' else change.cause.replace('_', ' ')}"
        if change.cause != "correction":
            return f"because of {event.name}"
        return f"because of a late {event.name}"


def apart(later_ms: int, earlier_ms: int) -> str:
    """`15m later`, `1h30m earlier`."""
    ms, parts = abs(later_ms - earlier_ms), ""
    for unit, size in _UNITS:
        n, ms = divmod(ms, size)
        parts += f"{n}{unit}" if n else ""
    return f"{parts} {'later' if later_ms > earlier_ms else 'earlier'}"
