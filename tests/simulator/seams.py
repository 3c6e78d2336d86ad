"""What the worker's code reaches without being handed it: folders, and the bytes of a RocksDB batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from segue_agents.state import links, recovery, store

COMPACTION_LAG_MS: Final = 5_000
"""a run takes a minute"""


@contextmanager
def patched(world: Any) -> Iterator[None]:
    """For the time of a run."""
    wanted: list[tuple[Any, str, Any]] = [
        (recovery, "wipe", world.disk.wipe), (recovery, "set_aside", world.disk.set_aside),
        (recovery, "free_share", lambda _folder: 1.0), (store, "_batch", list),
        (links, "COMPACTION_LAG_MS", COMPACTION_LAG_MS),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in wanted]
    for module, name, value in wanted:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
