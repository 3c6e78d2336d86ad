"""What is worked out when the page is asked for: what is stale and why, ages that grow while nothing moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from segue.engine import Engine
from segue.plan import compile_plan
from segue.plan.report import sources_behind
from segue.rules import parse_rules
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside
from segue_agents.rule_files import load_catalog
from segue_agents.settings import Settings
from segue_agents.state.layouts import Known
from segue_agents.worker.clock import Clock
from segue_agents.worker.gauges import Gauges, Waiting
from segue_agents.worker.owned import Owned

NOW_MS = 1_790_000_000_000
MINUTE = 60_000
RULES = """\
segment: segment_viewers
when: count(product_viewed) >= 3 in the last 10 minutes
---
segment: segment_openers
when: did email_opened in the last 1 day
---
segment: segment_both
when: in segment_viewers and in segment_openers
---
segment: segment_tenth
universe: seen in the last 90 days
when: bucket("salt") < 10%
"""


@dataclass
class World:
    """A worker's partitions as the gauges see them, and a clock."""

    folder: Path
    clock: str = "ticks"
    rules: str = RULES
    now_ms: int = NOW_MS
    owned: dict[int, Owned] = field(default_factory=dict)
    waiting: Waiting = field(default_factory=dict)

    def __post_init__(self) -> None:
        catalog = load_catalog()
        self.plan = compile_plan(parse_rules([("rules", self.rules)], catalog), catalog)
        self.engine, self.metrics = Engine(self.plan), Metrics()
        self.topics = {s.name: s.topic for s in catalog.sources}
        settings = Settings(app_id="app", data_dir=self.folder, clock=cast("Any", self.clock), stale_after_ms=15 * MINUTE)
        outside = Outside(wall_ms=lambda: self.now_ms)
        self.gauges = Gauges(settings, self.plan, self.metrics, Clock.of(settings, outside), outside, self.owned,
                             lambda: self.waiting, lambda: True)  # fmt: skip

    def has(self, index: int, **newest_ms: int) -> Owned:
        """The partition is the worker's, its time now; newest events by source."""
        state = self.engine.partition(index)
        state.resume(self.now_ms)
        store: Any = None
        owned = Owned(index, 1, state, store, 0, 0, {}, Known(self.engine.program.layout, {}), False)
        owned.members = list(state.member_counts)
        owned.newest_ms = {self.topics[name]: at for name, at in newest_ms.items()}
        self.owned[index] = owned
        return owned

    def stale(self) -> dict[str, set[str]]:
        """Segment -> why."""
        self.metrics.page()  # nothing is set by it, as `look` is not asked
        self.gauges.look()
        names = [s.name for s in self.plan.segments]
        return {name.removeprefix("segment_"): {why for why in ("silent", "behind")
                                                if self.value("segment_stale", segment=name, reason=why)}
                for name in names}  # fmt: skip

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"segue_{name}", labels)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_segment_reads_the_sources_of_what_it_is_made_of(world: World) -> None:
    """Its own and those of the segments it names; who is told apart by `seen` reads them all."""
    sources = [s.name for s in world.plan.catalog.sources]
    read = {s.name: {sources[x] for x in sources_behind(world.plan, i)} for i, s in enumerate(world.plan.segments)}
    assert read == {"segment_viewers": {"site"}, "segment_openers": {"email"}, "segment_both": {"site", "email"},
                    "segment_tenth": set(sources)}  # fmt: skip


def test_silent_is_a_segment_none_of_whose_sources_has_a_new_event(world: World) -> None:
    """One source that goes on is enough, in whatever partition; the one that is silent shows in its own metric."""
    world.has(0, site=NOW_MS - 20 * MINUTE, email=NOW_MS - 40 * MINUTE)
    assert world.stale() == {"viewers": {"silent"}, "openers": {"silent"}, "both": {"silent"}, "tenth": {"silent"}}
    world.has(1, site=NOW_MS - 15 * MINUTE)
    assert world.stale() == {"viewers": set(), "openers": {"silent"}, "both": set(), "tenth": set()}
    assert world.value("segment_last_event_timestamp_seconds", segment="segment_both") == (NOW_MS - 15 * MINUTE) / 1000
    assert world.value("source_last_event_timestamp_seconds", topic="email-events") == (NOW_MS - 40 * MINUTE) / 1000
    world.now_ms += 1
    world.owned[0].state.resume(world.now_ms)
    assert world.stale()["viewers"] == {"silent"}
    world.owned[1].newest_ms[world.topics["email"]] = NOW_MS
    assert world.stale() == {"viewers": {"silent"}, "openers": set(), "both": set(), "tenth": set()}


