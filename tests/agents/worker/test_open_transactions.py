"""A transaction that stays open on an input is told, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from segue_agents.metrics import Metrics
from segue_agents.transport.open_transactions import OpenTransactions

HELD = ("site", 0)


def statistics(stable: int, high: int, state: str = "active") -> dict[str, Any]:
    of = {"ls_offset": stable, "hi_offset": high, "fetch_state": state}
    return {"topics": {"site": {"partitions": {"0": of, "-1": of}}}}


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ([(0, 10, 10), (5, 12, 12)], []),  # nothing open
        ([(0, 10, 12), (5, 10, 14)], [(HELD, 5)]),  # one stays
        ([(0, 10, 12), (5, 11, 14), (10, 11, 15)], [(HELD, 5)]),  # one ended, the next is open
        ([(0, 10, 12), (5, 15, 15)], []),  # ended
        ([(0, 10, 12), (5, 15, 15), (9, 15, 16), (12, 15, 17)], [(HELD, 3)]),  # the count begins anew
        ([(0, -1001, 12)], []),  # not known yet
    ],
)
def test_seconds(looks: list[tuple[float, int, int]], seconds: list[tuple[tuple[str, int], float]]) -> None:
    """From the look that saw it first, as long as the stable offset does not move."""
    seen, held = OpenTransactions(Metrics(), 30), {}
    for now, stable, high in looks:
        held = seen.look(statistics(stable, high), now)
    assert [(where, s) for where, s in held.items() if s] == seconds


def test_the_alarm_is_said_once_a_minute() -> None:
    """After the time a transaction may take, with the offset and what to do; on the page meanwhile."""
    metrics = Metrics()
    seen = OpenTransactions(metrics, 30)
    with structlog.testing.capture_logs() as said:
        for now in range(0, 121, 5):
            seen.look(statistics(10, 12), now)
    assert [(s["offset"], s["seconds"]) for s in said if s["event"] == "transaction_open"] == [(10, 30), (10, 90)]
    assert 'segue_open_transaction_seconds{partition="0",topic="site"} 120.0' in metrics.page().decode()


def test_a_partition_that_left_and_came_back_begins_anew() -> None:
    """What was seen under an earlier assignment says nothing."""
    seen = OpenTransactions(Metrics(), 30)
    seen.look(statistics(10, 12), 0)
    seen.look(statistics(10, 12, "none"), 5)
    seen.forget({0})
    assert seen.look(statistics(10, 12), 100) == {}
