"""The worker's numbers: counted per batch, told at the commit, so that what is dropped and done again counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Final

from segue.plan import Plan
from segue.plan.stored import pending_segments
from segue.records import Batch, Change, Step
from segue_agents.metrics import Metrics
from segue_agents.worker import balance
from segue_agents.worker.owned import Owned

_JUMP: Final = itemgetter(Change._fields.index("segment"), Change._fields.index("entered"))


class Accounts:
    """Of one worker. Touched by whoever holds its gate."""

    def __init__(self, metrics: Metrics, plan: Plan) -> None:
        self._metrics = metrics
        self._plan = plan
        self._counted: Counter[tuple[str, ...]] = Counter()
        """metric and labels -> what has been counted since the last commit"""
        self._arrivals: list[int] = []

    def count(self, batch: Batch, step: Step, arrived_ms: int) -> None:
        """After a step. `arrived_ms`: when the newest record read by then came to Kafka."""
        counted, sources = self._counted, self._plan.catalog.sources
        for source, records in batch.consumed.items():
            counted["events_consumed_total", sources[source].name] += records
        counted["events_late_total",] += step.late
        counted["events_duplicate_total",] += step.duplicates
        counted["timers_fired_total",] += step.timers_fired
        for rejected in (*batch.rejected, *step.rejected):
            counted["events_rejected_total", sources[rejected.source].name, rejected.reason] += 1
        for (segment, entered), changes in Counter(map(_JUMP, step.changes)).items():
            counted["changes_total", self._plan.segments[segment].name, "entered" if entered else "exited"] += changes
        if step.changes:
            self._arrivals.append(arrived_ms)

    def committed(self, dirty: list[Owned], took_s: float, now_ms: int) -> None:
        """What was counted is final."""
        metrics = self._metrics
        for (name, *labels), amount in self._counted.items():
            metrics.add(name, amount, *labels)
        metrics.add("commits_total", 1)
        metrics.observe("commit_duration_seconds", took_s)
        for arrived_ms in self._arrivals:
            metrics.observe("event_to_change_seconds", max(0, now_ms - arrived_ms) / 1000)
        self.dropped()
        for owned in dirty:
            for what in (balance.CONSUMED, *balance.OUTCOMES):
                if amount := owned.since_commit(what):
                    metrics.add("records_total", amount, str(owned.index), what)
            owned.told = owned.totals
            self.stand(owned)

    def dropped(self) -> None:
        """What was counted did not come to be."""
        self._counted.clear()
        self._arrivals.clear()

    def stand(self, owned: Owned) -> None:
        """How a partition is now."""
        metrics, index, state = self._metrics, str(owned.index), owned.state
        if state.log_overflows:
            metrics.add("events_settled_early_total", state.log_overflows)
            state.log_overflows = 0
        if forgotten := state.duplicates.forgotten:
            metrics.add("ids_forgotten_total", forgotten)
            state.duplicates.forgotten = 0
        if dropped := state.take_dropped():
            metrics.add("window_values_dropped_total", dropped)
        metrics.set("engine_time_seconds", state.engine_time_ms / 1000, index)
        metrics.set("state_persons", owned.persons, index)
        metrics.set("state_memory_persons", len(state.states), index)
        metrics.set("state_memory_bytes", state.bytes_in_memory, index)
        metrics.set("state_bytes", owned.store.size_bytes(), index)
        metrics.set("timers_pending", state.timers_pending, index)

    def pending(self, owned: Iterable[Owned]) -> None:
        """Which segments are not yet exact since the rules have changed: in any partition, asked of all at once."""
        changed = [o for o in owned if o.known.started_ms]
        if not changed:
            return
        pending = set[str]()
        for o in changed:
            pending |= pending_segments(self._plan, o.known.layout, o.known.started_ms, o.state.engine_time_ms)
        for segment in self._plan.segments:
            self._metrics.set("segment_backfill_pending", segment.name in pending, segment.name)
