"""Random conditions are read back as they were printed; random text is refused, never more."""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence as Several
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from segue.catalog import Catalog
from segue.errors import Problem, RuleError
from segue.rules import canonical_text, parse_rules, text_of
from segue.rules.canonical import all_filters, all_of, any_filter, any_of, leaf_key, negation, no_filter, normalised
from segue.rules.pretty import KEYWORDS
from segue.rules.tree import (
    Absence,
    Aggregate,
    Ago,
    Bucket,
    Calendar,
    Compare,
    Condition,
    Consents,
    Count,
    Events,
    Filter,
    First,
    InSegment,
    Last,
    Pick,
    Sequence,
    Session,
    SinceEvents,
    SinceTime,
    Trait,
    Window,
)

_NAMES = ("product_viewed", "product_added", "product_removed", "order_completed", "count")
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=8)
_NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_WINDOWS = st.integers(1, 10**9) | st.sampled_from([60_000, 86_400_000, 7 * 86_400_000])


def _compares() -> st.SearchStrategy[Filter]:
    return st.one_of(
        st.builds(Compare, st.just("price"), st.sampled_from([">=", ">", "=", "!=", "<", "<="]), st.tuples(_NUMBERS)),
        st.builds(Compare, st.just("category"), st.sampled_from(["=", "!=", "contains", "starts with"]), st.tuples(_TEXTS)),
        st.builds(
            Compare,
            st.just("category"),
            st.sampled_from(["in", "not in"]),
            st.lists(_TEXTS, min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Compare, st.just("gift"), st.just("="), st.tuples(st.booleans())),
        st.builds(Compare, st.sampled_from(["images", "gift", "price"]), st.just("is known"), st.just(())),
    )


_FILTERS: st.SearchStrategy[Filter] = st.recursive(
    _compares(),
    lambda inner: st.one_of(
        inner.map(no_filter),
        st.lists(inner, min_size=2, max_size=3).map(all_filters),
        st.lists(inner, min_size=2, max_size=3).map(any_filter),
    ),
    max_leaves=4,
)
_EVENTS = st.builds(
    Events,
    st.sets(st.sampled_from(_NAMES), min_size=1, max_size=3).map(lambda n: tuple(sorted(n))),
    st.none() | _FILTERS,
)


_SPANS = st.tuples(_WINDOWS, _WINDOWS).filter(lambda ab: ab[0] != ab[1]).map(lambda ab: Ago(*sorted(ab)))
_FIXED: st.SearchStrategy[Window | None] = st.one_of(
    st.none(),
    st.builds(Last, _WINDOWS),
    _SPANS,
    st.builds(SinceTime, st.integers(0, 4_102_444_799_999) | st.integers(0, 47_481).map(lambda day: day * 86_400_000)),
    st.builds(Calendar, st.sampled_from(["day", "week"]), st.sampled_from(["UTC", "Europe/Paris", "Etc/GMT+5"])),
)
_ANY_WINDOW = _FIXED | st.builds(SinceEvents, _EVENTS) | st.builds(Session, _WINDOWS)
_COUNTED = [">=", "<", ">", "=", "!=", "<="]
_FIELDS = st.sampled_from([None, "product_id", "category", "price", "gift"])
_SHARES = st.integers(0, 100) | st.floats(0, 100, allow_nan=False)


def _tests() -> st.SearchStrategy[tuple[str, str, tuple[Any, ...]]]:
    """(field, operator, values) that go together."""
    return _compares().map(lambda c: (c.field, c.op, c.values))  # type: ignore[union-attr]  # Compare, all of them


def _traits() -> st.SearchStrategy[Condition]:
    names = {"price": "age", "category": "plan", "gift": "member", "images": "badges"}
    held = st.none() | _WINDOWS
    return st.one_of(
        st.builds(lambda t, h: Trait("trait", names[t[0]], t[1], t[2], h), _tests(), held),
        st.builds(lambda n, v, h: Trait("score", n, ">", (v,), h), st.sampled_from(["x", "first", "of_2"]), _NUMBERS, held),
    )


def _leaves() -> st.SearchStrategy[Condition]:
    numbers = st.one_of(
        st.tuples(st.sampled_from(_COUNTED), st.tuples(_NUMBERS)),
        st.tuples(st.just("between"), st.tuples(_NUMBERS, _NUMBERS).map(lambda ab: tuple(sorted(ab)))),
    )
    return st.one_of(
        st.builds(Count, _EVENTS, st.sampled_from(_COUNTED), st.integers(1, 1000), st.none(), _ANY_WINDOW),
        st.builds(Count, _EVENTS, st.just("between"), st.integers(0, 500), st.integers(500, 1000), _ANY_WINDOW),
        st.builds(
            lambda f, e, n, w: Aggregate(f, e, "price", *n, w),
            st.sampled_from(["sum", "avg", "min", "max"]),
            _EVENTS,
            numbers,
            _ANY_WINDOW,
        ),
        st.builds(
            lambda e, f, op, n, w: Aggregate("distinct", e, f, op, (n,), w),
            _EVENTS,
            st.sampled_from(["price", "category", "gift"]),
            st.sampled_from(_COUNTED),
            st.integers(1, 1000),
            _ANY_WINDOW,
        ),
        st.builds(
            lambda which, e, t, w: Pick(which, e, *t, w), st.sampled_from(["last", "first"]), _EVENTS, _tests(), _ANY_WINDOW
        ),
        st.builds(First, _EVENTS, _FIXED),
        st.builds(Sequence, _EVENTS, _EVENTS, _WINDOWS, _FIELDS, _FIXED),
        st.builds(Absence, _EVENTS, _EVENTS, _WINDOWS, st.none() | _EVENTS, _FIELDS, _FIXED),
        _traits(),
        st.builds(Consents, _TEXTS.filter(str.strip) | st.sampled_from(["email_marketing", "to", "in"])),
        st.tuples(_TEXTS, _SHARES, _SHARES)
        .filter(lambda b: b[1] != b[2] and {b[1], b[2]} != {0, 100})
        .map(lambda b: Bucket(b[0], *sorted(b[1:]))),
        st.builds(InSegment, st.just("behavior_other")),
    )


_CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    _leaves(),
    lambda inner: st.one_of(
        inner.map(negation),
        st.lists(inner, min_size=2, max_size=3).map(all_of),
        st.lists(inner, min_size=2, max_size=3).map(any_of),
    ),
    max_leaves=5,
)


