"""A simulated shop: a dozen people who look, put into the cart, think again, buy or forget, and read email.

A function of the seed and the start alone, so that the same demo can be run twice, and no clock: it yields events in
the order of their times, and whoever publishes them decides when. The people differ in character, and ada, who is met
first, fills a cart and walks away within the first minute: the demo's first change must not be a matter of luck.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Character:
    """How somebody shops. Chances are 0..1."""

    name: str
    possessive: str
    """her, his, their"""
    adds: float
    """puts what is on the screen into the cart"""
    removes: float
    """takes something out again"""
    buys: float
    """a visit with a full cart ends in an order"""
    opens: float
    """opens an email"""
    clicks: float
    """follows an opened email's link to the shop"""
    idle_hours: float
    """between visits, on average"""


PEOPLE: Final = (
    Character("ada", "her", adds=0.45, removes=0.15, buys=0.20, opens=0.7, clicks=0.5, idle_hours=0.75),
    Character("bob", "his", adds=0.10, removes=0.05, buys=0.50, opens=0.1, clicks=0.1, idle_hours=1.25),
    Character("cleo", "her", adds=0.30, removes=0.10, buys=0.80, opens=0.5, clicks=0.4, idle_hours=1),
    Character("dan", "his", adds=0.05, removes=0.00, buys=0.10, opens=0.0, clicks=0.0, idle_hours=1.5),
    Character("emma", "her", adds=0.50, removes=0.40, buys=0.50, opens=0.3, clicks=0.2, idle_hours=1),
    Character("farid", "his", adds=0.25, removes=0.05, buys=0.05, opens=0.8, clicks=0.2, idle_hours=1.25),
    Character("grace", "her", adds=0.20, removes=0.10, buys=0.60, opens=0.4, clicks=0.6, idle_hours=2),
    Character("hugo", "his", adds=0.35, removes=0.20, buys=0.40, opens=0.2, clicks=0.1, idle_hours=1),
    Character("ines", "her", adds=0.15, removes=0.05, buys=0.30, opens=0.9, clicks=0.7, idle_hours=2.5),
    Character("jun", "their", adds=0.30, removes=0.10, buys=0.50, opens=0.3, clicks=0.3, idle_hours=1.5),
    Character("kofi", "his", adds=0.40, removes=0.10, buys=0.10, opens=0.5, clicks=0.1, idle_hours=1.5),
    Character("lena", "her", adds=0.10, removes=0.00, buys=0.90, opens=0.6, clicks=0.3, idle_hours=2),
)

PRODUCTS: Final = (
    ("trail-shoe", "shoes", 119.0), ("running-shoe", "shoes", 89.0), ("sandal", "shoes", 39.0),
    ("rain-jacket", "clothing", 149.0), ("wool-hat", "clothing", 25.0), ("socks", "clothing", 12.0),
    ("tent", "camping", 289.0), ("head-lamp", "camping", 45.0), ("stove", "camping", 65.0), ("mug", "camping", 9.0),
)  # fmt: skip
CAMPAIGNS: Final = ("autumn-sale", "new-arrivals", "weekly-picks")


@dataclass(frozen=True, slots=True)
class ShopEvent:
    """One event in the Segment shape, and when it happens (shop time)."""

    time_ms: int
    event: dict[str, Any]


def people_names() -> tuple[str, ...]:
    """Everybody who may turn up."""
    return tuple(person.name for person in PEOPLE)


def possessives() -> dict[str, str]:
    """name -> her, his, their."""
    return {person.name: person.possessive for person in PEOPLE}


def shop_events(start_ms: int, seed: int = 1, crowd: int = 1) -> Iterator[ShopEvent]:
    """Events without end, in the order of their times, from `start_ms` on. The same arguments give the same events.

    `crowd`: how many there are of each character; ada, and beside her ada-2, ada-3 and so on.
    """
    people = [*PEOPLE, *(replace(p, name=f"{p.name}-{number}") for number in range(2, crowd + 1) for p in PEOPLE)]
    lives = [_life(person, start_ms, random.Random(f"{seed} {person.name}")) for person in people]
    merged = heapq.merge(*lives, key=lambda happening: happening[0])
    for number, (time_ms, person, name, properties) in enumerate(merged):
        yield ShopEvent(time_ms, segment_event(name, person, time_ms, properties, f"shop-{seed}-{number:07d}"))


