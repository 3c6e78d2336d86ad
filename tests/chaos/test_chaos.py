"""Chaos in short: a few rounds under kills, lost requests and damaged disks are exact; planted bugs are seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.brokers import ChaosBroker
from tests.chaos.generate import Mix
from tests.chaos.mutants import hunt, judged
from tests.chaos.proxy import Proxy
from tests.chaos.world import Plan, World

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ChaosBroker, Proxy]]:
    """A broker and the proxy before it."""
    broker = ChaosBroker(tmp_path_factory.mktemp("chaos"))
    broker.start()
    proxy = Proxy(broker.proxy_port, broker.behind_proxy)
    proxy.start()
    yield broker, proxy
    proxy.stop()
    broker.stop()


def test_a_round_under_faults_is_exact(ground: tuple[ChaosBroker, Proxy], tmp_path: Path) -> None:
    """Bad, late and doubled records; kills, lost replies, a damaged store: nothing lost, doubled or wrong."""
    world = World(*ground, tmp_path / "w", "short", slots=2)
    world.workers.flags = {"batch-rows": "200", "commit-interval-ms": "50", "idle-commit-interval-ms": "50"}
    mix = Mix(60_000, 3_000, bad=0.01, late=0.003, reordered=0.01, doubled=0.005, future=0.0001)
    faults = ("crash:commit.after", "end_txn_held", "store_wiped", "connections_reset", "kill", "store_older")
    try:
        result = world.round(7, Plan(0, mix, faults, foreign=True))
        assert result.finding.problems == []
        counts = result.finding.counts
        assert counts["events"] == 60_000
        assert counts["late"] > 100 and counts["refused"] > 300 and counts["changes"] > 1_000
        assert result.kills >= 2
    finally:
        world.drop()


@pytest.mark.parametrize("mutant", ["drop_timer", "not_atomic"])
def test_a_planted_bug_is_seen(ground: tuple[ChaosBroker, Proxy], tmp_path: Path, mutant: str) -> None:
    """A timer dropped, changes outside the transaction; `python -m tests.chaos mutants` plants all there are."""
    assert judged(mutant, hunt(*ground, tmp_path / "w", mutant).finding.problems) == ""
