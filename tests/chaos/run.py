"""A run: a broker, a proxy, rounds of load under faults until the time is over or something is wrong."""

from __future__ import annotations

import random
import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.chaos.brokers import ChaosBroker
from tests.chaos.check import Finding
from tests.chaos.faults import FAULTS
from tests.chaos.lasts import ACTS
from tests.chaos.proxy import Proxy
from tests.chaos.report import Report, faults_of
from tests.chaos.world import Result, World, plan_round

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
    without: str = ""
    """names of faults that are left out"""
    act: str = ""
    """the last act of each world; default: by the seed"""
    first: int = 0
    """the number of the first round"""
    keep_going: bool = False
    """after a round with a problem too, in a new world"""


class Ground:
    """A broker and the proxy before it."""

    def __init__(self, folder: Path) -> None:
        self.broker = ChaosBroker(folder)
        self.proxy = Proxy(self.broker.proxy_port, self.broker.behind_proxy)

    def __enter__(self) -> Self:
        self.broker.start()
        self.proxy.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy.stop()
        self.broker.stop()


def run(how: How, say: Any = print) -> Report:
    """Runs; the report is written after each round."""
    report = Report(how.seed, {k: getattr(how, k) for k in How.__dataclass_fields__})
    work = report.folder / "work"
    with Ground(work / "broker") as ground:
        _rounds(how, report, ground, work, say)
    if report.verdict.startswith("PASSED"):
        shutil.rmtree(work, ignore_errors=True)
    return report


def _rounds(how: How, report: Report, ground: Ground, work: Path, say: Any) -> None:
    world: World | None = None
    until = time.monotonic() + how.minutes * 60
    number, without = how.first, how.without.split(",")
    only = tuple(name for name in (how.only.split(",") if how.only else FAULTS) if name not in without)
    try:
        while time.monotonic() < until and not (how.rounds and number - how.first >= how.rounds):
            if world is None:
                world = World(ground.broker, ground.proxy, work / f"w{number}", f"w{number}", how.workers, how.mutant)
            plan = plan_round(how.seed, number, how.events, how.faults, only)
            try:
                result = world.round(how.seed, plan)
            except Exception:  # noqa: BLE001 (the suite's own failure is a problem, and not the end of a long run)
                result = Result(plan, Finding([f"the suite failed: {traceback.format_exc()}"]))
            report.add(result)
            number += 1
            _tell(say, result)
            bad = bool(result.finding.problems)
            if not bad and number % ROUNDS_A_WORLD == 0:
                bad = _last_act(how, number, report, world, say)
            if bad and not how.keep_going:
                return
            if bad or number % ROUNDS_A_WORLD == 0:
                world.drop()
                world = None
    finally:
        if world is not None:
            world.workers.kill_all()


def _last_act(how: How, number: int, report: Report, world: World, say: Any) -> bool:
    """Whether it has shown a problem."""
    act = how.act or random.Random(f"{how.seed}/{number}/act").choice(list(ACTS))
    problems = world.last_act(act, how.seed)
    report.act(act, problems)
    say(f"last act {act}: {'; '.join(problems) or 'as it should be'}")
    return bool(problems)


def _tell(say: Any, result: Result) -> None:
    found = result.finding
    say(f"round {result.plan.number}: {found.counts['events']:,} events, {found.counts['changes']:,} changes, "
        f"{faults_of(result)} faults, {result.kills} kills, {len(found.problems)} problems, {result.seconds}")
    for problem in found.problems:
        say(f"  {problem}")
