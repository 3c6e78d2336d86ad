"""A worker on a real Kafka, in a process of its own, that can be killed; and what it ought to have written."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

import segue_schemas
from segue.engine import Engine, Merger
from segue_agents.codecs.changes import decode_change
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.publish import EventPublisher
from segue_agents.rule_files import load_catalog, load_plan
from segue_agents.settings import Settings
from segue_agents.topics import create_topics, dead_letters_topic

RULES = """\
segment: behavior_keen
when: count(product_viewed) >= 3 in the last 10 minutes
---
segment: behavior_abandoned
enter: product_added then no order_completed within 30 minutes
exit: order_completed, or 1 day after entering
"""
START_MS = 1_790_000_000_000
NAMES = ("Product Viewed", "Product Viewed", "Product Viewed", "Product Added", "Order Completed", "page")
WITHIN_S = 40.0

Jump = tuple[str, str, str, int, int]
"""person, segment, entered or exited, at, sequence"""


def wait_until(true: Any, what: str, within_s: float = WITHIN_S) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, f"not within {within_s} s: {what}"
        time.sleep(0.05)


class App:
    """One app: topics, rules and workers, alone under its prefix."""

    def __init__(self, broker: str, prefix: str, folder: Path) -> None:
        self.folder, self.prefix = folder, prefix
        packaged = Path(segue_schemas.__file__).parent
        for part in ("sources", "avro"):
            shutil.copytree(packaged / part, folder / "contracts" / part)
        shutil.copy(packaged / "ids.yaml", folder / "contracts" / "ids.yaml")
        for file in (folder / "contracts" / "sources").glob("*.yaml"):
            file.write_text(file.read_text().replace("topic: ", f"topic: {prefix}"))
        (folder / "rules.yaml").write_text(RULES)
        self.settings = Settings(
            bootstrap=broker, app_id=f"{prefix}app", data_dir=folder / "state", rules=folder / "rules.yaml",
            sources=folder / "contracts" / "sources", output_topic=f"{prefix}changes", clock="none", partitions=2,
            commit_interval_ms=100, idle_commit_interval_ms=50,
        )
        self.given = ("bootstrap", "app_id", "data_dir", "rules", "sources", "output_topic", "partitions",
                      "commit_interval_ms", "idle_commit_interval_ms")
        create_topics(self.settings, 2)
        self.catalog = load_catalog(self.settings.sources)
        self.publisher = EventPublisher(broker, self.catalog, self.settings.sources)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._random = random.Random(1)
        self._now_ms = START_MS

    # --- events

    def publish(self, n: int, persons: int = 40) -> None:
        """Some minutes of some persons, in order of time."""
        for _ in range(n):
            self._now_ms += self._random.randrange(20_000)
            self.send(self._random.choice(NAMES), f"p{self._random.randrange(persons)}", self._now_ms)
        self.publisher.close()

    def send(self, event: str, person: str, at_ms: int) -> None:
        self.publisher.publish({
            "type": "page" if event == "page" else "track", "event": event, "userId": person, "timestamp": at_ms,
            "messageId": uuid.uuid4().hex, "properties": {},
        })  # fmt: skip

    # --- workers

    def start(self, name: str = "0", plant: str = "", **flags: Any) -> None:
        """A worker in the slot of its name; `plant` is Python that runs first, to make something go wrong."""
        own = {"clock": "none", "slot": name, "log_format": "console"}
        flags = own | {n: getattr(self.settings, n) for n in self.given} | flags
        given = [f"--{'broker' if n == 'bootstrap' else n.replace('_', '-')}={value}" for n, value in flags.items()]
        code = f"{plant}\nimport segue_agents.cli as cli; cli.main()"
        with self.log(name).open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-c", code, "run", *given], stdout=log, stderr=log, env=os.environ
            )

    def end(self, slot: str = "0", how: signal.Signals = signal.SIGTERM) -> int:
        worker = self.workers.pop(slot)
        worker.send_signal(how)
        return worker.wait(20)

    def exit_code(self, slot: str = "0") -> int:
        return self.workers.pop(slot).wait(30)

    def log(self, slot: str = "0") -> Path:
        return self.folder / f"worker-{slot}.log"

    def said(self, words: str, slot: str = "0") -> int:
        return self.log(slot).read_text().count(words) if self.log(slot).exists() else 0

    def metrics(self, slot: str = "0") -> str:
        address = self.log(slot).read_text().split("web=")[-1].split()[0]
        with urllib.request.urlopen(address) as page:
            return str(page.read().decode())

    # --- what came out, what ought to

    def records(self, topic: str, isolation: str = "read_committed") -> list[Any]:
        consumer = Consumer({
            "bootstrap.servers": self.settings.bootstrap, "group.id": uuid.uuid4().hex, "isolation.level": isolation,
            "enable.partition.eof": True, "enable.auto.commit": False, "fetch.wait.max.ms": 10,
        })  # fmt: skip
        consumer.assign([TopicPartition(topic, p, 0) for p in range(2)])
        found, ends, until = [], 0, time.monotonic() + WITHIN_S
        while ends < 2:
            assert time.monotonic() < until, f"{topic} has no end"
            message = consumer.poll(0.2)  # one at a time: `consume` would wait for more than there are
            if message is None:
                continue
            if message.error() is None:
                found.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ends += 1
        consumer.close()
        return found

    def changes(self) -> Counter[Jump]:
        return Counter(_jump(decode_change(m.value())) for m in self.records(self.settings.output_topic))

    def dead_letters(self) -> list[Any]:
        return self.records(dead_letters_topic(self.settings.app_id))

    def expected(self) -> Counter[Jump]:
        """What the engine says of everything published, in one go."""
        plan = load_plan(self.settings.rules, self.settings.sources)
        ids = segue_schemas.schema_ids(self.settings.sources)
        jumps: Counter[Jump] = Counter()
        for index in range(2):
            merger, partition = Merger(self.catalog, index), Engine(plan).partition(index)
            for i, source in enumerate(self.catalog.sources):
                of = {ids[segue_schemas.full_name(dict(source.schema))]: source.schema}
                messages = [m for m in self.records(source.topic) if m.partition() == index]
                if messages:
                    merger.feed(i, ColumnDecoder(i, source, plan.inputs[i], of).decode(messages))
                merger.at_end(i)
            while (batch := merger.take(1000)) is not None:
                for c in partition.step(batch).changes:
                    name = plan.segments[c.segment].name
                    jumps[c.person.decode(), name, "entered" if c.entered else "exited", c.at_ms, c.sequence] += 1
        assert jumps
        return jumps

    def wait_for_all(self) -> None:
        """Until everything published has been answered, each change once."""
        expected = self.expected()
        wait_until(lambda: sum(self.changes().values()) >= sum(expected.values()), "all changes")
        assert self.changes() == expected


def _jump(change: dict[str, Any]) -> Jump:
    return change["person_id"], change["segment"], change["change"], change["at"], change["sequence"]


@pytest.fixture
def app(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[App]:
    made = App(broker, topic_prefix, tmp_path)
    yield made
    for slot in list(made.workers):
        made.end(slot, signal.SIGKILL)
