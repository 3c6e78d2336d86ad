"""The balance of a partition: every record that was consumed is accounted for once.

    consumed = applied + late + ignored + duplicates + future + dead letters

Kept since the partition's first record: the sums go with the states in every transaction, inside the checkpoint, so they
survive what the worker does not. Of the right-hand side nothing is worked out from the left: if they differ, a record was
lost or counted twice, by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from segue.records import Batch, Step

CONSUMED: Final = "consumed"
OUTCOMES: Final = ("applied", "late", "ignored", "duplicate", "future", "dead_letter")
"""of a record: applied in order, folded in late, of no concern to any rule, told before, dated in the future (a dead
letter too), any other dead letter"""
CHANGES: Final = "changes"
"""what came of it; not part of the sum"""


def of_step(batch: Batch, step: Step) -> dict[str, int]:
    """What one batch adds."""
    refused = [*batch.rejected, *step.rejected]
    future = sum(r.reason == "in_the_future" for r in refused)
    return {
        CONSUMED: sum(batch.consumed.values()), "applied": step.applied, "late": step.late, "ignored": batch.irrelevant,
        "duplicate": step.duplicates, "future": future, "dead_letter": len(refused) - future, CHANGES: len(step.changes),
    }  # fmt: skip


def added(totals: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Both together."""
    return {name: totals.get(name, 0) + more.get(name, 0) for name in (CONSUMED, *OUTCOMES, CHANGES)}


def difference(totals: Mapping[str, int]) -> int:
    """Records consumed that are not accounted for; 0, or we have a bug."""
    return totals.get(CONSUMED, 0) - sum(totals.get(outcome, 0) for outcome in OUTCOMES)
