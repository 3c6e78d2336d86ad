"""The simulator over the worker as it is, and the simulator itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from tests.simulator.cluster import Cluster
from tests.simulator.consumer import GroupMetadata
from tests.simulator.faults import POINTS
from tests.simulator.groups import Group, NewGroup
from tests.simulator.run import quiet, simulate

ROOT = Path(__file__).parents[2]
SEEDS = 2_000
SECONDS = 25
"""on a machine that is busy with other things, fewer seeds"""


@pytest.fixture(scope="module")
def report() -> tuple[int, str]:
    """Exit code and words of a run, in processes of its own: a seed is one history only under one hash seed."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.simulator", "--seeds", str(SEEDS), "--seconds", str(SECONDS), "--jobs", "2"],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_nothing_is_lost_doubled_or_wrong_whatever_happens(report: tuple[int, str]) -> None:
    code, said = report
    assert code == 0, said


def test_every_point_was_passed_by_a_fault(report: tuple[int, str]) -> None:
    assert set(re.findall(r"[\d,]+ (\w+)/\w+", report[1])) == set(POINTS)


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_one_history(seed: int) -> None:
    logs: list[list[tuple[object, ...]]] = [[], []]
    with quiet():
        for log in logs:
            simulate(seed, log)
    assert logs[0] == logs[1]
    assert logs[0]


# --- the simulated broker does what Kafka does


class Clocked:
    """A cluster and its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.cluster = Cluster(lambda: self.now_s, 0, Random(3), 2)  # a chance that writes markers at once
        self.cluster.chance.random = lambda: 0.9  # type: ignore[method-assign]

    def visible(self, topic: str) -> list[bytes]:
        return [r.value for r in self.cluster.log(topic, 0).visible()]

    def begun(self, *values: bytes, name: str = "a") -> tuple[object, int]:
        """A transaction of the producer with these records of topic t."""
        transaction = self.cluster.init(name, 10.0)
        assert transaction is not None
        self.more(transaction, *values)
        return transaction, transaction.epoch

    def more(self, transaction: object, *values: bytes) -> None:
        log = self.cluster.log("t", 0)
        self.cluster.add(transaction, transaction.epoch, log)  # type: ignore[arg-type,attr-defined]
        self.cluster.produce(transaction, transaction.epoch, log, [(None, v, None) for v in values])  # type: ignore[arg-type,attr-defined]


def test_a_late_end_ends_the_next_transaction_of_its_epoch() -> None:
    world = Clocked()
    transaction, epoch = world.begun(b"1")
    assert world.cluster.end(transaction, epoch, commit=True) is None  # type: ignore[arg-type]
    world.more(transaction, b"2")
    assert world.visible("t") == [b"1"]
    assert world.cluster.end(transaction, epoch, commit=True) is None  # type: ignore[arg-type]
    assert world.visible("t") == [b"1", b"2"]


def test_a_new_producer_fences_what_is_late_and_ends_what_is_open() -> None:
    world = Clocked()
    transaction, epoch = world.begun(b"1")
    world.begun(b"2")
    assert world.cluster.end(transaction, epoch, commit=True) is not None  # type: ignore[arg-type]
    assert world.visible("t") == []
    assert world.cluster.log("t", 0).read(0, 9, committed=False)[0][0].value == b"1"


def test_an_open_transaction_holds_up_readers_until_its_timeout() -> None:
    world = Clocked()
    world.begun(b"1")
    world.cluster.append("t", 0, None, b"2")
    assert world.visible("t") == []
    world.now_s = 11.0
    world.cluster.catch_up()
    assert world.visible("t") == [b"2"]


def test_offsets_count_when_their_transaction_does() -> None:
    world = Clocked()
    group = world.cluster.group("g")
    assert isinstance(group, Group)
    member = group.join("m", None)
    metadata = GroupMetadata("g", member, "m", group.generation)
    transaction, epoch = world.begun(b"1")
    assert world.cluster.take_offsets(transaction, epoch, {("t", 0): 5}, metadata) is None  # type: ignore[arg-type]
    assert (group.offsets, group.pending) == ({}, {("t", 0): 1})
    world.cluster.end(transaction, epoch, commit=True)  # type: ignore[arg-type]
    assert (group.offsets, group.pending) == ({("t", 0): 5}, {("t", 0): 0})
    group.join("n", None)
    assert group.refusal(metadata) is None  # its generation lasts until all have joined
    group.members["m"].joined = True
    group.settle()
    assert group.refusal(metadata) is not None
    assert group.assignment == {"m": [0], "n": [1]}


def test_a_member_of_the_new_protocol_gets_what_another_has_given_up() -> None:
    group = NewGroup(2)
    first = group.join(None)
    assert (group.too_much(first), group.free(first)) == (set(), {0, 1})
    group.held[first] = {0, 1}
    metadata = GroupMetadata("g", first, "", group.epochs[first])
    second = group.join(None)
    assert (group.too_much(first), group.too_much(second), group.free(second)) == ({1}, set(), set())
    assert group.refusal(metadata) is None  # until it has given up what it should
    group.held[first] = {0}
    assert (group.too_much(first), group.free(second)) == (set(), {1})
    assert group.refusal(metadata) is not None


def test_compaction_keeps_the_newest_of_each_key() -> None:
    world = Clocked()
    chance = Random(1)
    for i in range(200):
        world.cluster.append("t", 0, b"k%d" % chance.randrange(5), b"%d" % i)
    log = world.cluster.log("t", 0)
    newest = {r.key: r.value for r in log.visible()}
    log.compact(chance, 0)
    assert {r.key: r.value for r in log.visible()} == newest
    assert Counter(r.key for r in log.visible()).total() < 20
    assert log.high == 200
