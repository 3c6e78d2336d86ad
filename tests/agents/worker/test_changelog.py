"""The changelog on a real Kafka: its ends, its transactions, and a topic that was cut or made anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from structlog.testing import capture_logs
from tests.agents.state.test_recovery import HERE, LAYOUT, Timers
from tests.agents.worker.conftest import wait_until

from segue.errors import StateError
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.state.changelog import Changelog, Record
from segue_agents.state.checkpoint import KEY, Checkpoint
from segue_agents.state.recovery import Recovery
from segue_agents.topics import state_topic, topic_configs
from segue_agents.transport.clients import common_config, topic_identity

BEFORE = {"site": 5}


class Written:
    """A changelog topic and a producer of its transactions."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.topic = settings, state_topic(settings.app_id)
        self.admin = AdminClient(common_config(settings))
        self.make()
        self.producer = Producer({
            "bootstrap.servers": settings.bootstrap, "transactional.id": settings.app_id, "transaction.timeout.ms": 15_000,
        })  # fmt: skip
        self.producer.init_transactions(20)

    def make(self) -> None:
        made = NewTopic(self.topic, 1, config=topic_configs(self.settings)[self.topic])
        self.admin.create_topics([made])[self.topic].result(20)

    def make_anew(self) -> None:
        self.admin.delete_topics([self.topic])[self.topic].result(20)
        wait_until(lambda: self.topic not in self.admin.list_topics(timeout=10).topics, "the topic is gone")
        time.sleep(0.5)
        self.make()

    def let_delete(self) -> None:
        """As an operator may have: a topic that is only compacted refuses DeleteRecords."""
        policy = ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.topic, incremental_configs=[policy])
        self.admin.incremental_alter_configs([resource])[resource].result(20)

    def cut(self) -> bool:
        """Before offset 4; not while the broker still takes the topic for one that is only compacted."""
        part = TopicPartition(self.topic, 0, 4)
        try:
            self.admin.delete_records([part])[part].result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.POLICY_VIOLATION:
                raise
            return False
        return True

    def transaction(self, records: list[Record], checkpoint: Checkpoint | None, commit: bool = True) -> None:
        self.producer.begin_transaction()
        for key, value in records:
            self.producer.produce(self.topic, value, key, 0)
        if checkpoint is not None:
            self.producer.produce(self.topic, checkpoint.encode(), KEY, 0)
        if commit:
            self.producer.commit_transaction(20)
        else:
            self.producer.flush(20)
            self.producer.abort_transaction(20)

    def recover(self, folder: Path, committed: dict[str, int]) -> tuple[dict[bytes, bytes], list[str], int]:
        """(states, events of the log, transactions torn)."""
        outside, timers = Outside(), list[Timers]()

        def made() -> Timers:
            timers.append(Timers())
            return timers[-1]

        changelog = Changelog(self.settings, outside)
        recovery = Recovery(
            changelog, LAYOUT, self.settings.app_id, True, lambda *_: None, threading.Event(), outside
        )
        try:
            with capture_logs() as logged:
                done = recovery.recover(0, folder, committed, made)
        finally:
            changelog.close()
        done.store.close()
        return timers[-1].seen, [line["event"] for line in logged], done.torn


def checkpoint(offsets: dict[str, int], previous: dict[str, int], states: int, persons: int) -> Checkpoint:
    return Checkpoint(LAYOUT.id, 0, 0, offsets, previous, states=states, persons=persons)


@pytest.fixture
def written(broker: str, topic_prefix: str) -> Iterator[Written]:
    made = Written(Settings(bootstrap=broker, app_id=f"{topic_prefix}app"))
    made.transaction([(b"a", b"1"), (b"b", b"1")], checkpoint(BEFORE, {}, 2, 2))
    made.transaction([(b"a", b"2")], checkpoint(HERE, BEFORE, 1, 2))
    yield made
    made.admin.delete_topics([made.topic])[made.topic].result(20)


def test_pieces_end_at_checkpoints(written: Written) -> None:
    """Aborted transactions are not there; the end is reached though the last record is a marker; low and high are true."""
    written.transaction([(b"a", b"aborted"), (b"c", None)], checkpoint({"site": 99}, HERE, 2, 2), commit=False)
    changelog = Changelog(written.settings, Outside())
    low, high = changelog.bounds(0)
    pieces = [piece for piece in changelog.read(0, low, high) if piece.records or piece.mark]
    changelog.close()
    assert (low, high) == (0, 11)
    assert [piece.records for piece in pieces] == [[(b"a", b"1"), (b"b", b"1")], [(b"a", b"2")]]
    assert [piece.mark.checkpoint.offsets for piece in pieces if piece.mark] == [BEFORE, HERE]
    assert [piece.next_offset for piece in pieces] == [3, 6]


def test_a_torn_transaction_is_seen(written: Written, tmp_path: Path) -> None:
    """States that became visible without their checkpoint are left out, at the end and between two transactions."""
    written.transaction([(b"b", b"torn"), (b"c", b"torn")], None)
    seen, events, torn = written.recover(tmp_path / "partition-0", HERE)
    assert (seen, events.count("transaction_torn"), torn) == ({b"a": b"2", b"b": b"1"}, 1, 1)
    after = {"site": 11, "clock": 4}
    written.transaction([(b"a", b"3")], checkpoint(after, HERE, 1, 2))
    seen, events, torn = written.recover(tmp_path / "another-0", after)
    assert (seen, events.count("transaction_torn"), torn) == ({b"a": b"3", b"b": b"1"}, 1, 1)


def test_a_changelog_made_anew_is_another_one(written: Written, tmp_path: Path) -> None:
    """Its id is new: the store is set aside, not believed and not removed, and the start says that the state is lost."""
    folder = tmp_path / "partition-0"
    before = topic_identity(common_config(written.settings), written.topic)
    written.recover(folder, HERE)
    written.make_anew()
    after = topic_identity(common_config(written.settings), written.topic)
    assert before[0] == after[0] != ""
    assert before[1] != after[1]
    with pytest.raises(StateError, match="the state is lost"):
        written.recover(folder, HERE)
    assert len(list(tmp_path.glob("partition-0.damaged-*"))) == 1


def test_a_changelog_cut_below_the_store_is_not_enough(written: Written, tmp_path: Path) -> None:
    """DeleteRecords took states that are nowhere else: a store that has all goes on, an empty disk is refused."""
    folder = tmp_path / "partition-0"
    written.recover(folder, HERE)
    written.let_delete()
    wait_until(written.cut, "the broker knows of it, and cuts")
    seen, events, _ = written.recover(folder, HERE)
    assert (seen, events[0]) == ({b"a": b"2", b"b": b"1"}, "store_current")
    with pytest.raises(StateError, match="1 persons are there, where its checkpoint says 2"):
        written.recover(tmp_path / "empty-0", HERE)
