"""Histories and rules that Hypothesis makes up: bursts, ties, idle stretches, several persons; every leaf and window.

Values are few and durations small and often equal, so that things happen, and happen together. Only rules that the
checks accept are made.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

from hypothesis import strategies as st
from tests.streams.engine.oracle import Event
from tests.streams.engine.oracle_leaves import compares
from tests.streams.engine.world import CATALOG, DAY, HOUR, MINUTE, T0

from segue.rules import tree as t

PERSONS = [b"ada", b"bob"]
DURATIONS = [MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR]
NAMES = {1: ["view", "add", "remove", "buy", "idle"], 2: ["open", "click", "view"]}

CLOCKS_BACK = 1_792_890_000_000
"""2026-10-25 01:00 UTC: Paris has a day of 25 hours that began at 22:00 UTC and ends, with its week, at 23:00 UTC"""
STARTS = [T0, CLOCKS_BACK - 4 * HOUR, CLOCKS_BACK - 30 * MINUTE, CLOCKS_BACK + 21 * HOUR]
ZONES = ["Europe/Paris", "America/New_York", "Asia/Kolkata"]
INSTANTS = [x + more for x in STARTS for more in (0, 30 * MINUTE, 3 * HOUR)]
BURSTS = [0, 0, 0, 1, 1_000, MINUTE, MINUTE - 1, 5 * MINUTE, 5 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, HOUR, 3 * HOUR]
TIES = [0, 0, 0, 0, MINUTE, 5 * MINUTE]
IDLE = [9 * HOUR, DAY, DAY + HOUR, 8 * DAY]
ITEMS = [None, "a", "b", "a"]
PRICES = [None, 9.5, 20.0, 0.1, 9.5, 0.0, 1e16, -1e16]


def weighed(*some: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of the strategies, each as often as its weight says (`one_of` has its own mind about that)."""
    table = [strategy for weight, strategy in some for _ in range(weight)]
    return st.integers(0, len(table) - 1).flatmap(lambda i: table[i])


# --- histories

EMPTY = {"plan": None, "age": None, "score_name": None, "score": None, "purpose": None, "granted": None}


def _shopping(order: int, names: list[str]) -> st.SearchStrategy[tuple[int, str, dict[str, Any]]]:
    fields = st.fixed_dictionaries({"item": st.sampled_from(ITEMS), "price": st.sampled_from(PRICES)})
    return st.tuples(st.just(order), st.sampled_from(names), fields)


def _stated(name: str, **values: list[Any]) -> st.SearchStrategy[tuple[int, str, dict[str, Any]]]:
    fields = {"item": st.sampled_from([None, None, "a"])} | {k: st.sampled_from(v) for k, v in values.items()}
    return st.tuples(st.just(3), st.just(name), st.fixed_dictionaries(fields).map(lambda f: EMPTY | f))


SHOPPING = weighed((5, _shopping(1, ["view", "add", "buy"])), (1, _shopping(2, ["view"])))
STATING = weighed(
    (2, _stated("identify", plan=[None, "a", "b", "a"], age=[None, 20.0, 30.0])),
    (2, _stated("score_updated", score_name=["p", "q", None, "p"], score=[None, 0.2, 0.9, 0.9])),
    (2, _stated("consent_updated", purpose=["m", "n", None, "m"], granted=[None, True, True, False])),
)
OF_ALL_KINDS = weighed((6, _shopping(1, NAMES[1])), (2, _shopping(2, NAMES[2])), (6, STATING))
WHOSE = st.sampled_from([*PERSONS, PERSONS[0]])
HAPPENINGS = {"shopping": SHOPPING, "stating": STATING, "all": OF_ALL_KINDS}
STEPS = {
    (kind, pace): st.tuples(st.sampled_from(gaps), happening)
    for kind, happening in HAPPENINGS.items()
    for pace, gaps in enumerate([BURSTS, BURSTS * 2 + IDLE, TIES])
}


