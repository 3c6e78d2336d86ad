"""What the parser reads, before it is checked: the words of a text with their places.

`start` and `end` count characters of the text parsed (one key's value), not of the file; files.Scalar turns
them into a line and a column. The checks make `tree` nodes of these, which have no places any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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


# --- windows; `ever` is None


@dataclass(frozen=True, slots=True)
class Last(Node):
    duration: Duration


@dataclass(frozen=True, slots=True)
class Ago(Node):
    """As written: the checks know which of the two must be the shorter."""

    one: Duration
    other: Duration


@dataclass(frozen=True, slots=True)
class SinceTime(Node):
    date: Word
    """whatever begins with a digit"""


@dataclass(frozen=True, slots=True)
class SinceEvents(Node):
    events: Events


@dataclass(frozen=True, slots=True)
class Calendar(Node):
    unit: Literal["day", "week"]
    zone: Word | None


@dataclass(frozen=True, slots=True)
class Session(Node):
    gap: Duration


Window = Last | Ago | SinceTime | SinceEvents | Calendar | Session


# --- conditions


@dataclass(frozen=True, slots=True)
class Count(Node):
    events: Events
    op: str
    numbers: tuple[Value, ...]
    window: Window | None


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    function: str
    events: Events
    field: Word
    op: str
    numbers: tuple[Value, ...]
    window: Window | None


@dataclass(frozen=True, slots=True)
class Pick(Node):
    which: Literal["last", "first"]
    events: Events
    field: Word
    op: str
    values: tuple[Value, ...]
    window: Window | None


@dataclass(frozen=True, slots=True)
class First(Node):
    events: Events
    window: Window | None


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    first: Events
    second: Events
    within: Duration
    same: Word | None
    window: Window | None


@dataclass(frozen=True, slots=True)
class Absence(Node):
    first: Events
    missing: Events
    within: Duration
    restarting_on: Events | None
    same: Word | None
    window: Window | None


@dataclass(frozen=True, slots=True)
class Trait(Node):
    kind: Literal["trait", "score"]
    name: Word
    op: str
    values: tuple[Value, ...]
    held: Duration | None


@dataclass(frozen=True, slots=True)
class Consents(Node):
    purpose: Word


@dataclass(frozen=True, slots=True)
class Bucket(Node):
    salt: Word
    op: str
    percents: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class InSegment(Node):
    name: Word


# --- the other texts


@dataclass(frozen=True, slots=True)
class Exit(Node):
    events: tuple[Events, ...]
    after: tuple[Duration, ...]


@dataclass(frozen=True, slots=True)
class Keep(Node):
    count: Value
    events: Events
    field: Word
    window: Window | None


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
        case Exit():
            return node.events
        case Sequence():
            return node.first.filters + node.second.filters + _filters(node.window)
        case Absence():
            restart = node.restarting_on.filters if node.restarting_on else ()
            return node.first.filters + node.missing.filters + restart + _filters(node.window)
        case Count() | Aggregate() | Pick() | First() | Keep():
            return node.events.filters + _filters(node.window)
        case _:
            return ()


def _filters(window: Window | None) -> tuple[Node, ...]:
    return window.events.filters if isinstance(window, SinceEvents) else ()
