"""What is worked out when the metrics page is asked for: how old things are, which grow while nothing moves.

A number that is told at commits stands still with them. So the times of partitions, the age of what waits, heartbeats and
what is stale are taken of the worker as it is at that moment.

A segment is *stale* in a worker

    silent    when the newest event of all the sources it reads, in all partitions the worker has, is older than
              `stale_after_ms`; where there never was one, when the worker is
    behind    when a partition's time is further behind the clock than that (clock=ticks), or a record of one of its
              sources, or a tick, has waited longer than that for its commit

A segment that reads no source is neither, nor is any in a worker without partitions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Final

from segue.plan import Plan
from segue.plan.report import sources_behind
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.topics import clock_topic
from segue_agents.worker.clock import Clock
from segue_agents.worker.owned import Owned

Waiting = Mapping[tuple[str, int], tuple[int, int | None]]
"""topic, partition -> (records that wait, when the oldest came to Kafka, ms; None: none waits)"""
STALE: Final = ("silent", "behind")


class Gauges:
    """Of one worker; `look` sets them. On the event loop, so that no step is under way."""

    def __init__(
        self, settings: Settings, plan: Plan, metrics: Metrics, clock: Clock, outside: Outside,
        owned: Mapping[int, Owned], waiting: Callable[[], Waiting], ready: Callable[[], bool],
    ) -> None:
        self._settings, self._metrics, self._clock, self._outside = settings, metrics, clock, outside
        self._owned, self._waiting, self._ready = owned, waiting, ready
        self._started_ms = clock.now_ms()
        topics = [source.topic for source in plan.catalog.sources]
        self._segments = [segment.name for segment in plan.segments]
        self._reads = {s.name: [topics[x] for x in sorted(sources_behind(plan, i))] for i, s in enumerate(plan.segments)}
        """segment -> the topics it reads"""
        for segment in plan.segments:
            metrics.set("segment_info", 1, segment.name, str(segment.version))

    def look(self) -> None:
        """Now."""
        owned, waiting, wall_ms = list(self._owned.values()), self._waiting(), self._outside.wall_ms()
        self._metrics.set("ready", self._ready())
        disk = shutil.disk_usage(self._settings.data_dir)
        self._metrics.set("state_disk_free_bytes", disk.free)
        self._metrics.set("state_disk_size_bytes", disk.total)
        ages = {key: 0.0 if since_ms is None else max(0, wall_ms - since_ms) / 1000
                for key, (_, since_ms) in waiting.items()}  # fmt: skip
        self._lag(waiting, ages)
        delays = self._times(owned)
        self._members(owned)
        newest = _newest(owned)
        self._metrics.replace("source_last_event_timestamp_seconds", {(t,): at / 1000 for t, at in newest.items()})
        self._freshness(newest, max(delays, default=0.0), ages)

    def _lag(self, waiting: Waiting, ages: Mapping[tuple[str, int], float]) -> None:
        self._metrics.replace("consumer_lag_records", {(t, str(i)): n for (t, i), (n, _) in waiting.items()})
        self._metrics.replace("consumer_lag_seconds", {(t, str(i)): age for (t, i), age in ages.items()})

    def _times(self, owned: list[Owned]) -> list[float]:
        """Of partitions and their heartbeats; how far each is behind the clock, in seconds."""
        metrics, clock_ms, delays = self._metrics, self._clock.now_ms(), []
        for o in owned:
            index, time_ms, timer_ms = str(o.index), o.state.engine_time_ms, o.state.first_timer_ms
            if time_ms:  # none before the first tick or event of all
                delays.append(max(0, clock_ms - time_ms) / 1000)
                metrics.set("engine_time_seconds", time_ms / 1000, index)
                metrics.set("watermark_delay_seconds", delays[-1], index)
            metrics.set("timer_lateness_seconds", 0 if timer_ms is None else max(0, clock_ms - timer_ms) / 1000, index)
            metrics.set("heartbeat_timestamp_seconds", o.heartbeat_ms / 1000, index, "applied")
            metrics.set("heartbeat_timestamp_seconds", o.committed_heartbeat_ms / 1000, index, "committed")
        return delays

    def _members(self, owned: list[Owned]) -> None:
        self._metrics.replace("segment_members", {
            (segment, str(o.index)): members
            for o in owned for segment, members in zip(self._segments, o.members, strict=True)
        })

    def _freshness(
        self, newest: Mapping[str, int], delay_s: float, ages: Mapping[tuple[str, int], float]
    ) -> None:
        clock_ms = self._clock.now_ms()
        after_s, ticks = self._settings.stale_after_ms / 1000, self._settings.clock == "ticks"
        clock, oldest = clock_topic(self._settings.app_id), dict[str, float]()
        for (topic, _), age in ages.items():
            oldest[topic] = max(oldest.get(topic, 0.0), age)
        partitions = {index for _, index in ages} | self._owned.keys()
        last: dict[tuple[str, ...], float] = {}
        stale: dict[tuple[str, ...], float] = {}
        for segment, topics in self._reads.items():
            times = [newest[topic] for topic in topics if topic in newest]
            if times:
                last[segment,] = max(times) / 1000
            silent_s = (clock_ms - max(times, default=self._started_ms)) / 1000
            late_s = max([oldest.get(topic, 0.0) for topic in (*topics, clock)] + [delay_s] * ticks)
            for reason, seconds in zip(STALE, (silent_s, late_s), strict=True):
                stale[segment, reason] = bool(topics and partitions and seconds > after_s)
        self._metrics.replace("segment_last_event_timestamp_seconds", last)
        self._metrics.replace("segment_stale", stale)


def _newest(owned: list[Owned]) -> dict[str, int]:
    """Topic -> the time of the newest event applied, in any of these partitions."""
    newest: dict[str, int] = {}
    for o in owned:
        for topic, time_ms in list(o.newest_ms.items()):
            newest[topic] = max(newest.get(topic, 0), time_ms)
    return newest
