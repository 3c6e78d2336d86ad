"""A naive second opinion: membership by re-reading a person's whole history.

It shares no code with the engine. Time is discrete: the only instants at which anything can change are the
events' own times, those times plus what a leaf waits for, the dates of calendars and of `since`, and the ends of
stays that an `exit` limits. The oracle visits each of them in order; at each it lets time act first, on the events
before that instant, then every event of that instant in its turn. Visiting more instants would change nothing,
which is a law of its own (test_oracle.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tests.streams.engine.oracle_leaves import Event, View, dates, delays, holds, is_one

from segue.catalog import Profile
from segue.rules import tree as t

__all__ = ["Event", "Oracle"]

NO_PROFILE = Profile()


def told_once(
    rows: Iterable[tuple[bytes, Event]], within_ms: int
) -> tuple[list[tuple[bytes, Event]], list[Event], list[Event]]:
    """(what counts, the copies, those with another event's id) of rows in order of arrival."""
    kept: list[tuple[bytes, Event]] = []
    copies, conflicts = [], []
    for person, e in rows:
        known = [k for p, k in kept if (p, k.order, k.id) == (person, e.order, e.id) and abs(k.time - e.time) <= within_ms]
        if not known:
            kept.append((person, e))
        elif any((k.time, k.name, k.fields) == (e.time, e.name, e.fields) for k in known):
            copies.append(e)
        else:
            conflicts.append(e)
    return kept, copies, conflicts


def leaves(c: t.Condition) -> Iterator[t.Condition]:
    match c:
        case t.And(items) | t.Or(items):
            for i in items:
                yield from leaves(i)
        case t.Not(item):
            yield from leaves(item)
        case _:
            yield c


class Oracle:
    """Changes and memberships of one person from the whole history.

    `profile`: the catalog's, for rules that read traits, scores or consents.
    """

    def __init__(self, rules: t.RuleSet, profile: Profile = NO_PROFILE) -> None:
        self.rules = rules
        self.profile = profile

    def changes(
        self, history: Iterable[Event], until: int, person: bytes | None = None, also: Iterable[int] = ()
    ) -> list[tuple[str, bool, int]]:
        """(segment, entered, at) up to `until`, timers before events at equal times. `also`: more instants to visit."""
        events = sorted(history, key=Event.place)
        self.person = person
        self.members: dict[str, int | None] = {s.name: None for s in self.rules.segments}
        """since when the person is in the segment"""
        self.scope: dict[str, int] = {s.name: 0 for s in self.rules.segments}
        """how many events the segment had seen at its last exit"""
        self.was: dict[str, bool] = {s.name: False for s in self.rules.segments}
        """the last truth of `enter`"""
        out: list[tuple[str, bool, int]] = []
        self.agenda = sorted({x for x in (*self.instants(events, until), *also) if x <= until})
        last = None
        while self.agenda and (now := heapq.heappop(self.agenda)) <= until:
            if now != last:
                self._visit([e for e in events if e.time < now], now, None, out)
                for i, e in enumerate(events):
                    if e.time == now:
                        self._visit(events[: i + 1], now, e, out)
            last = now
        return out

    def memberships(self, history: Iterable[Event], at: int, person: bytes | None = None) -> set[str]:
        """The segments the person is in as of an instant: after its events."""
        self.changes([e for e in history if e.time <= at], at, person, also=[at])
        return {name for name, since in self.members.items() if since is not None}

    def instants(self, events: Sequence[Event], until: int) -> set[int]:
        """When anything can change, but for exits after a stay: they are known when it begins."""
        times = {e.time for e in events}
        if not times:
            return set()
        found = set(times)
        for s in self.rules.segments:
            waits = set() if s.universe_ms is None else {s.universe_ms}
            for leaf in leaves(condition(s)):
                waits |= delays(leaf)
                found |= dates(leaf, min(times), until)
            found |= {x + wait for x in times for wait in waits}
        return found

    def _visit(self, seen: Sequence[Event], now: int, event: Event | None, out: list[tuple[str, bool, int]]) -> None:
        """At one instant: first by time alone (event None), then once for each event."""
        for s in self.rules.segments:
            inside = self.members[s.name] is not None
            truth = self._stays(s, seen, now, event) if s.when is None else self._true(s, seen, now, 0)
            if truth != inside:
                self.members[s.name] = now if truth else None
                out.append((s.name, truth, now))
                if truth and s.exit_after_ms is not None:
                    heapq.heappush(self.agenda, now + s.exit_after_ms)

    def _stays(self, s: t.Segment, seen: Sequence[Event], now: int, event: Event | None) -> bool:
        """Whether an enter/exit segment has the person inside after this look."""
        entered = self.members[s.name]
        if entered is not None:
            timed_out = s.exit_after_ms is not None and event is None and now >= entered + s.exit_after_ms
            if timed_out or (event is not None and any(is_one(x, event) for x in s.exit_events)):
                self.scope[s.name] = len(seen)
                self.was[s.name] = self._true(s, seen, now, len(seen))
                return False
        truth = self._true(s, seen, now, self.scope[s.name])
        rises, self.was[s.name] = truth and not self.was[s.name], truth
        return entered is not None or rises

    def _true(self, s: t.Segment, seen: Sequence[Event], now: int, scope: int) -> bool:
        """A segment's condition, over all that was seen and what of it came after its last exit."""
        view = View(seen, now, seen[scope:], self.person, self.profile)
        if s.universe_ms is not None and not any(e.time > now - s.universe_ms for e in view.own):
            return False
        return self.holds(condition(s), view)

    def holds(self, c: t.Condition, view: View) -> bool:
        match c:
            case t.And(items):
                return all(self.holds(i, view) for i in items)
            case t.Or(items):
                return any(self.holds(i, view) for i in items)
            case t.Not(item):
                return not self.holds(item, view)
            case t.InSegment(name):
                return self.members[name] is not None
        return holds(c, view)

    def feature(self, name: str, history: Iterable[Event], now: int) -> list[str]:
        f = next(f for f in self.rules.features if f.name == name)
        seen = sorted((e for e in history if e.time <= now), key=Event.place)
        kept: list[Any] = []
        for e in seen:
            if is_one(f.since, e):
                kept = []
            if is_one(f.events, e) and (f.window_ms is None or e.time > now - f.window_ms):
                kept.append(e.get(f.field))
        return [str(v) for v in kept[-f.keep :] if v is not None]


def condition(s: t.Segment) -> t.Condition:
    found = s.when or s.enter
    assert found is not None
    return found