@st.composite
def histories(
    draw: st.DrawFn,
    max_size: int = 25,
    min_size: int = 0,
    whose: st.SearchStrategy[bytes] = WHOSE,
    kinds: tuple[str, ...] = ("shopping", "all", "all"),
) -> list[tuple[bytes, Event]]:
    """(person, event) in the order of time; gaps favour ties and the durations the rules use."""
    now, offsets, out = draw(st.sampled_from(STARTS)), {1: 0, 2: 0, 3: 0}, []
    steps = STEPS[draw(st.sampled_from(kinds)), draw(st.integers(0, 2))]
    size = draw(st.integers(min_size, max_size - 5))
    for gap, (order, name, fields) in draw(st.lists(steps, min_size=size, max_size=max_size)):
        person = draw(whose)
        now += gap
        out.append((person, Event(now, order, offsets[order], name, tuple(fields.items()))))
        offsets[order] += 1
    return out


# --- events and windows


VIEW, ADD, BUY = (t.Events((n,)) for n in ("view", "add", "buy"))


def _compare(name: str, ops: list[str], *values: tuple[Any, ...]) -> st.SearchStrategy[t.Compare]:
    return st.builds(t.Compare, st.just(name), st.sampled_from(ops), st.sampled_from(values))


SAME, ORDERED, AMONG = ["=", "!="], [">", ">=", "<", "<="], ["in", "not in"]
ITEM_TESTS = st.one_of(
    _compare("item", SAME, ("a",), ("b",)),
    _compare("item", AMONG, ("a", "z"), ("a", "b")),
    _compare("item", ["contains", "starts with", "="], ("a",), ("",)),
    _compare("item", ["is known"], ()),
)
PRICE_TESTS = st.one_of(
    _compare("price", ORDERED, (9.5,), (10,), (0,)),
    _compare("price", SAME, (9.5,), (0,), (0.1,)),
    _compare("price", AMONG, (0, 20), (9.5,)),
    _compare("price", ["is known"], ()),
)
STATED_TESTS = {
    "identify": st.one_of(_compare("plan", SAME, ("a",)), _compare("age", ORDERED, (20,), (30,))),
    "score_updated": _compare("score_name", SAME, ("p",)),
    "consent_updated": _compare("granted", SAME, (True,), (False,)),
}


def filters(one: st.SearchStrategy[t.Compare]) -> st.SearchStrategy[t.Filter | None]:
    many = st.lists(one, min_size=2, max_size=2).map(tuple)
    return weighed(
        (9, st.none()),
        (3, one),
        (1, st.builds(t.AllOf, many)),
        (1, st.builds(t.AnyOf, many)),
        (1, st.builds(t.NoneOf, one)),
    )


@functools.cache
def events(*names: str) -> st.SearchStrategy[t.Events]:
    """Of these names; of none: mostly what people do, now and then what is stated of them, which is an event as well."""
    known = sorted({*NAMES[1], *NAMES[2]}) if not names else list(names)
    some = st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True).map(lambda n: tuple(sorted(n)))
    acts = st.builds(t.Events, some, filters(st.one_of(ITEM_TESTS, PRICE_TESTS)))
    if names:
        return acts
    stated = [st.builds(t.Events, st.just((n,)), filters(one)) for n, one in STATED_TESTS.items()]
    mixed = st.sampled_from([t.Events(("add", "identify")), t.Events(CATALOG.event_names())])
    return weighed((6, acts), (1, st.one_of(stated)), (1, mixed))


@functools.cache
def times() -> st.SearchStrategy[t.Window | None]:
    """Windows made of times alone: all that Sequence, Absence and First take."""
    ago = st.sampled_from([(a, b) for a in DURATIONS for b in DURATIONS if a < b])
    calendar = st.builds(t.Calendar, st.sampled_from(["day", "day", "week"]), st.sampled_from(ZONES))
    return weighed(
        (2, st.none()),
        (4, st.builds(t.Last, st.sampled_from(DURATIONS))),
        (2, ago.map(lambda pair: t.Ago(*pair))),
        (1, st.builds(t.SinceTime, st.sampled_from(INSTANTS))),
        (2, calendar),
    )


@functools.cache
def windows() -> st.SearchStrategy[t.Window | None]:
    session = st.builds(t.Session, st.sampled_from(DURATIONS))
    return weighed((4, times()), (1, st.builds(t.SinceEvents, events())), (1, session))


# --- leaves

NUMBERS = [">=", ">", "=", "!=", "<", "<="]


