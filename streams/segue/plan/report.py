"""What `segue check` tells the author of the rules: leaves, sharing, cost, timers, unknowns, class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from segue.limits import LOG_EVENTS, PATTERN_KEYS, WINDOW_VALUES
from segue.plan.evidence import Stream, Total
from segue.plan.expression import leaves_of, segments_of
from segue.plan.layout import Plan, evidence_of, fields_in, own_events
from segue.plan.leaves import Follow, Pattern, Share, Threshold, Windowed, has_due
from segue.plan.lookback import exactness
from segue.rules.pretty import duration_text, text_of
from segue.rules.tree import Count, Events, Last

_STATE_HEAD_BYTES: Final = 24
_TIME_BYTES: Final = 9
_VALUE_BYTES: Final = 16
_TYPICAL_ENTRIES: Final = 10
"""of what can be more: a guess, to compare rules with"""
Class = Literal["exact on the stream", "exact after backfill", "warehouse only"]


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One segment's bill. Bytes are of the stored state, values taken as 16 bytes each."""

    name: str
    version: int
    leaves: tuple[str, ...]
    shared_with: Mapping[str, tuple[str, ...]]
    """leaf -> the other segments that read it"""
    state_bytes_max: int
    state_bytes_typical: int
    """with at most ten entries of everything that can be more"""
    timers: int
    """timers a person can have pending for it at most"""
    unknown: str
    """what an event without a value, and a person of whom one is not known, mean to it"""
    exactness: Class
    reason: str
    """why it is not exact on the stream; '' if it is"""
    bounds: tuple[str, ...]
    """what it keeps at most of things that have no end, and what is beyond"""


def report(plan: Plan) -> list[SegmentReport]:
    """One report a segment, in the plan's order."""
    readers = [leaves_behind(plan, i) for i in range(len(plan.segments))]
    out = []
    for i, segment in enumerate(plan.segments):
        mine = sorted(readers[i])
        shared = {
            describe_leaf(plan, leaf): tuple(
                s.name for j, s in enumerate(plan.segments) if j != i and leaf in readers[j]
            )
            for leaf in mine
        }
        found, reason = exactness(plan, mine)
        out.append(
            SegmentReport(
                name=segment.name,
                version=segment.version,
                leaves=tuple(describe_leaf(plan, x) for x in mine),
                shared_with={leaf: names for leaf, names in shared.items() if names},
                state_bytes_max=_state_bytes(plan, i, mine, most=True),
                state_bytes_typical=_state_bytes(plan, i, mine, most=False),
                timers=sum(_is_timed(plan, x) for x in mine) + (segment.exit_after_ms is not None),
                unknown=_unknown(plan, i, mine),
                exactness=found,
                reason=reason,
                bounds=tuple(dict.fromkeys(b for x in mine if (b := _bound(plan, x)))),
            )
        )
    return out


def describe_leaf(plan: Plan, leaf: int) -> str:
    """A leaf as it could be written in a rule."""
    match plan.leaf_conditions[leaf]:
        case Count(Events(names), ">=", 1, None, Last(ms)) if names == plan.catalog.event_names():
            return f"seen in the last {duration_text(ms)}"
        case condition:
            return text_of(condition)


def leaves_behind(plan: Plan, segment: int) -> set[int]:
    """The leaves a segment is made of, those of the segments it names included."""
    own = leaves_of(plan.conditions[segment])
    return own.union(*(leaves_behind(plan, s) for s in segments_of(plan.conditions[segment])))


def sources_behind(plan: Plan, segment: int) -> frozenset[int]:
    """Indexes of the sources whose events a segment reads, those of the segments it names included."""
    reads = list(plan.segments[segment].exit_events)
    for leaf in leaves_of(plan.conditions[segment]):
        reads += own_events(plan.leaves[leaf])
        for evidence in evidence_of(plan.leaves[leaf], plan.streams, plan.totals):
            reads += [evidence.events] if evidence.since is None else [evidence.events, evidence.since]
    found = {source for events in reads for name in events.names for source in plan.catalog.source_indexes(name)}
    return frozenset(found.union(*(sources_behind(plan, s) for s in segments_of(plan.conditions[segment]))))


