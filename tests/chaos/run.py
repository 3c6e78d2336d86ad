"""A run: a broker, a proxy, rounds of load under faults until the time is over or something is wrong."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.brokers import ChaosBroker
from tests.chaos.proxy import Proxy
from tests.chaos.report import Report, faults_of
from tests.chaos.world import World, plan_round

ROUNDS_A_WORLD: Final = 6
"""then a new app begins, so that states and the oracle's memory stay small"""


@dataclass(frozen=True, slots=True)
class How:
    """What a run is told."""

    seed: int = 1
    minutes: float = 5.0
    rounds: int = 0
    """0: until the time is over"""
    events: int = 1_000_000
    faults: int = 12
    workers: int = 2
    mutant: str = ""
    only: str = ""
    """names of faults, with commas"""
    first: int = 0
    """the number of the first round"""
    keep_going: bool = False
    """after a round with a problem too, in a new world"""


def run(how: How, say: Any = print) -> Report:
    """Runs; the report is written after each round."""
    report = Report(how.seed, {k: getattr(how, k) for k in How.__dataclass_fields__})
    work = report.folder / "work"
    broker = ChaosBroker(work / "broker")
    broker.start()
    proxy = Proxy(broker.proxy_port, broker.behind_proxy)
    proxy.start()
    world: World | None = None
    until = time.monotonic() + how.minutes * 60
    number = how.first
    only = tuple(filter(None, how.only.split(",")))
    try:
        while time.monotonic() < until and not (how.rounds and number - how.first >= how.rounds):
            if world is None or (number - how.first) % ROUNDS_A_WORLD == 0:
                if world is not None:
                    world.drop()
                world = World(broker, proxy, work / f"w{number}", f"w{number}", how.workers, how.mutant)
            result = world.round(how.seed, plan_round(how.seed, number, how.events, how.faults, only))
            report.add(result)
            number += 1
            found = result.finding
            say(f"round {result.plan.number}: {found.counts['events']:,} events, {found.counts['changes']:,} changes, "
                f"{faults_of(result)} faults, {result.kills} kills, {len(found.problems)} problems, {result.seconds}")
            for problem in found.problems:
                say(f"  {problem}")
            if found.problems:
                if not how.keep_going:
                    break
                world.workers.kill_all()
                world = None
    finally:
        if world is not None:
            world.workers.kill_all()
        proxy.stop()
        broker.stop()
    if not report.failed:
        shutil.rmtree(work, ignore_errors=True)
    return report
