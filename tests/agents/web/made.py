"""A worker's status, made up: all well unless said otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segue_agents.logs.recent import Line
from segue_agents.settings import Settings
from segue_agents.status import Commits, PartitionStatus, Pulse, RuleFile, Rules, Status, Stopped, shown_settings

NOW_MS = 1_790_000_000_000


def partition(index: int, **changes: Any) -> PartitionStatus:
    running = PartitionStatus(
        index, "running", 1.0, NOW_MS - 2_000, {"site-events": 12, "email-events": 0}, 1_234, 1_000, 56, NOW_MS - 300, None
    )
    return replace(running, **changes)


def restoring(index: int, share: float) -> PartitionStatus:
    return PartitionStatus(index, "restoring", share, None, None, None, None, None, None, None)


def stopped(index: int, reason: str = "undecodable") -> PartitionStatus:
    return partition(index, state="stopped", stopped=Stopped("site-events", 100, reason, 1_001, 1_001, "Mend the producer."))


def status(**changes: Any) -> Status:
    """Fields by name; those of `pulse` and `commits` too."""
    pulse = Pulse(0.2, 30.0, 0.5, 30.0, 0.1, 330.0, None, 90.0)
    commits = Commits("exactly_once", 7, 0, NOW_MS - 300, 0.012, None, 16.0)
    for name in [n for n in changes if n in Pulse.__slots__ and n != "waiting_s"]:
        pulse = replace(pulse, **{name: changes.pop(name)})
    for name in [n for n in changes if n in Commits.__slots__]:
        value = changes.pop(name)
        commits = replace(commits, **{name: value})
        pulse = replace(pulse, **({name: value} if name == "waiting_s" else {}))
    rules = Rules("abc123", {"behavior_keen": 2}, (RuleFile("rules/keen.yaml", "0" * 64, ("behavior_keen",)),))
    well = Status(
        "shop", "0", "0.1.0", 4711, NOW_MS, NOW_MS - 60_000, 60.0, "running", None, True, True, True, pulse,
        (partition(0), partition(1)), commits, rules, shown_settings(Settings()),
        (Line(NOW_MS - 5_000, "warning", "kafka_unreachable", {"error": "No Kafka answers at 127.0.0.1:9092."}),),
    )  # fmt: skip
    return replace(well, **changes)
