"""The plan: from checked rules to shared leaves, kinds of events, bits and the slots of a person's state.

A person's state is one flat list. Its head is the same for every plan; the slots of leaves follow:

    [DUE, BITS, BUCKET, JUMPS, LOG, SETTLED, slot, slot, ...]

BITS holds every truth: segments from bit 0, then leaves, then the last truth of each `enter` condition.
Leaves that are *folds* (patterns, anything under `enter`/`exit`, values kept `since` an event) depend on the
order of events, so a late event must be folded in at its place: LOG keeps the events of the lateness period
that concern them, SETTLED their slots as of before the first of these. All other leaves keep sorted times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from segue.catalog import Catalog, Field
from segue.plan.leaves import Expression, Leaf, LeafTable, Pattern, Stream, Threshold, leaves_of, segments_of
from segue.rules.tree import AllOf, AnyOf, Compare, Events, Feature, Filter, NoneOf, RuleSet, Segment

DUE, BITS, BUCKET, JUMPS, LOG, SETTLED, SLOTS = range(7)


@dataclass(frozen=True, slots=True)
class SourceInputs:
    """What the decoder must supply of one source."""

    source: int
    kinds: Mapping[str, int]
    """raw event name -> kind; events no rule reads are absent"""
    fields: tuple[Field, ...]
    """in the order of Columns.fields"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One event name of one source, as the generated step branches on it."""

    number: int
    source: int
    order: int
    event: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Checked rules, laid out. Everything the engine, the report and (later) the warehouse read."""

    catalog: Catalog
    segments: tuple[Segment, ...]
    features: tuple[Feature, ...]
    streams: tuple[Stream, ...]
    leaves: tuple[Leaf, ...]
    conditions: tuple[Expression, ...]
    """per segment: its `when`, or its `enter`"""
    pattern_slots: Mapping[int, int]
    """leaf -> slot of its due time"""
    since_slots: Mapping[int, int]
    """enter/exit segment -> slot of the time it was entered"""
    feature_lists: Mapping[str, tuple[int, int]]
    """feature -> (stream, which of its values)"""
    kinds: tuple[Kind, ...]
    inputs: tuple[SourceInputs, ...]
    folded_leaves: frozenset[int]
    folded_segments: frozenset[int]
    n_slots: int
    """length of a person's state"""
    n_columns: int
    """field columns of a batch"""
    layout_id: str
    lateness_ms: int
    """the longest of all sources"""

    def segment_bit(self, segment: int) -> int:
        """Whether the person is in the segment."""
        return 1 << segment

    def leaf_bit(self, leaf: int) -> int:
        """Whether the leaf is true."""
        return 1 << (len(self.segments) + leaf)

    def enter_bit(self, segment: int) -> int:
        """The last truth of an `enter` condition: it enters when this rises."""
        return 1 << (len(self.segments) + len(self.leaves) + segment)

    def column_of(self, source: int, field: str) -> int:
        """Which column of a batch holds the field, for rows of the source."""
        return [f.name for f in self.inputs[source].fields].index(field)


def compile_plan(rules: RuleSet, catalog: Catalog) -> Plan:
    """Lay out checked rules over a catalog. Pure and quick; the same rules give the same plan."""
    table = LeafTable()
    index = {s.name: i for i, s in enumerate(rules.segments)}
    conditions = []
    for i, segment in enumerate(rules.segments):
        scope = i if segment.enter is not None else None
        condition = segment.when if segment.enter is None else segment.enter
        assert condition is not None
        expression = table.expression(condition, scope, index)
        if segment.universe_ms is not None:
            expression = ("and", (_seen(table, catalog, segment.universe_ms, scope), expression))
        conditions.append(expression)
    attached = {name for s in rules.segments for name in s.attach}
    features = tuple(f for f in rules.features if f.name in attached)
    feature_lists = {f.name: table.feature(f) for f in features}
    folded_leaves, folded_segments = _folds(rules.segments, table, conditions)
    _mark_folded_streams(table, folded_leaves, catalog)
    next_slot, pattern_slots, since_slots = _slots(rules.segments, table)
    kinds, inputs = _inputs(rules.segments, table, catalog)
    return Plan(
        catalog=catalog,
        segments=rules.segments,
        features=features,
        streams=tuple(table.streams),
        leaves=tuple(table.leaves),
        conditions=tuple(conditions),
        pattern_slots=pattern_slots,
        since_slots=since_slots,
        feature_lists=feature_lists,
        kinds=kinds,
        inputs=inputs,
        folded_leaves=frozenset(folded_leaves),
        folded_segments=frozenset(folded_segments),
        n_slots=next_slot,
        n_columns=max((len(i.fields) for i in inputs), default=0),
        layout_id=_layout_id(rules, features, catalog),
        lateness_ms=max(s.lateness_ms for s in catalog.sources),
    )


