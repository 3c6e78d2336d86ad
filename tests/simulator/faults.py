"""What can go wrong, and where: named points, the kinds of failure each has, and about how often a run passes it."""

from __future__ import annotations

from random import Random
from typing import Final

POINTS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    # point: (passed about so often in a run, kinds)
    "poll": (40, ("crash", "pause")),
    "committed": (6, ("crash", "pause")),
    "restore": (4, ("crash", "pause")),
    "open": (4, ("crash", "lost")),
    "opened": (4, ("crash",)),
    "produce": (60, ("crash", "pause", "full", "fatal")),
    "send_offsets": (11, ("crash", "pause", "timed_out", "refused")),
    "offsets_sent": (11, ("crash", "pause")),
    "end_txn": (11, ("crash", "pause", "lost", "reply_lost", "delayed", "delayed", "resent", "resent",
                     "unknown", "unknown_done")),
    "ended": (10, ("crash",)),
    "abort": (1, ("lost", "delayed", "crash")),
    "store_open": (10, ("crash", "broken")),
    "store_get": (16, ("broken",)),
    "store_scan": (10, ("broken",)),
    "store_write": (12, ("crash", "broken", "full")),
    "store_written": (12, ("crash",)),
}

Plan = dict[tuple[str, int], str]
"""(point, how manieth time) -> kind"""


def plan_faults(chance: Random, most: int, also: tuple[str, str] | None = None) -> Plan:
    """Up to so many, anywhere; at least one. `also`: (point, kind) of one there has to be."""
    names = list(POINTS)
    plan: Plan = {}
    if also is not None:
        plan[also[0], 1 + chance.randrange(POINTS[also[0]][0])] = also[1]
    for _ in range(1 + chance.randrange(most)):
        # the end of a transaction is where it is decided: it gets the most
        point = "end_txn" if chance.random() < 0.3 else chance.choice(names)
        often, kinds = POINTS[point]
        plan[point, 1 + chance.randrange(often)] = chance.choice(kinds)
        if point == "abort":  # there has to be one
            plan["send_offsets", 1 + chance.randrange(5)] = "refused"
    return plan
