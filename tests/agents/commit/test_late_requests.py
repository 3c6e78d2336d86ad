"""A request that arrives when its transaction is long committed must not touch the next one: on a real Kafka."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.agents.commit.frame_proxy import FrameProxy

from segue_agents.commit.transactions import Doubt, Transactions
from segue_agents.outside import Outside

END_TXN, TXN_OFFSET_COMMIT = 26, 28
FENCED = {KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}


class Rig:
    """Transactions through a proxy, and what a read_committed reader sees of them."""

    def __init__(self, broker: str, prefix: str) -> None:
        self.proxy, self.doubts = FrameProxy(broker), list[Doubt]()
        self.broker, self.topic, self.group_id = broker, f"{prefix}out", f"{prefix}group"
        self.admin = AdminClient({"bootstrap.servers": broker})
        self.admin.create_topics([NewTopic(self.topic, 1, 1)])[self.topic].result(20)
        self.consumer = Consumer({"bootstrap.servers": broker, "group.id": self.group_id})
        self.committer = Transactions({
            "bootstrap.servers": self.proxy.bootstrap, "transactional.id": f"{prefix}0", "linger.ms": 0, "log_level": 0,
            "transaction.timeout.ms": 15_000, "socket.timeout.ms": 5_000, "retry.backoff.ms": 100,
            "statistics.interval.ms": 100, "delivery.report.only.error": True,
        }, Outside(), self.doubts.append)  # fmt: skip
        self.committer.open()

    def commit(self, offset: int) -> None:
        self.committer.commit([TopicPartition(self.topic, 0, offset)], self.consumer.consumer_group_metadata())

    def send(self, value: bytes) -> None:
        self.committer.produce(self.topic, 0, b"key", value)

    def seen(self) -> list[bytes]:
        reader = Consumer({
            "bootstrap.servers": self.broker, "group.id": uuid.uuid4().hex, "isolation.level": "read_committed",
            "enable.partition.eof": True, "fetch.wait.max.ms": 10, "enable.auto.commit": False,
        })  # fmt: skip
        reader.assign([TopicPartition(self.topic, 0, 0)])
        values: list[Any] = []
        while (message := reader.poll(20)) is not None and message.error() is None:
            values.append(message.value())
        reader.close()
        assert message is not None
        return values

    def committed(self) -> int:
        return int(self.consumer.committed([TopicPartition(self.topic, 0)], timeout=20)[0].offset)

    def close(self) -> None:
        self.committer.drop()
        self.consumer.close()
        self.proxy.close()
        self.admin.delete_topics([self.topic])[self.topic].result(20)


@pytest.fixture
def rig(broker: str, topic_prefix: str) -> Iterator[Rig]:
    made = Rig(broker, topic_prefix)
    yield made
    made.close()


def test_a_late_end_of_one_transaction_does_not_end_the_next(rig: Rig) -> None:
    """EndTxn is kept back and its connection cut; librdkafka sends it again, which commits. Then the first arrives."""
    rig.send(b"whole")
    rig.proxy.hold(END_TXN)
    rig.commit(1)
    assert rig.proxy.held is not None
    assert rig.doubts == ["resent"]
    rig.send(b"torn")
    rig.committer._flush(10)
    (code,) = struct.unpack_from(">h", rig.proxy.release(), 4)
    assert rig.seen() == [b"whole"]
    assert code in FENCED
    rig.commit(2)
    assert rig.seen() == [b"whole", b"torn"]
    assert rig.committed() == 2


def test_late_offsets_of_one_transaction_do_not_set_back_the_next(rig: Rig) -> None:
    """TxnOffsetCommit is kept back and sent again; the first arrives when the next transaction has sent its own."""
    rig.send(b"first")
    rig.proxy.hold(TXN_OFFSET_COMMIT)
    rig.commit(1)
    assert rig.proxy.held is not None
    assert rig.doubts == ["slow"]
    rig.send(b"second")
    producer = rig.committer._producer
    producer.send_offsets_to_transaction(
        [TopicPartition(rig.topic, 0, 2)], rig.consumer.consumer_group_metadata(), 10
    )
    rig.proxy.release()
    producer.commit_transaction(10)
    rig.committer._begun = False
    assert rig.committed() == 2


def test_a_commit_in_which_nothing_happened_keeps_its_producer(rig: Rig) -> None:
    """Ten in a row cost no producer."""
    before = rig.committer._producer
    for offset in range(1, 11):
        rig.send(b"%d" % offset)
        rig.commit(offset)
    assert rig.committer._producer is before or set(rig.doubts) == {"slow"}
    assert len(rig.seen()) == 10
