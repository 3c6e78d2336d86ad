"""A worker with a schema registry that comes, goes and fails, over a real Kafka."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Producer
from tests.agents.codecs.fake_registry import FakeRegistry, running
from tests.agents.worker.conftest import App, wait_until

import segue_schemas

CHANGE_ID = 1_004
"""of the changes' schema in the registry, unlike ids.yaml's"""


def registered(registry: FakeRegistry, app: App, only: str = "") -> None:
    """The sources' schemas under their topics' subjects, with the ids their publisher uses; the changes' with another."""
    ids = segue_schemas.schema_ids(app.settings.sources)
    registry.add(CHANGE_ID, segue_schemas.load_schema("segment_change.v1"), f"{app.settings.output_topic}-value")
    for source in app.catalog.sources:
        if only in source.topic:
            schema_id = ids[segue_schemas.full_name(dict(source.schema))]
            registry.add(schema_id, source.schema, f"{source.topic}-value")


def start(app: App, registry: FakeRegistry, **flags: Any) -> None:
    app.start(registry=registry.url, **flags)


def test_a_registry_that_is_down_makes_records_wait_and_loses_none(app: App) -> None:
    """500s at first: no change, no dead letter, the metric counts; then answers: all changes, each once."""
    with running() as registry:
        registered(registry, app)
        registry.always = (500, {})
        app.publish(300)
        start(app, registry)
        wait_until(lambda: app.said("registry_unavailable") >= 3, "three tries")
        assert 'segue_registry_errors_total{kind="server"}' in app.metrics()
        assert (app.changes(), app.dead_letters()) == ({}, [])
        registry.always = None
        app.wait_for_all()
        assert app.dead_letters() == []
        assert app.end() == 0


def test_a_restart_with_the_registry_down(app: App) -> None:
    """What was known is on disk, and new events of it flow; the registry is not there at all."""
    with running() as registry:
        registered(registry, app)
        app.publish(200)
        start(app, registry)
        app.wait_for_all()
        assert app.end() == 0
    app.publish(200)
    start(app, registry)
    app.wait_for_all()
    assert app.end() == 0


def test_dead_letters_of_schemas_and_their_neighbours(app: App) -> None:
    """An unknown id and another topic's schema are dead letters with their reasons; what stands around them passes."""
    with running() as registry:
        registered(registry, app)
        registry.add(77, {"type": "record", "name": "E", "fields": []}, "orders-value")
        producer = Producer({"bootstrap.servers": app.settings.bootstrap})
        app.publish(100)
        for schema_id in (66, 77):
            producer.produce(f"{app.prefix}site-events", bytes([0, 0, 0, 0, schema_id]) + b"x", b"p1", partition=0)
        producer.flush(10)
        app.publish(200)
        start(app, registry)
        wait_until(lambda: len(app.dead_letters()) == 2, "two dead letters")
        app.wait_for_all()
        reasons = [dict(m.headers())["segue.reason"] for m in app.dead_letters()]
        assert reasons == [b"unknown_schema", b"wrong_subject"]


def test_one_topic_waits_and_time_with_it(app: App) -> None:
    """While the site's schema cannot be known nothing of the partition passes it, though others are there: none is late."""
    with running() as registry:
        registered(registry, app, only="email")
        app.publish(300)
        ids = segue_schemas.schema_ids(app.settings.sources)
        hidden = ids["segue.SiteEvent"]
        answer = registry.answer
        registry.answer = lambda path, who: (  # type: ignore[method-assign]
            (503, {}) if f"/ids/{hidden}" in path and hidden not in registry.schemas else answer(path, who))
        start(app, registry)
        wait_until(lambda: app.said("registry_unavailable") >= 3, "three tries")
        registered(registry, app)
        app.wait_for_all()
        assert app.dead_letters() == []
        late = [line for line in app.metrics().splitlines() if line.startswith("segue_events_late_total{")]
        assert late and all(line.endswith(" 0.0") for line in late)


def test_an_id_given_out_twice_ends_the_worker(app: App) -> None:
    """A registry set up anew: exit code 4, and what to do in the log."""
    with running() as registry:
        registered(registry, app)
        app.publish(50)
        start(app, registry)
        app.wait_for_all()
        assert app.end() == 0
        for schema_id in registry.schemas.keys() - {CHANGE_ID}:
            registry.add(schema_id, {"type": "record", "name": "Other", "fields": []}, *registry.subjects[schema_id])
        before = app.changes()
        app.publish(50)
        start(app, registry)
        assert app.exit_code() == 4
        assert app.changes() == before
        assert app.said("another schema than before") == 1