@functools.cache
def counts() -> st.SearchStrategy[t.Condition]:
    plain = st.builds(t.Count, events(), st.sampled_from(NUMBERS), st.sampled_from([1, 1, 2, 3]), st.none(), windows())
    none = st.builds(t.Count, events(), st.sampled_from(["=", "<=", ">", "!="]), st.just(0), st.none(), windows())
    between = st.builds(lambda e, n, w: t.Count(e, "between", n, n + 1, w), events(), st.integers(0, 2), windows())
    return weighed((4, plain), (1, between), (1, none))


@functools.cache
def aggregates() -> st.SearchStrategy[t.Condition]:
    def of(functions: list[str], fields: list[str], bounds: list[float]) -> st.SearchStrategy[t.Condition]:
        head = (st.sampled_from(functions), events("view", "add", "buy"), st.sampled_from(fields))
        one = st.tuples(st.sampled_from(bounds))
        two = st.tuples(st.sampled_from(bounds), st.sampled_from(bounds)).map(lambda pair: tuple(sorted(pair)))
        return st.one_of(
            st.builds(t.Aggregate, *head, st.sampled_from(NUMBERS), one, windows()),
            st.builds(t.Aggregate, *head, st.just("between"), two, windows()),
        )

    return st.one_of(
        of(["sum", "avg"], ["price"], [0, 0.1, 9.5, 10, 20.1, 29.5, 1e16]),
        of(["min", "max"], ["price"], [0, 9.5, 10, 20]),
        of(["distinct"], ["item", "price"], [1, 2, 3]),
    )


@functools.cache
def picks() -> st.SearchStrategy[t.Condition]:
    def pick(which: Literal["last", "first"], e: t.Events, c: t.Compare, w: t.Window | None) -> t.Condition:
        return t.Pick(which, e, c.field, c.op, c.values, w)

    some = events("view", "add", "buy", "open")
    return st.builds(pick, st.sampled_from(["last", "first"]), some, st.one_of(ITEM_TESTS, PRICE_TESTS), windows())


@functools.cache
def patterns() -> st.SearchStrategy[t.Condition]:
    same = st.sampled_from([None, None, "item", "price"])
    within = st.sampled_from([*DURATIONS, 3 * HOUR])
    again = st.one_of(st.none(), events("remove", "view"))
    carts, ends = events("add", "view"), events("buy", "add")
    whole = st.sampled_from([(VIEW, ADD), (ADD, BUY), (VIEW, BUY), (VIEW, VIEW)])
    return weighed(
        (1, st.builds(t.Sequence, events(), events(), within, same, times())),
        (1, st.builds(t.Sequence, carts, ends, within, same, times())),
        (2, st.builds(lambda ab, *more: t.Sequence(*ab, *more), whole, st.sampled_from(DURATIONS[2:]), same, times())),
        (1, st.builds(t.Absence, events(), events(), within, again, same, times())),
        (3, st.builds(t.Absence, carts, ends, within, again, same, times())),
    )


@functools.cache
def stated() -> st.SearchStrategy[t.Condition]:
    def trait(kind: Literal["trait", "score"], c: t.Compare, held_ms: int | None) -> t.Condition:
        return t.Trait(kind, c.field, c.op, c.values, held_ms)

    held = st.one_of(st.none(), st.sampled_from(DURATIONS))
    traits = st.one_of(
        _compare("plan", [*SAME, "contains", "starts with"], ("a",), ("b",)),
        _compare("plan", AMONG, ("a", "z")),
        _compare("age", [*SAME, *ORDERED], (20,), (25,)),
        _compare("age", ["is known"], ()),
    )
    scores = st.one_of(_compare("p", [*SAME, *ORDERED], (0.2,), (0.5,)), _compare("q", ["is known"], ()))
    return st.one_of(
        st.builds(trait, st.just("trait"), traits, held),
        st.builds(trait, st.just("score"), scores, held),
        st.builds(t.Consents, st.sampled_from(["m", "n"])),
    )


@functools.cache
def buckets() -> st.SearchStrategy[t.Condition]:
    bounds = st.sampled_from([(0.0, 10.0), (0.0, 50.0), (50.0, 100.0), (10.0, 90.0)])
    return st.builds(lambda salt, pair: t.Bucket(salt, *pair), st.sampled_from(["x", "y", "z", ""]), bounds)