def test_a_source_without_any_event_is_silent_from_the_start_on(world: World) -> None:
    """A worker that has just started says nothing of it yet."""
    world.has(0)
    assert world.stale()["viewers"] == set()
    assert world.value("segment_last_event_timestamp_seconds", segment="segment_viewers") is None
    world.now_ms += 15 * MINUTE + 1
    world.has(0)
    assert world.stale()["viewers"] == {"silent"}


def test_behind_are_all_segments_when_a_partition_s_time_stands_still(world: World) -> None:
    """A stuck partition takes no ticks: by and by everything there is too old to be believed."""
    world.has(0, site=NOW_MS, email=NOW_MS)
    world.has(1, site=NOW_MS, email=NOW_MS)
    assert not any(world.stale().values())
    world.now_ms += 15 * MINUTE + 1
    world.has(0, site=world.now_ms, email=world.now_ms)
    assert world.stale() == {"viewers": {"behind"}, "openers": {"behind"}, "both": {"behind"}, "tenth": {"behind"}}
    assert world.value("watermark_delay_seconds", partition="1") == 900.001
    assert world.value("watermark_delay_seconds", partition="0") == 0


def test_a_partition_that_has_no_time_yet_is_not_behind(world: World) -> None:
    """Before its first tick; what waits then is the tick."""
    world.has(0, site=NOW_MS).state.resume(0)
    world.waiting = {("segue-app-clock", 0): (1, NOW_MS)}
    assert world.stale()["viewers"] == set()
    assert world.value("watermark_delay_seconds", partition="0") is None
    world.now_ms += 15 * MINUTE + 1
    assert world.stale()["viewers"] == {"silent", "behind"}


def test_behind_is_who_reads_a_topic_whose_records_wait(tmp_path: Path) -> None:
    """Without ticks a partition's time says nothing, and records that wait for their commit do; a partition that is not
    restored yet has some as well."""
    world = World(tmp_path, clock="none")
    world.has(0, site=NOW_MS, email=NOW_MS).state.resume(NOW_MS - 40 * MINUTE)
    world.waiting = {("email-events", 3): (7, NOW_MS - 15 * MINUTE - 1), ("site-events", 0): (2, NOW_MS - 14 * MINUTE)}
    assert world.stale() == {"viewers": set(), "openers": {"behind"}, "both": {"behind"}, "tenth": {"behind"}}
    assert world.value("consumer_lag_records", topic="email-events", partition="3") == 7
    assert world.value("consumer_lag_seconds", topic="site-events", partition="0") == 840
    world.waiting = {("site-events", 0): (0, None)}
    assert not any(world.stale().values())
    assert world.value("consumer_lag_seconds", topic="site-events", partition="0") == 0
    assert world.value("consumer_lag_records", topic="email-events", partition="3") is None


def test_a_worker_without_partitions_knows_of_nothing_stale(world: World) -> None:
    """It stands by."""
    world.now_ms += 60 * MINUTE
    assert not any(world.stale().values())


def test_members_go_with_their_partition(world: World) -> None:
    """A series for each partition the worker has, as of its last commit."""
    place = {s.name: i for i, s in enumerate(world.plan.segments)}
    for index, counts in enumerate([{"segment_viewers": 3, "segment_tenth": 9}, {"segment_viewers": 4, "segment_tenth": 8}]):
        owned = world.has(index)
        for name, persons in counts.items():
            owned.members[place[name]] = persons
    world.gauges.look()
    assert world.value("segment_members", segment="segment_viewers", partition="0") == 3
    assert world.value("segment_members", segment="segment_tenth", partition="1") == 8
    del world.owned[1]
    world.gauges.look()
    assert world.value("segment_members", segment="segment_tenth", partition="1") is None
    assert world.value("segment_members", segment="segment_viewers", partition="0") == 3


def test_heartbeats_and_timers_are_told_of_each_partition(world: World) -> None:
    """A timer that ought to have fired is late by at least so much."""
    owned = world.has(0)
    owned.heartbeat_ms, owned.committed_heartbeat_ms = NOW_MS - 1_000, NOW_MS - 9_000
    wheel = owned.state._wheel
    wheel.schedule(b"ben", (NOW_MS + 90 * MINUTE) >> 14)
    wheel.until((NOW_MS - 10 * MINUTE) >> 14)
    world.gauges.look()
    assert world.value("timer_lateness_seconds", partition="0") == 0
    wheel.schedule(b"ada", (NOW_MS - 5 * MINUTE) >> 14)
    world.gauges.look()
    assert world.value("heartbeat_timestamp_seconds", partition="0", stage="applied") == (NOW_MS - 1_000) / 1000
    assert world.value("heartbeat_timestamp_seconds", partition="0", stage="committed") == (NOW_MS - 9_000) / 1000
    late_s = world.value("timer_lateness_seconds", partition="0")
    assert late_s is not None and 300 - 16.4 <= late_s <= 300