def segment_event(name: str, person: str, time_ms: int, properties: dict[str, Any], message_id: str) -> dict[str, Any]:
    """An event as Segment's SDKs write it."""
    shape: dict[str, Any] = {"messageId": message_id, "type": "page" if name == "page" else "track"}
    if name != "page":
        shape["event"] = name
    return shape | {"userId": person, "timestamp": time_ms, "properties": properties}


_Happening = tuple[int, str, str, dict[str, Any]]
"""(time, person, event name, properties)"""


def _life(person: Character, start_ms: int, rnd: random.Random) -> Iterator[_Happening]:
    """One person's events, visit after visit, with an email now and then."""
    first = person is PEOPLE[0]
    now = start_ms + (5 * SECOND if first else rnd.randint(0, 40 * MINUTE))
    orders = itertools.count(1)
    cart: list[int] = []
    for visit in itertools.count():
        if first and visit == 0:
            yield from _walks_away(person, now)
            cart.append(0)
            now += 90 * MINUTE
            continue
        for happening in _visit(person, now, cart, orders, rnd):
            now = happening[0]
            yield happening
        pause = max(25 * MINUTE, round(rnd.expovariate(1 / (person.idle_hours * HOUR))))
        clicked = False
        for happening in _email(person, now + pause // 2, visit, rnd):
            clicked = happening[2] == "Email Link Clicked"
            now = max(now, happening[0])
            yield happening
        now += 20 * SECOND if clicked else pause // 2 + 10 * MINUTE


def _walks_away(person: Character, now: int) -> Iterator[_Happening]:
    yield _about(now, person, "Product Viewed", 0)
    yield _about(now + 20 * SECOND, person, "Product Added", 0)


def _visit(
    person: Character, now: int, cart: list[int], orders: Iterator[int], rnd: random.Random
) -> Iterator[_Happening]:
    """From the first page to the last; what stays in `cart` waits for the next visit."""
    yield now, person.name, "page", {"url": "https://shop.example/", "title": "Shop"}
    for _ in range(rnd.randint(1, 7)):
        now += rnd.randint(15, 100) * SECOND
        product = rnd.randrange(len(PRODUCTS))
        yield _about(now, person, "Product Viewed", product)
        if rnd.random() < person.adds:
            now += rnd.randint(5, 30) * SECOND
            cart.append(product)
            yield _about(now, person, "Product Added", product)
        elif cart and rnd.random() < person.removes:
            now += rnd.randint(5, 30) * SECOND
            yield _about(now, person, "Product Removed", cart.pop(rnd.randrange(len(cart))))
    if cart and rnd.random() < person.buys:
        total = round(sum(PRODUCTS[product][2] for product in cart), 2)
        order = {"order_id": f"{person.name}-{next(orders)}", "value": total, "currency": "EUR"}
        now += rnd.randint(30, 90) * SECOND
        yield now, person.name, "Checkout Started", dict(order)
        if rnd.random() < 0.9:
            now += rnd.randint(60, 180) * SECOND
            cart.clear()
            yield now, person.name, "Order Completed", {**order, "total": total}


def _email(person: Character, now: int, visit: int, rnd: random.Random) -> Iterator[_Happening]:
    """Nothing, or an email delivered and perhaps opened and clicked."""
    if rnd.random() > 0.4:
        return
    campaign = CAMPAIGNS[visit % len(CAMPAIGNS)]
    about = {"email_id": f"{campaign}-{person.name}-{visit}", "campaign_id": campaign}
    yield now, person.name, "Email Delivered", dict(about)
    if rnd.random() < person.opens:
        now += rnd.randint(2, 15) * MINUTE
        yield now, person.name, "Email Opened", dict(about)
        if rnd.random() < person.clicks:
            now += rnd.randint(5, 60) * SECOND
            yield now, person.name, "Email Link Clicked", about | {"link_url": "https://shop.example/sale"}


def _about(now: int, person: Character, name: str, product: int) -> _Happening:
    product_id, category, price = PRODUCTS[product]
    properties: dict[str, Any] = {"product_id": product_id, "category": category, "price": price, "currency": "EUR"}
    if name != "Product Viewed":
        properties["quantity"] = 1
    return now, person.name, name, properties
