"""What Python's garbage collector may look at.

States are lists, which the collector follows; walking all of them over and over cost a factor 1.7 of throughput. So:
it is off; what is loaded is frozen, that is, never looked at again; after each commit the objects made since the last
one are collected and the survivors, states mostly, frozen. Cycles among the frozen would leak, so once an hour, at a
commit, everything is thawed and collected once. States hold no cycles: that walk finds what a library leaves behind.
"""

from __future__ import annotations

import gc
import time
from typing import Final

FULL_EVERY_S: Final = 3_600.0


class Garbage:
    """The policy; one per process."""

    def __init__(self) -> None:
        self._full_at = time.monotonic() + FULL_EVERY_S

    def loaded(self) -> None:
        """After start and after each recovery: what is there stays."""
        gc.disable()
        gc.collect()
        gc.freeze()

    def committed(self) -> None:
        """After each commit."""
        if time.monotonic() >= self._full_at:
            self._full_at = time.monotonic() + FULL_EVERY_S
            gc.unfreeze()
            gc.collect()
        else:
            gc.collect(0)
        gc.freeze()
