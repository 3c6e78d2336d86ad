"""A naive second opinion: membership by re-reading a person's whole history.

It shares no code with the engine. Time is discrete: the only instants at which anything can change are the
events' own times and those times plus a duration the rules name (twice, for what follows an absence), so the
oracle visits each of these in order, and at each event applies the timers first, then the event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segue.rules import tree as t


@dataclass(frozen=True)
class Event:
    """One event of one person; `order` is its source's, `offset` its place in the source."""

    time: int
    order: int
    offset: int
    name: str
    fields: tuple[tuple[str, Any], ...] = ()

    def place(self) -> tuple[int, int, int]:
        return (self.time, self.order, self.offset)


def passes(where: t.Filter | None, e: Event) -> bool:
    if where is None:
        return True
    if isinstance(where, t.AllOf):
        return all(passes(i, e) for i in where.items)
    if isinstance(where, t.AnyOf):
        return any(passes(i, e) for i in where.items)
    if isinstance(where, t.NoneOf):
        return not passes(where.item, e)
    value = dict(e.fields).get(where.field)
    if value is None:
        return False
    one = where.values[0] if where.values else None
    return {
        "is known": lambda: True,
        "=": lambda: value == one,
        "!=": lambda: value != one,
        ">": lambda: value > one,
        ">=": lambda: value >= one,
        "<": lambda: value < one,
        "<=": lambda: value <= one,
        "in": lambda: value in where.values,
        "not in": lambda: value not in where.values,
        "contains": lambda: one in value,
        "starts with": lambda: value.startswith(one),
    }[where.op]()


def is_one(events: t.Events | None, e: Event) -> bool:
    return events is not None and e.name in events.names and passes(events.where, e)


class Oracle:
    """Changes and memberships of one person from the whole history."""

    def __init__(self, rules: t.RuleSet) -> None:
        self.rules = rules
        self.durations: set[int] = set()
        for s in rules.segments:
            self._collect(s.when or s.enter)
            if s.exit_after_ms is not None:
                self.durations.add(s.exit_after_ms)

    def _collect(self, c: Any) -> None:
        if isinstance(c, t.Count) and c.window_ms is not None:
            self.durations.add(c.window_ms)
        elif isinstance(c, t.Absence):
            self.durations.add(c.within_ms)
        elif isinstance(c, t.Not):
            self._collect(c.item)
        elif isinstance(c, t.And | t.Or):
            for i in c.items:
                self._collect(i)

    def instants(self, history: list[Event], until: int) -> list[int]:
        times = {e.time for e in history}
        for _ in range(3):  # a match, an exit some time after it, a window over that
            times |= {x + d for x in times for d in self.durations if x + d <= until}
        return sorted(times)

    def changes(self, history: list[Event], until: int) -> list[tuple[str, bool, int]]:
        """(segment, entered, at) up to `until`, timers before events at equal times."""
        history = sorted(history, key=Event.place)
        self.members: dict[str, int | None] = {s.name: None for s in self.rules.segments}
        self.since: dict[str, int] = {s.name: 0 for s in self.rules.segments}
        self.was: dict[str, bool] = {s.name: False for s in self.rules.segments}
        out: list[tuple[str, bool, int]] = []
        for now in self.instants(history, until):
            before = [e for e in history if e.time < now]
            self._visit(before, now, None, out)
            for i, e in enumerate(history):
                if e.time == now:
                    self._visit(history[: i + 1], now, e, out)
        return out

    def _visit(self, seen: list[Event], now: int, event: Event | None, out: list[tuple[str, bool, int]]) -> None:
        """At one instant: first by time alone (event None), then once for each event."""
        for s in self.rules.segments:
            inside = self.members[s.name] is not None
            truth = self._enter_exit(s, seen, now, event) if s.when is None else self._true(s.when, seen, now, 0)
            if truth != inside:
                self.members[s.name] = now if truth else None
                out.append((s.name, truth, now))

    def _enter_exit(self, s: t.Segment, seen: list[Event], now: int, event: Event | None) -> bool:
        entered = self.members[s.name]
        assert s.enter is not None
        if entered is not None:
            timed_out = s.exit_after_ms is not None and event is None and now >= entered + s.exit_after_ms
            if timed_out or (event is not None and any(is_one(x, event) for x in s.exit_events)):
                self.since[s.name] = len(seen)
                self.was[s.name] = self._true(s.enter, seen, now, len(seen))
                return False
        truth = self._true(s.enter, seen, now, self.since[s.name])
        rises, self.was[s.name] = truth and not self.was[s.name], truth
        return entered is not None or rises

    def _true(self, c: t.Condition, seen: list[Event], now: int, since: int) -> bool:
        if isinstance(c, t.And):
            return all(self._true(i, seen, now, since) for i in c.items)
        if isinstance(c, t.Or):
            return any(self._true(i, seen, now, since) for i in c.items)
        if isinstance(c, t.Not):
            return not self._true(c.item, seen, now, since)
        if isinstance(c, t.InSegment):
            return self.members[c.name] is not None
        if isinstance(c, t.Absence):
            return self._absence(c, seen[since:], now)
        n = sum(1 for e in seen[since:] if is_one(c.events, e) and (c.window_ms is None or e.time > now - c.window_ms))
        return {
            ">=": n >= c.n,
            ">": n > c.n,
            "=": n == c.n,
            "!=": n != c.n,
            "<": n < c.n,
            "<=": n <= c.n,
            "between": c.n <= n <= (c.upper if c.upper is not None else 0),
        }[c.op]

    def _absence(self, c: t.Absence, seen: list[Event], now: int) -> bool:
        """Walk the person's events: an open clock that reaches its end before the next event is a match."""
        clock: int | None = None
        matched = False
        for e in seen:
            if clock is not None and clock + c.within_ms <= e.time:
                matched, clock = True, None
            if is_one(c.missing, e):
                matched, clock = False, None
            if is_one(c.restarting_on, e) and clock is not None:
                clock = e.time
            if is_one(c.first, e) and not matched:
                clock = e.time
        return matched or (clock is not None and clock + c.within_ms <= now)

    def feature(self, name: str, history: list[Event], now: int) -> list[str]:
        f = next(f for f in self.rules.features if f.name == name)
        seen = sorted((e for e in history if e.time <= now), key=Event.place)
        kept: list[Any] = []
        for e in seen:
            if is_one(f.since, e):
                kept = []
            if is_one(f.events, e) and (f.window_ms is None or e.time > now - f.window_ms):
                kept.append(dict(e.fields).get(f.field))
        return [str(v) for v in kept[-f.keep :] if v is not None]
