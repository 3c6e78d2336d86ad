"""The list of metrics and the page: Prometheus' own linter, the docs, bounds of labels, many values at a time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.monitoring.debian import Tools

from segue_agents.metrics import LABEL_VALUES, METRICS, OTHER, PREFIX, Metrics, table_markdown

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "metrics.md"


def page() -> bytes:
    """A page on which every metric has a value."""
    metrics = Metrics()
    metrics.say_build("0123456789abcdef")
    for metric in METRICS:
        labels = tuple("1" if name == "partition" else "x" for name in metric.labels)
        if metric.name in ("build_info", "rules_info"):
            continue
        if metric.type == "counter":
            metrics.add(metric.name, 3, *labels)
        elif metric.type == "gauge":
            metrics.set(metric.name, 0.5, *labels)
        else:
            metrics.observe(metric.name, 0.01)
    return metrics.page()


def test_promtool_finds_nothing(tools: Tools) -> None:
    """`promtool check metrics` is clean."""
    said = subprocess.run([tools.promtool, "check", "metrics"], input=page(), capture_output=True, timeout=20, check=False)
    assert (said.returncode, said.stderr) == (0, b"")


def test_the_page_is_the_list() -> None:
    """Every metric of the list is on the page with its help, and besides only what is told of the process."""
    found = {f.name: f for f in text_string_to_metric_families(page().decode())}
    ours = {name: family.documentation for name, family in found.items() if name.startswith(PREFIX)}
    assert {PREFIX + m.name.removesuffix("_total"): m.help for m in METRICS} == ours
    rest = found.keys() - ours.keys()
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"} <= rest
    assert all(name.startswith("process_") for name in rest)
    assert b"_created" not in page()


def test_the_docs_have_the_list() -> None:
    """The tables of docs/operate/metrics.md are printed from it; SEGUE_WRITE_GOLDEN=1 prints them anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split("<!-- the list -->\n")
    _, after = rest.split("<!-- its end -->\n")
    wanted = f"{before}<!-- the list -->\n{table_markdown()}<!-- its end -->\n{after}"
    if os.environ.get("SEGUE_WRITE_GOLDEN"):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted


def test_no_label_can_hold_a_person() -> None:
    """Labels are of what is bounded: partitions, topics, segments, words of ours."""
    bounded = {"reason", "kind", "outcome", "segment", "transition", "stage", "topic", "partition", "version", "python",
               "librdkafka", "metric"}  # fmt: skip
    assert {label for m in METRICS for label in m.labels} == bounded


def test_names_keep_the_conventions() -> None:
    """Counters end in _total and nothing else does; what is in seconds or bytes says so, and no other unit is used."""
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert bool(metric.buckets) == (metric.type == "histogram"), metric.name
        if metric.unit in ("seconds", "bytes"):
            assert metric.name.endswith(f"_{metric.unit}"), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_a_label_that_runs_wild_is_capped() -> None:
    """Counters beyond the bound come together under `other`, so their sum is whole; gauges stay away; both are said."""
    metrics = Metrics()
    for i in range(LABEL_VALUES + 5):
        metrics.add("events_rejected_total", 2, "site-events", f"reason {i}")
        metrics.set("segment_members", i, f"segment_{i}", "0")
    metrics.add("events_rejected_total", 2, "site-events", "reason 0")
    value = metrics.registry.get_sample_value
    assert value("segue_events_rejected_total", {"topic": "site-events", "reason": OTHER}) == 10
    assert value("segue_events_rejected_total", {"topic": "site-events", "reason": "reason 0"}) == 4
    assert value("segue_segment_members", {"segment": f"segment_{LABEL_VALUES - 1}", "partition": "0"}) == LABEL_VALUES - 1
    assert value("segue_segment_members", {"segment": f"segment_{LABEL_VALUES}", "partition": "0"}) is None
    assert value("segue_segment_members", {"segment": OTHER, "partition": "0"}) is None
    capped = [value("segue_labels_capped_total", {"metric": m}) for m in ("events_rejected_total", "segment_members")]
    assert capped == [5, 5]


def test_a_partition_that_has_gone_leaves_no_gauge() -> None:
    """Of several labels too; the other partitions' stay, and so do counters."""
    metrics = Metrics()
    for partition in ("0", "1"):
        metrics.set("consumer_lag_records", 5, "site-events", partition)
        metrics.set("state_keys", 5, partition)
        metrics.add("records_total", 5, partition, "applied")
    metrics.forget(0)
    left = {(s.name, s.labels["partition"]) for f in text_string_to_metric_families(metrics.page().decode())
            for s in f.samples if "partition" in s.labels}  # fmt: skip
    assert left == {("segue_consumer_lag_records", "1"), ("segue_state_keys", "1"), ("segue_records_total", "0"),
                    ("segue_records_total", "1")}  # fmt: skip


def test_a_gauge_told_whole_loses_what_is_not_told() -> None:
    """What a look no longer finds is not on the page; it may come back."""
    metrics = Metrics()
    for told in ({("a",): 1.0, ("b",): 2.0}, {("b",): 3.0}, {("a",): 4.0}):
        metrics.replace("segment_last_event_timestamp_seconds", told)
        name = "segue_segment_last_event_timestamp_seconds"
        found = {(s,): metrics.registry.get_sample_value(name, {"segment": s}) for s in "ab"}
        assert {labels: value for labels, value in found.items() if value is not None} == told


def test_many_values_at_a_time_are_the_same_as_one_by_one() -> None:
    """Buckets, sum and count as prometheus_client's own histogram has them; bounds belong to the bucket below them."""
    metric = next(m for m in METRICS if m.name == "event_to_segment_latency_seconds")
    values = np.concatenate([np.random.default_rng(3).exponential(1.0, 1_000), metric.buckets, [0.0, 1e6]])
    metrics, registry = Metrics(), CollectorRegistry()
    one_by_one = Histogram(PREFIX + metric.name, metric.help, registry=registry, buckets=metric.buckets)
    for value in values:
        one_by_one.observe(value)
    metrics.observe_all(metric.name, values)
    metrics.observe(metric.name, 0.3, 7)
    for _ in range(7):
        one_by_one.observe(0.3)
    ours = {s.name + str(s.labels): s.value for f in metrics.registry.collect() if f.name == PREFIX + metric.name
            for s in f.samples}  # fmt: skip
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert {s.name + str(s.labels): s.value for s in family.samples} == pytest.approx(ours)
