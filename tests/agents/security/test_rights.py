"""The rights that `segue acls` names are enough for everything a worker does, and with any one fewer it stops and says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from tests.agents.security.allowing import Allowing
from tests.agents.security.forked import ForkedApp
from tests.agents.security.secured import USER, Secured, written
from tests.agents.worker.conftest import wait_until

from segue_agents.rights import Role, rights_of
from segue_agents.topics import clock_topic

REFUSED = 3


class Denied:
    """An app on the Kafka that denies everything, and its worker's rights."""

    def __init__(self, secured: Secured, prefix: str, folder: Path) -> None:
        self.app = ForkedApp(secured.plain, prefix, folder)
        self.settings = dataclasses.replace(self.app.settings, clock="ticks")
        self.config = secured.scram_config()
        self.flags: dict[str, Any] = {
            "bootstrap": secured.scram, "kafka_config": written(folder, self.config), "clock": "ticks",
        }  # fmt: skip
        self.allowing = Allowing(secured.plain, f"User:{USER}")
        self.rights = rights_of(Role.WORKER, self.settings, slots=("0",))
        self._garbage = Producer({"bootstrap.servers": secured.plain})
        self.letters = 0
        self._runs = 0

    def publish(self, n: int) -> None:
        """And one record that is no event, on each partition."""
        for partition in range(2):
            self._garbage.produce(self.app.catalog.sources[0].topic, b"no event", f"p{partition}", partition)
            self.letters += 1
        assert not self._garbage.flush(20)
        self.app.publish(n)

    def run(self, slot: str = "0", **flags: Any) -> None:
        """Without a disk: everything comes back from Kafka."""
        self._runs += 1
        self.app.start(slot, data_dir=self.app.folder / f"state-{self._runs}", **self.flags, **flags)

    def done(self) -> bool:
        """Everything is worked off, so far as can be seen from outside."""
        assert all(worker.poll() is None for worker in self.app.workers.values()), self.app.log().read_text()
        return len(self.app.dead_letters()) == self.letters


@pytest.fixture
def denied(secured: Secured, topic_prefix: str, tmp_path: Path) -> Iterator[Denied]:
    made = Denied(secured, topic_prefix, tmp_path)
    made.allowing.give(made.rights)
    yield made
    for worker in made.app.workers.values():
        worker.send_signal(9)
        worker.wait(20)
    made.allowing.take(made.rights)


def test_these_rights_are_enough_and_each_is_needed(denied: Denied, secured: Secured) -> None:
    """Start, changes, a dead letter, ticks, a restore: with all of them. Without one: exit code 3, and which."""
    denied.publish(30)
    denied.run()
    wait_until(denied.done, "the first run")
    wait_until(lambda: denied.app.records(clock_topic(denied.settings.app_id)), "ticks")
    assert denied.app.end() == 0
    asking = AdminClient({"bootstrap.servers": secured.scram, **denied.config})
    for right in denied.rights:
        with denied.allowing.without(right):
            denied.publish(5)
            denied.run(checked=False)
            before = denied.app.log().read_text()
            assert denied.app.exit_code() == REFUSED, denied.app.log().read_text()
            last = denied.app.log().read_text()[len(before):].rpartition("segue: ")[2]
            print(right, "=>", last)
            assert right.name in last, right
