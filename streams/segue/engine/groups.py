"""Which segments are worked out together when truths change, so that the cost does not grow with their number.

A segment with `when` is a function of a few truths, its *inputs*: leaves, and segments with `enter`. Segments of much
the same inputs make a group. A group none of whose inputs has changed is passed over; what another one says is
remembered by its inputs, and as these are few, the table soon knows every combination that occurs: a hundred segments
are worked out by looking up one number. A segment with `enter` remembers more than its condition and stands alone.

All this holds because a person of whom nothing is known is in no segment (rules/nobody.py), so that the truths of a
state always fit each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from segue.limits import GROUP_INPUTS, GROUP_TABLES_BYTES
from segue.plan.expression import leaves_of, segments_of
from segue.plan.layout import Plan

_FEW = 3
"""so many segments are worked out as fast as looked up"""
_ENTRY_BYTES = 150


@dataclass(slots=True)
class Group:
    """Segments that are worked out at one place in the order of all, in this order among themselves."""

    segments: list[int]
    inputs: int
    """bits"""
    remembers: bool
    """it is one segment with `enter`"""

    @property
    def has_table(self) -> bool:
        """Whether what it says is remembered by its inputs."""
        return len(self.segments) > _FEW and not self.remembers


def groups_of(plan: Plan) -> list[Group]:
    """All segments, each after those it names."""
    groups: list[Group] = []
    home: list[int] = []
    inputs: list[int] = []
    for i, segment in enumerate(plan.segments):
        named = segments_of(plan.conditions[i])
        reads = sum(plan.leaf_bit(leaf) for leaf in leaves_of(plan.conditions[i]))
        for s in named:
            reads |= inputs[s]
        if segment.enter is not None:
            place = len(groups)
            groups.append(Group([i], reads | plan.segment_bit(i) | plan.enter_bit(i), True))
            inputs.append(plan.segment_bit(i))
        else:
            place = _place(groups, reads, max((home[s] for s in named), default=0))
            groups[place].segments.append(i)
            groups[place].inputs |= reads
            inputs.append(reads)
        home.append(place)
    return groups


def _place(groups: list[Group], reads: int, first: int) -> int:
    """The group from `first` on that gets the fewest more inputs, a new one if all would get too many."""
    best, least = len(groups), GROUP_INPUTS + 1
    for place in range(first, len(groups)):
        group = groups[place]
        if not group.remembers and (group.inputs | reads).bit_count() <= GROUP_INPUTS:
            more = (reads & ~group.inputs).bit_count()
            if more < least:
                best, least = place, more
    if best == len(groups):
        groups.append(Group([], 0, False))
    return best


def table_entries(plan: Plan, groups: list[Group]) -> int:
    """How many combinations each group's table may hold, so that all of them stay within their bound."""
    tables = sum(group.has_table for group in groups)
    entry_bytes = _ENTRY_BYTES + (2 * len(plan.segments) + len(plan.leaves)) // 4
    return int(max(64, GROUP_TABLES_BYTES // (entry_bytes * max(1, tables))))
