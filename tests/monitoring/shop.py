"""A small live shop for a Prometheus to look at: real workers over a real Kafka, and events of now all the while."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from confluent_kafka import Producer
from tests.agents.worker.floor import Floor, open_floor

from segue_agents.publish import EventPublisher

RULES: Final = """\
segment: behavior_keen
when: count(product_viewed) >= 3 in the last 10 seconds
---
segment: behavior_abandoned
enter: product_added then no order_completed within 2 seconds
exit: order_completed, or 5 seconds after entering
"""
PERSONS: Final = 200
EVENTS_A_SECOND: Final = 100
NAMES: Final = ("Product Viewed", "Product Viewed", "Product Added", "Order Completed")
UNKNOWN_SCHEMA: Final = b"\x00\x00\x00\x03\xe7"
"""Confluent's framing with the id 999"""
LATE_MS: Final = 60_000
TOO_LATE_MS: Final = 48 * 3_600_000


class Shop:
    """Workers, and a thread that publishes. Between `open_shop` and its end."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._load = threading.Thread(target=self._publish, name="load", daemon=True)

    @property
    def targets(self) -> Path:
        """The files in which workers name themselves."""
        return self.floor.folder / "data" / "prometheus" / "*.json"

    @property
    def environment(self) -> dict[str, str]:
        """What an operator of this app has in theirs."""
        floor = self.floor
        return {"SEGUE_BOOTSTRAP": floor.broker, "SEGUE_APP_ID": floor.app, "SEGUE_SOURCES": str(floor.sources),
                "SEGUE_RULES": str(floor.rules), "SEGUE_DATA_DIR": str(floor.folder / "data"),
                "SEGUE_OUTPUT_TOPIC": floor.output}  # fmt: skip

    @property
    def site_topic(self) -> str:
        """Of what people do on the site: the one that gets events."""
        return next(source.topic for source in self.floor.catalog.sources if source.name == "site")

    def run_workers(self) -> None:
        """Two of them, by the environment as it is now."""
        for slot in (0, 1):
            self.floor.start(slot, "--commit-interval-ms", "200", "--idle-commit-interval-ms", "100")

    def stop_workers(self) -> None:
        """SIGTERM, and waits."""
        for child in self.floor.children:
            child.stop()
        self.floor.children.clear()

    def said(self) -> str:
        """The ends of the workers' logs."""
        return "\n".join(child.last_words() for child in self.floor.children)

    def refuse(self, partition: int, records: int) -> None:
        """Records of a schema that nobody has declared, as after a producer's untold deployment."""
        producer = Producer({"bootstrap.servers": self.floor.broker, "linger.ms": 5})
        for _ in range(records):
            producer.produce(self.site_topic, UNKNOWN_SCHEMA + b"\x02x", b"somebody", partition)
        assert producer.flush(20) == 0

    def _publish(self) -> None:
        chance, publisher = random.Random(1), EventPublisher(self.floor.broker, self.floor.catalog, self.floor.sources)
        try:
            while not self._over.wait(0.1):
                now_ms = round(time.time() * 1_000)
                for _ in range(EVENTS_A_SECOND // 10):
                    late = chance.random()
                    self._event(publisher, chance, now_ms - (TOO_LATE_MS if late < 0.001 else LATE_MS * (late < 0.01)))
        except BaseException as error:  # noqa: BLE001 (raised at the end, in the test's thread)
            self._failed = error
        publisher.close()

    def _event(self, publisher: EventPublisher, chance: random.Random, at_ms: int) -> None:
        publisher.publish({
            "type": "track", "event": chance.choice(NAMES), "userId": f"p{chance.randrange(PERSONS)}",
            "timestamp": at_ms, "messageId": uuid.uuid4().hex, "properties": {"product_id": "x"},
        })  # fmt: skip

    def __enter__(self) -> Self:
        self._load.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._load.join(20)
        if self._failed is not None:
            raise self._failed


@contextmanager
def open_shop(broker: str, prefix: str, folder: Path) -> Iterator[Shop]:
    """Topics are there and events are coming; no worker runs yet."""
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    with open_floor(broker, prefix, folder, rules) as floor, Shop(floor) as shop:
        yield shop
