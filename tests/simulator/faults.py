"""What can go wrong, and where: named points, the kinds of failure each has, and about how often a run passes it."""

from __future__ import annotations

from random import Random
from typing import Final

POINTS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    # point: (passed about so often in a run, kinds)
    "poll": (90, ("crash", "pause")),
    "committed": (6, ("crash", "pause")),
    "restore": (20, ("crash", "pause")),
    "open": (4, ("crash", "lost")),
    "opened": (4, ("crash",)),
    "produce": (150, ("crash", "pause", "full", "fatal")),
    "send_offsets": (16, ("crash", "pause", "timed_out", "refused")),
    "offsets_sent": (16, ("crash", "pause")),
    "end_txn": (16, ("crash", "pause", "lost", "reply_lost", "delayed", "delayed", "resent", "resent", "unknown",
                     "unknown_done")),
    "ended": (16, ("crash",)),
    "abort": (2, ("lost", "delayed", "crash")),
    "store_open": (5, ("crash", "broken")),
    "store_get": (30, ("broken",)),
    "store_scan": (6, ("broken",)),
    "store_write": (30, ("crash", "broken", "full")),
    "store_written": (30, ("crash",)),
}

Plan = dict[tuple[str, int], str]
"""(point, how manieth time) -> kind"""


def plan_faults(chance: Random, most: int) -> Plan:
    """Up to so many, anywhere."""
    names = list(POINTS)
    plan: Plan = {}
    for _ in range(chance.randrange(most + 1)):
        # the end of a transaction is where it is decided: it gets the most
        point = "end_txn" if chance.random() < 0.3 else chance.choice(names)
        often, kinds = POINTS[point]
        plan[point, 1 + chance.randrange(often)] = chance.choice(kinds)
    return plan
