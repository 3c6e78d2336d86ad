"""A real worker with a real schema registry: producers and consumers are Confluent's own, and the registry is killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from tests.agents.registry.conftest import App
from tests.agents.worker.conftest import START_MS, wait_until

import segue_schemas
from segue_agents.cli import main
from segue_agents.embedded import Apicurio


class Shop:
    """A producer that knows nothing of us: a schema of its own, Confluent's serializer, which registers it."""

    def __init__(self, app: App, client: SchemaRegistryClient, *more: dict[str, Any]) -> None:
        """`more`: fields that our schema does not have."""
        schema = segue_schemas.load_schema("site_event.v1")
        schema["fields"] += more
        self._topic, self._at_ms = f"{app.prefix}site-events", START_MS
        self._names = [f["name"] for f in schema["fields"]]
        config = {"auto.register.schemas": True, "subject.name.strategy.type": "TOPIC"}
        self._serialize = AvroSerializer(client, json.dumps(schema), conf=config)
        self._producer = Producer({"bootstrap.servers": app.settings.bootstrap, "partitioner": "murmur2_random"})

    def value(self, person: str, **fields: Any) -> bytes:
        self._at_ms += 1_000
        event = dict.fromkeys(self._names) | {"message_id": f"{person}{self._at_ms}", "event": "Product Viewed",
                                              "user_id": person, "timestamp": self._at_ms} | fields
        return bytes(self._serialize(event, SerializationContext(self._topic, MessageField.VALUE)))

    def send(self, *values: tuple[str, bytes]) -> None:
        for person, value in values:
            self._producer.produce(self._topic, value, person)
        assert self._producer.flush(20) == 0

    def view(self, *persons: str, **fields: Any) -> None:
        self.send(*[(p, self.value(p, **fields)) for p in persons])


GIFT = {"name": "gift", "type": ["null", "string"], "default": None}
PEOPLE = [f"p{n}" for n in range(12)]


@pytest.fixture
def client(apicurio: Apicurio) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": apicurio.url, "timeout": 20}) as made:
        yield made


def register(app: App, apicurio: Apicurio) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schema", "register", "--registry", apicurio.url, "--sources", str(app.settings.sources), "--output-topic",
              app.settings.output_topic])
    assert not ended.value.code


def entered(app: App) -> list[str]:
    """Who entered the segment of three views, in any order."""
    return sorted(person for person, segment, change, _, _ in app.changes().elements()
                  if (segment, change) == ("behavior_keen", "entered"))


def test_ids_are_the_registrys_and_a_new_version_is_read_as_it_comes(
    app: App, apicurio: Apicurio, client: SchemaRegistryClient
) -> None:
    """Without its output's schema a worker refuses to start and says what to run. Then two producers' versions are read in one
    stream, and Confluent's own deserializer reads the changes, by the id it finds in them."""
    app.start(registry=apicurio.url)
    assert app.exit_code() == 3
    assert app.said("segue schema register") == 1
    register(app, apicurio)
    old, new = Shop(app, client), Shop(app, client, GIFT)
    app.start(registry=apicurio.url)
    old.view(*PEOPLE)
    old.view(*PEOPLE)
    wait_until(lambda: app.said("schema_fetched") == 1, "the first version")
    new.view(*PEOPLE, gift="wrapped")
    wait_until(lambda: len(entered(app)) >= len(PEOPLE), "all changes")
    assert entered(app) == sorted(PEOPLE)
    assert app.dead_letters() == []
    assert app.said("schema_fetched") == 2
    deserialize = AvroDeserializer(client)
    records = app.records(app.settings.output_topic)
    context = SerializationContext(app.settings.output_topic, MessageField.VALUE)
    assert {deserialize(m.value(), context)["person_id"] for m in records} == set(PEOPLE)
    latest = client.get_latest_version(f"{app.settings.output_topic}-value")
    assert {int.from_bytes(m.value()[1:5], "big") for m in records} == {latest.schema_id}


def test_the_registry_is_killed_and_nothing_is_lost(app: App, apicurio: Apicurio, client: SchemaRegistryClient) -> None:
    """Killed while a producer's new version is on its way: its records wait, and what follows them in their partition. A
    worker that is started meanwhile goes on with the ids on its disk. When the registry is back all is answered, once."""
    register(app, apicurio)
    old, new = Shop(app, client), Shop(app, client, GIFT)
    app.start(registry=apicurio.url)
    old.view(*PEOPLE)
    wait_until(lambda: app.said("schema_fetched") == 1, "the first version")
    waiting = [(p, new.value(p)) for p in PEOPLE[:6]]
    pid = apicurio.pid
    apicurio.stop(within_s=0)
    try:
        old.view(*PEOPLE[6:])
        old.view("early", "early", "early")
        wait_until(lambda: "early" in entered(app), "what is known goes on")
        new.send(*waiting)
        wait_until(lambda: app.said("registry_unavailable") >= 2, "two tries")
        assert app.end() == 0
        app.start(registry=apicurio.url)
        wait_until(lambda: app.said("schema_id_kept") == 1, "the kept id of the changes")
        old.view(*PEOPLE)
        wait_until(lambda: 'registry_schemas_pending 1.0' in app.metrics() and app.said("registry_unavailable") >= 5,
                   "the new version is still asked for")
        assert 'segue_registry_errors_total{kind="connection"}' in app.metrics()
        assert app.dead_letters() == []
    finally:
        apicurio.start()
    assert apicurio.pid != pid
    old.view(*PEOPLE[:6])
    wait_until(lambda: len(entered(app)) >= len(PEOPLE) + 1, "all changes")
    assert entered(app) == sorted([*PEOPLE, "early"])
    assert app.dead_letters() == []
    assert app.end() == 0


def test_a_worker_registers_its_schema_if_told_to(app: App, apicurio: Apicurio, client: SchemaRegistryClient) -> None:
    """auto_register_schemas: off by default, for those who have no pipeline."""
    app.start(registry=apicurio.url, auto_register_schemas=True)
    wait_until(lambda: app.said("schema_registered") == 1, "it is registered")
    assert client.get_versions(f"{app.settings.output_topic}-value") == [1]
    assert app.end() in (0, -signal.SIGTERM)
