"""Reading the changelog while it does not move."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from segue.plan import Layout
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.state.changelog import Changelog
from segue_agents.state.recovery import Cancelled, Recovery
from segue_agents.transport.asking import SLEEPS_S

LAYOUT = Layout("4c" * 8, {}, [], [], [], [], [], {})
SOON_S = 0.3
WITHIN_S = 3.0


class Stuck:
    """A consumer of a partition whose ten records are an open transaction's: none of them is ever visible."""

    def get_watermark_offsets(self, *_arguments: Any, **_named: Any) -> tuple[int, int]:
        return 0, 10

    def assign(self, _partitions: Any) -> None: ...

    def unassign(self) -> None: ...

    def consume(self, _number: int, timeout: float) -> list[Any]:
        time.sleep(timeout)
        return []

    def offsets_for_times(self, asked: list[Any], _timeout: float) -> list[Any]:
        return asked


class Asleep(Stuck):
    """Its thread for the broker sleeps until something is asked of the broker: four times of ten after an `assign`."""

    asleep = True

    def consume(self, number: int, timeout: float) -> list[Any]:
        return super().consume(number, timeout) if self.asleep else [Message("t", 0, 9, b"person", b"state")]

    def offsets_for_times(self, asked: list[Any], timeout: float) -> list[Any]:
        self.asleep = False
        return super().offsets_for_times(asked, timeout)


def test_a_consumer_that_sleeps_is_woken() -> None:
    """A second of a restore for each partition, else."""
    changelog = Changelog(Settings(), Outside(consumer=lambda _config: Asleep()))
    started = time.monotonic()
    assert [piece.records for piece in changelog.read(0, 0, 10) if piece.records] == [[(b"person", b"state")]]
    assert time.monotonic() - started < SLEEPS_S / 2


def test_a_restore_that_waits_for_an_open_transaction_can_be_cancelled(tmp_path: Path) -> None:
    """Or a rebalance would wait as long: the worker stands in its revocation, and holds up the whole group."""
    outside = Outside(consumer=lambda _config: Stuck(), topic_identity=lambda *_: ("kafka-1", "topic-1"))
    cancelled = threading.Event()
    recovery = Recovery(Changelog(Settings(), outside), LAYOUT, "app", True, lambda *_: None, cancelled, outside)
    threading.Timer(SOON_S, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        recovery.recover(0, tmp_path / "store", {"site": 5}, lambda: None)  # type: ignore[arg-type, return-value]
    assert time.monotonic() - started < WITHIN_S
