"""What rule files mean: a table of texts and the trees they become."""

from __future__ import annotations

import pytest

from segue.catalog import Catalog
from segue.errors import RuleError
from segue.rules import RuleSet, canonical_rule, canonical_text, parse_rules, text_of
from segue.rules.tree import (
    Absence,
    AllOf,
    And,
    AnyOf,
    Compare,
    Condition,
    Count,
    Events,
    Feature,
    InSegment,
    NoneOf,
    Not,
    Or,
    Segment,
)

_MINUTE, _DAY = 60_000, 86_400_000
_VIEWED, _ADDED, _ORDERED = Events(("product_viewed",)), Events(("product_added",)), Events(("order_completed",))
_GIFT = Compare("gift", "=", (True,))


def _viewed(where: Compare | AllOf | AnyOf | NoneOf) -> Condition:
    return Count(Events(("product_viewed",), where), ">=", 1)


_CONDITIONS: list[tuple[str, Condition]] = [
    ("did product_viewed", Count(_VIEWED, ">=", 1)),
    ('did "Product Viewed" ever', Count(_VIEWED, ">=", 1)),
    ("did product_viewed in the last 90 s", Count(_VIEWED, ">=", 1, window_ms=90_000)),
    ("did product_viewed in the last 2 weeks", Count(_VIEWED, ">=", 1, window_ms=14 * _DAY)),
    ("did product_viewed in the last 1.5 hours", Count(_VIEWED, ">=", 1, window_ms=90 * _MINUTE)),
    ("did (product_viewed or order_completed)", Count(Events(("order_completed", "product_viewed")), ">=", 1)),
    ("did (product_viewed or product_viewed)", Count(_VIEWED, ">=", 1)),
    ("did count", Count(Events(("count",)), ">=", 1)),
    ("not not did product_viewed", Count(_VIEWED, ">=", 1)),
    ("count(product_viewed) >= 5 in the last 7 days", Count(_VIEWED, ">=", 5, window_ms=7 * _DAY)),
    ("count(product_viewed) between 2 and 5", Count(_VIEWED, "between", 2, 5)),
    (
        "count(product_viewed or product_added where gift = true) > 3",
        Count(Events(("product_added", "product_viewed"), _GIFT), ">", 3),
    ),
    ("product_added then no order_completed within 30 minutes", Absence(_ADDED, _ORDERED, 30 * _MINUTE)),
    (
        "product_added then no order_completed within 30 min, restarting on (product_removed or product_viewed)",
        Absence(_ADDED, _ORDERED, 30 * _MINUTE, Events(("product_removed", "product_viewed"))),
    ),
    (
        "product_added where gift = true then no (order_completed where gift = true) within 1 day restarting on count",
        Absence(Events(("product_added",), _GIFT), Events(("order_completed",), _GIFT), _DAY, Events(("count",))),
    ),
    ('did product_viewed where category in ("a", "b")', _viewed(Compare("category", "in", ("a", "b")))),
    ("did product_viewed where price not in (1, 2.5)", _viewed(Compare("price", "not in", (1, 2.5)))),
    ('did product_viewed where category starts with "sho"', _viewed(Compare("category", "starts with", ("sho",)))),
    ("did product_viewed where images is not known", _viewed(NoneOf(Compare("images", "is known", ())))),
    ("did product_viewed where price > -1e3", _viewed(Compare("price", ">", (-1000.0,)))),
    (r'did product_viewed where category = "\"\\"', _viewed(Compare("category", "=", ('"\\',)))),
    # `and` after a filter: a field goes on with the filter, the start of a condition ends it
    ("did product_viewed where gift = true and price > 3", _viewed(AllOf((_GIFT, Compare("price", ">", (3,)))))),
    ("did product_viewed where gift = true and did product_added", And((_viewed(_GIFT), Count(_ADDED, ">=", 1)))),
    (
        "did product_viewed where gift = true and not (did product_added)",
        And((_viewed(_GIFT), Not(Count(_ADDED, ">=", 1)))),
    ),
    (
        "did product_viewed where gift = true or product_added then no order_completed within 1 day",
        Or((_viewed(_GIFT), Absence(_ADDED, _ORDERED, _DAY))),
    ),
    (
        "did product_viewed where gift = true and (product_added or product_viewed) then no count within 1 day",
        And((_viewed(_GIFT), Absence(Events(("product_added", "product_viewed")), Events(("count",)), _DAY))),
    ),
    (
        "did product_viewed where gift = true and count(product_added) >= 2",
        And((_viewed(_GIFT), Count(_ADDED, ">=", 2))),
    ),
    (
        "did product_viewed where price < 9 and not (gift = true and not (price > 3))",
        _viewed(AllOf((Compare("price", "<", (9,)), NoneOf(AllOf((_GIFT, NoneOf(Compare("price", ">", (3,))))))))),
    ),
    (
        "did product_viewed where not (gift = true or price > 3) and price < 9",
        _viewed(AllOf((NoneOf(AnyOf((_GIFT, Compare("price", ">", (3,))))), Compare("price", "<", (9,))))),
    ),
    (
        "did product_viewed and (did product_added and did order_completed)",
        And((Count(_VIEWED, ">=", 1), Count(_ADDED, ">=", 1), Count(_ORDERED, ">=", 1))),
    ),
    (
        "did product_viewed or did product_added and did order_completed",
        Or((Count(_VIEWED, ">=", 1), And((Count(_ADDED, ">=", 1), Count(_ORDERED, ">=", 1))))),
    ),
]