def _parsed(text: str, catalog: Catalog) -> Condition | None:
    file = (
        f"segment: segment_a\nuniverse: seen in the last 1 day\nwhen: |\n  {text}\n---\n"
        "segment: behavior_other\nwhen: did product_viewed\n"
    )
    return next(s.when for s in parse_rules([("f.yaml", file)], catalog).segments if s.name == "segment_a")


@given(condition=_CONDITIONS)
@settings(max_examples=150, deadline=None)
def test_printed_and_read_back(condition: Condition, catalog: Catalog) -> None:
    """A condition printed and parsed is the same condition; of its canonical form too, which is a fixed point."""
    assert _parsed(text_of(condition), catalog) == condition
    canonical = canonical_text(condition)
    again = _parsed(canonical, catalog)
    assert again == normalised(condition)
    assert again is not None
    assert canonical_text(again) == canonical


def _small_leaves() -> list[Condition]:
    """Leaves that differ in one thing only, whatever that is."""
    gift, dear = Compare("gift", "=", (True,)), Compare("price", ">", (3,))
    filters = [None, gift, dear, no_filter(gift), all_filters([gift, dear]), any_filter([gift, dear])]
    events = [Events((n,), f) for n in ("count", "product_viewed") for f in filters]
    events += [Events(("count", "product_viewed")), Events(("product_viewed",), Compare("price", ">", (3.5,)))]
    one, other = events[0], events[1]
    windows: list[Window | None] = [
        None,
        Last(1_000),
        Last(60_000),
        Ago(1_000, 60_000),
        Ago(2_000, 60_000),
        Ago(1_000, 61_000),
    ]
    windows += [SinceTime(0), SinceTime(1), SinceTime(1_000), Calendar("day", "UTC"), Calendar("week", "UTC")]
    windows += [Calendar("day", "Europe/Paris")]
    more = [*windows, Session(1_000), Session(60_000), SinceEvents(one), SinceEvents(other)]
    numbers = [(op, (n,)) for op in ("=", "!=", ">=", ">", "<=", "<") for n in (1, 2, 0.5)] + [("between", (1, 2))]
    found: list[Condition] = []
    found += [Count(e, op, n, None, w) for e in events for op in ("=", ">=", "<") for n in (1, 2) for w in more]  # type: ignore[arg-type]
    found += [Count(e, "between", 1, u, w) for e in events for u in (2, 3) for w in more]
    for function, (op, n), w in itertools.product(("sum", "avg", "min", "max", "distinct"), numbers, more):
        found += [Aggregate(function, e, f, op, n, w) for e in events[:3] for f in ("price", "quantity")]  # type: ignore[arg-type]
    for which, (op, n), w in itertools.product(("last", "first"), numbers[:-1], more):
        found += [Pick(which, e, f, op, n, w) for e in events[:3] for f in ("price", "quantity")]  # type: ignore[arg-type]
    found += [First(e, w) for e in events for w in windows]
    for a, b, ms, same, w in itertools.product(events[:4], events[:4], (1_000, 2_000), (None, "price", "gift"), windows):
        found += [Sequence(a, b, ms, same, w), Absence(a, b, ms, None, same, w), Absence(a, b, ms, a, same, w)]
    for op, n in numbers[:-1]:
        for name, held in itertools.product(("age", "plan"), (None, 1_000, 60_000)):
            found += [Trait("trait", name, op, n, held), Trait("score", name, op, n, held)]  # type: ignore[arg-type]
    found += [Consents(p) for p in ("a", "b", "a b", '"', "\\", '\\"')]
    found += [Bucket(s, low, high) for s in ("", "a", '"', "a b") for low in (0, 1, 50) for high in (2.5, 51, 60, 100)]
    found += [InSegment("behavior_a"), InSegment("behavior_b")]
    return found


