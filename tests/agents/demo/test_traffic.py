"""The shop alone."""

from __future__ import annotations

import time
from typing import Any

from segue_agents.demo.shop import HOUR, PEOPLE, shop_events
from segue_agents.demo.traffic import Traffic, run_traffic


class Kept:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.polled, self.closed = 0, False

    def publish(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def poll(self) -> None:
        self.polled += 1

    def close(self) -> None:
        self.closed = True


def run(seconds: float = 0.6, seed: int | None = None, crowd: int = 3) -> tuple[Kept, int]:
    kept = Kept()
    return kept, run_traffic(Traffic(seconds, seed, crowd), lambda: kept, lambda _line: None)


def test_the_last_hour_comes_at_once_and_nothing_of_the_future() -> None:
    """What has happened since the shop opened is there in order, up to now; then events come when their time does."""
    begun_ms = time.time_ns() // 1_000_000
    kept, sent = run()
    ended_ms = time.time_ns() // 1_000_000
    times = [event["timestamp"] for event in kept.events]
    assert sent == len(times) > 50
    assert times == sorted(times)
    assert begun_ms - HOUR <= times[0] < begun_ms - HOUR // 2
    assert times[-1] <= ended_ms
    assert kept.closed and kept.polled


def test_another_start_tells_other_events() -> None:
    """A shop that is started again does not send the ids of the last one once more; with a seed it does."""
    ids = [{e["messageId"] for e in run(0.01)[0].events} for _ in range(2)]
    assert not ids[0] & ids[1]
    same = [run(0.01, seed=7)[0].events[0]["messageId"] for _ in range(2)]
    assert same[0] == same[1]


def test_a_crowd_is_many_of_each() -> None:
    """Three of each character, and the twelve of the demo are among them."""
    people = {e.event["userId"] for e, _ in zip(shop_events(0, crowd=3), range(2_000), strict=False)}
    assert people == {f"{p.name}{number}" for p in PEOPLE for number in ("", "-2", "-3")}
