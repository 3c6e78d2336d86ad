"""Source declarations: what they give rules and decoders, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from segue.catalog import Catalog, duration_ms, snake_case
from segue.errors import ContractError

RECORD = {"type": "record", "name": "Visit", "fields": [
    {"name": "who", "type": "string"}, {"name": "what", "type": "string"}, {"name": "at", "type": "long"},
    {"name": "price", "type": ["null", "double"]}, {"name": "vip", "type": "boolean"},
]}  # fmt: skip
GOOD: dict[str, Any] = {
    "source": "visits", "topic": "visits", "schema": RECORD, "person": "who", "event": "what", "time": "at", "order": 1,
    "events": ["Product Viewed", "Order Completed"],
}  # fmt: skip


def test_names_and_types_come_from_the_contract() -> None:
    """Events in snake case, properties with what they can be compared with; the special fields are no properties."""
    catalog = Catalog.from_declarations([GOOD])
    assert catalog.event_names() == ("order_completed", "product_viewed")
    assert {n: f.type for n, f in catalog.fields_of("product_viewed").items()} == {"price": "number", "vip": "boolean"}
    assert catalog.sources[0].lateness_ms == 86_400_000
    assert catalog.suggest("prodct_viewed") == "product_viewed"


@pytest.mark.parametrize(("change", "says"), [
    ({"tpoic": "x"}, "Did you mean 'topic'?"),
    ({"deduplicate": "2 days"}, "does not say which field is the id"),
    ({"deduplicate": "id for 1 hour", "id": "who"}, "'id for 1 hour' is not a duration"),
    ({"deduplicate": "23 hours", "id": "who"}, "less than its lateness of 24 hours"),
    ({"deduplicate": "1 hour", "lateness": "2 hours", "id": "who"}, "less than its lateness of 2 hours"),
    ({"deduplicate": "9999 days", "id": "who"}, "more than 1830 days"),
    ({"deduplicate": "24 hours", "id": "price"}, "neither a string nor a whole number"),
    ({"person": "user"}, "names the field 'user'"),
    ({"person": "vip"}, "'vip' cannot name a person"),
    ({"order": 15}, "order 15 is not within 1..14"),
    ({"events": None}, "does not say which events it has"),
    ({"lateness": "a while"}, "'a while' is not a duration"),
])  # fmt: skip
def test_a_declaration_that_cannot_be_used_is_refused(change: dict[str, Any], says: str) -> None:
    """What, where, and what to do."""
    with pytest.raises(ContractError) as refused:
        Catalog.from_declarations([GOOD | change])
    assert says in str(refused.value)


def test_two_sources_need_names_topics_and_orders_of_their_own() -> None:
    """Or the order of the history would not be one."""
    with pytest.raises(ContractError, match="share the order 1"):
        Catalog.from_declarations([GOOD, GOOD | {"source": "other", "topic": "other"}])


@pytest.mark.parametrize(("name", "snake"), [("Product Viewed", "product_viewed"), ("page", "page"),
                                             ("Email Marked as Spam", "email_marked_as_spam")])  # fmt: skip
def test_snake_case(name: str, snake: str) -> None:
    """How rules write a producer's event name."""
    assert snake_case(name) == snake


def test_durations() -> None:
    """Numbers with a unit, singular or plural."""
    assert [duration_ms(t) for t in ("24 hours", "1 day", "90 s", "5 minutes")] == [86_400_000, 86_400_000, 90_000, 300_000]
