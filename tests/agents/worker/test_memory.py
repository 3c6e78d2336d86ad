"""When the collector looks at everything."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from segue_agents.worker import memory


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """Generations, as they are collected; the collector as it was afterwards."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        yield seen
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()
        gc.enable()


def test_partitions_that_come_and_go_do_not_put_off_the_full_collection(
    collections: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is frozen is looked at by nothing else, and a worker may be given partitions more often than once an hour."""
    now = 0.0
    monkeypatch.setattr(memory.time, "monotonic", lambda: now)
    garbage = memory.Garbage()
    for _ in range(3):
        now += memory.FULL_EVERY_S / 2 - 1
        garbage.loaded()
    collections.clear()
    garbage.committed()
    assert collections == [2]
    assert gc.get_freeze_count() > 0
