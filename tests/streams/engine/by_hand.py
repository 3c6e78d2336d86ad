"""Rules, histories and their answers as one writes them by hand: times are minutes after T0, the person is ada."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.streams.engine.driving import Run
from tests.streams.engine.oracle import Event, Oracle
from tests.streams.engine.world import CATALOG, MINUTE, T0

from segue.rules import tree as t

VIEW, ADD, BUY, REMOVE = (t.Events((n,)) for n in ("view", "add", "buy", "remove"))
A_ITEMS = t.Events(("view",), t.Compare("item", "=", ("a",)))
TEN, THIRTY = 10 * MINUTE, 30 * MINUTE
LAST_TEN = t.Last(TEN)
MS = 1 / MINUTE
"""a millisecond, in minutes"""
IDENTIFY, SCORE, CONSENT = "identify", "score_updated", "consent_updated"
Happening = tuple[float, str, dict[str, Any]] | tuple[float, str]
Change = tuple[str, bool, int]


@dataclass(frozen=True)
class Case:
    """A condition, the events, and when it changes: true from the first time to the second, from the third on ..."""

    claim: str
    condition: t.Condition
    history: list[Happening]
    changes: list[float]


def at(minutes: float, start: int = T0) -> int:
    return start + round(minutes * MINUTE)


def events_of(history: list[Happening], start: int = T0) -> list[Event]:
    order = {IDENTIFY: 3, SCORE: 3, CONSENT: 3, "open": 2, "click": 2}
    return [
        Event(at(h[0], start), order.get(h[1], 1), i, h[1], tuple(h[2].items()) if len(h) == 3 else ())
        for i, h in enumerate(history)
    ]


def changes_of(rules: t.RuleSet, history: list[Happening], until: float, start: int = T0) -> list[Change]:
    """(segment, entered, at), by the oracle."""
    return Oracle(rules, CATALOG.profile).changes(events_of(history, start), at(until, start), b"ada")


def engine_changes_of(rules: t.RuleSet, history: list[Happening], until: float, start: int = T0) -> list[Change]:
    """The same by the engine."""
    run = Run(rules)
    run.feed([(b"ada", e) for e in events_of(history, start)])
    run.let_time_pass(at(until, start))
    return run.of(b"ada")


def flips_of(segment: t.Segment, history: list[Happening], until: float = 20_000, start: int = T0) -> list[int]:
    return [when for _, _, when in changes_of(t.RuleSet((segment,), ()), history, until, start)]


def engine_flips_of(segment: t.Segment, history: list[Happening], until: float = 20_000, start: int = T0) -> list[int]:
    return [when for _, _, when in engine_changes_of(t.RuleSet((segment,), ()), history, until, start)]


# --- conditions


def count(n: int, window: t.Window | None = None, op: t.Operator = ">=", events: t.Events = VIEW) -> t.Condition:
    return t.Count(events, op, n, None, window)


def about(function: t.AggregateFunction, op: t.Operator, *values: float, window: t.Window | None = None) -> t.Condition:
    return t.Aggregate(function, VIEW, "item" if function == "distinct" else "price", op, values, window)


def pick(which: Any, op: t.FieldOperator, *values: Any, window: t.Window | None = None) -> t.Condition:
    return t.Pick(which, VIEW, "price", op, values, window)


def then(within_ms: int = TEN, same: str | None = None, window: t.Window | None = None) -> t.Condition:
    return t.Sequence(ADD, BUY, within_ms, same, window)


def no_buy(same: str | None = None, window: t.Window | None = None, again: t.Events | None = None) -> t.Condition:
    return t.Absence(ADD, BUY, TEN, again, same, window)


def plan(op: t.FieldOperator, *values: Any, held: int | None = None) -> t.Condition:
    return t.Trait("trait", "plan", op, values, held)


# --- histories


def priced(*prices: tuple[float, float | None]) -> list[Happening]:
    return [(minute, "view", {"price": price}) for minute, price in prices]


def item(minute: float, name: str, value: str | None) -> Happening:
    return (minute, name, {"item": value})


def says(minute: float, **values: Any) -> Happening:
    return (minute, IDENTIFY, values)


def scored(minute: float, name: str | None, score: float | None) -> Happening:
    return (minute, SCORE, {"score_name": name, "score": score})


def decides(minute: float, purpose: str | None, granted: bool | None) -> Happening:
    return (minute, CONSENT, {"purpose": purpose, "granted": granted})
