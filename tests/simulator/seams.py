"""Hands the simulated outside to code that does not take it as an argument yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segue_agents.worker import changelog, recovery


class _Time:
    """The module `time`, simulated."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def monotonic(self) -> float:
        return float(self._world.now_s)


@contextmanager
def patched(world: Any) -> Iterator[None]:
    """For the time of a run."""

    def consumer(config: dict[str, Any]) -> Any:
        return world.running[-1].outside.consumer(config)

    def open_store(folder: Path) -> Any:
        return world.running[-1].outside.open_store(folder)

    clock = _Time(world)
    wanted: list[tuple[Any, str, Any]] = [
        (changelog, "Consumer", consumer), (recovery, "Store", open_store), (recovery, "wipe", world.disk.wipe),
        (changelog, "time", clock), (recovery, "time", clock),
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
