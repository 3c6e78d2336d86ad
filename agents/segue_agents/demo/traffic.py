"""The shop alone: its events into a Kafka that is there, at the clock's own speed, for a worker that runs already.

The last hour comes first, at once; that is as late as events may be, so a worker takes them for what they are.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from segue_agents.demo.endings import interrupted_afterwards, terminated_like_interrupted
from segue_agents.demo.shop import HOUR, ShopEvent, shop_events
from segue_agents.publish import EventPublisher

LOOK_EVERY_S: Final = 0.5
"""also how late a failed delivery is noticed"""
TELL_EVERY_S: Final = 60.0
OPEN_SINCE_MS: Final = HOUR
"""the shop has been open for so long when it begins: carts are abandoned and pages looked at from the first second on"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the shop alone was asked for."""

    seconds: float | None
    """ends by itself after so long; None: goes on until it is stopped"""
    seed: int | None
    """None: the time of the start, so that a shop that is started again tells new events, not the old ones once more"""
    crowd: int
    """people of each of the twelve characters"""


def run_traffic(traffic: Traffic, open_publisher: Callable[[], EventPublisher], say: Callable[[str], None]) -> int:
    """Publishes each event at its time, until the seconds are over, ^C or SIGTERM. Returns how many. Raises Unreachable."""
    sent = 0
    with terminated_like_interrupted(), contextlib.ExitStack() as clients:
        with interrupted_afterwards():
            publisher = clients.enter_context(contextlib.closing(open_publisher()))
        with contextlib.suppress(KeyboardInterrupt):
            tell_at = time.monotonic() + TELL_EVERY_S
            for event in _in_real_time(traffic, publisher):
                publisher.publish(event.event)
                sent += 1
                if time.monotonic() >= tell_at:
                    tell_at += TELL_EVERY_S
                    say(f"{sent} events")
    return sent


def _in_real_time(traffic: Traffic, publisher: EventPublisher) -> Iterator[ShopEvent]:
    """Each event when its time has come; meanwhile the publisher hears what became of the earlier ones."""
    now_ms = time.time_ns() // 1_000_000
    seed = now_ms if traffic.seed is None else traffic.seed
    until = None if traffic.seconds is None else time.monotonic() + traffic.seconds
    for event in shop_events(now_ms - OPEN_SINCE_MS, seed, traffic.crowd):
        while True:
            if until is not None and time.monotonic() >= until:
                return
            left_s = event.time_ms / 1_000 - time.time()
            if left_s <= 0:
                break
            time.sleep(min(left_s, LOOK_EVERY_S))
            publisher.poll()
        yield event
