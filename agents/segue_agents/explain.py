"""Why a person is, or is not, in a segment, from a file: the engine over all of it, and an ear on one person.

The whole file is replayed, since other people's events move the time by which this person's are late. What the engine
is given of the person is noted on the way, with the ids that the lines have.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from segue.engine import Engine, Merger
from segue.engine.explain import Explanation, Happened, columns_of, explain
from segue.engine.explain import Log as PersonLog
from segue.errors import ConfigError
from segue.plan import Plan
from segue.records import Batch, Step
from segue_agents.codecs.segment_json import SegmentEvent, Tick
from segue_agents.replay import Log, Replay

SUGGESTED_FROM: Final = 10_000
"""persons of the file among whom a misspelt one is looked for"""


def explain_lines(
    plan: Plan, lines: Iterable[bytes], person: str, segment: str, at_ms: int | None = None, log: Log = lambda _line: None
) -> tuple[Explanation, str | None]:
    """(the explanation as of `at_ms`, else of the last time in the lines; of an unknown person who may be meant).

    What the lines say of later times takes no part. Raises ConfigError for a segment that is not there, and for lines
    that name no time.
    """
    replay = _OfPerson(plan, log, at_ms, person.encode(errors="surrogateescape"))
    changes = [change for change in replay.changes(lines, at_ms) if change.person == replay.person]
    reached_ms = replay.reached_ms if at_ms is None else at_ms
    if not reached_ms:
        raise ConfigError("No line is an event, so there is no last time.", "Say as of when with --at.")
    known = PersonLog(replay.happened, changes)
    found = explain(replay.program, replay.state, replay.person, segment, reached_ms, known)
    return found, None if found.known else replay.near()


class _OfPerson(Replay):
    """A replay that notes what the engine is given of one person."""

    def __init__(self, plan: Plan, log: Log, last_ms: int | None, person: bytes) -> None:
        self.person = person
        self._ids: dict[int, str | None] = {}
        self._heard = _Listening(plan, person, self._ids)
        engine = Engine(plan)
        self.program = engine.program
        super().__init__(plan, log, last_ms, engine, self._heard)
        self._others: dict[bytes, None] = {}

    @property
    def state(self) -> list[Any] | None:
        """The person's; None if no rule reads any of their events."""
        return self._partition.states.get(self.person)

    @property
    def reached_ms(self) -> int:
        """The last time of the lines; 0 without any."""
        return self._partition.engine_time_ms

    @property
    def happened(self) -> list[Happened]:
        """The person's events that took part."""
        return self._heard.happened

    def near(self) -> str | None:
        """Whoever has nearly that name."""
        close = difflib.get_close_matches(self.person.decode(errors="replace"), [p.decode() for p in self._others], n=1)
        return close[0] if close else None

    def _parsed(self, lines: Iterable[bytes]) -> Iterator[SegmentEvent | Tick]:
        for item in super()._parsed(lines):
            if isinstance(item, SegmentEvent):
                if item.person == self.person:
                    self._ids[item.line] = item.id
                elif len(self._others) < SUGGESTED_FROM:
                    self._others[item.person] = None
            yield item

    def _stepped(self, batch: Batch, step: Step) -> None:
        """What was told twice took no part the second time."""
        again = {batch.offset[i] for i in step.dropped if batch.person[i] == self.person}
        if again:
            self._heard.happened = [h for h in self._heard.happened if h.offset not in again]


class _Listening(Merger):
    """A merger that notes a person's rows as they leave."""

    def __init__(self, plan: Plan, person: bytes, ids: Mapping[int, str | None]) -> None:
        """`ids`: of the person's events, by their lines; may still be filled when rows are taken."""
        super().__init__(plan.catalog, partition=0, clock="none")
        self._plan = plan
        self._person = person
        self._ids = ids
        self.happened: list[Happened] = []

    def take(self, max_rows: int) -> Batch | None:
        """The next batch."""
        batch = super().take(max_rows)
        for i, person in enumerate(() if batch is None else batch.person):
            if batch is not None and person == self._person:
                kind, line = batch.kind[i], batch.offset[i]
                values = columns_of(self._plan, kind, batch.slots, i)
                self.happened.append(Happened(kind, batch.time_ms[i], line, values, self._ids.get(line)))
        return batch
