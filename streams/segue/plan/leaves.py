"""Leaves: the smallest conditions of a plan, each with one bit. Six kinds, by what they read and when they flip.

Counts in a plain window are *thresholds*: `count(E) >= n in the last D` is true at t when the n-th newest time of E
lies in (t - D, t]. Patterns without a window or a field are one number. These two are the hot path, and the
generated step has them in line. All others are *evaluated*: a function of their evidence and t says whether they are
true, and when to ask again.

The leaves under an `enter` see only what came after the segment's last exit, so they belong to that segment alone
(`scope`) and are emptied when it exits. What is no history of the segment (traits, consents, buckets, the first E
ever) is shared and stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segue.rules.tree import Events, Literal_, SinceEvents, SinceTime, Window

Function = Literal["count", "sum", "avg", "min", "max", "distinct", "first", "last", "first seen"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The n-th newest time of a stream lies in the window (None: there is one at all)."""

    stream: int
    n: int
    window_ms: int | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """`first` then no `missing` within D. Its one number is when it is due: set while open and unmatched."""

    first: Events
    missing: Events
    within_ms: int
    restarting_on: Events | None
    scope: int | None


@dataclass(frozen=True, slots=True)
class Windowed:
    """A function of the entries of a stream that lie in the window compares so."""

    stream: int
    function: Function
    field: str | None
    """one of the stream's values; None for a count"""
    op: str
    values: tuple[Literal_, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Totalled:
    """A total compares so; of `last` and `first seen` its time lies in the window besides."""

    total: int
    function: Function
    op: str
    values: tuple[Literal_, ...]
    window: Window | None


@dataclass(frozen=True, slots=True)
class Granted:
    """The newest grant is newer than the newest withdrawal. Both are totals of kind `last`."""

    grants: int
    withdrawals: int


@dataclass(frozen=True, slots=True)
class Held:
    """A stated value compares so, and has without a break for D. Its one number is since when it does."""

    events: Events
    field: str
    op: str
    values: tuple[Literal_, ...]
    held_ms: int


@dataclass(frozen=True, slots=True)
class Follow:
    """`A then B` and `A then no B`, each value of a field by itself, in a window over the matches."""

    absent: bool
    first: Events
    second: Events
    within_ms: int
    restarting_on: Events | None
    same: str | None
    window: Window | None
    scope: int | None


@dataclass(frozen=True, slots=True)
class Share:
    """The person's share under the salt lies in [low, high) of a hundred. It never changes."""

    salt: str
    low: float
    high: float


Evaluated = Windowed | Totalled | Granted | Held | Follow
Leaf = Threshold | Pattern | Evaluated | Share

_TIMELESS = (None,)


def has_own_slot(leaf: Leaf) -> bool:
    """Whether it keeps something of its own, besides the evidence it shares."""
    return isinstance(leaf, Pattern | Held | Follow)


def has_due(leaf: Leaf) -> bool:
    """Whether time alone can change an evaluated leaf, so that it needs a slot for when to ask again."""
    match leaf:
        case Windowed(window=window):
            return _slides(window)
        case Totalled(window=window):
            return window is not None and _slides(window)
        case Held() | Follow(absent=True):
            return True
        case Follow(window=window):
            return window is not None and _slides(window)
        case _:
            return False


def _slides(window: Window) -> bool:
    return not isinstance(window, SinceTime | SinceEvents)
