"""The rights that `segue acls` names are enough for all a worker does, and with any one fewer it stops and says which."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from tests.agents.security.allowing import Allowing
from tests.agents.security.forked import ForkedApp
from tests.agents.security.secured import USER, Secured, written
from tests.agents.worker.conftest import wait_until

from segue_agents.security.rights import Right, Role, missing_rights, rights_of
from segue_agents.topics import clock_topic, dead_letters_topic

REFUSED = 3


class Denied:
    """An app on the Kafka that denies everything, and its worker's rights."""

    def __init__(self, secured: Secured, prefix: str, folder: Path) -> None:
        self.app = ForkedApp(secured.plain, prefix, folder)
        self.settings = dataclasses.replace(self.app.settings, clock="ticks")
        config = secured.scram_config()
        self.flags: dict[str, Any] = {
            "bootstrap": secured.scram, "kafka_config": written(folder, config), "clock": "ticks",
            "clock_delay_ms": 30_000,  # however slow this machine: no event is late
        }  # fmt: skip
        self.allowing = Allowing(secured.plain, f"User:{USER}")
        self.rights = rights_of(Role.WORKER, self.settings, slots=("0", "1"))
        self.its_admin = AdminClient({"bootstrap.servers": secured.scram, **config})
        self._garbage = Producer({"bootstrap.servers": secured.plain})
        self.published = 0
        self._runs = 0

    def publish(self) -> None:
        """What makes one change, and one record that is no event."""
        self.published += 1
        for i in range(3):
            self.app.send("Product Viewed", f"p{self.published}", time.time_ns() // 1_000_000 + i)
        self.app.publisher.close()
        self._garbage.produce(self.app.catalog.sources[0].topic, b"no event", b"p", self.published % 2)
        assert not self._garbage.flush(20)

    def run(self, slot: str = "0", **flags: Any) -> None:
        """Without a disk: everything comes back from Kafka."""
        self._runs += 1
        self.app.start(slot, data_dir=self.app.folder / f"state-{self._runs}", **self.flags, **flags)

    def wait_until_done(self) -> None:
        """Everything has been worked off, once."""

        def done() -> bool:
            assert all(worker.poll() is None for worker in self.app.workers.values()), self.app.log().read_text()
            time.sleep(0.25)  # a look costs two consumers
            return len(self.app.dead_letters()) >= self.published and self.app.changes().total() >= self.published

        wait_until(done, "everything worked off")
        assert len(self.app.dead_letters()) == self.published
        assert sorted(who for who, *_ in self.app.changes().elements()) == sorted(f"p{i + 1}" for i in range(self.published))

    def failed_run(self) -> str:
        """What a worker says that stops by itself, having found out at Kafka's hands: nothing was checked before."""
        before = len(self.app.log().read_text())
        self.run(checked=False)
        code = self.app.exit_code()
        said = self.app.log().read_text()[before:]
        assert code == REFUSED, said
        return said.rpartition("segue: ")[2]


@pytest.fixture
def denied(secured: Secured, topic_prefix: str, tmp_path: Path) -> Iterator[Denied]:
    made = Denied(secured, topic_prefix, tmp_path)
    made.allowing.give(made.rights)
    yield made
    made.app.kill_all()
    made.allowing.take(made.rights)


@pytest.mark.timeout(300)  # 14 runs of a worker: 40 s, and many times that on a busy machine
def test_these_rights_are_enough_and_each_is_needed(denied: Denied) -> None:
    """Start, changes, dead letters, ticks, restores, two workers: with all of them. Without one: exit code 3, and which."""
    denied.publish()
    denied.run()
    denied.wait_until_done()
    wait_until(lambda: denied.app.records(clock_topic(denied.settings.app_id)), "ticks")
    assert denied.app.end() == 0
    at_its_use = {denied.app.catalog.sources[0].topic, denied.settings.output_topic,
                  dead_letters_topic(denied.settings.app_id)}  # fmt: skip
    mine = [right for right in denied.rights if right.name != f"{denied.settings.app_id}-1"]
    assert len(mine) == 12
    for right in mine:
        with ExitStack() as meanwhile:
            if right.name in at_its_use:  # the topic stays to be seen, so that it is this right that is missed
                meanwhile.callback(denied.allowing.take, [weaker := right._replace(operation="Describe")])
                denied.allowing.give([weaker])
            meanwhile.enter_context(denied.allowing.without(right))
            denied.publish()
            assert named(right) in denied.failed_run()
            found = missing_rights(denied.its_admin, denied.rights)
            assert found == [right] * (right.resource != "transactional-id")  # of these Kafka says nothing before
    two_workers(denied)


def two_workers(denied: Denied) -> None:
    """Nothing of what was published meanwhile is lost; they share the partitions, and one goes on when the other leaves."""
    denied.run("0")
    denied.wait_until_done()
    denied.run("1")
    wait_until(lambda: denied.app.said("partition_ready", "1"), "a partition of its own")
    denied.publish()
    denied.wait_until_done()
    assert denied.app.end("1") == 0
    denied.publish()
    denied.wait_until_done()
    assert denied.app.end("0") == 0


def named(right: Right) -> str:
    return f"{right.operation} on {right.resource.replace('-', ' ')} {right.name!r}"


def test_all_that_is_missing_is_said_at_once_before_anything_starts(denied: Denied) -> None:
    """And for whom; so no right is missed only when it is needed, as for the first dead letter at night."""
    lost = [right for right in denied.rights if right.operation == "Write" and right.resource == "topic"]
    denied.allowing.take(lost)
    denied.run()
    assert denied.app.exit_code() == REFUSED
    log = denied.app.log().read_text()
    assert "worker_starts" not in log
    assert f"does not allow User:{USER} what it needs" in log
    assert "segue acls worker --format kafka-acls" in log
    for right in denied.rights:
        assert (named(right) in log) == (right in lost)


def test_a_right_that_is_taken_away_stops_a_worker_and_nothing_is_lost(denied: Denied) -> None:
    """It says which, and goes on where it was once it has it again."""
    denied.publish()
    denied.run()
    denied.wait_until_done()
    (output,) = (right for right in denied.rights if right.name == denied.settings.output_topic)
    with denied.allowing.without(output):
        denied.publish()
        assert denied.app.exit_code() == REFUSED, denied.app.log().read_text()
        assert named(output) in denied.app.log().read_text()
    denied.run()
    denied.wait_until_done()
    assert denied.app.end() == 0
