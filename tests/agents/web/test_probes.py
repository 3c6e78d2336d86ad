"""What makes a worker alive, ready, started; and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agents.web.made import partition, restoring, status, stopped

from segue_agents.web.probes import Check, alive, ready, report, started


def failing(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.says for check in checks if not check.ok}


def test_all_is_well() -> None:
    for probe in (alive, ready, started):
        assert report("livez", probe(status()), [], verbose=False) == (True, "ok\n")


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"loop_s": 31.0}, "loop", "the event loop has stood still for 31 s, at most 30 s are well"),
        ({"watchdog_s": 31.0}, "watchdog", "nobody has looked after the worker for 31 s, at most 30 s are well"),
        ({"polled_s": 331.0}, "poll", "Kafka's consumer has not been polled for 331 s, at most 330 s are well"),
        ({"waiting_s": 91.0}, "commit", "a commit has not come to its end for 91 s, at most 90 s are well"),
        ({"failure": "RuntimeError", "state": "failed"}, "agent", "it has failed with RuntimeError"),
    ],
)
def test_what_makes_it_dead(changes: dict[str, Any], name: str, says: str) -> None:
    """Each alone; it says what is stuck, and since when."""
    assert failing(alive(status(**changes))) == {name: says}


@pytest.mark.parametrize(
    "changes",
    [
        {"joined": False, "producer_open": False, "partitions": (), "state": "starting", "was_restored": False},
        {"partitions": (restoring(0, 0.1),), "state": "restoring"},
        {"partitions": (stopped(0),)},
        {"waiting_s": 60.0},
        {"polled_s": None, "waiting_s": None, "watchdog_s": None},
        {"loop_s": 29.0},
    ],
)
def test_what_a_restart_would_not_mend_does_not_make_it_dead(changes: dict[str, Any]) -> None:
    """Kafka away, a long restore, a stopped partition, a commit that is late: none of these."""
    assert failing(alive(status(**changes))) == {}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"joined": False, "partitions": (), "state": "starting"}, {"session", "partitions"}),
        ({"producer_open": False}, {"producer"}),
        ({"partitions": (partition(0), restoring(1, 0.5)), "state": "restoring"}, {"state"}),
        ({"waiting_s": 17.0}, {"commit"}),
        ({"loop_s": 31.0}, {"loop"}),
        ({"state": "stopping"}, {"running"}),
        ({"state": "failed", "failure": "GaveUp"}, {"running"}),
    ],
)
def test_what_makes_it_unready(changes: dict[str, Any], names: set[str]) -> None:
    """Each says something."""
    found = failing(ready(status(**changes)))
    assert set(found) == names
    assert all(found.values())


def test_a_worker_without_partitions_stands_by_and_is_ready() -> None:
    """There are more workers than partitions; a rollout must not wait for it."""
    passed, body = report("readyz", ready(status(partitions=())), [], verbose=True)
    assert passed
    assert "[+]partitions ok: none; the worker stands by\n" in body


@pytest.mark.parametrize(
    ("partitions", "says"),
    [
        ((partition(0), stopped(3)), "[+]stopped ok: the breaker has stopped partition 3 (undecodable)"),
        ((partition(0, state="waits_for_disk"), partition(1)), "[+]disk ok: partition 0 waits for room on the disk"),
    ],
)
def test_a_partition_that_stands_is_said_and_leaves_it_ready(partitions: tuple[Any, ...], says: str) -> None:
    passed, body = report("readyz", ready(status(partitions=partitions)), [], verbose=True)
    assert passed
    assert says in body


def test_a_start_says_how_far_it_is() -> None:
    """Percent over all partitions, and of each that is on its way."""
    partitions = (partition(0), restoring(1, 0.5), restoring(2, 0.0))
    under_way = status(was_restored=False, partitions=partitions, state="restoring")
    passed, body = report("startupz", started(under_way), [], verbose=False)
    assert not passed
    assert body == ("[-]restore failed: 50 %: 2 of 3 partitions are being restored (partition 1 50 %, partition 2 0 %)\n"
                    "startupz check failed\n")
    assert failing(started(status(was_restored=False, joined=False, partitions=()))) == {
        "restore": "0 %: no partitions are assigned yet"}


def test_once_started_is_started() -> None:
    """A later restore, as after a rebalance, makes it unready, and not as if it had to start."""
    later = status(was_restored=True, partitions=(restoring(0, 0.1),), state="restoring")
    assert failing(started(later)) == {}
    assert set(failing(ready(later))) == {"state"}


def test_a_check_can_be_excluded() -> None:
    """As in Kubernetes; a name that does not exist is said, and lets nothing pass."""
    checks = [Check("a", True), Check("b", False, "why")]
    assert report("readyz", checks, ["b"], verbose=True) == (
        True, "[+]a ok\n[+]b excluded: ok\nreadyz check passed\n")  # fmt: skip
    passed, body = report("readyz", checks, ["<b>\x1b"], verbose=False)
    assert not passed
    assert body == "[+]a ok\n[-]b failed: why\nwarn: there is no check '<b>' to exclude\nreadyz check failed\n"


def test_many_restores_are_a_short_line() -> None:
    many = status(partitions=tuple(restoring(i, 0.0) for i in range(500)), state="restoring")
    assert len(failing(ready(many))["state"]) < 400
