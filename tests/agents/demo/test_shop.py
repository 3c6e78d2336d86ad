"""The simulated shop."""

from itertools import islice, takewhile

import segue_schemas
from segue.catalog import Catalog
from segue_agents.demo.clock import ShopClock
from segue_agents.demo.shop import HOUR, MINUTE, ShopEvent, people_names, shop_events

START_MS = 1_795_500_000_000


def events_of(hours: float) -> list[ShopEvent]:
    return list(takewhile(lambda e: e.time_ms < START_MS + hours * HOUR, shop_events(START_MS)))


def name_of(event: ShopEvent) -> str:
    return str(event.event.get("event", event.event["type"]))


def test_the_same_seed_gives_the_same_shop() -> None:
    """Two runs with the same arguments give the same events, and another seed gives others."""
    first, again, other = (list(islice(shop_events(START_MS, seed), 500)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_events_come_in_the_order_of_their_times() -> None:
    """No event is earlier than the one before it, and every id is used once."""
    events = events_of(10)
    assert [e.time_ms for e in events] == sorted(e.time_ms for e in events)
    assert len({e.event["messageId"] for e in events}) == len(events)
    assert all(e.event["timestamp"] == e.time_ms for e in events)


def test_ada_walks_away_from_a_cart_within_the_first_minute() -> None:
    """The first change of the demo is no matter of luck: ada adds to the cart and does nothing for over 30 minutes."""
    ada = [e for e in events_of(1) if e.event["userId"] == "ada"]
    assert [name_of(e) for e in ada] == ["Product Viewed", "Product Added"]
    assert ada[-1].time_ms < START_MS + MINUTE


def test_the_shop_is_lively() -> None:
    """Within ten hours everybody turns up, and every kind of event a rule of the example reads happens."""
    events = events_of(10)
    assert {e.event["userId"] for e in events} == set(people_names())
    wanted = {"Product Viewed", "Product Added", "Product Removed", "Order Completed", "Email Opened"}
    assert wanted | {"Email Link Clicked"} <= {name_of(e) for e in events}


def test_every_event_is_one_the_contracts_name() -> None:
    """The shop publishes nothing that the packaged sources do not declare."""
    catalog = Catalog.from_declarations(segue_schemas.load_declarations())
    known = {raw for source in catalog.sources for raw in source.events}
    assert {name_of(e) for e in events_of(10)} <= known


def test_the_shops_clock_runs_faster_and_back() -> None:
    """At 360 times the speed half an hour takes five seconds, and at speed 1 the two clocks agree."""
    fast = ShopClock(origin_ms=START_MS, speed=360)
    assert fast.shop_ms(START_MS + 5_000) == START_MS + 30 * MINUTE
    assert fast.wall_ms(START_MS + 30 * MINUTE) == START_MS + 5_000
    assert ShopClock(START_MS, 1).shop_ms(START_MS + 7) == START_MS + 7
