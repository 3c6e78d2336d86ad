"""The metrics page: what Prometheus' own linter says of it, and that no list disagrees with it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from segue_agents.metrics import METRICS, Metrics


def page() -> bytes:
    """A page on which every metric has a value."""
    metrics = Metrics()
    metrics.say_build("0123456789abcdef")
    for metric in METRICS:
        labels = tuple("1" if name == "partition" else "x" for name in metric.labels)
        if metric.name == "build_info":
            continue
        if metric.type == "counter":
            metrics.add(metric.name, 3, *labels)
        elif metric.type == "gauge":
            metrics.set(metric.name, 0.5, *labels)
        else:
            metrics.observe(metric.name, 0.01, *labels)
    return metrics.page()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian's package prometheus)")
def test_promtool_finds_nothing() -> None:
    """`promtool check metrics` is clean."""
    said = subprocess.run(["promtool", "check", "metrics"], input=page(), capture_output=True, timeout=20, check=False)
    assert (said.returncode, said.stderr) == (0, b"")


def test_the_page_is_the_list() -> None:
    """Every metric of the list is on the page with its help, and nothing of ours besides."""
    ours = {f.name: f for f in text_string_to_metric_families(page().decode()) if f.name.startswith("segue_")}
    assert {f"segue_{m.name.removesuffix('_total')}": m.help for m in METRICS} == {
        name: family.documentation for name, family in ours.items()
    }


def test_no_label_can_hold_a_person() -> None:
    """Labels are of what is bounded: partitions, topics, sources, segments, reasons."""
    bounded = {"source", "reason", "kind", "outcome", "segment", "change", "stage", "topic", "partition", "version",
               "layout"}
    assert {label for m in METRICS for label in m.labels} <= bounded


def test_a_partition_that_has_gone_leaves_no_gauge() -> None:
    """Of several labels too; the other partitions' stay, and so do counters."""
    metrics = Metrics()
    for partition in ("0", "1"):
        metrics.set("lag_records", 5, "site-events", partition)
        metrics.set("state_persons", 5, partition)
        metrics.add("records_total", 5, partition, "applied")
    metrics.forget(0)
    left = {(s.name, s.labels["partition"]) for f in text_string_to_metric_families(metrics.page().decode())
            for s in f.samples if "partition" in s.labels}  # fmt: skip
    assert left == {("segue_lag_records", "1"), ("segue_state_persons", "1"), ("segue_records_total", "0"),
                    ("segue_records_total", "1")}  # fmt: skip
