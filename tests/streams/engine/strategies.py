"""Histories and rules that Hypothesis makes up: bursts, ties, idle stretches, several persons."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.streams.engine.driving import CATALOG, HOUR, MINUTE, T0
from tests.streams.engine.oracle import Event

from segue.rules import tree as t

PERSONS = [b"ada", b"bob"]
DURATIONS = [MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR]
NAMES = {1: ["view", "add", "remove", "buy", "idle"], 2: ["open", "click", "view"]}


@st.composite
def histories(draw: st.DrawFn, max_size: int = 25) -> list[tuple[bytes, Event]]:
    """(person, event) in the order of time; gaps favour ties and the durations the rules use."""
    now, offsets, out = T0, {1: 0, 2: 0}, []
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [0, 0, 1, 1_000, MINUTE, MINUTE - 1, 5 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, HOUR, 3 * HOUR]
                ),
                st.sampled_from([1, 1, 1, 2]),
                st.integers(0, 4),
                st.sampled_from(PERSONS),
                st.sampled_from([None, "a", "b"]),
                st.sampled_from([None, 0.0, 9.5, 20.0]),
            ),
            max_size=max_size,
        )
    )
    for gap, order, which, person, item, price in steps:
        now += gap
        name = NAMES[order][which % len(NAMES[order])]
        out.append((person, Event(now, order, offsets[order], name, (("item", item), ("price", price)))))
        offsets[order] += 1
    return out


def filters() -> st.SearchStrategy[t.Filter | None]:
    one = st.one_of(
        st.builds(t.Compare, st.just("item"), st.sampled_from(["=", "!="]), st.tuples(st.sampled_from(["a", "b"]))),
        st.builds(t.Compare, st.just("item"), st.sampled_from(["in", "not in"]), st.just(("a", "z"))),
        st.builds(
            t.Compare,
            st.just("price"),
            st.sampled_from([">", ">=", "<", "<=", "="]),
            st.tuples(st.sampled_from([9.5, 10])),
        ),
        st.just(t.Compare("price", "is known", ())),
    )
    many = st.lists(one, min_size=2, max_size=2).map(tuple)
    return st.one_of(
        st.none(), st.none(), one, st.builds(t.AllOf, many), st.builds(t.AnyOf, many), st.builds(t.NoneOf, one)
    )


def events(names: list[str] | None = None) -> st.SearchStrategy[t.Events]:
    known = list(CATALOG.event_names()) if names is None else names
    some = st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True).map(lambda n: tuple(sorted(n)))
    return st.builds(t.Events, some, filters())


def counts() -> st.SearchStrategy[t.Condition]:
    window = st.one_of(st.none(), st.sampled_from(DURATIONS))
    plain = st.builds(
        t.Count, events(), st.sampled_from([">=", ">", "=", "!=", "<", "<="]), st.integers(1, 3), st.none(), window
    )
    between = st.builds(lambda e, n, w: t.Count(e, "between", n, n + 1, w), events(), st.integers(1, 2), window)
    return st.one_of(plain, plain, between)


def conditions(segments: list[str]) -> st.SearchStrategy[t.Condition]:
    absence = st.builds(t.Absence, events(), events(), st.sampled_from(DURATIONS), st.one_of(st.none(), events()))
    leaves: list[st.SearchStrategy[t.Condition]] = [counts(), absence]
    if segments:
        leaves.append(st.builds(t.InSegment, st.sampled_from(segments)))
    return st.recursive(
        st.one_of(leaves),
        lambda inner: st.one_of(
            st.builds(t.Not, inner),
            st.builds(t.And, st.lists(inner, min_size=2, max_size=2).map(tuple)),
            st.builds(t.Or, st.lists(inner, min_size=2, max_size=2).map(tuple)),
        ),
        max_leaves=3,
    )


def true_of_nobody(c: t.Condition) -> bool:
    """Whether the condition holds over an empty history (such rules are refused, so none is made here)."""
    match c:
        case t.And(items):
            return all(map(true_of_nobody, items))
        case t.Or(items):
            return any(map(true_of_nobody, items))
        case t.Not(item):
            return not true_of_nobody(item)
        case t.Count(_, op, n):
            return {"<": True, "<=": True, "!=": True}.get(op, False) and n > 0
    return False


FEATURES = (
    t.Feature("recent_items", 3, t.Events(("view",)), "item", HOUR),
    t.Feature("cart", 4, t.Events(("add",)), "item", None, t.Events(("buy",))),
)


@st.composite
def rule_sets(draw: st.DrawFn) -> t.RuleSet:
    """One to three segments, the later ones free to name the earlier."""
    out: list[t.Segment] = []
    for i in range(draw(st.integers(1, 3))):
        names = [s.name for s in out]
        condition = draw(conditions(names).filter(lambda c: not true_of_nobody(c)))
        attach = draw(st.sampled_from([(), ("recent_items",), ("cart", "recent_items")]))
        if draw(st.booleans()):
            out.append(t.Segment(f"segment_{i}", when=condition, attach=attach))
        else:
            exits = tuple(draw(st.lists(events(), max_size=2)))
            after = draw(st.sampled_from([None, *DURATIONS])) if exits else draw(st.sampled_from(DURATIONS))
            out.append(
                t.Segment(f"segment_{i}", enter=condition, exit_events=exits, exit_after_ms=after, attach=attach)
            )
    return t.RuleSet(tuple(out), FEATURES)