def test_no_two_leaves_share_a_form_or_a_key() -> None:
    """Thousands of leaves that differ in one thing each have a canonical text and a key of their own."""
    leaves = _small_leaves()
    assert len(set(leaves)) == len(leaves) > 10_000
    assert {normalised(leaf) for leaf in leaves} == set(leaves)
    assert len({canonical_text(leaf) for leaf in leaves}) == len(leaves)
    assert len({leaf_key(leaf) for leaf in leaves}) == len(leaves)


@given(pair=st.lists(_leaves(), min_size=2, max_size=2))
@settings(max_examples=200, deadline=None)
def test_form_and_key_are_injective(pair: list[Condition]) -> None:
    """Two leaves have one canonical text, and one key, exactly if they are the same once normalised."""
    one, other = pair
    same = normalised(one) == normalised(other)
    assert (canonical_text(one) == canonical_text(other)) is same
    assert (leaf_key(one) == leaf_key(other)) is same
    assert leaf_key(negation(one)) == leaf_key(one)


@given(items=st.lists(_CONDITIONS, min_size=2, max_size=4), every=st.booleans(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_order_and_repetition_do_not_matter(items: list[Condition], every: bool, data: st.DataObject) -> None:
    """`a and b` and `b and a`, said twice or once, have one canonical form; so for `or`."""
    join = all_of if every else any_of
    shuffled = data.draw(st.permutations([*items, items[0]]))
    assert canonical_text(join(shuffled)) == canonical_text(join(items))


@given(text=_TEXTS.filter(str.strip) | st.text(string.printable, min_size=1).filter(lambda t: t.strip() and t.isprintable()))
@settings(max_examples=150, deadline=None)
def test_texts_stay_constants(text: str, catalog: Catalog) -> None:
    """Whatever stands between quotes is the value, the purpose or the salt, letter by letter, and nothing else."""
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    written = (
        f"did count where category = {quoted} and consents to {quoted} and bucket({quoted}) < 5% and trait.plan != {quoted}"
    )
    assert _parsed(written, catalog) == all_of(
        [
            Count(Events(("count",), Compare("category", "=", (text,))), ">=", 1),
            Consents(text),
            Bucket(text, 0, 5),
            Trait("trait", "plan", "!=", (text,)),
        ]
    )


_WORDS = st.sampled_from(
    [
        *sorted(KEYWORDS),
        *("(", ")", ".", ",", "=", ">=", "!=", "==", "<", "%", '"', "'", "\\", '"x"', "\n  "),
        *("7", "30", "days", "minutes", "-1", "1e999", "1_000", "10%", "2026-01-01", "2026-02-30T10:00", "NaN"),
        *("product_viewed", "order_completed", "price", "category", "plan", "purchase", "behavior_other"),
        *("Europe/Paris", "UTC"),
    ]
)


def _survives(text: str, catalog: Catalog) -> None:
    problems: Several[Problem] = ()
    try:
        parse_rules([("f.yaml", text)], catalog)
    except RuleError as error:
        problems = error.problems
    for problem in problems:
        assert problem.line >= 1 and problem.column >= 1 and problem.length >= 1
        assert all(c.isprintable() or c == "\n" for c in problem.render())


@given(words=st.lists(_WORDS, max_size=25), key=st.sampled_from(["when", "enter", "exit", "keep", "universe"]))
@settings(max_examples=300, deadline=None)
def test_word_salad(words: list[str], key: str, catalog: Catalog) -> None:
    """Words of the language in any order are a rule or a RuleError."""
    head = "feature: a" if key == "keep" else "segment: segment_a"
    _survives(f"{head}\n{key}: >\n  {' '.join(words)}\n", catalog)


@given(
    text=st.text(max_size=200)
    | st.text(string.printable, max_size=200)
    | st.lists(
        st.sampled_from(
            [
                "segment",
                "when",
                ": ",
                "\n",
                "---\n",
                "- ",
                "[",
                "]",
                "{",
                "}",
                "&a",
                "*a",
                "!!x ",
                "|",
                ">",
                '"',
                "'",
                "\\",
                "\\x",
                "%YAML ",
                "#",
                "\t",
                "  ",
                "? ",
                ",",
                "\x85",
                "a",
                "\u2028",
                "<<",
            ]
        ),
        max_size=40,
    ).map("".join)
)
@settings(max_examples=400, deadline=None)
def test_any_text(text: str, catalog: Catalog) -> None:
    """Any text at all is rules or a RuleError."""
    _survives(text, catalog)
