"""Runs seeds, one after the other or on several processes, and says which failed."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from tests.simulator.check import check
from tests.simulator.seams import patched
from tests.simulator.world import World


class Outcome(NamedTuple):
    """Of one seed."""

    seed: int
    error: str
    """'' when all held"""
    faults: tuple[str, ...]
    steps: int


def quiet() -> None:
    """What the worker says in its log is of no interest for a thousand runs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def simulate(seed: int, log: list[tuple[object, ...]] | None = None) -> World:
    """One run; raises AssertionError, or what broke."""
    world = World(seed)
    world.log = log
    with patched(world):
        world.run()
        check(world)
    return world


def outcome(seed: int) -> Outcome:
    """One run, its failure as text."""
    world = World(seed)
    try:
        with patched(world):
            world.run()
            check(world)
    except Exception as error:  # noqa: BLE001 (whatever it is, it has a seed)
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(seed, f"{type(error).__name__}: {error} ({last.filename.rsplit('/', 1)[-1]}:{last.lineno})",
                       tuple(world.met), world.steps)
    return Outcome(seed, "", tuple(world.met), world.steps)


def outcomes(seeds: Iterable[int]) -> tuple[list[Outcome], Counter[str], int]:
    """The failed ones; how often each fault came to pass; how many seeds."""
    failed, faults, n = [], Counter[str](), 0
    for seed in seeds:
        found = outcome(seed)
        n += 1
        faults.update(found.faults)
        if found.error:
            failed.append(found)
    return failed, faults, n


if __name__ == "__main__":
    started = time.perf_counter()
    quiet()
    print(outcomes(range(100)), time.perf_counter() - started)
