"""python -m tests.simulator --seeds 1000000; --replay SEED tells one run as it happens.

Sets and dicts of bytes are ordered by Python's hash, so a seed means one history only under one hash seed: the program
starts itself again under 0 when it was started under another.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from contextlib import nullcontext

import structlog
from tests.simulator.check import check
from tests.simulator.mutants import MUTANTS, planted
from tests.simulator.run import Tally, report, tally_all
from tests.simulator.seams import patched
from tests.simulator.world import World

PROGRESS_S = 5.0


def main() -> int:
    """0: all held; 1: some seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no more are begun")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--replay", type=int, help="one seed, told in full")
    parser.add_argument("--mutant", choices=list(MUTANTS), help="with this bug planted, to see how it shows")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", "tests.simulator", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    with planted(given.mutant) if given.mutant is not None else nullcontext():
        if given.replay is not None:
            return replay(given.replay)
        return many(given.first, given.seeds, given.jobs, given.seconds)


def many(first: int, seeds: int, jobs: int, seconds: float) -> int:
    """Progress on standard error, the report on standard output."""
    started_at = time.perf_counter()
    told_at = started_at

    def progress(total: Tally) -> None:
        nonlocal told_at
        now = time.perf_counter()
        if now - told_at > PROGRESS_S:
            told_at = now
            left_s = (now - started_at) / total.seeds * (seeds - total.seeds)
            failed = ", ".join(str(f.seed) for f in total.failed[:5]) or "none"
            sys.stderr.write(f"{total.seeds:,} of {seeds:,} seeds, failed: {failed}; {left_s:.0f} s to go\n")

    total = tally_all(first, seeds, jobs, seconds, progress)
    print(report(total, started_at))
    return 1 if total.failed else 0


def replay(seed: int) -> int:
    """What happened, second by second, between the worker's own log lines."""
    world = World(seed)
    world.log = []

    def say(_logger: object, level: str, event: dict[str, object]) -> str:
        world.trace(f"[{level}]", event.pop("event"), event)
        raise structlog.DropEvent

    structlog.configure(processors=[say])
    failure = None
    try:
        with patched(world):
            world.run()
            check(world)
    except Exception as error:  # noqa: BLE001 (shown)
        failure = error
    for at_s, *what in world.log:
        print(f"{at_s:9.3f}", *what)
    print(f"seed {seed}: {world.scene.topics}, clock {world.scene.settings.clock}, faults {world.faults}")
    if failure is not None:
        traceback.print_exception(failure)
        return 1
    print("all held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
