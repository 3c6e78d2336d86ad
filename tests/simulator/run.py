"""Runs seeds, on several processes if there are many, and says which failed."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import structlog
from tests.simulator.check import check
from tests.simulator.seams import patched
from tests.simulator.world import World

SEEDS_AT_ONCE: Final = 50
"""of a piece of work that a process takes"""
FAILURES_SHOWN: Final = 20


class Outcome(NamedTuple):
    """Of one seed."""

    seed: int
    error: str
    """'' when all held"""
    faults: tuple[str, ...]
    """those that came to pass"""
    commits: int


class Tally(NamedTuple):
    """Of many."""

    seeds: int
    failed: list[Outcome]
    faults: Counter[str]
    commits: int


@contextmanager
def quiet() -> Iterator[None]:
    """What a thousand workers say in their logs is of no interest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.reset_defaults()


def simulate(seed: int, log: list[tuple[Any, ...]] | None = None) -> World:
    """One run, `log` takes what happens in it. Raises AssertionError for what does not hold, and whatever breaks."""
    world = World(seed)
    world.log = log
    with patched(world):
        world.run()
        check(world)
    return world


def outcome(seed: int, also: tuple[str, str] | None = None) -> Outcome:
    """One run, its failure as text. `also`: a fault it has besides."""
    world, error = World(seed, also), ""
    try:
        with patched(world):
            world.run()
            check(world)
    except Exception as failure:  # noqa: BLE001 (whatever it is, it has a seed)
        last = traceback.extract_tb(failure.__traceback__)[-1]
        error = f"{type(failure).__name__}: {failure} ({last.filename.rsplit('/', 1)[-1]}:{last.lineno})"
    return Outcome(seed, error, tuple(world.met), world.commits())


def tally(seeds: Iterable[int]) -> Tally:
    """Runs them here."""
    failed: list[Outcome] = []
    faults, n, commits = Counter[str](), 0, 0
    with quiet():
        for seed in seeds:
            found = outcome(seed)
            n += 1
            commits += found.commits
            faults.update(found.faults)
            if found.error:
                failed.append(found)
    return Tally(n, failed, faults, commits)


def tally_all(first: int, seeds: int, jobs: int, seconds: float, progress: Callable[[Tally], None]) -> Tally:
    """`seeds` seeds from `first` on, or as many as can be had in so many seconds, over so many processes.

    `progress` is told the sum so far now and then.
    """
    until = time.perf_counter() + seconds
    pieces = [range(i, min(i + SEEDS_AT_ONCE, first + seeds)) for i in range(first, first + seeds, SEEDS_AT_ONCE)]
    total = Tally(0, [], Counter(), 0)
    with multiprocessing.get_context("fork").Pool(jobs, gc.freeze) as pool:
        for part in pool.imap_unordered(tally, pieces):
            total = Tally(total.seeds + part.seeds, total.failed + part.failed, total.faults + part.faults,
                          total.commits + part.commits)
            progress(total)
            if time.perf_counter() > until:
                break
    return total


def report(total: Tally, started_at: float) -> str:
    """A run in a few lines."""
    seconds = time.perf_counter() - started_at
    by_point = ", ".join(f"{n:,} {name}" for name, n in sorted(total.faults.items()))
    head = (f"{total.seeds:,} seeds, {total.commits:,} commits, {total.faults.total():,} faults in {seconds:.0f} s: "
            f"{len(total.failed)} failed")
    return "\n".join([head, f"faults: {by_point}", *map(_said, sorted(total.failed)[:FAILURES_SHOWN])])


def _said(failed: Outcome) -> str:
    return (f"seed {failed.seed}: {failed.error}\n    faults: {', '.join(failed.faults) or 'none'}\n"
            f"    again: python -m tests.simulator --replay {failed.seed}")
