"""The worker's numbers: counted per batch, told at the commit, so that what is dropped and done again counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from segue.plan import Plan
from segue.plan.stored import pending_segments
from segue.records import Batch, Int64s, RejectReason, Step
from segue_agents.metrics import Metrics
from segue_agents.worker import balance
from segue_agents.worker.clock import Clock
from segue_agents.worker.owned import Owned


class Accounts:
    """Of one worker. Touched by whoever holds its gate."""

    def __init__(self, metrics: Metrics, plan: Plan, clock: Clock) -> None:
        self._metrics, self._plan, self._clock = metrics, plan, clock
        self._topics = [source.topic for source in plan.catalog.sources]
        self._segments = [segment.name for segment in plan.segments]
        self._counted: Counter[tuple[str, ...]] = Counter()
        """metric and labels -> what has been counted since the last commit"""
        self._arrivals: list[Int64s] = []
        self._due_ms: list[int] = []
        self.changelog_records = 0
        """written by the commit that has just ended"""
        self._begin()

    def _begin(self) -> None:
        """All that can be counted is there from the start, at 0: of a series that begins with 1 no rate shows it."""
        add = self._metrics.add
        for topic in self._topics:
            add("events_consumed_total", 0, topic)
            add("events_duplicate_total", 0, topic)
            for outcome in ("applied", "dropped"):
                add("events_late_total", 0, topic, outcome)
            for reason in get_args(RejectReason):
                add("events_rejected_total", 0, topic, reason)
        for segment in self._segments:
            for transition in ("entered", "exited"):
                add("segment_changes_total", 0, segment, transition)

    def count(self, batch: Batch, step: Step, took_s: float) -> None:
        """After a step, which took so long with all that belongs to it."""
        counted, topics = self._counted, self._topics
        for source, records in batch.consumed.items():
            counted["events_consumed_total", topics[source]] += records
        if batch.late or step.dropped:
            self._count_rows(batch, step)
        for rejected in (*batch.rejected, *step.rejected):
            counted["events_rejected_total", topics[rejected.source], rejected.reason] += 1
            if rejected.reason == "too_late":
                counted["events_late_total", topics[rejected.source], "dropped"] += 1
        counted["timers_fired_total",] += step.timers_fired
        for (segment, entered), changes in step.jumps.items():
            counted["segment_changes_total", self._segments[segment], "entered" if entered else "exited"] += changes
        if batch.arrival_ms is not None:
            self._arrivals.append(batch.arrival_ms)
        self._due_ms += step.due_ms
        if (events := sum(batch.consumed.values())) > 0:  # work that is dropped later was work all the same
            self._metrics.observe("event_processing_duration_seconds", took_s / events, events)

    def _count_rows(self, batch: Batch, step: Step) -> None:
        """Late ones and duplicates by their topics. `step.dropped`: duplicates, and rejected ones."""
        counted, topics, gone = self._counted, self._topics, set(step.dropped)
        for source, late in Counter(batch.source[row] for row in batch.late if row not in gone).items():
            counted["events_late_total", topics[source], "applied"] += late
        copies = Counter(batch.source[row] for row in step.dropped)
        copies.subtract(rejected.source for rejected in step.rejected)
        for source, duplicates in copies.items():
            counted["events_duplicate_total", topics[source]] += duplicates

    def committed(self, dirty: list[Owned], took_s: float, now_ms: int) -> None:
        """What was counted is final."""
        metrics = self._metrics
        for (name, *labels), amount in self._counted.items():
            metrics.add(name, amount, *labels)
        metrics.add("commits_total", 1)
        metrics.add("changelog_writes_total", self.changelog_records)
        metrics.observe("commit_duration_seconds", took_s)
        for arrival_ms in self._arrivals:
            metrics.observe_all("event_to_segment_latency_seconds", (now_ms - arrival_ms).clip(0) / 1000)
        if self._due_ms:
            clock_ms = self._clock.now_ms()
            metrics.observe_all("timer_delay_seconds", [(clock_ms - due_ms) / 1000 for due_ms in self._due_ms])
        self.dropped()
        for owned in dirty:
            for what in (balance.CONSUMED, *balance.OUTCOMES):
                if amount := owned.since_commit(what):
                    metrics.add("records_total", amount, str(owned.index), what)
            owned.told = owned.totals
            self.stand(owned)

    def dropped(self) -> None:
        """What was counted did not come to be, or is told."""
        self._counted.clear()
        self._arrivals.clear()
        self._due_ms.clear()
        self.changelog_records = 0

    def stand(self, owned: Owned) -> None:
        """What is asked of a partition at its commits only, as its state or its store have to be at rest for it."""
        metrics, index, state = self._metrics, str(owned.index), owned.state
        if state.log_overflows:
            metrics.add("events_settled_early_total", state.log_overflows)
            state.log_overflows = 0
        if forgotten := state.duplicates.forgotten:
            metrics.add("ids_forgotten_total", forgotten)
            state.duplicates.forgotten = 0
        if dropped := state.take_dropped():
            metrics.add("window_values_dropped_total", dropped)
        metrics.set("state_keys", owned.persons, index)
        metrics.set("state_memory_keys", len(state.states), index)
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
