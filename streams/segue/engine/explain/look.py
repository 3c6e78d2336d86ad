"""Where a leaf looks: the state, and the log if there is one; and the events of a window, from either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from segue.engine.explain.history import Happened, History
from segue.engine.explain.values import Evidence, Seen
from segue.engine.explain.words import moment
from segue.engine.windows import slicing
from segue.limits import WINDOW_VALUES
from segue.plan.evidence import Stream
from segue.plan.layout import Plan
from segue.records import NEVER, Value
from segue.rules.tree import Ago, Calendar, Last, Session, SinceEvents, Window

HANDFUL = 5
"""events shown of a condition"""


@dataclass(frozen=True, slots=True)
class Look:
    """One person at one time."""

    plan: Plan
    state: list[Any]
    """advanced to `at_ms`"""
    person: bytes
    at_ms: int
    history: History | None

    def moment(self, ms: int) -> str:
        """A time in words."""
        return moment(ms, self.at_ms)

    def seen(self, event: Happened, field: str | None = None) -> Seen:
        """An event of the log, with the value of a field."""
        assert self.history is not None
        value = None if field is None else self.history.value(event, field)
        return Seen(event.time_ms, self.history.name(event), event.id, value)


@dataclass(frozen=True, slots=True)
class Entries:
    """The events of a stream that lie in a window."""

    seen: list[Seen]
    """oldest first"""
    values: list[Value]
    """what the engine keeps of them in that window: of the field, if one is asked for"""
    whole: bool
    """whether `seen` is all of them; if not there may be older ones"""
    changes_ms: int | None
    """when the window's content changes by itself"""
    flags: tuple[str, ...]


def entries(look: Look, index: int, window: Window | None, field: str | None = None) -> Entries:
    """Of the plan's stream `index`."""
    stream = look.plan.streams[index]
    times: list[int] = look.state[stream.slot]
    values: list[Value] = [None] * len(times) if field is None else look.state[stream.slot + 1 + stream.values.index(field)]
    first, stop, changes = _sliced(window, times, look.at_ms)
    kept = values[first:stop]
    dropped = _dropped(look, stream, window, first)
    if look.history is None:
        whole = not dropped and (first > 0 or len(times) < stream.keep or _reach_ms(window) <= stream.horizon_ms)
        seen = [Seen(t, None, None, v) for t, v in zip(times[first:stop], kept, strict=True)]
    else:
        whole, logged = True, look.history.matching(stream.events, stream.scope, stream.since)
        first, stop, changes = _sliced(window, [e.time_ms for e in logged], look.at_ms)
        dropped = dropped and stop - first > len(kept)
        seen = [look.seen(e, field) for e in logged[stop - len(kept) if dropped else first : stop]]
    flags = (f"at most {WINDOW_VALUES:,} values are kept: older ones of this window are not counted",) if dropped else ()
    return Entries(seen, kept, whole, None if changes == NEVER else changes, flags)


def listing(evidence: Evidence, seen: Sequence[Seen]) -> Evidence:
    """The evidence with the newest few of these events."""
    shown = tuple(seen[-HANDFUL:])
    return replace(evidence, events=shown, more=len(seen) - len(shown))


def _sliced(window: Window | None, times: list[int], at_ms: int) -> tuple[int, int, int]:
    if window is None or isinstance(window, SinceEvents):
        return 0, len(times), NEVER
    return slicing(window)(times, at_ms)


def _dropped(look: Look, stream: Stream, window: Window | None, first: int) -> bool:
    """Whether entries of this window had to go because there were too many."""
    if not stream.horizon_ms or not (newest := look.state[stream.dropped_slot]):
        return False
    if isinstance(window, Session):
        times = look.state[stream.slot]
        return bool(first == 0 and times and times[0] - newest < window.gap_ms)
    if isinstance(window, Last | Ago):
        return bool(newest > look.at_ms - _reach_ms(window))
    return isinstance(window, Calendar) and _sliced(window, [newest], look.at_ms)[0] == 0


def _reach_ms(window: Window | None) -> int:
    """How far back a window goes whose stream may be kept by its age."""
    match window:
        case Last(ms) | Ago(far_ms=ms):
            return ms
        case _:
            return NEVER
