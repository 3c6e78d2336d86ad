"""Hands the simulated outside to code that does not take it as an argument yet."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from segue_agents.outside import Outside
from segue_agents.transport.assignment import Assignment
from segue_agents.worker import changelog, committer, recovery
from segue_agents.worker.committer import Transactions, make_committer

LATE_ENDS: Final = ("delayed", "delayed", "resent", "resent") if hasattr(Transactions, "_doubt") else ()
"""a committer that keeps its producer after a repeated EndTxn does not survive these"""


def outside_of(world: Any, process: Any, **simulated: Any) -> Outside:
    """An Outside, all simulated."""
    known = {field.name for field in fields(Outside)}
    return Outside(**{name: value for name, value in simulated.items() if name in known})


def committer_of(world: Any, config: dict[str, Any], outside: Outside) -> Any:
    """By the producer's configuration."""
    if "outside" in inspect.signature(make_committer).parameters:
        return make_committer(config, outside)  # type: ignore[call-arg]
    return make_committer(config)


class _Time:
    """The module `time`, simulated."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def monotonic(self) -> float:
        return float(self._world.now_s)

    def sleep(self, seconds: float) -> None:
        self._world.wait(self._world.running[-1], seconds, lambda: False)


@contextmanager
def patched(world: Any) -> Iterator[None]:
    """For the time of a run."""
    def consumer(config: dict[str, Any]) -> Any:
        return world.running[-1]._outside.consumer(config)

    def producer(config: dict[str, Any]) -> Any:
        return world.running[-1]._outside.producer(config)

    def open_store(folder: Path) -> Any:
        return world.running[-1]._outside.open_store(folder)

    clock = _Time(world)
    wanted: list[tuple[Any, str, Any]] = [
        (changelog, "Consumer", consumer), (committer, "Producer", producer), (recovery, "Store", open_store),
        (recovery, "wipe", world.disk.wipe), (changelog, "time", clock), (committer, "time", clock),
        (recovery, "time", clock),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in wanted if hasattr(module, name)]
    for module, name, value in wanted:
        if hasattr(module, name):
            setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


__all__ = ["Assignment", "committer_of", "outside_of", "patched"]
