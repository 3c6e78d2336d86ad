"""Each error a broker may answer with, for each request of a transaction: what librdkafka makes of it, and what we do.

`protocol_errors.txt` is the table. Each row is tried on librdkafka's mock of a cluster, over the real `Transactions`.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from tests.agents.commit.mock_cluster import MockCluster, mock_cluster

from segue.errors import NotAllowed
from segue_agents.commit import producing
from segue_agents.commit.reactions import REACTIONS, Reaction, TransactionLost, classify
from segue_agents.commit.transactions import Doubt, Transactions
from segue_agents.outside import Outside

COMMITS = "commits"
IDS = count()
CODES = {"DISCONNECTS": KafkaError._TRANSPORT, "TRANSACTION_ABORTABLE": 120}


class Row(NamedTuple):
    """One of the table: to a request of this kind the broker answers so, once."""

    api: str
    error: str
    outcome: str
    """commits, or the stage and the class of the error that comes out of it"""
    then: str
    """how the producer ends: kept, recycled, aborted or left"""

    @property
    def code(self) -> int:
        return CODES.get(self.error) or int(getattr(KafkaError, self.error))


def table() -> list[Row]:
    lines = (Path(__file__).parent / "protocol_errors.txt").read_text().splitlines()
    rows = [Row(*(cell.strip() for cell in line.split("|"))) for line in lines if line and not line.startswith("#")]
    assert len({(row.api, row.error) for row in rows}) == len(rows)
    return rows


class Watched(Producer):  # type: ignore[misc]
    """A real producer that notes which of its calls were made."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.aborts = 0

    def abort_transaction(self, *arguments: Any) -> None:
        self.aborts += 1
        super().abort_transaction(*arguments)


class Rig:
    """A committer over a mock cluster."""

    def __init__(self, cluster: MockCluster, group: Any) -> None:
        self.cluster, self.group = cluster, group
        self.doubts: list[Doubt] = []
        self.producers: list[weakref.ref[Watched]] = []
        self.config = {
            "bootstrap.servers": cluster.bootstrap, "transactional.id": f"app-{next(IDS)}", "transaction.timeout.ms": 3_000,
            "socket.timeout.ms": 1_000, "retry.backoff.ms": 100, "statistics.interval.ms": 100, "linger.ms": 0,
            "delivery.report.only.error": True, "log_level": 0,
        }  # fmt: skip
        self.committer = Transactions(self.config, Outside(producer=self._make), self.doubts.append)

    def _make(self, config: dict[str, Any]) -> Watched:
        made = Watched(config)
        self.producers.append(weakref.ref(made))
        return made

    def commit(self, offset: int) -> None:
        self.committer.produce("out", 0, b"key", b"value")
        self.committer._flush(5.0)  # or it is a race whether an answer to it comes before the offsets
        self.committer.commit([TopicPartition("in", 0, offset)], self.group)


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as made:
        for topic in ("in", "out"):
            made.create_topic(topic)
        yield made


@pytest.fixture(scope="module")
def group(cluster: MockCluster) -> Iterator[Any]:
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "group", "log_level": 0})
    yield consumer.consumer_group_metadata()
    consumer.close()


@pytest.fixture
def rig(cluster: MockCluster, group: Any) -> Iterator[Rig]:
    made = Rig(cluster, group)
    yield made
    made.committer.drop()


def attempt(rig: Rig, api: str) -> tuple[str, str]:
    """One transaction; the outcome and the end of the producer as the table says them."""
    try:
        if api == "InitProducerId":
            rig.committer.open()
        rig.commit(1)
    except TransactionLost as lost:
        return judged(rig, lost)
    except NotAllowed as refused:  # of a right: a session that begins with it is no use
        return judged(rig, refused.__cause__)
    return COMMITS, "recycled" if rig.doubts else "kept"


def judged(rig: Rig, lost: Any) -> tuple[str, str]:
    kind = classify(lost.error)
    assert REACTIONS[lost.stage, kind] is lost.reaction
    (aborts,) = [p.aborts for ref in rig.producers if (p := ref()) is not None]
    assert aborts == (lost.reaction is Reaction.ABORT)
    return f"{lost.stage} {kind}", "aborted" if aborts else "left"


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row.api}-{row.error}")
def test_the_reaction_to(rig: Rig, row: Row) -> None:
    """As the table says; then the producer there is commits, a fresh one when the transaction was lost."""
    if row.api != "InitProducerId":
        rig.committer.open()
    rig.cluster.answer(row.api, [row.code])
    outcome, then = attempt(rig, row.api)
    assert outcome == row.outcome
    slow = row.then == "kept" and rig.doubts == ["slow"]  # this machine is; to replace the producer is right as well
    assert slow or then == row.then
    rig.cluster.answer_rightly(row.api)
    if outcome != COMMITS:
        rig.committer.open()
    rig.commit(2)


def test_a_commit_without_an_answer_is_repeated_and_then_costs_the_producer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is slow: the same call again learns the end. But there was a while of not knowing."""
    monkeypatch.setattr(producing, "CALL_WITHIN_S", 0.3)
    rig.committer.open()
    rig.committer.produce("out", 0, b"key", b"value")
    rig.committer._flush(5.0)
    rig.cluster.slow(1, 400)
    try:
        rig.committer.commit([], rig.group)  # no offsets: EndTxn is all there is to wait for
    finally:
        rig.cluster.slow(1, 0)
    assert rig.doubts == ["repeated"]
    rig.commit(2)


def test_a_coordinator_that_moves_is_followed() -> None:
    """In the middle of a transaction, and the old one goes down: it is committed at the new one."""
    with mock_cluster(brokers=3) as cluster:
        for topic in ("in", "out"):
            cluster.create_topic(topic)
        rig = Rig(cluster, Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "group"}).consumer_group_metadata())
        cluster.coordinate(rig.config["transactional.id"], 1)
        rig.committer.open()
        rig.committer.produce("out", 0, b"key", b"value")
        cluster.coordinate(rig.config["transactional.id"], 2)
        rig.commit(1)
        rig.commit(2)
        rig.committer.drop()


def test_a_lost_producer_is_gone_at_once(rig: Rig) -> None:
    """No cycle keeps it: the collector of a worker may not come by for hours, and it has threads and connections."""
    rig.committer.open()
    rig.cluster.answer("EndTxn", [KafkaError.PRODUCER_FENCED])
    gc.disable()
    try:
        with pytest.raises(TransactionLost):
            rig.commit(1)
        rig.committer.drop()
        assert rig.producers[0]() is None
    finally:
        gc.enable()
