"""How long a change takes after a lull, on a real Kafka: nothing on the way may wait for a timeout."""

from __future__ import annotations

import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from tests.agents.worker.conftest import START_MS, WITHIN_S, wait_until

import segue_schemas
from segue_agents.codecs.segment_json import encode_event
from segue_agents.tail import ChangeTail

if TYPE_CHECKING:
    App = Any

ROUNDS = 7
LULL_S = 0.7
MOST_S = 0.35
"""some 50 ms as a rule; with fetch.wait.max.ms at librdkafka's default more than 500"""


def send(app: App, producer: Producer, source: str, event: str, person: str, at_ms: int) -> None:
    of = next(s for s in app.catalog.sources if s.name == source)
    id_ = segue_schemas.schema_ids(app.settings.sources)[segue_schemas.full_name(dict(of.schema))]
    key, value = encode_event(of, id_, {
        "type": "track", "event": event, "userId": person, "timestamp": at_ms, "messageId": uuid.uuid4().hex,
        "properties": {},
    })  # fmt: skip
    producer.produce(of.topic, value, key)


def took_s(app: App, producer: Producer, tail: ChangeTail, n: int) -> float:
    """From events of two sources, after a lull, to the change of the last one, which waits for the other source.

    In one transaction, since Kafka shows what is in one all at once: so one fetch has both.
    """
    at_ms, person = START_MS + n * 60_000, f"p{n}"
    producer.begin_transaction()
    send(app, producer, "email", "Email Opened", person, at_ms)
    send(app, producer, "site", "Product Viewed", person, at_ms + 1)
    began = time.monotonic()
    producer.commit_transaction(10)
    while all(change["person_id"] != person for change in tail.read(0.1)):
        assert time.monotonic() - began < WITHIN_S, f"no change of {person}"
    return time.monotonic() - began


def test_after_a_lull_no_source_waits_for_a_fetch_of_another(app: App) -> None:
    """The end of a partition is known from an empty fetch alone, and until then its source holds the others back."""
    (app.folder / "rules.yaml").write_text("segment: behavior_looking\nwhen: did product_viewed in the last 10 minutes\n")
    producer = Producer({"bootstrap.servers": app.settings.bootstrap, "transactional.id": f"{app.prefix}shop"})
    producer.init_transactions(10)
    app.start()
    wait_until(lambda: app.said("partition_ready") == 2, "both partitions")
    took = []
    with ChangeTail(app.settings.bootstrap, app.settings.output_topic, from_beginning=True) as tail:
        for n in range(ROUNDS):
            time.sleep(LULL_S)
            took.append(took_s(app, producer, tail, n))
    assert statistics.median(took) < MOST_S, took
