"""Changes in words."""

from datetime import UTC
from typing import Any

import pytest

from segue.rules.tree import Absence, And, Condition, Count, Events, InSegment, Last, Not, Or, Segment
from segue_agents.demo.narrator import Narrator, describe

MIN, DAY = 60_000, 86_400_000
AT = 1_795_536_252_000  # 2026-11-24 16:04:12 UTC


def happened(name: str, within_ms: int | None = None, n: int = 1) -> Count:
    return Count(Events((name,)), ">=", n, window=None if within_ms is None else Last(within_ms))


ABANDONED = Absence(Events(("product_added",)), Events(("order_completed",)), 30 * MIN, Events(("product_removed",)))
SEGMENTS = (
    Segment(
        "behavior_cart_abandon", enter=ABANDONED, exit_events=(Events(("order_completed",)),), exit_after_ms=7 * DAY,
        attach=("abandoned_cart",),
    ),
    Segment("behavior_high_intent", when=happened("product_viewed", 7 * DAY, 5)),
    Segment(
        "behavior_browsing",
        when=And((happened("product_viewed", 20 * MIN), Not(happened("order_completed", 20 * MIN)))),
    ),
    Segment("hot_lead", when=And((InSegment("behavior_high_intent"), InSegment("engagement_email")))),
)


def said(segment: str, change: str, cause: str, **more: Any) -> str:
    narrator = Narrator(SEGMENTS, {"ada": "her"}, UTC)
    return narrator.line(
        {"at": AT, "person_id": "ada", "segment": segment, "change": change, "cause": cause, **more}
    ).text()


@pytest.mark.parametrize(
    ("segment", "change", "cause", "why"),
    [
        ("behavior_cart_abandon", "entered", "timer", "30 min after her last cart change"),
        ("behavior_cart_abandon", "exited", "event", "after an order"),
        ("behavior_cart_abandon", "exited", "timer", "7 days after entering"),
        ("behavior_high_intent", "entered", "event", "5 product views in the last 7 days"),
        ("behavior_high_intent", "exited", "timer", "fewer than 5 product views in the last 7 days"),
        ("behavior_browsing", "exited", "timer", "no product view in the last 20 min"),
        ("behavior_browsing", "entered", "event", "a product view and no order in the last 20 min"),
        ("behavior_browsing", "exited", "event", "after an order"),
        ("hot_lead", "entered", "event", "in behavior_high_intent and engagement_email"),
        ("hot_lead", "exited", "timer", "not in behavior_high_intent or not in engagement_email"),
        ("behavior_high_intent", "entered", "correction",
         "5 product views in the last 7 days; a late event corrected this"),
    ],
)  # fmt: skip
def test_the_reason_is_read_off_the_rule(segment: str, change: str, cause: str, why: str) -> None:
    """Rule and cause decide the words, for every way in and out of the example's segments."""
    assert said(segment, change, cause).endswith(f"{segment}  {why}")


def test_a_change_says_when_it_ends_and_what_it_brings() -> None:
    """The whole line of the promise: moment, person, segment, reason, end, and the newest attached values first."""
    line = said(
        "behavior_cart_abandon", "entered", "timer",
        expires_at=AT + 7 * DAY, features={"abandoned_cart": ["mug", "tent"]},
    )
    assert line == (
        "16:04:12  ada  entered  behavior_cart_abandon  30 min after her last cart change; "
        "ends 16:04 on Dec 1 if nothing happens; abandoned cart: tent, mug"
    )


def test_an_end_on_the_same_day_has_no_date() -> None:
    """`ends 16:24`, not `ends 16:24 on Nov 24`."""
    assert "; ends 16:24 if nothing happens" in said("behavior_browsing", "entered", "event", expires_at=AT + 20 * MIN)


def test_a_segment_that_the_rules_lack_is_still_told() -> None:
    """A change of another worker's rules is printed without a reason rather than not at all."""
    assert said("lifecycle_unknown", "entered", "event") == "16:04:12  ada  entered  lifecycle_unknown"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Or((And((happened("order_completed"), InSegment("hot_lead"))), happened("page"))),
         "(an order and in hot_lead) or a page view"),
        (Count(Events(("email_opened", "email_link_clicked")), "<=", 3), "at most 3 email opens or clicks"),
        (Count(Events(("page",)), "between", 2, 5, Last(DAY)), "between 2 and 5 page views in the last day"),
        (Count(Events(("page",)), ">", 2), "3 page views"),
        (Not(Or((happened("page"), happened("cart_viewed")))), "no page view and no cart viewed"),
    ],
)  # fmt: skip
def test_conditions_in_words(condition: Condition, words: str) -> None:
    """Nested and unusual conditions keep their meaning."""
    assert describe(condition) == words
