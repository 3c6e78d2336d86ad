"""What the four reference rules say of a log, worked out with plain dicts and lists, by nothing of Segue's.

    behavior_high_intent   at least 5 product views in the last 7 days
    engagement_email       an open or a click in the last 2 days
    hot_lead               both
    behavior_cart_abandon  30 minutes after the last add_to_cart (remove_from_cart sets the clock anew, purchase stops it);
                           left at a purchase, or after 7 days

The order is docs/time.md's: per partition a record stands at the highest time its source has reached, so one behind it
is late; timers go before what happens at their time; a late event within 24 hours takes its place in the person's
history, and what is different then is told as of the moment it came; later ones are refused.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from tests.chaos.rawlog import Log

DAY_MS: Final = 86_400_000
LATENESS_MS: Final = DAY_MS
HOLD_MS, KEEN_MS, MAILED_MS, LEFT_MS = 1_800_000, 7 * DAY_MS, 2 * DAY_MS, 7 * DAY_MS
VIEWS: Final = 5
NEVER: Final = 1 << 62
CART, KEEN, MAILED, HOT = "behavior_cart_abandon", "behavior_high_intent", "engagement_email", "hot_lead"
_VIEW, _ADD, _REMOVE, _PURCHASE, _MAIL = 1, 2, 3, 4, 5
ORDER: Final = (1, 2)
"""of the sources at one time"""
_RELEVANT: Final = (np.array([0, _VIEW, _ADD, _REMOVE, _PURCHASE]), np.array([0, _MAIL, _MAIL, 0]))
"""source -> its enum -> what rules read"""

Jump = tuple[bytes, str, bool, int]
"""person, segment, entered, at"""


class Person:
    """One person's history and what was told of it."""

    __slots__ = ("arm", "carts", "clock", "hot", "id", "inside", "keen", "mailed", "newest_mail", "since", "views")

    def __init__(self, name: bytes) -> None:
        self.id = name
        self.views: list[int] = []
        """the newest five; no older one can matter any more"""
        self.newest_mail = -NEVER
        self.carts: list[tuple[int, int, int]] = []
        """all of it: time, place in the topic, what"""
        self.arm = self.clock = self.since = 0
        """when the cart is abandoned; the cart's clock; since when inside"""
        self.inside = self.keen = self.mailed = self.hot = False

    def due(self) -> int:
        """When something happens by time alone."""
        due = self.arm or NEVER
        if self.since:
            due = min(due, self.since + LEFT_MS)
        if self.keen:
            due = min(due, self.views[-VIEWS] + KEEN_MS)
        return min(due, self.newest_mail + MAILED_MS) if self.mailed else due

    def advance(self, until: int, out: list[Jump]) -> None:
        """Everything due by then, in its order."""
        while (at := self.due()) <= until:
            self._cart_timers(at)
            self.tell(at, out)

    def _cart_timers(self, until: int) -> None:
        while (at := min(self.arm or NEVER, self.since + LEFT_MS if self.since else NEVER)) <= until:
            if at == self.arm:
                self.arm = 0
                self.since = self.since or at
            else:
                self.arm = self.clock = self.since = 0

    def _cart_event(self, at: int, what: int) -> None:
        if what == _ADD or (what == _REMOVE and self.clock):
            self.clock, self.arm = at, at + HOLD_MS
        elif what == _PURCHASE:
            self.arm = self.clock = self.since = 0

    def take(self, moment: int, time: int, what: int, place: int, out: list[Jump]) -> None:
        """An event that is found at `moment`; `time` is earlier if it is late."""
        if self.due() <= moment:
            self.advance(moment, out)
        if what == _VIEW:
            insort(self.views, time)
            del self.views[:-VIEWS]
        elif what == _MAIL:
            self.newest_mail = max(self.newest_mail, time)
        elif time == moment:
            self.carts.append((time, place, what))
            self._cart_event(time, what)
        else:
            insort(self.carts, (time, place, what))
            self.arm = self.clock = self.since = 0
            for at, _, which in self.carts:
                self._cart_timers(at)
                self._cart_event(at, which)
            self._cart_timers(moment)
        self.tell(moment, out)

    def tell(self, at: int, out: list[Jump]) -> None:
        """What is different as of now."""
        keen = len(self.views) >= VIEWS and self.views[-VIEWS] > at - KEEN_MS
        mailed = self.newest_mail > at - MAILED_MS
        if keen is not self.keen:
            self.keen = keen
            out.append((self.id, KEEN, keen, at))
        if mailed is not self.mailed:
            self.mailed = mailed
            out.append((self.id, MAILED, mailed, at))
        if (keen and mailed) is not self.hot:
            self.hot = not self.hot
            out.append((self.id, HOT, self.hot, at))
        if (self.since != 0) is not self.inside:
            self.inside = not self.inside
            out.append((self.id, CART, self.inside, at))


@dataclass(slots=True)
class Told:
    """What is expected of one partition over a round."""

    jumps: Counter[Jump]
    rejected: Counter[tuple[int, int, str]]
    """source, offset, reason"""
    applied: int = 0
    late: int = 0
    end_ms: int = 0


@dataclass(slots=True)
class Partition:
    """One partition's persons, over rounds."""

    persons: dict[bytes, Person] = field(default_factory=dict)
    end_ms: int = 0
    taken: int = 0

    def round(self, logs: list[Log]) -> Told:
        """The records of all sources that came since the last one, and every timer due by their end."""
        told = Told(Counter(), Counter())
        rows: list[Any] = []
        for source, log in enumerate(logs):
            told.rejected.update((source, offset, reason) for offset, reason in log.rejected.items())
            keys = (log.time_ms << 4) | ORDER[source]
            places = np.maximum.accumulate(keys) if len(keys) else keys
            if len(places) and places[0] >> 4 <= self.end_ms:
                raise AssertionError("a round begins in the past of the one before: its order would depend on fetching")
            moments = places >> 4
            what = _RELEVANT[source][log.kind]
            # what no rule reads is of no concern, however late it is
            too_late = (what > 0) & (log.time_ms < moments - LATENESS_MS)
            told.rejected.update((source, o, "too_late") for o in log.offset[too_late].tolist())
            told.late += int((~too_late & (keys < places)).sum())
            told.applied += int((~too_late & (keys >= places)).sum())
            if len(moments):
                told.end_ms = max(told.end_ms, int(moments[-1]))
            use = np.flatnonzero(~too_late & (what > 0))
            rows.append((places[use], log.offset[use], moments[use], log.time_ms[use], what[use],
                         np.array([log.keys[i] for i in use.tolist()], "S")))  # fmt: skip
        told.end_ms = self.end_ms = max(told.end_ms, self.end_ms)
        out: list[Jump] = []
        self._events([np.concatenate([r[i] for r in rows]) for i in range(6)], out)
        for person in self.persons.values():
            if person.due() <= self.end_ms:
                person.advance(self.end_ms, out)
        told.jumps.update(out)
        return told

    def _events(self, columns: list[Any], out: list[Jump]) -> None:
        places, offsets, moments, times, what, names = columns
        found, inverse = np.unique(names, return_inverse=True)
        order = np.lexsort((offsets, places, inverse))
        starts = np.searchsorted(inverse[order], np.arange(len(found) + 1)).tolist()
        moment, time, which = moments[order].tolist(), times[order].tolist(), what[order].tolist()
        for i, name in enumerate(found.tolist()):
            person = self.persons.get(name)
            if person is None:
                person = self.persons[name] = Person(name)
            take = person.take
            for row in range(starts[i], starts[i + 1]):
                self.taken += 1
                take(moment[row], time[row], which[row], self.taken, out)