def _seen(table: LeafTable, catalog: Catalog, window_ms: int, scope: int | None) -> Expression:
    """`universe: seen in the last D`: any event at all."""
    i = table.stream(Events(catalog.event_names()), scope)
    table.streams[i].keep = max(table.streams[i].keep, 1)
    return ("leaf", table.leaf(Threshold(i, 1, window_ms)))


def _folds(segments: tuple[Segment, ...], table: LeafTable, conditions: list[Expression]) -> tuple[set[int], set[int]]:
    """Leaves and segments whose truth depends on the order of events, or that one of these reads."""
    folded = {i for i, leaf in enumerate(table.leaves) if isinstance(leaf, Pattern)}
    todo = [i for i, s in enumerate(segments) if s.enter is not None]
    folded_segments: set[int] = set()
    while todo:
        i = todo.pop()
        if i not in folded_segments:
            folded_segments.add(i)
            folded |= leaves_of(conditions[i])
            todo += segments_of(conditions[i])
    return folded, folded_segments


def _mark_folded_streams(table: LeafTable, folded_leaves: set[int], catalog: Catalog) -> None:
    for i in folded_leaves:
        leaf = table.leaves[i]
        if isinstance(leaf, Threshold):
            table.streams[leaf.stream].folded = True
    for stream in table.streams:
        sources = {i for name in stream.events.names for i in catalog.source_indexes(name)}
        # values of one time from two sources stand in the sources' order, which a sorted insert by time can't know
        if stream.values and (stream.since or len(sources) > 1):
            stream.folded = True


def _slots(segments: tuple[Segment, ...], table: LeafTable) -> tuple[int, dict[int, int], dict[int, int]]:
    slot = SLOTS
    for stream in table.streams:
        stream.slot = slot
        slot += 1 + len(stream.values)
    patterns = {}
    for i, leaf in enumerate(table.leaves):
        if isinstance(leaf, Pattern):
            patterns[i] = slot
            slot += 1
    since = {}
    for i, segment in enumerate(segments):
        if segment.enter is not None:
            since[i] = slot
            slot += 1
    return slot, patterns, since


def events_read(segments: tuple[Segment, ...], streams: list[Stream], leaves: list[Leaf]) -> Iterator[Events]:
    """Every set of events a plan reads."""
    for stream in streams:
        yield stream.events
        if stream.since:
            yield stream.since
    for leaf in leaves:
        if isinstance(leaf, Pattern):
            yield leaf.first
            yield leaf.missing
            if leaf.restarting_on:
                yield leaf.restarting_on
    for segment in segments:
        yield from segment.exit_events


def fields_in(where: Filter | None) -> set[str]:
    """Property names a filter reads."""
    match where:
        case None:
            return set()
        case Compare(field=name):
            return {name}
        case AllOf(items) | AnyOf(items):
            return set().union(*(fields_in(i) for i in items))
        case NoneOf(item):
            return fields_in(item)


def _inputs(
    segments: tuple[Segment, ...], table: LeafTable, catalog: Catalog
) -> tuple[tuple[Kind, ...], tuple[SourceInputs, ...]]:
    wanted: dict[str, set[str]] = {}
    for events in events_read(segments, table.streams, table.leaves):
        for name in events.names:
            wanted.setdefault(name, set()).update(fields_in(events.where))
    for stream in table.streams:
        for name in stream.events.names:
            wanted[name].update(stream.values)
    kinds: list[Kind] = []
    inputs = []
    for s, source in enumerate(catalog.sources):
        numbers: dict[str, int] = {}
        by_event: dict[str, int] = {}
        fields: set[str] = set()
        for raw, event in source.events.items():
            if event in wanted:
                if event not in by_event:
                    by_event[event] = len(kinds)
                    kinds.append(Kind(len(kinds), s, source.order, event))
                numbers[raw] = by_event[event]
                fields |= wanted[event]
        inputs.append(SourceInputs(s, numbers, tuple(source.fields[n] for n in sorted(fields & set(source.fields)))))
    return tuple(kinds), tuple(inputs)


def _layout_id(rules: RuleSet, features: tuple[Feature, ...], catalog: Catalog) -> str:
    """Names what a stored state means: equal for equal rules over equal sources, whatever their titles."""
    meaning = [
        (s.name, s.version, s.when, s.enter, s.exit_events, s.exit_after_ms, s.universe_ms) for s in rules.segments
    ]
    sources = [(s.name, s.order, sorted(s.events.items())) for s in catalog.sources]
    kept = [(f.name, f.keep, f.events, f.field, f.window_ms, f.since) for f in features]
    return hashlib.blake2b(repr((meaning, kept, sources)).encode(), digest_size=8).hexdigest()
