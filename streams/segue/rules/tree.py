"""What a rule file says, as values. Every node is frozen and hashable, so that equal conditions are equal.

`did E` is `Count(E, ">=", 1)` and `did not E` its `Not`: the tree holds one word for one meaning, so that
conditions written differently share their state. Nodes carry no positions; whoever needs to point at the
text (the checks) works on the parse, before this tree is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operator = Literal[">=", ">", "=", "!=", "<", "<=", "between"]
FieldOperator = Literal["=", "!=", ">", ">=", "<", "<=", "in", "not in", "contains", "starts with", "is known"]
Literal_ = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Compare:
    """`field op value` over one event's properties. A field that is null makes every comparison false."""

    field: str
    op: FieldOperator
    values: tuple[Literal_, ...]
    """one value; several for `in` and `not in`; none for `is known`"""


@dataclass(frozen=True, slots=True)
class AllOf:
    items: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    items: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    item: Filter


Filter = Compare | AllOf | AnyOf | NoneOf


@dataclass(frozen=True, slots=True)
class Events:
    """`(a or b where F)`: events by snake_case names, sorted, that pass the filter."""

    names: tuple[str, ...]
    where: Filter | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """`count(E) op n in the last D`; window None = ever."""

    events: Events
    op: Operator
    n: int
    upper: int | None = None
    """the b of `between a and b`"""
    window_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """`A then no B within D, restarting on R`."""

    first: Events
    missing: Events
    within_ms: int
    restarting_on: Events | None = None


@dataclass(frozen=True, slots=True)
class InSegment:
    name: str


@dataclass(frozen=True, slots=True)
class And:
    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    item: Condition


Condition = Count | Absence | InSegment | And | Or | Not


@dataclass(frozen=True, slots=True)
class Feature:
    """`keep: last n E.field [in the last D | since E2]`."""

    name: str
    keep: int
    events: Events
    field: str
    window_ms: int | None = None
    since: Events | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """Either `when`, or `enter` with at least one of `exit_events`, `exit_after_ms`."""

    name: str
    version: int = 1
    title: str = ""
    owner: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    """each a path such as 'lifecycle > cart > abandoned'"""
    when: Condition | None = None
    enter: Condition | None = None
    exit_events: tuple[Events, ...] = ()
    exit_after_ms: int | None = None
    attach: tuple[str, ...] = ()
    universe_ms: int | None = None
    """`universe: seen in the last D`"""
    text: str = ""
    """the rule as written, for people: 'enter: ... / exit: ...'"""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All files of a rules folder, checked. Segments stand so that those a segment names come before it."""

    segments: tuple[Segment, ...]
    features: tuple[Feature, ...]
