"""One partition of an engine under a clock that is told what time it is: no broker, no waiting."""

from __future__ import annotations

from collections.abc import Sequence

from segue.engine import Engine, Merger
from segue.records import NEVER, Change
from segue.testing.cases import Event
from segue.testing.events import columns_of


class VirtualPartition:
    """Events in, changes out; the n-th event that was ever fed has the offset n."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.fed: list[Event] = []
        self.rejected: dict[int, str] = {}
        """offset of an event that took no part -> why"""
        self._merger = Merger(engine.plan.catalog, 0, max_future_ms=NEVER)
        self._state = engine.partition(0)
        self._stored: dict[bytes, bytes] = {}

    def step(self, events: Sequence[Event] = (), until_ms: int | None = None) -> list[Change]:
        """Events that arrive together; then time passes until `until_ms`. What changes up to then.

        Events that arrive together are taken in the order of the history; whatever is behind earlier steps is late.
        """
        plan = self.engine.plan
        rows = list(enumerate(events, len(self.fed)))
        self.fed += events
        for i in range(len(plan.catalog.sources)):
            mine = [row for row in rows if row[1].source == i]
            if mine:
                self._merger.feed(i, columns_of(mine, plan.inputs[i]))
            self._merger.at_end(i)
        if until_ms is not None:
            self._merger.tick(until_ms, 0)
        changes = []
        while (batch := self._merger.take(max(1, len(rows)))) is not None:
            for person in self._state.missing(batch):
                self._state.load(person, self._stored.get(person))
            step = self._state.step(batch)
            changes += step.changes
            self._stored |= {person: self._state.encode(person) for person in step.touched}
            self.rejected |= {r.offset: r.detail for r in batch.rejected}
        return changes

    def reload(self) -> None:
        """Everything in memory is lost, as when a worker is killed; the store and the checkpoint remain."""
        was, self._state = self._state, self.engine.partition(0)
        self._state.resume(was.engine_time_ms, was.member_counts)
        self._state.restore(self._stored.items())

    def members(self) -> dict[str, list[str]]:
        """Segment -> who is in it now, sorted; segments without anybody are absent."""
        for person, encoded in self._stored.items():
            if person not in self._state.states:
                self._state.load(person, encoded)
        names = [s.name for s in self.engine.plan.segments]
        found = {name: sorted(p.decode() for p in self._state.members(i)) for i, name in enumerate(names)}
        return {name: persons for name, persons in found.items() if persons}
