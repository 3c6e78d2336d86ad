"""What rule files mean: their keys, their order, the form that is remembered."""

from __future__ import annotations

import pytest

from segue.catalog import Catalog
from segue.errors import RuleError
from segue.rules import RuleSet, canonical_rule, parse_rules
from segue.rules.tree import (
    Absence,
    And,
    Compare,
    Events,
    Feature,
    InSegment,
    Not,
    Segment,
)

_MINUTE, _DAY = 60_000, 86_400_000
_VIEWED, _ADDED, _ORDERED = Events(("product_viewed",)), Events(("product_added",)), Events(("order_completed",))
_GIFT = Compare("gift", "=", (True,))

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
