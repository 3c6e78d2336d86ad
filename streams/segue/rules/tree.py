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
AggregateFunction = Literal["sum", "avg", "min", "max", "distinct"]
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


# --- windows: which of a person's events an answer at t is made of. None in their place means ever.


@dataclass(frozen=True, slots=True)
class Last:
    """`in the last D`: (t - D, t]."""

    ms: int


@dataclass(frozen=True, slots=True)
class Ago:
    """`between D1 and D2 ago`: (t - D2, t - D1]."""

    near_ms: int
    far_ms: int


@dataclass(frozen=True, slots=True)
class SinceTime:
    """`since 2026-01-01`: [that instant, t]."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SinceEvents:
    """`since E`: what came after the newest E in the order of the history; everything if there was none."""

    events: Events


@dataclass(frozen=True, slots=True)
class Calendar:
    """`today in Europe/Paris`, `this week in ...`: [midnight of t's day, or of its week's Monday, t]."""

    unit: Literal["day", "week"]
    zone: str
    """an IANA name"""


@dataclass(frozen=True, slots=True)
class Session:
    """`in the session with gap D`: the newest run of these very events no two neighbours of which are D or more
    apart, as long as its newest lies in (t - D, t]."""

    gap_ms: int


Window = Last | Ago | SinceTime | SinceEvents | Calendar | Session


# --- conditions


@dataclass(frozen=True, slots=True)
class Count:
    """`count(E) op n [window]`."""

    events: Events
    op: Operator
    n: int
    upper: int | None = None
    """the b of `between a and b`"""
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`sum(E.f) op x [window]`. Events whose f is null take no part. Of nothing it is false, but sum and distinct are 0."""

    function: AggregateFunction
    events: Events
    field: str
    op: Operator
    values: tuple[float | int, ...]
    """one number; two for `between`, both included"""
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """`last(E).f op v [window]`, `first(E).f op v`: that event's field; false if it is null or there is no event."""

    which: Literal["last", "first"]
    events: Events
    field: str
    op: FieldOperator
    values: tuple[Literal_, ...]
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class First:
    """`first E [window]`: the first E ever seen lies in the window (no SinceEvents, no Session). No exit resets it."""

    events: Events
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """`A then B within D [with the same f] [window]`: a match at tB if an A lies in (tB - D, tB), tA < tB strictly.

    True while the newest match lies in the window. With `same`, A and B have equal f; null is equal to nothing.
    """

    first: Events
    second: Events
    within_ms: int
    same: str | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """`A then no B within D [with the same f] [, restarting on R] [window]`.

    An A opens it and sets its clock to tA + D; a further A sets it again, even after a match; an R sets it again
    while it is open. A B closes it and takes back its match. When the clock is reached (before any event of that
    time), it has a match at that time and is open no more. True while the newest match that no B has taken back
    lies in the window. With `same`, clocks and what a B closes are of each value of f by itself, and the newest match
    of all values is the one that counts; events whose f is null take no part.
    """

    first: Events
    missing: Events
    within_ms: int
    restarting_on: Events | None = None
    same: str | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Trait:
    """`trait.x op v [for D]`, `score.x op v [for D]`: the newest value stated. Unknown: false, `!=` and `not in` too.

    With held_ms: true at t if the comparison has been true without a break since t - D or earlier; a statement
    of the same truth is no break. It is no history: no exit resets it.
    """

    kind: Literal["trait", "score"]
    name: str
    op: FieldOperator
    values: tuple[Literal_, ...]
    held_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Consents:
    """`consents to P`: the newest decision for the purpose is a grant; of decisions in one ms a withdrawal wins."""

    purpose: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """`bucket("salt") < 10%`: the person's share, a stable hash in [0, 100), lies in [low, high)."""

    salt: str
    low: float
    high: float


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


Condition = Count | Aggregate | Pick | First | Sequence | Absence | Trait | Consents | Bucket | InSegment | And | Or | Not


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
