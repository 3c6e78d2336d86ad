"""Two workers of one host as a Prometheus sees them: found by their files, pages that its linter takes, numbers that are
true under load, after a kill and when partitions have moved."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from tests.agents.worker.conftest import wait_until
from tests.monitoring.debian import Tools

from segue.engine import Engine
from segue_agents.codecs.changes import decode_change
from segue_agents.metrics import METRICS, PREFIX
from segue_agents.rule_files import load_plan
from segue_agents.state.store import Store

if TYPE_CHECKING:
    App = Any

MARK = "canary"
EVENTS = 400
TICKS = {"clock": "ticks", "clock_interval_ms": 100, "clock_delay_ms": 100, "session_timeout_ms": 6_000}


class Page:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def all(self, name: str, **labels: str) -> list[Any]:
        """Samples of a metric with these labels, and any others."""
        return [s for s in self.samples if s.name == PREFIX + name and labels.items() <= s.labels.items()]

    def sum(self, name: str, **labels: str) -> float:
        return float(sum(s.value for s in self.all(name, **labels)))


def targets(app: App) -> dict[str, str]:
    """Slot -> address, as a Prometheus reads them."""
    found = {}
    for file in sorted((app.settings.data_dir / "prometheus").glob("*.json")):
        (target,) = json.loads(file.read_text())
        assert target["labels"].keys() == {"app_id", "slot", "__scheme__"}
        assert target["labels"]["app_id"] == app.settings.app_id
        (address,) = target["targets"]
        found[target["labels"]["slot"]] = f"{target['labels']['__scheme__']}://{address}"
    return found


def scraped(app: App, slot: str) -> Page:
    with urllib.request.urlopen(f"{targets(app)[slot]}/metrics", timeout=10) as page:
        return Page(page.read().decode())


def members(*pages: Page) -> Counter[str]:
    """By segment, over all partitions of all workers; a partition is told by one of them."""
    told = [(s.labels["segment"], s.labels["partition"]) for page in pages for s in page.all("segment_members")]
    assert len(told) == len(set(told))
    assert {partition for _, partition in told} == {"0", "1"}
    found: Counter[str] = Counter()
    for page in pages:
        for sample in page.all("segment_members"):
            found[sample.labels["segment"]] += int(sample.value)
    return +found


def changed(app: App) -> Counter[str]:
    """Who has entered and not exited, by the changes that are out."""
    found: Counter[str] = Counter()
    for message in app.records(app.settings.output_topic):
        change = decode_change(message.value())
        found[change["segment"]] += 1 if change["change"] == "entered" else -1
    return +found


def stored(app: App, slot: str) -> Counter[str]:
    """Who is a member by the states in a stopped worker's stores."""
    plan = load_plan(app.settings.rules, app.settings.sources)
    found: Counter[str] = Counter()
    for folder in sorted((app.settings.data_dir / app.settings.app_id / slot).glob("partition-?")):
        with Store(folder) as store:
            partition = Engine(plan).partition(0)
            for person, encoded in store.scan():
                partition.load(person, encoded)
            found.update({s.name: len(partition.members(i)) for i, s in enumerate(plan.segments)})
    return +found


