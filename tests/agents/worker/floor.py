"""A shop's backlog on a real Kafka, workers over it in processes of their own, and what should come out."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import segue_schemas
from segue.engine import Engine, Merger, change_id
from segue.plan import Plan
from segue_agents.codecs.changes import decode_change
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.demo.child import Child
from segue_agents.publish import EventPublisher
from segue_agents.rule_files import load_catalog, load_plan

ROOT = Path(__file__).parents[3]
RULES = ROOT / "examples" / "shop"
PARTITIONS = 4
T0 = 1_790_000_000_000
NAMES = ["Product Viewed", "Product Viewed", "Product Viewed", "Product Added", "Product Removed", "Order Completed",
         "Email Opened", "Email Delivered", "page"]  # fmt: skip


@dataclass
class Floor:
    """One test's topics, contracts and workers."""

    broker: str
    prefix: str
    folder: Path
    rules: Path = RULES
    children: list[Child] = field(default_factory=list)

    def __post_init__(self) -> None:
        packaged = Path(segue_schemas.__file__).parent
        shutil.copytree(packaged, self.folder / "contracts", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        for file in self.sources.glob("*.yaml"):
            file.write_text(file.read_text().replace("\ntopic: ", f"\ntopic: {self.prefix}"))
        self.catalog = load_catalog(self.sources)
        self.plan: Plan = load_plan(self.rules, self.sources)
        self.inputs = [s.topic for s in self.catalog.sources]
        self.app, self.output = f"{self.prefix}app", f"{self.prefix}changes"
        self.dead_letters = f"segue-{self.app}-dead-letters"
        self.admin = AdminClient({"bootstrap.servers": self.broker})
        # no member: it never subscribes. An AdminClient asked for a group's offsets may crash (librdkafka 2.16)
        self.group = Consumer({"bootstrap.servers": self.broker, "group.id": self.app, "enable.auto.commit": False})
        for made in self.admin.create_topics([NewTopic(t, PARTITIONS, 1) for t in self.inputs]).values():
            made.result()

    @property
    def sources(self) -> Path:
        return self.folder / "contracts" / "sources"

    def publish_backlog(self, events: int, persons: int, seed: int) -> None:
        """A shop's week, in the order of time, all of it before any worker starts."""
        chance, now = random.Random(seed), T0
        publisher = EventPublisher(self.broker, self.catalog, self.sources)
        for i in range(events):
            now += int(chance.expovariate(1 / 20_000)) + 1
            event = {"type": "page"} if (name := chance.choice(NAMES)) == "page" else {"type": "track", "event": name}
            publisher.publish(event | {
                "userId": f"p{int(persons * chance.random() ** 2)}", "timestamp": now, "messageId": f"m{i}",
                "properties": {"product_id": f"x{i % 7}", "category": chance.choice(["shoes", "hats"])},
            })  # fmt: skip
        publisher.close()

    # --- workers

    def start(self, slot: int, *arguments: str) -> Child:
        child = Child(
            ["run", "--broker", self.broker, "--app-id", self.app, "--slot", str(slot), "--rules", str(self.rules),
             "--sources", str(self.sources), "--output-topic", self.output, "--data-dir", str(self.folder / "data"),
             "--log-format", "console", "--end-with-parent", *arguments],
            self.folder / f"worker-{slot}.log",
        )  # fmt: skip
        child.start()
        self.children.append(child)
        return child

    def kill(self, child: Child) -> None:
        """kill -9."""
        assert child.pid is not None
        assert child.return_code is None, child.last_words()
        os.kill(child.pid, signal.SIGKILL)
        child.stop()

    def said(self, slot: int, words: str) -> int:
        """How often a worker's log has these words."""
        log = self.folder / f"worker-{slot}.log"
        return log.read_text().count(words) if log.exists() else 0

    def committed(self) -> int:
        """Input records whose offsets the group has committed."""
        asked = [TopicPartition(t, p) for t in self.inputs for p in range(PARTITIONS)]
        try:
            found = self.group.committed(asked, timeout=5)
        except KafkaException:  # no coordinator yet, or it is at a commit: asked again
            return 0
        return sum(max(0, p.offset) for p in found)

    def total(self) -> int:
        return len(list(self.read(self.inputs)))

    def wait_for(self, records: int, timeout_s: float = 60) -> int:
        """Until the group has committed so many records."""
        until = time.monotonic() + timeout_s
        while (done := self.committed()) < records:
            for child in self.children:
                assert child.return_code in (None, -9, 0), child.last_words()
            assert time.monotonic() < until, f"{done} of {records} committed\n" + self.children[-1].last_words()
            time.sleep(0.05)
        return done

    # --- what came out, and what should have

    def read(self, topics: list[str]) -> Iterator[Message]:
        """All records of topics as a read_committed consumer sees them."""
        consumer = Consumer({
            "bootstrap.servers": self.broker, "group.id": f"{self.prefix}look", "enable.auto.commit": False,
            "isolation.level": "read_committed", "enable.partition.eof": True, "fetch.queue.backoff.ms": 5,
        })  # fmt: skip
        parts = [TopicPartition(t, p, 0) for t in topics for p in range(PARTITIONS)]
        consumer.assign(parts)
        left = len(parts)
        try:
            while left:
                for message in consumer.consume(5_000, 0.5):
                    if message.error():
                        left -= 1
                    else:
                        yield message
        finally:
            consumer.close()

    def changes(self) -> list[dict[str, Any]]:
        return [decode_change(m.value()) for m in self.read([self.output])]

    def expected(self) -> tuple[set[tuple[str, ...]], dict[int, int]]:
        """Ids, persons, segments and times of the changes by one pass in this process; engine time per partition."""
        engine, ids = Engine(self.plan), segue_schemas.schema_ids(self.sources)
        found: dict[tuple[str, int], list[Message]] = {}
        for message in self.read(self.inputs):
            found.setdefault((message.topic(), message.partition()), []).append(message)
        out: set[tuple[str, ...]] = set()
        reached: dict[int, int] = {}
        for partition in range(PARTITIONS):
            merger, state = Merger(self.catalog, partition), engine.partition(partition)
            for i, source in enumerate(self.catalog.sources):
                messages = found.get((source.topic, partition))
                if messages:
                    schema = {ids[segue_schemas.full_name(dict(source.schema))]: source.schema}
                    decoder = ColumnDecoder(i, source, self.plan.inputs[i], schema)
                    merger.feed(i, decoder.decode(messages))
                merger.at_end(i)
            while (batch := merger.take(100_000)) is not None:
                for c in state.step(batch).changes:
                    out.add((
                        change_id(c, self.plan), c.person.decode(), self.plan.segments[c.segment].name,
                        "entered" if c.entered else "exited", str(c.at_ms),
                    ))  # fmt: skip
            reached[partition] = merger.engine_time_ms
        return out, reached

    def assert_exact(self) -> list[dict[str, Any]]:
        """Nothing lost, doubled or wrong; sequences gapless in the order of reading."""
        got = self.changes()
        ids = [(c["change_id"], c["person_id"], c["segment"], c["change"], str(c["at"])) for c in got]
        expected, _ = self.expected()
        assert len(ids) == len(set(ids)), "doubled"
        assert set(ids) == expected
        last: dict[tuple[str, str], int] = {}
        for c in got:
            key = (c["person_id"], c["segment"])
            assert c["sequence"] == last.get(key, 0) + 1
            last[key] = c["sequence"]
        return got


@contextmanager
def open_floor(broker: str, prefix: str, folder: Path, rules: Path = RULES) -> Iterator[Floor]:
    """A floor whose workers end with the test."""
    floor = Floor(broker, prefix, folder, rules)
    try:
        yield floor
    finally:
        for child in floor.children:
            child.stop()
        floor.group.close()
