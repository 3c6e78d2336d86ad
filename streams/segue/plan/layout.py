"""The plan: from checked rules to shared leaves, kinds of events, bits and the slots of a person's state.

A person's state is one flat list. Its head is the same for every plan; the slots of leaves follow:

    [DUE, BITS, BUCKET, JUMPS, LOG, SETTLED, slot, slot, ...]

BITS holds every truth: segments from bit 0, then leaves, then the last truth of each `enter` condition.
Leaves that are *folds* (patterns, anything under `enter`/`exit`, values kept `since` an event) depend on the
order of events, so a late event must be folded in at its place: LOG keeps the events of the lateness period
that concern them, SETTLED their slots as of before the first of these. All other leaves keep sorted times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from segue.catalog import Catalog, Field
from segue.plan.evidence import Stream, Total
from segue.plan.expression import Expression, leaves_of, segments_of
from segue.plan.leaves import Follow, Granted, Held, Leaf, Pattern, Threshold, Totalled, Windowed, has_due, has_own_slot
from segue.plan.lower import LeafTable
from segue.rules import canonical
from segue.rules.tree import AllOf, AnyOf, Compare, Condition, Events, Feature, Filter, NoneOf, RuleSet, Segment

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
    totals: tuple[Total, ...]
    leaves: tuple[Leaf, ...]
    leaf_conditions: tuple[Condition, ...]
    """per leaf: itself as a condition, as it could be written in a rule"""
    conditions: tuple[Expression, ...]
    """per segment: its `when`, or its `enter`"""
    readers: Mapping[int, tuple[int, ...]]
    """slot of a stream or total -> the leaves that read it"""
    own_slots: Mapping[int, int]
    """leaf -> slot of what it keeps by itself: a pattern's due time, the open ones of a Follow, since when it is Held"""
    due_slots: Mapping[int, int]
    """evaluated leaf -> slot of the time at which it is to be asked again"""
    since_slots: Mapping[int, int]
    """enter/exit segment -> slot of the time it was entered"""
    feature_lists: Mapping[str, tuple[int, int]]
    """feature -> (stream, which of its values)"""
    kinds: tuple[Kind, ...]
    inputs: tuple[SourceInputs, ...]
    id_slots: Mapping[int, int]
    """source that deduplicates -> slot of the ids seen; the last slots of a state"""
    folded_leaves: frozenset[int]
    folded_segments: frozenset[int]
    n_slots: int
    """length of a person's state"""
    n_columns: int
    """field columns of a batch"""
    lateness_ms: int
    """the longest of all sources"""

    @property
    def evidence(self) -> list[Stream | Total]:
        """Everything that leaves share: the streams, then the totals."""
        return [*self.streams, *self.totals]

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
    table = LeafTable(catalog)
    index = {s.name: i for i, s in enumerate(rules.segments)}
    conditions = []
    for i, segment in enumerate(rules.segments):
        scope = i if segment.enter is not None else None
        condition = segment.when if segment.enter is None else segment.enter
        assert condition is not None
        expression = table.expression(canonical.normalised(condition), scope, index)
        if segment.universe_ms is not None:
            expression = ("and", (table.seen(segment.universe_ms, scope), expression))
        conditions.append(expression)
    attached = {name for s in rules.segments for name in s.attach}
    features = tuple(f for f in rules.features if f.name in attached)
    feature_lists = {f.name: table.feature(f) for f in features}
    folded_leaves, folded_segments = _folds(rules.segments, table, conditions)
    _mark_folded_evidence(table, folded_leaves, catalog)
    n_slots, own_slots, due_slots, since_slots = _slots(rules.segments, table)
    kinds, inputs = _inputs(rules.segments, table, catalog)
    deduplicating = [i for i, s in enumerate(catalog.sources) if s.deduplicate_ms is not None and inputs[i].kinds]
    return Plan(
        catalog=catalog,
        segments=rules.segments,
        features=features,
        streams=tuple(table.streams),
        totals=tuple(table.totals),
        leaves=tuple(table.leaves),
        leaf_conditions=tuple(table.conditions),
        conditions=tuple(conditions),
        readers=_readers(table),
        own_slots=own_slots,
        due_slots=due_slots,
        since_slots=since_slots,
        feature_lists=feature_lists,
        kinds=kinds,
        inputs=inputs,
        id_slots={source: n_slots + i for i, source in enumerate(deduplicating)},
        folded_leaves=frozenset(folded_leaves),
        folded_segments=frozenset(folded_segments),
        n_slots=n_slots + len(deduplicating),
        n_columns=max((len(i.fields) for i in inputs), default=0),
        lateness_ms=max(s.lateness_ms for s in catalog.sources),
    )


def _folds(segments: tuple[Segment, ...], table: LeafTable, conditions: list[Expression]) -> tuple[set[int], set[int]]:
    """Leaves and segments whose truth depends on the order of events, or that one of these reads."""
    folded = {i for i, leaf in enumerate(table.leaves) if has_own_slot(leaf)}
    todo = [i for i, s in enumerate(segments) if s.enter is not None]
    folded_segments: set[int] = set()
    while todo:
        i = todo.pop()
        if i not in folded_segments:
            folded_segments.add(i)
            folded |= leaves_of(conditions[i])
            todo += segments_of(conditions[i])
    return folded, folded_segments


