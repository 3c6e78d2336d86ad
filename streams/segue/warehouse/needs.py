"""What of the events table a segment reads: the events and properties its rule and those it names speak of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from segue.catalog import Catalog
from segue.rules import tree


def condition_of(segment: tree.Segment, catalog: Catalog) -> tree.Condition:
    """`when` or `enter`, with what `universe` adds."""
    found = segment.when or segment.enter
    assert found is not None
    if segment.universe_ms is None:
        return found
    seen = tree.Count(tree.Events(catalog.event_names()), ">=", 1, None, tree.Last(segment.universe_ms))
    return tree.And((seen, found))


def leaves(condition: tree.Condition) -> Iterator[tree.Condition]:
    """The leaves of a condition, those of segments it names not among them."""
    match condition:
        case tree.And(items) | tree.Or(items):
            for item in items:
                yield from leaves(item)
        case tree.Not(item):
            yield from leaves(item)
        case _:
            yield condition


@dataclass(frozen=True, slots=True)
class Needs:
    """Sorted names."""

    events: tuple[str, ...]
    fields: tuple[str, ...]


def needs(rules: tree.RuleSet, name: str, catalog: Catalog) -> Needs:
    """Of a segment and all that it names."""
    segments = {s.name: s for s in rules.segments}
    events: set[str] = set()
    fields: set[str] = set()
    waiting, known = [name], {name}
    while waiting:
        segment = segments[waiting.pop()]
        spoken_of: list[tree.Events] = list(segment.exit_events)
        for leaf in leaves(condition_of(segment, catalog)):
            if isinstance(leaf, tree.InSegment) and leaf.name not in known:
                known.add(leaf.name)
                waiting.append(leaf.name)
            spoken_of += _events(leaf)
            fields |= _fields(leaf, catalog)
            events |= _stating(leaf, catalog)
        for one in spoken_of:
            events |= set(one.names)
            fields |= set() if one.where is None else set(_filtered(one.where))
    return Needs(tuple(sorted(events)), tuple(sorted(fields)))


def _events(leaf: tree.Condition) -> list[tree.Events]:
    parts = ("events", "first", "second", "missing", "restarting_on")
    found = [getattr(leaf, part, None) for part in parts]
    window = getattr(leaf, "window", None)
    if isinstance(window, tree.SinceEvents):
        found.append(window.events)
    return [events for events in found if isinstance(events, tree.Events)]


def _filtered(where: tree.Filter) -> Iterator[str]:
    match where:
        case tree.AllOf(items) | tree.AnyOf(items):
            for item in items:
                yield from _filtered(item)
        case tree.NoneOf(item):
            yield from _filtered(item)
        case tree.Compare(field):
            yield field


def _fields(leaf: tree.Condition, catalog: Catalog) -> set[str]:
    p = catalog.profile
    match leaf:
        case tree.Aggregate(field=field) | tree.Pick(field=field):
            return {field}
        case tree.Sequence(same=same) | tree.Absence(same=same):
            return set() if same is None else {same}
        case tree.Trait("trait", name):
            return {name}
        case tree.Trait("score"):
            return {p.score_name, p.score}
        case tree.Consents():
            return {p.consent_purpose, p.consent_granted}
    return set()


def _stating(leaf: tree.Condition, catalog: Catalog) -> set[str]:
    """The events that state a trait, a score, a decision."""
    p = catalog.profile
    match leaf:
        case tree.Trait("trait"):
            return set(p.trait_events)
        case tree.Trait("score"):
            return {p.score_event or ""}
        case tree.Consents():
            return {p.consent_event or ""}
    return set()
