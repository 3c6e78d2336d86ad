"""One form for conditions that mean the same by their shape: `a and b` and `b and a`, brackets, repetitions.

The form is compared between versions of a rule, so it must not change from release to release without a
decision: a running system would refuse rules nobody edited. It simplifies shape only, never arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

from segue.rules import pretty, tree


def canonical_text(condition: tree.Condition) -> str:
    """The same text for conditions that differ only in order, brackets, repetition or double `not`."""
    return pretty.text_of(normalised(condition))


def canonical_rule(segment: tree.Segment) -> str:
    """Everything of a segment that decides who is in it, one line a key; title, owner, tags have no part in it."""
    lines = []
    if segment.when is not None:
        lines.append(f"when: {canonical_text(segment.when)}")
    if segment.enter is not None:
        lines.append(f"enter: {canonical_text(segment.enter)}")
        exits = sorted({pretty.events_text(_events(e)) for e in segment.exit_events})
        if segment.exit_after_ms is not None:
            exits.append(f"{pretty.duration_text(segment.exit_after_ms)} after entering")
        lines.append(f"exit: {', or '.join(exits)}")
    if segment.universe_ms is not None:
        lines.append(f"universe: seen in the last {pretty.duration_text(segment.universe_ms)}")
    return "\n".join(lines)


def normalised(condition: tree.Condition) -> tree.Condition:
    """Sorted, flat, without repetitions."""
    match condition:
        case tree.And(items):
            return all_of(sorted({normalised(i) for i in items}, key=pretty.text_of))
        case tree.Or(items):
            return any_of(sorted({normalised(i) for i in items}, key=pretty.text_of))
        case tree.Not(item):
            return negation(normalised(item))
        case tree.Count(events, op, n, upper, window_ms):
            return tree.Count(_events(events), op, n, upper, window_ms)
        case tree.Absence(first, missing, within_ms, restart):
            return tree.Absence(_events(first), _events(missing), within_ms, restart and _events(restart))
        case tree.InSegment():
            return condition


def _events(events: tree.Events) -> tree.Events:
    return tree.Events(tuple(sorted(set(events.names))), events.where and _filter(events.where))


def _filter(where: tree.Filter) -> tree.Filter:
    match where:
        case tree.AllOf(items):
            return all_filters(sorted({_filter(i) for i in items}, key=pretty.filter_text))
        case tree.AnyOf(items):
            return any_filter(sorted({_filter(i) for i in items}, key=pretty.filter_text))
        case tree.NoneOf(item):
            return no_filter(_filter(item))
        case tree.Compare(field, op, values):
            values = tuple(_value(v) for v in values)
            if op in ("in", "not in"):
                values = tuple(sorted(set(values), key=pretty.value_text))
            return tree.Compare(field, op, values)


def _value(value: tree.Literal_) -> tree.Literal_:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def all_of(items: Sequence[tree.Condition]) -> tree.Condition:
    """`And` without an `And` directly inside; of one item the item."""
    flat = [i for item in items for i in (item.items if isinstance(item, tree.And) else (item,))]
    return flat[0] if len(flat) == 1 else tree.And(tuple(flat))


def any_of(items: Sequence[tree.Condition]) -> tree.Condition:
    """`Or` without an `Or` directly inside; of one item the item."""
    flat = [i for item in items for i in (item.items if isinstance(item, tree.Or) else (item,))]
    return flat[0] if len(flat) == 1 else tree.Or(tuple(flat))


def negation(item: tree.Condition) -> tree.Condition:
    """`Not`; of a `Not` what it negates."""
    return item.item if isinstance(item, tree.Not) else tree.Not(item)


def all_filters(items: Sequence[tree.Filter]) -> tree.Filter:
    """`AllOf` without an `AllOf` directly inside; of one item the item."""
    flat = [i for item in items for i in (item.items if isinstance(item, tree.AllOf) else (item,))]
    return flat[0] if len(flat) == 1 else tree.AllOf(tuple(flat))


def any_filter(items: Sequence[tree.Filter]) -> tree.Filter:
    """`AnyOf` without an `AnyOf` directly inside; of one item the item."""
    flat = [i for item in items for i in (item.items if isinstance(item, tree.AnyOf) else (item,))]
    return flat[0] if len(flat) == 1 else tree.AnyOf(tuple(flat))


def no_filter(item: tree.Filter) -> tree.Filter:
    """`NoneOf`; of a `NoneOf` what it negates."""
    return item.item if isinstance(item, tree.NoneOf) else tree.NoneOf(item)