def publish(app: App, after_s: int) -> None:
    """Events of some minutes that end about now, of marked persons; some late, some that nobody can read."""
    app._now_ms = time.time_ns() // 1_000_000 - after_s * 1_000
    for i in range(EVENTS):
        app._now_ms += app._random.randrange(2 * after_s * 1_000 // EVENTS)
        late_ms = 60_000 if i % 50 == 49 else 0
        app.send(app._random.choice(("Product Viewed", "Product Viewed", "Product Added", "page")),
                 f"{MARK}-{app._random.randrange(40)}", app._now_ms - late_ms)  # fmt: skip
    app.publisher.close()
    spoilt = Producer({"bootstrap.servers": app.settings.bootstrap})
    for partition in range(2):
        spoilt.produce(f"{app.prefix}site-events", f"{MARK} of no schema".encode(), MARK.encode(), partition=partition)
    assert spoilt.flush(10) == 0


def settled(app: App, *slots: str) -> list[Page]:
    """Pages of these workers once they have everything, and all is committed."""

    def true() -> bool:
        if not committed(app):
            return False
        pages = [scraped(app, slot) for slot in slots]
        lags = [s for page in pages for s in page.all("consumer_lag_records") if "clock" not in s.labels["topic"]]
        partitions = sum(page.sum("partitions_assigned") for page in pages)
        ready = all(page.sum("ready") == 1 for page in pages)
        return ready and partitions == 2 and bool(lags) and not any(s.value for s in lags)

    wait_until(true, "everything worked off")
    return [scraped(app, slot) for slot in slots]


def committed(app: App) -> bool:
    """All inputs to their end, as Kafka says."""
    asked = [TopicPartition(source.topic, p) for source in app.catalog.sources for p in range(2)]
    group = Consumer({"bootstrap.servers": app.settings.bootstrap, "group.id": app.settings.app_id})
    try:
        done = {(p.topic, p.partition): max(0, p.offset) for p in group.committed(asked, timeout=10)}
        return all(group.get_watermark_offsets(p, timeout=10)[1] == done[p.topic, p.partition] for p in asked)
    finally:
        group.close()


def checked(page: Page, promtool: Path) -> None:
    """The names are the list's, no word of a record is on it, and `promtool check metrics` finds nothing."""
    assert MARK not in page.text
    known = {PREFIX + m.name for m in METRICS}
    names = {s.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for s in page.samples}
    assert {n for n in names if n.startswith(PREFIX)} <= known
    said = subprocess.run([promtool, "check", "metrics"], input=page.text.encode(), capture_output=True, timeout=20,
                          check=False)  # fmt: skip
    assert (said.returncode, said.stderr) == (0, b"")


@pytest.mark.timeout(240)
def test_two_workers_of_a_host_seen_from_outside(app: App, tools: Tools) -> None:
    """Each is found, tells the truth of its partitions, and what is left after a kill tells that of all of them."""
    for slot in ("0", "1"):
        app.start(slot, **TICKS)
    wait_until(lambda: targets(app).keys() == {"0", "1"}, "both files")
    wait_until(lambda: app.said("worker_starts") and app.said("worker_starts", "1"), "both pages")
    wait_until(lambda: app.said("partition_ready") and app.said("partition_ready", "1"), "a partition each")
    publish(app, 300)
    pages = settled(app, "0", "1")
    for page in pages:
        checked(page, tools.promtool)
    told_of_the_load(pages, app.prefix)
    told_of_time(app, "0", "1")
    assert members(*settled(app, "0", "1")) == changed(app) != Counter()

    app.end("1", signal.SIGKILL)
    (page,) = settled(app, "0")
    assert targets(app).keys() == {"0", "1"}, "the target is seen to be down"
    assert members(page) == changed(app)
    assert page.sum("rebalances_total", kind="assigned") >= 2
    assert page.sum("rebalance_duration_seconds_count") >= 2
    assert page.sum("state_recovery_duration_seconds_count") >= 2
    publish(app, 100)
    (page,) = settled(app, "0")
    checked(page, tools.promtool)
    before = members(page)
    assert app.end("0") == 0
    assert targets(app).keys() == {"1"}
    assert stored(app, "0") == changed(app)

    app.start("0", **TICKS)  # from its stores, before a tick has moved anything
    wait_until(lambda: "0" in targets(app) and app.said("partition_ready") >= 5, "both partitions again")
    (page,) = settled(app, "0")
    assert members(page) == changed(app)
    assert members(page).keys() <= before.keys() | changed(app).keys()
    app.end("0")


def told_of_the_load(pages: list[Page], prefix: str) -> None:
    """What went in, what came of it."""
    site = f"{prefix}site-events"
    assert sum(p.sum("events_consumed_total", topic=site) for p in pages) == EVENTS + 2
    assert sum(p.sum("events_rejected_total", topic=site, reason="undecodable") for p in pages) == 2
    assert sum(p.sum("events_late_total", topic=site, outcome="applied") for p in pages) > 0
    balance = {s.labels["outcome"]: s.value for s in pages[0].all("records_total")}
    assert balance.pop("consumed") == sum(balance.values())
    for page in pages:
        assert page.sum("segment_changes_total") > 0
        taken = sum(page.sum("records_total", outcome=outcome) for outcome in ("applied", "late"))
        assert page.sum("event_to_segment_latency_seconds_count") == taken > 0
        assert page.sum("event_to_segment_latency_seconds_bucket", le="10.0") == taken
        assert page.sum("event_processing_duration_seconds_count") == page.sum("events_consumed_total")
        assert page.sum("changelog_writes_total") > page.sum("commits_total") == page.sum("commit_duration_seconds_count")
        assert page.sum("producer_up") == 1
        assert page.sum("state_disk_free_bytes") < page.sum("state_disk_size_bytes")
        assert len(page.all("segment_info", version="1")) == 2


def told_of_time(app: App, *slots: str) -> None:
    """A heartbeat goes through all stages of each partition, and nothing is stale."""
    stages = ("written", "read", "applied", "committed")

    def beats() -> bool:
        pages = [scraped(app, slot) for slot in slots]
        now_s = time.time()
        found = {(s.labels["partition"], s.labels["stage"]): now_s - s.value
                 for page in pages for s in page.all("heartbeat_timestamp_seconds")}  # fmt: skip
        return found.keys() == {(p, s) for p in "01" for s in stages} and max(found.values()) < 8

    wait_until(beats, "a heartbeat through all stages")
    first = {s: scraped(app, s).sum("heartbeat_timestamp_seconds", stage="committed") for s in slots}
    wait_until(lambda: all(scraped(app, s).sum("heartbeat_timestamp_seconds", stage="committed") > first[s] for s in slots),
               "the next one")  # fmt: skip
    for slot in slots:
        page = scraped(app, slot)
        assert page.sum("segment_stale") == 0
        assert len(page.all("segment_stale")) == 4
        newest = page.all("source_last_event_timestamp_seconds", topic=f"{app.prefix}site-events")
        assert abs(newest[0].value - time.time()) < 120
        assert all(0 <= s.value < 8 for s in page.all("watermark_delay_seconds"))
