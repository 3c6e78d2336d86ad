"""Partitions that move between workers in the middle of a backlog, under both group protocols; and workers that sleep
through it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agents.worker.floor import PARTITIONS, Floor, open_floor

EVENTS, PERSONS = 20_000, 300
# small batches and frequent commits, so that what happens finds work half done
SLOWLY = ("--clock", "none", "--batch-rows", "20", "--commit-interval-ms", "30", "--idle-commit-interval-ms", "30",
          "--session-timeout-ms", "6000")  # fmt: skip


@pytest.fixture
def floor(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Floor]:
    with open_floor(broker, topic_prefix, tmp_path) as opened:
        opened.publish_backlog(EVENTS, PERSONS, seed=11)
        yield opened


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_workers_come_and_go(floor: Floor, protocol: str) -> None:
    """A second worker joins, leaves in order, and joins again: each change is written once."""
    slowly = (*SLOWLY, "--group-protocol", protocol)
    first = floor.start(0, *slowly)
    floor.wait_for(EVENTS // 6)
    for times in (1, 2):
        second = floor.start(1, *slowly)
        until = time.monotonic() + 40
        while floor.said(1, "partition_ready") < times * PARTITIONS // 2:
            assert time.monotonic() < until, second.last_words()
            time.sleep(0.05)
        second.stop()
    floor.wait_for(EVENTS)
    first.stop()
    floor.assert_exact()


def test_partitions_that_stay_are_left_alone(floor: Floor) -> None:
    """KIP-848: when another joins, the first worker goes on with the partitions it keeps; none is closed and read anew."""
    slowly = (*SLOWLY, "--group-protocol", "consumer")
    first = floor.start(0, *slowly)
    floor.wait_for(EVENTS // 6)
    second = floor.start(1, *slowly)
    until = time.monotonic() + 30
    while floor.said(1, "partition_ready") < PARTITIONS // 2:
        assert time.monotonic() < until, second.last_words()
        time.sleep(0.1)
    floor.wait_for(EVENTS)
    first.stop()
    second.stop()
    assert floor.said(0, "partition_ready") == PARTITIONS
    floor.assert_exact()


def test_a_sleeper_writes_nothing_after_its_partitions_have_gone(floor: Floor) -> None:
    """SIGSTOP beyond the session, then SIGCONT: what the sleeper had in hand is another's by now, and never visible."""
    sleeper = floor.start(0, *SLOWLY)
    other = floor.start(1, *SLOWLY)
    floor.wait_for(EVENTS // 5)
    assert sleeper.pid is not None
    os.kill(sleeper.pid, signal.SIGSTOP)
    before = floor.committed()
    time.sleep(8)
    assert floor.committed() > before, "its partitions have not moved on without it"
    os.kill(sleeper.pid, signal.SIGCONT)
    floor.wait_for(EVENTS)
    time.sleep(1)  # whatever the sleeper still wanted to write
    sleeper.stop()
    other.stop()
    floor.assert_exact()
