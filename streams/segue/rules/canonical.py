"""One form for conditions that mean the same by their shape: `a and b` and `b and a`, brackets, repetitions.

The form is compared between versions of a rule, so it must not change from release to release without a
decision: a running system would refuse rules nobody edited. It simplifies shape only, never arithmetic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

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
        exits = sorted({pretty.events_text(normalised_events(e)) for e in segment.exit_events})
        if segment.exit_after_ms is not None:
            exits.append(f"{pretty.duration_text(segment.exit_after_ms)} after entering")
        lines.append(f"exit: {', or '.join(exits)}")
    if segment.universe_ms is not None:
        lines.append(f"universe: seen in the last {pretty.duration_text(segment.universe_ms)}")
    return "\n".join(lines)


def leaf_key(condition: tree.Condition) -> str:
    """16 hex digits that name a leaf: equal for what has the same canonical text, and for a leaf and its negation."""
    leaf = normalised(condition)
    text = pretty.text_of(leaf.item if isinstance(leaf, tree.Not) else leaf)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def normalised(condition: tree.Condition) -> tree.Condition:
    """Sorted, flat, without repetitions."""
    match condition:
        case tree.And(items):
            return all_of(sorted({normalised(i) for i in items}, key=pretty.text_of))
        case tree.Or(items):
            return any_of(sorted({normalised(i) for i in items}, key=pretty.text_of))
        case tree.Not(item):
            return negation(normalised(item))
        case tree.Sequence():
            return replace(
                condition,
                first=normalised_events(condition.first),
                second=normalised_events(condition.second),
                window=_window(condition.window),
            )
        case tree.Absence(restarting_on=restart):
            return replace(
                condition,
                first=normalised_events(condition.first),
                missing=normalised_events(condition.missing),
                restarting_on=restart and normalised_events(restart),
                window=_window(condition.window),
            )
        case tree.Trait(op=op, values=values):
            return replace(condition, values=_values(op, values))
        case tree.Bucket(salt, low, high):
            return tree.Bucket(salt, _number(low), _number(high))
        case tree.Consents() | tree.InSegment():
            return condition
        case _:
            return _of_events(condition)


def _of_events(condition: tree.Count | tree.Aggregate | tree.Pick | tree.First) -> tree.Condition:
    condition = replace(condition, events=normalised_events(condition.events), window=_window(condition.window))
    match condition:
        case tree.Aggregate(values=numbers):
            return replace(condition, values=tuple(_number(n) for n in numbers))
        case tree.Pick(op=op, values=values):
            return replace(condition, values=_values(op, values))
        case _:
            return condition


def _window(window: tree.Window | None) -> tree.Window | None:
    return tree.SinceEvents(normalised_events(window.events)) if isinstance(window, tree.SinceEvents) else window


def normalised_events(events: tree.Events) -> tree.Events:
    """Names and filter sorted, flat, without repetitions."""
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
            return tree.Compare(field, op, _values(op, values))


def _values(op: str, values: tuple[tree.Literal_, ...]) -> tuple[tree.Literal_, ...]:
    found = tuple(v if isinstance(v, str | bool) else _number(v) for v in values)
    return tuple(sorted(set(found), key=pretty.value_text)) if op in ("in", "not in") else found


def _number(value: float) -> float:
    """A whole number as the parser reads one; beyond 64 bits it can be written with an exponent only."""
    return int(value) if value == int(value) and abs(value) < 2**63 else value


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