def _condition(text: str, catalog: Catalog) -> Condition:
    block = "\n".join(f"  {line}" for line in text.split("\n"))
    rules = parse_rules(
        [("f.yaml", f"segment: segment_a\nuniverse: seen in the last 1 day\nwhen: |\n{block}\n")], catalog
    )
    condition = rules.segments[0].when
    assert condition is not None
    return condition


@pytest.mark.parametrize(("text", "meaning"), _CONDITIONS, ids=[t for t, _ in _CONDITIONS])
def test_condition(text: str, meaning: Condition, catalog: Catalog) -> None:
    """A condition means this tree, and printed it means the same."""
    assert _condition(text, catalog) == meaning
    assert _condition(text_of(meaning), catalog) == meaning


@pytest.mark.parametrize(
    "text",
    ["'); import os", "{0.__class__}", "__import__('os').system('id')", "${jndi:x}", "\n", "{{ 7 * 7 }}", "😀", "%s"],
)
def test_literals_stay_data(text: str, catalog: Catalog) -> None:
    """Whatever stands between quotes is the value and nothing else."""
    assert _condition(f'did product_viewed where category = "{text}"'.replace("\n", "\n  "), catalog) == _viewed(
        Compare("category", "=", (text.replace("\n", "\n  "),))
    )


_FILE = """\
segment: behavior_cart_abandon
title: Left something in the cart
owner: lifecycle-team
purpose: email_marketing            # the consent this segment needs
tags: [lifecycle > cart > abandoned, demographics>age_group > 25-34]
enter: product_added then no order_completed within 30 minutes, restarting on product_removed
exit: order_completed where price > 3, (product_removed or count) or 7 days after entering
attach: [abandoned_cart, recent_views]
version: 3
---
segment: hot_lead                   # a segment of segments
when: in behavior_high_intent and
  not in behavior_cart_abandon
---
segment: behavior_high_intent
when: count(product_viewed) >= 5 in the last 7 days
---
feature: recent_views
title: no
keep: last 20 product_viewed.product_id in the last 7 days
---
feature: abandoned_cart
keep: last 50 (product_added or product_viewed).product_id where gift = true since order_completed
---
# nothing here
"""


def _rules(catalog: Catalog, text: str = _FILE) -> RuleSet:
    return parse_rules([("f.yaml", text)], catalog)


