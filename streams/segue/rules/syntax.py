"""What the parser reads, before it is checked: the words of a text with their places.

`start` and `end` count characters of the text parsed (one key's value), not of the file; files.Scalar turns
them into a line and a column. The checks make `tree` nodes of these, which have no places any more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Word(Node):
    """A name as written; of a quoted name what stands between the quotes."""

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Value(Node):
    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Duration(Node):
    number: float
    unit: Word | None


@dataclass(frozen=True, slots=True)
class Compare(Node):
    field: Word
    op: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Group(Node):
    """Conditions, or filters, joined by `and` (every) or `or` (not every)."""

    every: bool
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Negated(Node):
    item: Node


@dataclass(frozen=True, slots=True)
class Events(Node):
    """Filters inside and outside of the brackets both hold."""

    names: tuple[Word, ...]
    filters: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Count(Node):
    events: Events
    op: str
    numbers: tuple[Value, ...]
    window: Duration | None


@dataclass(frozen=True, slots=True)
class Absence(Node):
    first: Events
    missing: Events
    within: Duration
    restarting_on: Events | None


@dataclass(frozen=True, slots=True)
class InSegment(Node):
    name: Word


@dataclass(frozen=True, slots=True)
class Exit(Node):
    events: tuple[Events, ...]
    after: tuple[Duration, ...]


@dataclass(frozen=True, slots=True)
class Keep(Node):
    count: Value
    events: Events
    field: Word
    window: Duration | None
    since: Events | None


def measure(node: Node) -> tuple[int, int]:
    """(nodes, depth) of a condition, its filters included. Not recursive: it is what guards recursion."""
    nodes = deepest = 0
    waiting: list[tuple[Node, int]] = [(node, 1)]
    while waiting:
        current, depth = waiting.pop()
        nodes += 1
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in _children(current))
    return nodes, deepest


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Group():
            return node.items
        case Negated():
            return (node.item,)
        case Events():
            return node.filters
        case Count():
            return node.events.filters
        case Absence():
            restart = node.restarting_on.filters if node.restarting_on else ()
            return node.first.filters + node.missing.filters + restart
        case Exit():
            return node.events
        case Keep():
            return node.events.filters + (node.since.filters if node.since else ())
        case _:
            return ()
