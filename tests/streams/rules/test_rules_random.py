"""Random conditions are read back as they were printed; random text is refused, never more."""

from __future__ import annotations

import string
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from segue.catalog import Catalog
from segue.errors import Problem, RuleError
from segue.rules import canonical_text, parse_rules, text_of
from segue.rules.canonical import all_filters, all_of, any_filter, any_of, negation, no_filter, normalised
from segue.rules.tree import Absence, Compare, Condition, Count, Events, Filter, InSegment

_NAMES = ("product_viewed", "product_added", "product_removed", "order_completed", "count")
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=8)
_NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_WINDOWS = st.integers(1, 10**9) | st.sampled_from([60_000, 86_400_000, 7 * 86_400_000])


def _compares() -> st.SearchStrategy[Filter]:
    return st.one_of(
        st.builds(Compare, st.just("price"), st.sampled_from([">=", ">", "=", "!=", "<", "<="]), st.tuples(_NUMBERS)),
        st.builds(
            Compare, st.just("category"), st.sampled_from(["=", "!=", "contains", "starts with"]), st.tuples(_TEXTS)
        ),
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


def _leaves() -> st.SearchStrategy[Condition]:
    windows = st.none() | _WINDOWS
    return st.one_of(
        st.builds(
            Count, _EVENTS, st.sampled_from([">=", "<", ">", "=", "!=", "<="]), st.integers(1, 1000), st.none(), windows
        ),
        st.builds(Count, _EVENTS, st.just("between"), st.integers(0, 500), st.integers(500, 1000), windows),
        st.builds(Absence, _EVENTS, _EVENTS, _WINDOWS, st.none() | _EVENTS),
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


_WORDS = st.sampled_from(
    [
        "did",
        "not",
        "count",
        "(",
        ")",
        "and",
        "or",
        "in",
        "the",
        "last",
        "7",
        "days",
        "where",
        "=",
        ">=",
        '"x"',
        "then",
        "no",
        "within",
        "between",
        "product_viewed",
        "order_completed",
        "price",
        "category",
        ",",
        "restarting",
        "on",
        "is",
        "known",
        "contains",
        "starts",
        "with",
        "30",
        "minutes",
        "sum",
        "trait",
        ".",
        "behavior_other",
        "ever",
        "after",
        "entering",
        "since",
        "seen",
        "1_000",
        "'",
        '"',
        "\\",
        "==",
        "today",
        "first",
        "-1",
        "1e999",
        "\n  ",
    ]
)


def _survives(text: str, catalog: Catalog) -> None:
    problems: Sequence[Problem] = ()
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
