"""What Python's garbage collector may look at.

States are lists, which the collector follows; walking all of them over and over cost a factor 1.7 of throughput. So:
it is off; what is loaded is frozen, that is, never looked at again; after each commit so is what was made since the last
one, states mostly. Nothing here makes cycles: over whole runs the collector found none (and took 6 % of the time to say
so, when it was asked at each commit). What a library might make is collected once a minute from the objects of one
commit; among the frozen it would leak, so once an hour, at a commit, everything is thawed and collected.
"""

from __future__ import annotations

import gc
import time
from typing import Final

FULL_EVERY_S: Final = 3_600.0
YOUNG_EVERY_S: Final = 60.0


class Garbage:
    """The policy; one per process."""

    def __init__(self) -> None:
        self._young_at = self._full_at = time.monotonic()

    def loaded(self) -> None:
        """After start and after each recovery: what is there stays. What the imports left behind, half a megabyte, waits
        for the first full collection: finding it takes 0.08 s of a start."""
        gc.disable()
        gc.freeze()
        self._young_at = time.monotonic()  # not the full one: what is frozen was not looked at

    def committed(self) -> None:
        """After each commit."""
        now = time.monotonic()
        if now - self._full_at >= FULL_EVERY_S:
            self._full_at = now
            gc.unfreeze()
            gc.collect()
        elif now - self._young_at >= YOUNG_EVERY_S:
            self._young_at = now
            gc.collect(0)
        gc.freeze()
