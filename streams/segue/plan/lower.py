"""From conditions to leaves: which evidence each one reads, and how it becomes bits.

Counts are boolean forms of thresholds (`< n` is not `>= n`, `= n` is `>= n` and not `>= n + 1`), so they share their
state and have one way to be right. What a leaf looks back to decides its evidence: a sliding window needs entries
with their times, everything else a total. Traits, scores and consents are the newest values of the events that state
them, and nothing more is known of them here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from segue.catalog import Catalog
from segue.limits import DURATION_MS
from segue.plan.evidence import Stream, Total, TotalKind
from segue.plan.expression import TRUE, Expression, both, negation
from segue.plan.leaves import (
    Follow,
    Granted,
    Held,
    Leaf,
    Pattern,
    Share,
    Threshold,
    Totalled,
    Windowed,
)
from segue.rules import canonical, tree

LeafCondition = (
    tree.Count
    | tree.Aggregate
    | tree.Pick
    | tree.First
    | tree.Sequence
    | tree.Absence
    | tree.Trait
    | tree.Consents
    | tree.Bucket
)
_DAY_MS = 86_400_000
_CALENDAR_MS = {"day": 26 * 3_600_000, "week": 7 * _DAY_MS + 2 * 3_600_000}
"""the longest day and week there are, and a little"""
_TOTALS: dict[str, TotalKind] = {"sum": "sum", "avg": "sum", "min": "min", "max": "max", "distinct": "distinct"}


@dataclass(slots=True)
class LeafTable:
    """All leaves of a rule set and the evidence they read, each once."""

    catalog: Catalog
    streams: list[Stream] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    conditions: list[tree.Condition] = field(default_factory=list)
    """per leaf: itself as a condition, as it could be written in a rule"""
    _known_streams: dict[object, int] = field(default_factory=dict)
    _known_totals: dict[object, int] = field(default_factory=dict)
    _known_leaves: dict[Leaf, int] = field(default_factory=dict)

    # --- evidence

    def evidence(self) -> list[Stream | Total]:
        """The streams, then the totals."""
        return [*self.streams, *self.totals]

    def stream(
        self, events: tree.Events, scope: int | None, since: tree.Events | None, keep: int, horizon_ms: int = 0,
        value: str | None = None,
    ) -> int:
        """Index of the stream of these events, made if it is new, widened to what is asked of it."""
        i = self._known_streams.setdefault((events, scope, since), len(self.streams))
        if i == len(self.streams):
            self.streams.append(Stream(events, scope, since))
        stream = self.streams[i]
        stream.keep = max(stream.keep, keep)
        stream.horizon_ms = max(stream.horizon_ms, horizon_ms)
        if value is not None and value not in stream.values:
            stream.values.append(value)
        return i

    def total(self, total: Total) -> int:
        """Index of the total, made if it is new."""
        i = self._known_totals.setdefault(total.key(), len(self.totals))
        if i == len(self.totals):
            self.totals.append(total)
        self.totals[i].keep = max(self.totals[i].keep, total.keep)
        return i

    def leaf(self, leaf: Leaf, condition: tree.Condition) -> Expression:
        """The leaf as an expression, made if it is new; and what it says."""
        i = self._known_leaves.setdefault(leaf, len(self.leaves))
        if i == len(self.leaves):
            self.leaves.append(leaf)
            self.conditions.append(condition)
        return ("leaf", i)

    def feature(self, feature: tree.Feature) -> tuple[int, int]:
        """(stream, which of its values) that keeps the feature."""
        since = None if feature.since is None else canonical.normalised_events(feature.since)
        i = self.stream(canonical.normalised_events(feature.events), None, since, feature.keep, value=feature.field)
        return i, self.streams[i].values.index(feature.field)

    def seen(self, window_ms: int, scope: int | None) -> Expression:
        """`universe: seen in the last D`: any event at all."""
        events = tree.Events(self.catalog.event_names())
        leaf = Threshold(self.stream(events, scope, None, 1), 1, window_ms)
        return self.leaf(leaf, tree.Count(events, ">=", 1, None, tree.Last(window_ms)))

    # --- conditions

    def expression(self, condition: tree.Condition, scope: int | None, segments: dict[str, int]) -> Expression:
        """A condition as an expression over leaves and segments; registers the leaves. Of a normalised condition."""
        match condition:
            case tree.Not(item):
                return negation(self.expression(item, scope, segments))
            case tree.And(items):
                return ("and", tuple(self.expression(i, scope, segments) for i in items))
            case tree.Or(items):
                return ("or", tuple(self.expression(i, scope, segments) for i in items))
            case tree.InSegment(name):
                return ("segment", segments[name])
            case _:
                return self._leaf(condition, scope)

    def _leaf(
        self, condition: LeafCondition, scope: int | None
    ) -> Expression:
        match condition:
            case tree.Count():
                return self._count(condition, scope)
            case tree.Aggregate():
                return self._aggregate(condition, scope)
            case tree.Pick():
                return self._pick(condition, scope)
            case tree.First(events, window):
                total = self.total(Total("earliest", events, None, None))
                return self.leaf(Totalled(total, "first seen", "is known", (), window), condition)
            case tree.Sequence(first, second, within_ms, same, window):
                return self.leaf(Follow(False, first, second, within_ms, None, same, window, scope), condition)
            case tree.Absence(first, missing, within_ms, again, None, None):
                return self.leaf(Pattern(first, missing, within_ms, again, scope), condition)
            case tree.Absence(first, missing, within_ms, again, same, window):
                return self.leaf(Follow(True, first, missing, within_ms, again, same, window, scope), condition)
            case tree.Trait():
                return self._trait(condition)
            case tree.Consents():
                return self._consents(condition)
            case tree.Bucket(salt, low, high):
                return self.leaf(Share(salt, low, high), condition)
            case _:
                assert_never(condition)

    def _count(self, c: tree.Count, scope: int | None) -> Expression:
        def at_least(n: int) -> Expression:
            if n <= 0:
                return TRUE
            condition = tree.Count(c.events, ">=", n, None, c.window)
            match c.window:
                case None | tree.Last() | tree.SinceEvents():
                    since = c.window.events if isinstance(c.window, tree.SinceEvents) else None
                    window_ms = c.window.ms if isinstance(c.window, tree.Last) else None
                    return self.leaf(Threshold(self.stream(c.events, scope, since, n), n, window_ms), condition)
                case tree.Ago(far_ms=far_ms):
                    stream = self.stream(c.events, scope, None, n, far_ms)
                case _:
                    stream = self.stream(c.events, scope, None, n)
            return self.leaf(Windowed(stream, "count", None, ">=", (n,), c.window), condition)

        return _compared(c.op, c.n, c.upper, at_least)

    def _aggregate(self, a: tree.Aggregate, scope: int | None) -> Expression:
        def leaf(op: tree.Operator, *values: float | int) -> Expression:
            return self._aggregated(a, scope, op, values)

        if a.function not in ("sum", "distinct"):
            return leaf(a.op, *a.values)
        # of nothing these two are 0, so that a comparison and its opposite are each other's negation
        match a.op:
            case "<":
                return negation(leaf(">=", *a.values))
            case "<=":
                return negation(leaf(">", *a.values))
            case "!=":
                return negation(leaf("=", *a.values))
            case _:
                return leaf(a.op, *a.values)

    def _aggregated(
        self, a: tree.Aggregate, scope: int | None, op: tree.Operator, values: tuple[float | int, ...]
    ) -> Expression:
        condition = replace(a, op=op, values=values)
        match a.window:
            case None | tree.SinceTime() | tree.SinceEvents():
                total = Total(
                    _TOTALS[a.function],
                    a.events,
                    a.field,
                    scope,
                    since=a.window.events if isinstance(a.window, tree.SinceEvents) else None,
                    from_ms=a.window.at_ms if isinstance(a.window, tree.SinceTime) else None,
                    keep=int(max(values)) + 1 if a.function == "distinct" else 0,
                )
                return self.leaf(Totalled(self.total(total), a.function, op, values, None), condition)
            case _:
                stream = self._entries(a.events, scope, a.window, a.field)
                return self.leaf(Windowed(stream, a.function, a.field, op, values, a.window), condition)

    def _pick(self, p: tree.Pick, scope: int | None) -> Expression:
        since = p.window.events if isinstance(p.window, tree.SinceEvents) else None
        from_ms = p.window.at_ms if isinstance(p.window, tree.SinceTime) else None
        if p.window is None or since is not None or from_ms is not None:
            total = self.total(Total(p.which, p.events, p.field, scope, since, from_ms))
            return self.leaf(Totalled(total, p.which, p.op, p.values, None), p)
        if p.which == "last" and not isinstance(p.window, tree.Ago):
            total = self.total(Total("last", p.events, p.field, scope))
            return self.leaf(Totalled(total, "last", p.op, p.values, p.window), p)
        stream = self._entries(p.events, scope, p.window, p.field)
        return self.leaf(Windowed(stream, p.which, p.field, p.op, p.values, p.window), p)

    def _entries(self, events: tree.Events, scope: int | None, window: tree.Window | None, value: str) -> int:
        """The stream of all entries of a window, with their values."""
        match window:
            case tree.Last(ms):
                return self.stream(events, scope, None, 1, ms, value)
            case tree.Ago(far_ms=far_ms):
                return self.stream(events, scope, None, 1, far_ms, value)
            case tree.Calendar(unit):
                return self.stream(events, scope, None, 1, _CALENDAR_MS[unit], value)
            case tree.Session():
                return self.stream(events, scope, None, 1, DURATION_MS, value)  # a session may last
        raise AssertionError(window)

    # --- what was stated about the person

    def _trait(self, t: tree.Trait) -> Expression:
        events, value = stating(t, self.catalog)
        if t.held_ms is not None:
            return self.leaf(Held(events, value, t.op, t.values, t.held_ms), t)
        total = self.total(Total("last", events, value, None))
        return self.leaf(Totalled(total, "last", t.op, t.values, None), t)

    def _consents(self, c: tree.Consents) -> Expression:
        p = self.catalog.profile
        assert p.consent_event is not None

        def decisions(granted: bool) -> int:
            decided = tree.AllOf(
                (
                    tree.Compare(p.consent_granted, "=", (granted,)),
                    tree.Compare(p.consent_purpose, "=", (c.purpose,)),
                )
            )
            assert p.consent_event is not None
            return self.total(Total("last", tree.Events((p.consent_event,), decided), None, None))

        return self.leaf(Granted(decisions(True), decisions(False)), c)


def stating(t: tree.Trait, catalog: Catalog) -> tuple[tree.Events, str]:
    """The events that state a trait or score, and the field that holds its value."""
    p = catalog.profile
    if t.kind == "trait":
        return tree.Events(p.trait_events, tree.Compare(t.name, "is known", ())), t.name
    assert p.score_event is not None
    where = (tree.Compare(p.score_name, "=", (t.name,)), tree.Compare(p.score, "is known", ()))
    return tree.Events((p.score_event,), tree.AllOf(where)), p.score


def _compared(op: str, n: int, upper: int | None, at_least: Callable[[int], Expression]) -> Expression:
    match op:
        case ">=":
            return at_least(n)
        case ">":
            return at_least(n + 1)
        case "<":
            return negation(at_least(n))
        case "<=":
            return negation(at_least(n + 1))
        case "=":
            return both(at_least(n), negation(at_least(n + 1)))
        case "!=":
            return negation(both(at_least(n), negation(at_least(n + 1))))
        case _:
            assert upper is not None
            return both(at_least(n), negation(at_least(upper + 1)))