def test_a_whole_file(catalog: Catalog) -> None:
    """All keys arrive where they belong; words such as `no` stay text."""
    rules = _rules(catalog)
    assert rules.segments[0] == Segment(
        name="behavior_cart_abandon",
        version=3,
        title="Left something in the cart",
        owner="lifecycle-team",
        purpose="email_marketing",
        tags=("lifecycle > cart > abandoned", "demographics > age_group > 25-34"),
        enter=Absence(_ADDED, _ORDERED, 30 * _MINUTE, Events(("product_removed",))),
        exit_events=(Events(("order_completed",), Compare("price", ">", (3,))), Events(("count", "product_removed"))),
        exit_after_ms=7 * _DAY,
        attach=("abandoned_cart", "recent_views"),
        text="enter: product_added then no order_completed within 30 minutes, restarting on product_removed / exit: "
        "order_completed where price > 3, (product_removed or count) or 7 days after entering",
    )
    assert rules.segments[2].when == And((InSegment("behavior_high_intent"), Not(InSegment("behavior_cart_abandon"))))
    assert rules.features == (
        Feature("abandoned_cart", 50, Events(("product_added", "product_viewed"), _GIFT), "product_id", None, _ORDERED),
        Feature("recent_views", 20, _VIEWED, "product_id", 7 * _DAY, None, "no"),
    )


def test_order(catalog: Catalog) -> None:
    """Segments named by others come first, the rest by name, whatever the order of files."""
    names = [s.name for s in _rules(catalog).segments]
    assert names == ["behavior_cart_abandon", "behavior_high_intent", "hot_lead"]
    documents = [(f"{i}.yaml", d) for i, d in enumerate(_FILE.split("---"))]
    assert parse_rules(reversed(documents), catalog) == _rules(catalog)


def test_a_long_chain(catalog: Catalog) -> None:
    """Segments may name segments in a chain longer than Python's stack."""
    chain = ["segment: segment_0\nwhen: did product_viewed\n"]
    chain += [f"segment: segment_{i}\nwhen: in segment_{i - 1}\n" for i in range(1, 1_500)]
    files = [(str(i), "---\n".join(chain[i : i + 500])) for i in range(0, 1_500, 500)]
    assert [s.name for s in parse_rules(files, catalog).segments] == [f"segment_{i}" for i in range(1_500)]


def test_prefixes_are_configurable(catalog: Catalog) -> None:
    """A house may have prefixes of its own; the usual ones then no longer pass."""
    files = [("f.yaml", "segment: vip_a\nwhen: did product_viewed\n")]
    assert parse_rules(files, catalog, prefixes=("vip",)).segments[0].name == "vip_a"
    with pytest.raises(RuleError):
        parse_rules(files, catalog)


def test_line_ends_and_marks(catalog: Catalog) -> None:
    """A file from Windows, with its byte order mark, is the same file."""
    assert _rules(catalog, "\ufeff" + _FILE.replace("\n", "\r\n")) == _rules(catalog)


_SAME = [
    ("did product_viewed and did product_added", "(did product_added) and did product_viewed"),
    ("did product_viewed or did product_viewed", "did product_viewed"),
    ("did (product_viewed or product_added)", "did (product_added or product_viewed) ever"),
    ('did product_viewed where category in ("b", "a", "a")', 'did product_viewed where category in ("a", "b")'),
    ("did product_viewed where price = 5.0", "did product_viewed where price = 5"),
    ("did product_viewed where price > 1 and gift = true", "did product_viewed where gift = true and (price > 1)"),
    ("did product_viewed in the last 24 hours", "did product_viewed in the last 1 day"),
    ("not did product_viewed", "did not product_viewed"),
]


@pytest.mark.parametrize(("one", "other"), _SAME)
def test_canonical(one: str, other: str, catalog: Catalog) -> None:
    """Conditions of one meaning, written differently, have one canonical form."""
    assert canonical_text(_condition(one, catalog)) == canonical_text(_condition(other, catalog))


def test_canonical_form_is_stable(catalog: Catalog) -> None:
    """The very text is remembered by running systems: a change here refuses their rules."""
    texts = [canonical_rule(s) for s in _rules(catalog).segments]
    assert texts == [
        (
            "enter: product_added then no order_completed within 30 minutes, restarting on product_removed\n"
            'exit: ("count" or product_removed), or (order_completed where price > 3), or 7 days after entering'
        ),
        "when: count(product_viewed) >= 5 in the last 7 days",
        "when: in behavior_high_intent and not in behavior_cart_abandon",
    ]
