"""What a replay of the log adds to a state: the events themselves, and since when each truth has been so.

The person's events are stepped over once more, one by one, by the same program. That gives the truths over time, and
where the evidence of an `enter` condition begins: behind the last exit of its segment.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from segue.engine.compile import Program, arm_alone
from segue.engine.evaluate import comparison
from segue.plan.layout import BITS, Plan
from segue.records import Change, Value
from segue.rules.tree import AllOf, AnyOf, Compare, Events, Filter, NoneOf

State = list[Any]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the person, as the engine was given it."""

    kind: int
    """the plan's number"""
    time_ms: int
    offset: int
    values: tuple[Value, ...]
    """in the columns of its source"""
    id: str | None = None
    """the producer's own"""


@dataclass(frozen=True, slots=True)
class Log:
    """What is known of one person besides the state."""

    events: Sequence[Happened]
    """all that took part, in any order"""
    changes: Sequence[Change] = ()
    """as they were emitted"""


class History:
    """A person's events up to a time, in order, and the truths they made."""

    def __init__(self, program: Program, person: bytes, events: Iterable[Happened], at_ms: int) -> None:
        plan = self._plan = program.plan
        self._columns = [{f.name: i for i, f in enumerate(inputs.fields)} for inputs in plan.inputs]
        self.events = sorted((e for e in events if e.time_ms <= at_ms), key=self._place)
        self.truths: list[tuple[int, int]] = []
        """(time, bits from then on), beginning with the bits before any event"""
        self._found: dict[object, list[Happened]] = {}
        self._starts: dict[int, int] = {}
        """enter/exit segment -> how many events came before its last exit, the exit event included"""
        self._walk(program, person, at_ms)

    def name(self, event: Happened) -> str:
        """snake_case."""
        return self._plan.kinds[event.kind].event

    def source(self, event: Happened) -> int:
        """Index into the catalog's sources."""
        return self._plan.kinds[event.kind].source

    def value(self, event: Happened, field: str) -> Value:
        """Of a property; None if the event has no such."""
        column = self._columns[self.source(event)].get(field)
        return None if column is None else event.values[column]

    def matching(
        self, events: Events, scope: int | None, since: Events | None = None, from_ms: int | None = None
    ) -> list[Happened]:
        """The events that feed evidence of this description, as far as it has not been emptied since."""
        asked = (events, scope, since, from_ms)
        if asked in self._found:
            return self._found[asked]
        found: list[Happened] = []
        for event in self.events[self._starts.get(scope, 0) if scope is not None else 0 :]:
            if since is not None and self.is_one(since, event):
                found = []
            elif self.is_one(events, event) and (from_ms is None or event.time_ms >= from_ms):
                found.append(event)
        self._found[asked] = found
        return found

    def is_one(self, events: Events, event: Happened) -> bool:
        """Whether the event has one of the names and passes the filter."""
        return self.name(event) in events.names and passes(events.where, lambda field: self.value(event, field))

    def _place(self, event: Happened) -> tuple[int, int, int]:
        return (event.time_ms, self._plan.kinds[event.kind].order, event.offset)

    def _walk(self, program: Program, person: bytes, at_ms: int) -> None:
        state = program.blank(person)
        self.truths.append((0, state[BITS]))
        for i, event in enumerate(self.events):
            self._pass_time(program, person, state, event.time_ms, i)
            for segment, definition in enumerate(self._plan.segments):
                if state[BITS] & self._plan.segment_bit(segment) and any(
                    self.is_one(e, event) for e in definition.exit_events
                ):
                    self._starts[segment] = i + 1
            values = [*event.values, *[None] * (self._plan.n_columns - len(event.values))]
            row = (event.kind, person, event.time_ms, None, *values)
            program.run([row], {person: state}, program.blank, arm_alone, None)
            self._note(event.time_ms, state)
        self._pass_time(program, person, state, at_ms, len(self.events))

    def _pass_time(self, program: Program, person: bytes, state: State, upto_ms: int, before: int) -> None:
        while (due := program.next_due(state)) <= upto_ms:
            for segment, since in self._plan.since_slots.items():
                after_ms = self._plan.segments[segment].exit_after_ms
                inside = state[BITS] & self._plan.segment_bit(segment)
                if inside and after_ms is not None and state[since] + after_ms <= due:
                    self._starts[segment] = before
            program.advance(state, person, due, arm_alone, None)
            self._note(due, state)

    def _note(self, t: int, state: State) -> None:
        if state[BITS] != self.truths[-1][1]:
            self.truths.append((t, state[BITS]))


def passes(where: Filter | None, value: Callable[[str], Value]) -> bool:
    """Whether an event of which `value` gives the properties passes a filter."""
    match where:
        case None:
            return True
        case AllOf(items):
            return all(passes(i, value) for i in items)
        case AnyOf(items):
            return any(passes(i, value) for i in items)
        case NoneOf(item):
            return not passes(item, value)
        case Compare(field, op, values):
            return _test(op, values)(value(field))


_test = functools.lru_cache(maxsize=1_024)(comparison)



def columns_of(plan: Plan, kind: int, slots: Sequence[Sequence[Value]], row: int) -> tuple[Value, ...]:
    """An event's values, from the columns of a batch that holds it."""
    return tuple(column[row] for column in slots[: len(plan.inputs[plan.kinds[kind].source].fields)])
