"""What `segue check` tells the author of the rules: leaves, sharing, cost, timers, unknowns, class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segue.plan.layout import Plan, fields_in
from segue.plan.leaves import Leaf, Pattern, Threshold, leaves_of, segments_of
from segue.rules.pretty import text_of
from segue.rules.tree import Absence, Count

_STATE_HEAD_BYTES = 24
_TIME_BYTES = 9
_VALUE_BYTES = 16


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One segment's bill. Bytes are of the stored state, values taken as 16 bytes each."""

    name: str
    version: int
    leaves: tuple[str, ...]
    shared_with: Mapping[str, tuple[str, ...]]
    """leaf -> the other segments that read it"""
    state_bytes_max: int
    timers: int
    """timers a person can have pending for it at most"""
    unknown: str
    exactness: str


def report(plan: Plan) -> list[SegmentReport]:
    """One report a segment, in the plan's order."""
    readers = [_all_leaves(plan, i) for i in range(len(plan.segments))]
    out = []
    for i, segment in enumerate(plan.segments):
        mine = sorted(readers[i])
        shared = {
            describe_leaf(plan, leaf): tuple(
                s.name for j, s in enumerate(plan.segments) if j != i and leaf in readers[j]
            )
            for leaf in mine
        }
        timed = sum(isinstance(x, Pattern) or x.window_ms is not None for x in (plan.leaves[i] for i in mine))
        out.append(
            SegmentReport(
                name=segment.name,
                version=segment.version,
                leaves=tuple(describe_leaf(plan, x) for x in mine),
                shared_with={leaf: names for leaf, names in shared.items() if names},
                state_bytes_max=_state_bytes(plan, i, mine),
                timers=timed + (segment.exit_after_ms is not None),
                unknown=_unknown(plan, i, mine),
                exactness="exact on the stream",
            )
        )
    return out


def describe_leaf(plan: Plan, leaf: int) -> str:
    """A leaf as it could be written in a rule."""
    match plan.leaves[leaf]:
        case Threshold(stream, n, window_ms):
            return text_of(Count(plan.streams[stream].events, ">=", n, None, window_ms))
        case Pattern(first, missing, within_ms, restarting_on, _):
            return text_of(Absence(first, missing, within_ms, restarting_on))
    raise AssertionError(leaf)


def _all_leaves(plan: Plan, segment: int) -> set[int]:
    own = leaves_of(plan.conditions[segment])
    return own.union(*(_all_leaves(plan, s) for s in segments_of(plan.conditions[segment])))


def _state_bytes(plan: Plan, segment: int, leaves: list[int]) -> int:
    kept: dict[int, int] = {}
    size = _STATE_HEAD_BYTES
    for x in leaves:
        leaf: Leaf = plan.leaves[x]
        if isinstance(leaf, Threshold):
            kept[leaf.stream] = plan.streams[leaf.stream].keep
        else:
            size += _TIME_BYTES
    for name in plan.segments[segment].attach:
        stream, _ = plan.feature_lists[name]
        kept[stream] = plan.streams[stream].keep
    for stream, keep in kept.items():
        size += 2 * keep * (_TIME_BYTES + _VALUE_BYTES * len(plan.streams[stream].values))
    return size + (2 * size if plan.folded_leaves & set(leaves) else 0)


def _unknown(plan: Plan, segment: int, leaves: list[int]) -> str:
    filters = set()
    for x in leaves:
        match plan.leaves[x]:
            case Threshold(stream):
                filters |= fields_in(plan.streams[stream].events.where)
            case Pattern(first, missing, _, restarting_on, _):
                for events in (first, missing, restarting_on):
                    filters |= fields_in(events.where) if events else set()
    for events in plan.segments[segment].exit_events:
        filters |= fields_in(events.where)
    if not filters:
        return "reads no value that could be missing"
    return f"an event without {', '.join(sorted(filters))} does not pass a comparison on it, '!=' and 'not in' included"