def evidence_of(leaf: Leaf, streams: Sequence[Stream], totals: Sequence[Total]) -> list[Stream | Total]:
    """The shared evidence a leaf reads."""
    match leaf:
        case Threshold(stream) | Windowed(stream):
            return [streams[stream]]
        case Totalled(total):
            return [totals[total]]
        case Granted(grants, withdrawals):
            return [totals[grants], totals[withdrawals]]
        case _:
            return []


def leaf_scope(plan: Plan, leaf: int) -> int | None:
    """The segment whose exit empties the leaf."""
    match plan.leaves[leaf]:
        case Pattern(scope=scope) | Follow(scope=scope):
            return scope
        case other:
            evidence = evidence_of(other, plan.streams, plan.totals)
            return evidence[0].scope if evidence else None


def _readers(table: LeafTable) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = {evidence.slot: [] for evidence in table.evidence()}
    for i, leaf in enumerate(table.leaves):
        for evidence in evidence_of(leaf, table.streams, table.totals):
            found[evidence.slot].append(i)
    return {slot: tuple(leaves) for slot, leaves in found.items()}


def _mark_folded_evidence(table: LeafTable, folded_leaves: set[int], catalog: Catalog) -> None:
    for i in folded_leaves:
        for evidence in evidence_of(table.leaves[i], table.streams, table.totals):
            evidence.folded = True
    for evidence in table.evidence():
        evidence.folded = evidence.folded or evidence.since is not None
    for stream in table.streams:
        sources = {i for name in stream.events.names for i in catalog.source_indexes(name)}
        # values of one time from two sources stand in the sources' order, which a sorted insert by time can't know
        stream.folded = stream.folded or bool(stream.values and len(sources) > 1)


def _slots(
    segments: tuple[Segment, ...], table: LeafTable
) -> tuple[int, dict[int, int], dict[int, int], dict[int, int]]:
    slot = SLOTS
    for stream in table.streams:
        stream.slot = slot
        slot += stream.n_slots
    for total in table.totals:
        total.slot = slot
        slot += 1
    own, due, since = {}, {}, {}
    for i, leaf in enumerate(table.leaves):
        if has_own_slot(leaf):
            own[i] = slot
            slot += 1
        if has_due(leaf):
            due[i] = slot
            slot += 1
    for i, segment in enumerate(segments):
        if segment.enter is not None:
            since[i] = slot
            slot += 1
    return slot, own, due, since


def folded_slots(plan: Plan) -> list[int]:
    """Slots whose content depends on the order of events: those that are settled and replayed."""
    slots = [slot for x in plan.evidence if x.folded for slot in range(x.slot, x.slot + x.n_slots)]
    for i in sorted(plan.folded_leaves):
        slots += [own[i] for own in (plan.own_slots, plan.due_slots) if i in own]
    return slots + list(plan.since_slots.values())


def events_read(
    segments: tuple[Segment, ...], evidences: Sequence[Stream | Total], leaves: Sequence[Leaf]
) -> Iterator[Events]:
    """Every set of events a plan reads."""
    for evidence in evidences:
        yield evidence.events
        if evidence.since:
            yield evidence.since
    for leaf in leaves:
        yield from own_events(leaf)
    for segment in segments:
        yield from segment.exit_events


def own_events(leaf: Leaf) -> tuple[Events, ...]:
    """The events a leaf reads by itself; none if it reads evidence that is shared."""
    match leaf:
        case Pattern(first, second, _, again) | Follow(_, first, second, _, again):
            return (first, second) if again is None else (first, second, again)
        case Held(events):
            return (events,)
        case _:
            return ()


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


def _values_read(table: LeafTable) -> Iterator[tuple[Events, list[str]]]:
    """Fields whose values are kept, with the events they are taken of."""
    for stream in table.streams:
        yield stream.events, stream.values
    for total in table.totals:
        yield total.events, [] if total.field is None else [total.field]
    for leaf in table.leaves:
        if isinstance(leaf, Held):
            yield leaf.events, [leaf.field]
        elif isinstance(leaf, Follow) and leaf.same is not None:
            for events in own_events(leaf):
                yield events, [leaf.same]


def _inputs(
    segments: tuple[Segment, ...], table: LeafTable, catalog: Catalog
) -> tuple[tuple[Kind, ...], tuple[SourceInputs, ...]]:
    wanted: dict[str, set[str]] = {}
    for events in events_read(segments, table.evidence(), table.leaves):
        for name in events.names:
            wanted.setdefault(name, set()).update(fields_in(events.where))
    for events, fields in _values_read(table):
        for name in events.names:
            wanted[name].update(fields)
    kinds: list[Kind] = []
    inputs = []
    for s, source in enumerate(catalog.sources):
        numbers: dict[str, int] = {}
        by_event: dict[str, int] = {}
        held: set[str] = set()
        for raw, event in source.events.items():
            if event in wanted:
                if event not in by_event:
                    by_event[event] = len(kinds)
                    kinds.append(Kind(len(kinds), s, source.order, event))
                numbers[raw] = by_event[event]
                held |= wanted[event]
        inputs.append(SourceInputs(s, numbers, tuple(source.fields[n] for n in sorted(held & set(source.fields)))))
    return tuple(kinds), tuple(inputs)
