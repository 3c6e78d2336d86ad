"""Planted bugs, and under which load and faults the checker has to see each: a suite that cannot fail says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.chaos.generate import Mix
from tests.chaos.plants import MUTANTS
from tests.chaos.world import Plan, World

EVENTS: Final = 40_000
WITHIN_S: Final = 8.0
"""a worker that gets no further counts as caught"""
FAULTS: Final[dict[str, tuple[str, ...]]] = {
    "skip_send_offsets": (),
    "state_before_commit": ("crash:commit.before", "crash:commit.before"),
    "reuse_producer": ("protocol_error",) * 6,
    "short_scan": ("kill_all",),
    "ignore_lost": ("zombie", "half_open", "zombie"),
    "drop_timer": (),
    "lose_change": (),
    "not_atomic": ("crash:commit.before", "crash:commit.before"),
}
"""mutant -> what is thrown"""
assert set(FAULTS) == set(MUTANTS)


def hunt(broker: Any, proxy: Any, folder: Path, mutant: str) -> list[str]:
    """The problems that the checker finds with a planted bug; none, and it has got away. '' plants nothing."""
    plan = Plan(0, Mix(EVENTS, persons=4_000), FAULTS.get(mutant, ()), foreign=False)
    world = World(broker, proxy, folder, f"m-{mutant or 'none'}".replace("_", "-"), 2, mutant, WITHIN_S)
    # small batches and frequent commits, so that a fault finds work half done
    world.workers.flags = {"batch-rows": "100", "commit-interval-ms": "50", "idle-commit-interval-ms": "50"}
    try:
        return world.round(1, plan).finding.problems
    finally:
        world.drop()