def _is_timed(plan: Plan, leaf: int) -> bool:
    match plan.leaves[leaf]:
        case Threshold(window_ms=window_ms):
            return window_ms is not None
        case Pattern():
            return True
        case other:
            return has_due(other)


def _state_bytes(plan: Plan, segment: int, leaves: list[int], *, most: bool) -> int:
    evidence: dict[int, Stream | Total] = {}
    size = _STATE_HEAD_BYTES
    for x in leaves:
        leaf = plan.leaves[x]
        for read in evidence_of(leaf, plan.streams, plan.totals):
            evidence[read.slot] = read
        if isinstance(leaf, Follow):
            keys = 1 if leaf.same is None else PATTERN_KEYS if most else _TYPICAL_ENTRIES
            size += keys * 2 * (_VALUE_BYTES + _TIME_BYTES)
        elif not isinstance(leaf, Share):
            size += _TIME_BYTES
    for name in plan.segments[segment].attach:
        stream = plan.streams[plan.feature_lists[name][0]]
        evidence[stream.slot] = stream
    size += sum(_evidence_bytes(read, most) for read in evidence.values())
    if not plan.folded_leaves & set(leaves):
        return size
    per_event = _TIME_BYTES + _VALUE_BYTES * plan.n_columns
    return 2 * size + per_event * (LOG_EVENTS if most else _TYPICAL_ENTRIES)


def _evidence_bytes(evidence: Stream | Total, most: bool) -> int:
    if isinstance(evidence, Total):
        entries = evidence.keep if evidence.kind == "distinct" else 3
        return (entries if most else min(entries, _TYPICAL_ENTRIES)) * _VALUE_BYTES
    entries = 2 * evidence.keep if not evidence.horizon_ms else max(WINDOW_VALUES, evidence.keep)
    entries = entries if most else min(entries, _TYPICAL_ENTRIES)
    return entries * (_TIME_BYTES + _VALUE_BYTES * len(evidence.values))


def _bound(plan: Plan, leaf: int) -> str | None:
    for evidence in evidence_of(plan.leaves[leaf], plan.streams, plan.totals):
        if isinstance(evidence, Stream) and evidence.horizon_ms and isinstance(plan.leaves[leaf], Windowed):
            return (
                f"{describe_leaf(plan, leaf)}: of more than {WINDOW_VALUES:,} entries in the window the newest count; "
                "explain says so then"
            )
    match plan.leaves[leaf]:
        case Follow(same=str(same)):
            return f"{describe_leaf(plan, leaf)}: of more than {PATTERN_KEYS:,} values of {same} the newest count"
        case _:
            return None


def _unknown(plan: Plan, segment: int, leaves: list[int]) -> str:
    filters, stated = set(), set()
    for x in leaves:
        for evidence in evidence_of(plan.leaves[x], plan.streams, plan.totals):
            filters |= fields_in(evidence.events.where)
        for events in own_events(plan.leaves[x]):
            filters |= fields_in(events.where)
        said = plan.leaf_conditions[x]
        if type(said).__name__ in ("Trait", "Consents"):
            stated.add(text_of(said))
    for events in plan.segments[segment].exit_events:
        filters |= fields_in(events.where)
    profile = plan.catalog.profile
    filters -= {profile.score_name, profile.score, profile.consent_purpose, profile.consent_granted}
    filters -= set(profile.traits) if stated else set()
    told = []
    if filters:
        named = ", ".join(sorted(filters))
        told.append(f"an event without {named} does not pass a comparison on it, '!=' and 'not in' included")
    if stated:
        told.append(f"of a person of whom nothing is known it is false: {'; '.join(sorted(stated))}")
    return ". ".join(told) or "reads no value that could be missing"
