"""What is kept of a person's history: two kinds of evidence that leaves read, and share.

A *stream* is the newest entries of some events, sorted by time: enough for windows that slide. A *total* is what
needs no times: a sum, a smallest value, the newest value stated. Both are shared by all leaves and features that
read the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from segue.rules.tree import Events

TotalKind = Literal["sum", "min", "max", "distinct", "first", "last", "earliest"]


@dataclass(slots=True)
class Stream:
    """The newest times of some events, sorted; and beside them the values of properties."""

    events: Events
    scope: int | None
    """index of the enter/exit segment that owns it; None: shared"""
    since: Events | None = None
    """emptied by these events, which are no entries themselves"""
    keep: int = 0
    """how many newest entries answer every leaf exactly"""
    horizon_ms: int = 0
    """entries younger than that are kept too, up to limits.WINDOW_VALUES of them"""
    values: list[str] = field(default_factory=list)
    """property names whose values are kept beside the times"""
    slot: int = -1
    """index into the state of the list of times; the values' lists follow it, and with a horizon the time of the
    newest entry that had to go too early (0: none)"""
    folded: bool = False
    """late events are folded in by replay, not by a sorted insert"""

    @property
    def dropped_slot(self) -> int:
        """Where the time of the newest entry dropped too early stands; only with a horizon."""
        return self.slot + 1 + len(self.values)

    @property
    def n_slots(self) -> int:
        """Slots it takes, `slot` the first."""
        return 1 + len(self.values) + (self.horizon_ms > 0)


@dataclass(slots=True)
class Total:
    """Events folded into a few numbers in which their order has no part. Its one slot is a list, empty at first.

    sum: [n, partial sums]; min, max: [value]; distinct: the values, at most `keep`; first, last: [time, order of the
    source, value]; earliest: [time].
    """

    kind: TotalKind
    events: Events
    field: str | None
    scope: int | None
    since: Events | None = None
    """emptied by these events, which take no part themselves"""
    from_ms: int | None = None
    """earlier events take no part"""
    keep: int = 0
    """of distinct: how many different values answer every leaf exactly"""
    slot: int = -1
    folded: bool = False

    @property
    def n_slots(self) -> int:
        """Slots it takes."""
        return 1

    def key(self) -> tuple[object, ...]:
        """What makes it another total."""
        return (self.kind, self.events, self.field, self.scope, self.since, self.from_ms)