@functools.cache
def leaves(segments: tuple[str, ...]) -> st.SearchStrategy[t.Condition]:
    firsts = st.builds(t.First, events(), times())
    named = st.builds(t.InSegment, st.sampled_from(segments)) if segments else st.nothing()
    return weighed(
        (4, counts()),
        (2, aggregates()),
        (2, picks()),
        (5, patterns()),
        (1, firsts),
        (4, stated()),
        (1, buckets()),
        (4 if segments else 0, named),
    )


# --- rules


@functools.cache
def conditions(segments: tuple[str, ...]) -> st.SearchStrategy[t.Condition]:
    return st.recursive(
        leaves(segments),
        lambda inner: st.one_of(
            st.builds(t.Not, inner),
            st.builds(t.And, st.lists(inner, min_size=2, max_size=2).map(tuple)),
            st.builds(t.Or, st.lists(inner, min_size=2, max_size=2).map(tuple)),
        ),
        max_leaves=3,
    )


def true_of_nobody(c: t.Condition) -> bool:
    """Whether the condition can hold over an empty history (such rules need a universe)."""
    return True in _answers(c)


def _answers(c: t.Condition) -> set[bool]:
    """What the condition can say of people without events: a bucket says this of some and that of others."""
    match c:
        case t.And(items):
            return {all(answers) for answers in _product(items)}
        case t.Or(items):
            return {any(answers) for answers in _product(items)}
        case t.Not(item):
            return {not answer for answer in _answers(item)}
        case t.Count(_, op, n, upper):
            return {compares(0, op, (n, upper))}
        case t.Aggregate("sum" | "distinct", _, _, op, values):
            return {compares(0, op, values)}
        case t.Bucket():
            return {False, True}
    return {False}


def _product(items: tuple[t.Condition, ...]) -> list[list[bool]]:
    out: list[list[bool]] = [[]]
    for item in items:
        out = [[*known, answer] for known in out for answer in _answers(item)]
    return out


FEATURES = (
    t.Feature("recent_items", 3, t.Events(("view",)), "item", HOUR),
    t.Feature("cart", 4, t.Events(("add",)), "item", None, t.Events(("buy",))),
)


@st.composite
def rule_sets(draw: st.DrawFn) -> t.RuleSet:
    """One to three segments, the later ones free to name the earlier."""
    out: list[t.Segment] = []
    for i in range(draw(st.integers(1, 3))):
        name, names = f"segment_{i}", tuple(s.name for s in out)
        universe = draw(st.sampled_from([None, None, None, HOUR, 3 * HOUR]))
        some = conditions(names)
        condition = draw(some if universe else some.filter(lambda c: not true_of_nobody(c)))
        attach = draw(st.sampled_from([(), ("recent_items",), ("cart", "recent_items")]))
        if draw(st.booleans()):
            out.append(t.Segment(name, when=condition, attach=attach, universe_ms=universe))
        else:
            exits = tuple(draw(st.lists(events(), max_size=2)))
            after = draw(st.sampled_from([None, *DURATIONS])) if exits else draw(st.sampled_from(DURATIONS))
            out.append(
                t.Segment(
                    name,
                    enter=condition,
                    exit_events=exits,
                    exit_after_ms=after,
                    attach=attach,
                    universe_ms=universe,
                )
            )
    return t.RuleSet(tuple(out), FEATURES)


TOPICS = [
    (leaves(()), "all"),
    (counts(), "all"),
    (patterns(), "shopping"),
    (aggregates(), "shopping"),
    (picks(), "shopping"),
    (stated(), "stating"),
]


@st.composite
def leaves_and_histories(draw: st.DrawFn) -> tuple[t.RuleSet, list[tuple[bytes, Event]]]:
    """Six segments of one leaf each, so that nothing hides what a leaf says, and a history in which it has much to say."""
    some, kind = draw(st.sampled_from(TOPICS))
    segments = tuple(
        t.Segment(f"segment_{i}", when=leaf, universe_ms=3 * HOUR if true_of_nobody(leaf) else None)
        for i, leaf in enumerate(draw(st.lists(some, min_size=6, max_size=6)))
    )
    return t.RuleSet(segments, ()), draw(histories(kinds=(kind,)))
