"""Leaves: the smallest conditions, what each keeps of the history, and how conditions become bits.

Every count is a *threshold*: `count(E) >= n in the last D` is true at t when the n-th newest time of E lies in
(t - D, t]. The other operators are boolean forms of thresholds (`< n` is not `>= n`, `= n` is `>= n` and not
`>= n + 1`), so they share their state and have one way to be right. A threshold reads a *stream*: the newest
times of one kind of event, sorted. Streams are shared by all leaves and features that read the same events.

The conditions under an `enter` see only what came after the segment's last exit, so their leaves belong to
that segment alone (`scope`) and are emptied when it exits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from segue.rules.tree import Absence, And, Condition, Count, Events, Feature, InSegment, Not, Or

Expression = (
    tuple[Literal["true"]]
    | tuple[Literal["leaf"], int]
    | tuple[Literal["segment"], int]
    | tuple[Literal["not"], "Expression"]
    | tuple[Literal["and", "or"], tuple["Expression", ...]]
)
TRUE: Expression = ("true",)


@dataclass(slots=True)
class Stream:
    """The newest times of some events, sorted; and beside them the values features attach."""

    events: Events
    scope: int | None
    """index of the enter/exit segment that owns it; None: shared"""
    since: Events | None = None
    """emptied by these events (features that keep `since` something)"""
    keep: int = 0
    """how many newest entries answer every leaf exactly"""
    values: list[str] = field(default_factory=list)
    """property names whose values are kept beside the times"""
    slot: int = -1
    """index into the state of the list of times; the values' lists follow it"""
    folded: bool = False
    """late events are folded in by replay, not by a sorted insert"""


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


Leaf = Threshold | Pattern


@dataclass(slots=True)
class LeafTable:
    """All leaves of a rule set, each once."""

    streams: list[Stream] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)

    def stream(self, events: Events, scope: int | None, since: Events | None = None) -> int:
        """Index of the stream of these events, made if it is new."""
        for i, known in enumerate(self.streams):
            if (known.events, known.scope, known.since) == (events, scope, since):
                return i
        self.streams.append(Stream(events, scope, since))
        return len(self.streams) - 1

    def leaf(self, leaf: Leaf) -> int:
        """Index of the leaf, made if it is new."""
        if leaf not in self.leaves:
            self.leaves.append(leaf)
        return self.leaves.index(leaf)

    def threshold(self, count: Count, n: int, scope: int | None) -> Expression:
        """`count(E) >= n` as an expression."""
        if n <= 0:
            return TRUE
        i = self.stream(count.events, scope)
        self.streams[i].keep = max(self.streams[i].keep, n)
        return ("leaf", self.leaf(Threshold(i, n, count.window_ms)))

    def feature(self, feature: Feature) -> tuple[int, int]:
        """(stream, which of its values) that keeps the feature."""
        i = self.stream(feature.events, None, feature.since)
        stream = self.streams[i]
        stream.keep = max(stream.keep, feature.keep)
        if feature.field not in stream.values:
            stream.values.append(feature.field)
        return i, stream.values.index(feature.field)

    def expression(self, condition: Condition, scope: int | None, segments: dict[str, int]) -> Expression:
        """A condition as an expression over leaves and segments; registers the leaves."""
        match condition:
            case Count():
                return self._count(condition, scope)
            case Absence(first, missing, within_ms, restarting_on):
                return ("leaf", self.leaf(Pattern(first, missing, within_ms, restarting_on, scope)))
            case InSegment(name):
                return ("segment", segments[name])
            case Not(item):
                return _not(self.expression(item, scope, segments))
            case And(items):
                return ("and", tuple(self.expression(i, scope, segments) for i in items))
            case Or(items):
                return ("or", tuple(self.expression(i, scope, segments) for i in items))
        raise AssertionError(condition)

    def _count(self, c: Count, scope: int | None) -> Expression:
        def at_least(n: int) -> Expression:
            return self.threshold(c, n, scope)

        match c.op:
            case ">=":
                return at_least(c.n)
            case ">":
                return at_least(c.n + 1)
            case "<":
                return _not(at_least(c.n))
            case "<=":
                return _not(at_least(c.n + 1))
            case "=":
                return _and(at_least(c.n), _not(at_least(c.n + 1)))
            case "!=":
                return _not(_and(at_least(c.n), _not(at_least(c.n + 1))))
            case "between":
                assert c.upper is not None
                return _and(at_least(c.n), _not(at_least(c.upper + 1)))


def _not(e: Expression) -> Expression:
    return e[1] if e[0] == "not" else ("not", e)


def _and(a: Expression, b: Expression) -> Expression:
    return b if a == TRUE else ("and", (a, b))


def leaves_of(e: Expression) -> set[int]:
    """Leaf numbers in an expression."""
    return _collect(e, "leaf")


def segments_of(e: Expression) -> set[int]:
    """Segment numbers in an expression."""
    return _collect(e, "segment")


def _collect(e: Expression, what: str) -> set[int]:
    if e[0] == what:
        return {e[1]}  # type: ignore[arg-type,misc]
    if e[0] == "not":
        return _collect(e[1], what)
    if e[0] in ("and", "or"):
        return set().union(*(_collect(x, what) for x in e[1]))
    return set()
