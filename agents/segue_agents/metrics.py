"""Every metric of a worker, once. Base units (seconds, bytes), prefix `segue_`; added up per batch or commit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any, Final, Literal, NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)


class Metric(NamedTuple):
    """One metric."""

    name: str
    """without the prefix"""
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


METRICS: Final = (
    Metric("events_consumed_total", "counter", ("source",), "Records passed, good, of no concern or rejected."),
    Metric("records_total", "counter", ("partition", "outcome"),
           "Records consumed, and what became of them: consumed = applied + late + ignored + duplicate + future + "
           "dead_letter."),
    Metric("events_late_total", "counter", (), "Events that came behind their time and were folded in."),
    Metric("events_settled_early_total", "counter", (),
           "Events of persons with too many of them for the log that takes late ones; a later late one comes after these."),
    Metric("window_values_dropped_total", "counter", (),
           "Values of windows with more than 1,000 of them, which these windows therefore no longer count."),
    Metric("events_duplicate_total", "counter", (), "Events of sources that deduplicate, told again and dropped."),
    Metric("ids_forgotten_total", "counter", (),
           "Ids of persons with more than 2,000 of a source that deduplicates; a copy of such an event counts again."),
    Metric("events_rejected_total", "counter", ("source", "reason"), "Records sent to the dead letters."),
    Metric("partition_stopped", "gauge", ("partition", "reason"),
           "1: stopped by the breaker, as too many of its records were refused, mostly for this reason."),
    Metric("registry_errors_total", "counter", ("kind",),
           "Answers of the schema registry that said nothing: unauthorized, server, timeout, connection, wrong_answer."),
    Metric("registry_schemas_pending", "gauge", (), "Schema ids asked for and not answered; their records wait."),
    Metric("changes_total", "counter", ("segment", "change"), "Changes written, by segment, entered or exited."),
    Metric("timers_fired_total", "counter", (), "Persons whose state time alone moved."),
    Metric("commits_total", "counter", (), "Commits."),
    Metric("rebuilds_total", "counter", ("stage",), "Transactions lost and worked off again, by where."),
    Metric("producer_recycled_total", "counter", ("reason",),
           "Producers replaced after a commit that held, since a request of it may still be on its way: repeated, resent, "
           "slow."),
    Metric("commit_duration_seconds", "histogram", (), "From the decision to commit to the state's being on disk."),
    Metric("event_to_change_seconds", "histogram", (), "From an event's arrival to the commit of its changes."),
    Metric("lag_records", "gauge", ("topic", "partition"), "Records of the log not yet worked off."),
    Metric("open_transaction_seconds", "gauge", ("topic", "partition"),
           "How long a transaction of a producer has been holding up what is behind it; 0: none is open."),
    Metric("engine_time_seconds", "gauge", ("partition",), "The partition's time: every jump before it is out."),
    Metric("state_persons", "gauge", ("partition",), "Persons with a state."),
    Metric("state_memory_persons", "gauge", ("partition",), "Persons whose state is in memory."),
    Metric("state_memory_bytes", "gauge", ("partition",), "The states in memory, as they are stored."),
    Metric("state_bytes", "gauge", ("partition",), "The store's size on disk and in its buffers."),
    Metric("store_full", "gauge", ("partition",), "1 while the disk has no room for what is committed; it waits."),
    Metric("timers_pending", "gauge", ("partition",), "Timers that wait."),
    Metric("segment_backfill_pending", "gauge", ("segment",),
           "1 while a segment looks back further than a leaf of it has been kept; 0: it is exact."),
    Metric("partitions_assigned", "gauge", (), "Partition indexes this worker has, restoring ones included."),
    Metric("restore_progress_ratio", "gauge", ("partition",), "How far a partition's state is back, 0 to 1."),
    Metric("transactions_torn_total", "counter", (),
           "Transactions found in the changelog without their checkpoint; their states were left out of a restore."),
    Metric("stores_set_aside_total", "counter", (), "Damaged or foreign stores renamed and built anew."),
    Metric("build_info", "gauge", ("version", "layout"), "1; what runs."),
)


class Metrics:
    """The metrics of one worker, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._used: dict[str, set[tuple[str, ...]]] = {m.name: set() for m in METRICS}
        """gauge -> the labels it was set with"""
        self._made: Mapping[str, Any] = {m.name: _make(m, self.registry) for m in METRICS}

    def add(self, name: str, amount: float, *labels: str) -> None:
        """To a counter."""
        self._of(name, labels).inc(amount)

    def set(self, name: str, value: float, *labels: str) -> None:
        """A gauge."""
        self._used[name].add(labels)
        self._of(name, labels).set(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Into a histogram."""
        self._of(name, labels).observe(value)

    def forget(self, partition: int) -> None:
        """The gauges of a partition that has gone to another worker."""
        for metric in METRICS:
            if metric.type == "gauge" and "partition" in metric.labels:
                at = metric.labels.index("partition")
                for labels in [used for used in self._used[metric.name] if used[at] == str(partition)]:
                    self._used[metric.name].discard(labels)
                    _remove(self._made[metric.name], *labels)

    def say_build(self, layout_id: str) -> None:
        """What runs."""
        try:
            version = metadata.version("segue")
        except metadata.PackageNotFoundError:
            version = "unknown"
        self.set("build_info", 1, version, layout_id)

    def page(self) -> bytes:
        """In the text format."""
        return prometheus_client.generate_latest(self.registry)

    def _of(self, name: str, labels: tuple[str, ...]) -> Any:
        made = self._made[name]
        return made.labels(*labels) if labels else made


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    name = f"segue_{metric.name}"
    if metric.type == "counter":
        return Counter(name, metric.help, metric.labels, registry=registry)
    if metric.type == "gauge":
        return Gauge(name, metric.help, metric.labels, registry=registry)
    return Histogram(name, metric.help, metric.labels, registry=registry, buckets=_SECONDS)


def _remove(made: Any, *labels: str) -> None:
    with suppress(KeyError):
        made.remove(*labels)
