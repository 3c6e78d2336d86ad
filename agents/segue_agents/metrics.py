"""Every metric of a worker, once; docs/operate/metrics.md has its table from here, and dashboards their names.

Base units (seconds, bytes), prefix `segue_`. Counted per batch, told at the commit; gauges of what is now are worked out
when the page is asked for. The labels' values come from rules, declared sources, Kafka's partitions and words of ours:
never from a record, never from a person. All the same no label has more than `LABEL_VALUES`.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple

import confluent_kafka
import numpy as np
import numpy.typing as npt
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import HistogramMetricFamily

from segue_agents.version import installed_version

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX: Final = "segue_"
LABEL_VALUES: Final = 1_000
"""of one label of one metric; Prometheus keeps a series for each"""
OTHER: Final = "other"
"""what a counter's values beyond them go to"""

LATENCY: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""upper bounds of buckets, in seconds; objectives are taken at 0.5, 1 or 2 s"""
DELAY: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)
PER_EVENT: Final = (0.000002, 0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.01, 0.1)
LONG: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0)


class Metric(NamedTuple):
    """One metric."""

    name: str
    """without the prefix"""
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    unit: str
    """what it counts or measures; '' for a flag"""
    help: str
    buckets: tuple[float, ...] = ()
    """of a histogram, which has no labels: their upper bounds"""


SECTIONS: Final[Mapping[str, tuple[Metric, ...]]] = {
    "Records in": (
        Metric("events_consumed_total", "counter", ("topic",), "records",
               "Records passed, good, of no concern or rejected."),
        Metric("records_total", "counter", ("partition", "outcome"), "records",
               "Records consumed, and what became of them: consumed = applied + late + ignored + duplicate + future + "
               "dead_letter."),
        Metric("events_rejected_total", "counter", ("topic", "reason"), "records", "Records sent to the dead letters."),
        Metric("events_duplicate_total", "counter", ("topic",), "records",
               "Events of sources that deduplicate, told again and dropped."),
        Metric("events_late_total", "counter", ("topic", "outcome"), "records",
               "Events that came behind their time: applied, folded in at their place, or dropped, as they were "
               "later than the "
               "source allows (to the dead letters)."),
        Metric("events_settled_early_total", "counter", (), "records",
               "Events of persons with too many of them for the log that takes late ones; a later late one comes "
               "after these."),
        Metric("window_values_dropped_total", "counter", (), "values",
               "Values of windows with more than 1,000 of them, which these windows therefore no longer count."),
        Metric("ids_forgotten_total", "counter", (), "ids",
               "Ids of persons with more than 2,000 of a source that deduplicates; a copy of such an event counts again."),
        Metric("consumer_lag_records", "gauge", ("topic", "partition"), "records",
               "Records of the topic not yet worked off and committed, of a partition that restores too."),
        Metric("consumer_lag_seconds", "gauge", ("topic", "partition"), "seconds",
               "How long the oldest of them has been in Kafka; 0: none waits. Of one not read yet: how long we know of it."),
        Metric("partition_stopped", "gauge", ("partition", "reason"), "",
               "1: stopped by the breaker, as too many of its records were refused, mostly for this reason."),
        Metric("open_transaction_seconds", "gauge", ("topic", "partition"), "seconds",
               "How long a transaction of a producer has been holding up what is behind it; 0: none is open."),
        Metric("registry_errors_total", "counter", ("kind",), "answers",
               "Answers of the schema registry that said nothing: unauthorized, server, timeout, connection, wrong_answer."),
        Metric("registry_schemas_pending", "gauge", (), "schemas",
               "Schema ids asked for and not answered; their records wait."),
    ),
    "Time": (
        Metric("event_to_segment_latency_seconds", "histogram", (), "seconds",
               "From an event's arrival in Kafka to the commit of what it has changed; one observation an event that rules "
               "read, whether it has changed anything or not.", LATENCY),
        Metric("event_processing_duration_seconds", "histogram", (), "seconds",
               "What an event took to be worked off, its share of its batch; the sum is the time spent on all of "
               "them.", PER_EVENT),
        Metric("timer_delay_seconds", "histogram", (), "seconds",
               "From when a timer was due, by the clock, to the commit of what it did; one observation a person and "
               "firing. About "
               "2 s are the clock's own: ticks count clock_delay_ms earlier and come every clock_interval_ms.", DELAY),
        Metric("timers_fired_total", "counter", (), "persons", "Persons whose state time alone moved."),
        Metric("timers_pending", "gauge", ("partition",), "timers", "Timers that wait."),
        Metric("timer_lateness_seconds", "gauge", ("partition",), "seconds",
               "How long the first timer that has not fired has been due, to the 16 s of its bucket; 0: none is due."),
        Metric("engine_time_seconds", "gauge", ("partition",), "seconds",
               "The partition's time, since the epoch: every jump before it is out."),
        Metric("watermark_delay_seconds", "gauge", ("partition",), "seconds",
               "How far the partition's time is behind the clock."),
        Metric("heartbeat_timestamp_seconds", "gauge", ("partition", "stage"), "seconds",
               "When the newest tick that has come so far was written, since the epoch: written, read, applied, "
               "committed. Without "
               "ticks (clock=none) it is the newest event, and there is no stage written."),
    ),
    "Segments": (
        Metric("segment_changes_total", "counter", ("segment", "transition"), "changes",
               "Changes committed, by segment, entered or exited."),
        Metric("segment_members", "gauge", ("segment", "partition"), "persons",
               "Persons whose stored state says that they are in the segment, as of the last commit."),
        Metric("segment_last_event_timestamp_seconds", "gauge", ("segment",), "seconds",
               "The time of the newest event applied of any source the segment reads, since the epoch."),
        Metric("segment_stale", "gauge", ("segment", "reason"), "",
               "1: silent, no event of any of its sources is newer than stale_after_ms; or behind, a partition's "
               "time or the "
               "oldest record that waits is. Seen by this worker, in its partitions."),
        Metric("segment_backfill_pending", "gauge", ("segment",), "",
               "1 while a segment looks back further than a leaf of it has been kept; 0: it is exact."),
        Metric("segment_info", "gauge", ("segment", "version"), "", "1; the rule's version."),
        Metric("source_last_event_timestamp_seconds", "gauge", ("topic",), "seconds",
               "The time of the newest event applied of the topic, since the epoch."),
    ),
    "State and partitions": (
        Metric("state_keys", "gauge", ("partition",), "persons", "Persons with a state."),
        Metric("state_memory_keys", "gauge", ("partition",), "persons", "Persons whose state is in memory."),
        Metric("state_memory_bytes", "gauge", ("partition",), "bytes", "The states in memory, as they are stored."),
        Metric("state_bytes", "gauge", ("partition",), "bytes", "The store's size on disk and in its buffers."),
        Metric("state_disk_free_bytes", "gauge", (), "bytes", "Free on the disk of data_dir."),
        Metric("state_disk_size_bytes", "gauge", (), "bytes", "The size of the disk of data_dir."),
        Metric("store_full", "gauge", ("partition",), "", "1 while the disk has no room for what is committed; it waits."),
        Metric("stores_set_aside_total", "counter", (), "stores", "Damaged or foreign stores renamed and built anew."),
        Metric("partitions_assigned", "gauge", (), "partitions",
               "Partition indexes this worker has, restoring ones included."),
        Metric("rebalances_total", "counter", ("kind",), "rebalances",
               "What the group has told this worker: assigned, revoked, lost."),
        Metric("rebalance_duration_seconds", "histogram", (), "seconds",
               "From the first partition given up or given to us until all that are ours are read again, restores "
               "included.", LONG),
        Metric("state_recovery_duration_seconds", "histogram", (), "seconds",
               "What a partition's state took to be back.", LONG),
        Metric("state_recovery_remaining_records", "gauge", ("partition",), "records",
               "Records of the changelog a restore has still to read; 0: it has none, or is done."),
        Metric("restore_progress_ratio", "gauge", ("partition",), "ratio", "How far a partition's state is back, 0 to 1."),
        Metric("transactions_torn_total", "counter", (), "transactions",
               "Transactions found in the changelog without their checkpoint; their states were left out of a restore."),
    ),
    "Commits": (
        Metric("commits_total", "counter", (), "commits", "Commits."),
        Metric("commit_duration_seconds", "histogram", (), "seconds",
               "From the decision to commit to the state's being on disk.", LATENCY),
        Metric("changelog_writes_total", "counter", (), "records",
               "Records written to the changelog, checkpoints included."),
        Metric("rebuilds_total", "counter", ("stage",), "transactions", "Transactions lost and worked off again, by where."),
        Metric("producer_recycled_total", "counter", ("reason",), "producers",
               "Producers replaced after a commit that held, since a request of it may still be on its way: "
               "repeated, resent, "
               "slow."),
        Metric("producer_up", "gauge", (), "", "1 while there is a producer that the broker has accepted."),
    ),
    "The process": (
        Metric("ready", "gauge", (), "", "1: as /readyz: the states of its partitions are back, and commits come through."),
        Metric("build_info", "gauge", ("version", "python", "librdkafka"), "", "1; what runs."),
        Metric("rules_info", "gauge", ("version",), "", "1; the rules that run: a digest of all of them and their layout."),
        Metric("labels_capped_total", "counter", ("metric",), "times",
               "Times a value beyond the first 1,000 of a label came: counters' go to `other`, gauges' are not shown."),
    ),
}

METRICS: Final = tuple(metric for section in SECTIONS.values() for metric in section)


class Metrics:
    """The metrics of one worker, on a registry of their own. From any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._lock = threading.Lock()
        self._made: Mapping[str, Any] = {m.name: _make(m, self.registry) for m in METRICS}
        self._series: dict[str, dict[tuple[str, ...], Any]] = {m.name: {} for m in METRICS}
        """metric -> labels -> what counts"""
        self._values: dict[str, list[set[str]]] = {m.name: [set() for _ in m.labels] for m in METRICS}
        """metric -> per label its values so far"""

    def add(self, name: str, amount: float, *labels: str) -> None:
        """To a counter."""
        self._of(name, labels).inc(amount)

    def set(self, name: str, value: float, *labels: str) -> None:
        """A gauge."""
        gauge = self._of(name, labels)
        if gauge is not None:
            gauge.set(value)

    def replace(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """A gauge for all its labels: those that are not told any more go."""
        for labels, value in values.items():
            self.set(name, value, *labels)
        for labels in [known for known in list(self._series[name]) if known not in values]:
            self._remove(name, labels)

    def observe(self, name: str, value: float, times: int = 1) -> None:
        """Into a histogram, as if it had been observed so many times."""
        self._made[name].observe((value,), times)

    def observe_all(self, name: str, values: npt.ArrayLike) -> None:
        """Many into a histogram."""
        self._made[name].observe(values, 1)

    def forget(self, partition: int) -> None:
        """The gauges of a partition that has gone to another worker."""
        for metric in METRICS:
            if metric.type == "gauge" and "partition" in metric.labels:
                at = metric.labels.index("partition")
                for labels in [used for used in list(self._series[metric.name]) if used[at] == str(partition)]:
                    self._remove(metric.name, labels)

    def say_build(self, layout_id: str) -> None:
        """What runs."""
        self.set("build_info", 1, installed_version(), platform.python_version(), confluent_kafka.libversion()[0])
        self.set("rules_info", 1, layout_id)

    def page(self) -> bytes:
        """In the text format."""
        return prometheus_client.generate_latest(self.registry)

    def _of(self, name: str, labels: tuple[str, ...]) -> Any:
        """What counts for these labels; None: a gauge beyond the bound."""
        series = self._series[name].get(labels)
        if series is not None:
            return series
        with self._lock:
            made, values = self._made[name], self._values[name]
            kept = tuple(v if v in known or len(known) < LABEL_VALUES else OTHER
                         for v, known in zip(labels, values, strict=True))
            if kept != labels:
                self._made["labels_capped_total"].labels(name).inc()
                return made.labels(*kept) if isinstance(made, Counter) else None
            for value, known in zip(labels, values, strict=True):
                known.add(value)
            series = self._series[name][labels] = made.labels(*labels) if labels else made
            return series

    def _remove(self, name: str, labels: tuple[str, ...]) -> None:
        with self._lock, suppress(KeyError):
            del self._series[name][labels]
            self._made[name].remove(*labels)


class _Histogram:
    """prometheus_client's takes one value a call; this one an array of them."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._bounds = np.array(metric.buckets)
        self._counts = np.zeros(len(metric.buckets) + 1, np.int64)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, values: npt.ArrayLike, times: int) -> None:
        """Each so many times."""
        seconds = np.asarray(values, np.float64)
        found = np.bincount(np.searchsorted(self._bounds, seconds), minlength=len(self._counts))
        with self._lock:
            self._counts += times * found
            self._sum += times * float(seconds.sum())

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """As a registry asks."""
        with self._lock:
            below, total = self._counts.cumsum().tolist(), self._sum
        bounds = [*map(str, self._metric.buckets), "+Inf"]
        yield HistogramMetricFamily(PREFIX + self._metric.name, self._metric.help,
                                    buckets=list(zip(bounds, below, strict=True)), sum_value=total)


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    if metric.type == "histogram":
        assert not metric.labels, metric.name
        histogram = _Histogram(metric)
        registry.register(histogram)
        return histogram
    kind = Counter if metric.type == "counter" else Gauge
    return kind(PREFIX + metric.name, metric.help, metric.labels, registry=registry)


def table_markdown() -> str:
    """The tables of docs/operate/metrics.md."""
    parts = []
    for title, section in SECTIONS.items():
        rows = "".join(f"| {_named(m)} | {m.type} | {m.unit} | {m.help} |\n" for m in section)
        parts.append(f"### {title}\n\n| metric | type | unit | meaning |\n|---|---|---|---|\n{rows}")
    return "\n".join(parts)


def _named(metric: Metric) -> str:
    labels = f"{{{','.join(metric.labels)}}}" if metric.labels else ""
    return f"`{PREFIX}{metric.name}{labels}`"
