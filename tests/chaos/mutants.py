"""Planted bugs, and under which load and faults the checker has to see each: a suite that cannot fail says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.chaos.generate import Mix
from tests.chaos.plants import MUTANTS
from tests.chaos.world import Plan, Result, World

EVENTS: Final = 80_000
MANY: Final = 300_000
"""of a hunt whose faults take long"""
PATIENCE_S: Final = 30.0
"""a fault waits so long for its share of the work, so that it finds a worker in the middle of it"""
WITHIN_S: Final = 20.0
"""a worker that gets no further counts as caught; without a bug it has to get there within that time"""
_BUSY: Final = ("crash:commit.before", "kill", "crash:commit.before", "kill")
_LOST: Final = ("zombie",) * 4
_STALE: Final = ("end_txn_stale",) * 6
HUNTS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "skip_send_offsets": ((), ("O3", "stuck")),
    "state_before_commit": (_BUSY, ("O1", "O2")),
    "reuse_producer": (_STALE, ("stuck", "O1", "O2", "O3")),
    "short_scan": (("kill_all",), ("O1",)),
    "ignore_lost": (_LOST, ("O1", "O2", "O3", "ends")),
    "drop_timer": ((), ("O1",)),
    "lose_change": ((), ("O1",)),
    "not_atomic": (_BUSY, ("O1", "O2")),
}
"""mutant -> what is thrown, and the problems one of which the checker has to find"""
CONTROLS: Final[dict[str, tuple[str, ...]]] = {"control": (), "control_busy": _BUSY, "control_stale": _STALE,
                                               "control_lost": _LOST}  # fmt: skip
"""the same with nothing planted: no problem at all"""
assert set(HUNTS) == set(MUTANTS)


def hunt(broker: Any, proxy: Any, folder: Path, name: str) -> Result:
    """A round with a planted bug, or with none in a control."""
    faults = CONTROLS[name] if name in CONTROLS else HUNTS[name][0]
    plan = Plan(0, Mix(MANY if faults in (_LOST, _STALE) else EVENTS, persons=4_000), faults, foreign=False)
    mutant = "" if name in CONTROLS else name
    world = World(broker, proxy, folder, f"m-{name}".replace("_", "-"), 2, mutant, WITHIN_S, PATIENCE_S)
    # small batches and frequent commits, so that a fault finds work half done
    between_ms = "1000" if faults == _STALE else "50"
    world.workers.flags = {"batch-rows": "100", "commit-interval-ms": between_ms, "idle-commit-interval-ms": between_ms}
    try:
        return world.round(1, plan)
    finally:
        world.drop()


def judged(name: str, problems: list[str]) -> str:
    """'' when it is as it should be; else what is not."""
    if name in CONTROLS:
        return "; ".join(problems)
    kinds = HUNTS[name][1]
    if any(problem.startswith(kinds) for problem in problems):
        return ""
    return f"none of {', '.join(kinds)} among {problems or 'no problems'}"
