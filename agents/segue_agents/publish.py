"""Publishes events as a producer would: the source's own Avro record, Confluent framing, keyed by the person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import segue_schemas
from segue.catalog import Catalog, Source
from segue.errors import ConfigError, Unreachable
from segue_agents.codecs.registry import Registry, Unavailable, schema_text
from segue_agents.codecs.segment_json import NoEvent, Tick, encode_event, parse_event
from segue_agents.transport.asking import metadata
from segue_agents.transport.opening import open_producer
from segue_agents.transport.refusals import raise_refusal

DELIVERED_WITHIN_S: Final = 10.0


class EventPublisher:
    """A producer of events in the Segment shape; each goes to the topic of the source whose contract names it."""

    def __init__(
        self, bootstrap: str, catalog: Catalog, sources: Path | None = None, config: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
    ) -> None:
        """`sources`: the folder of the declarations, the packaged ones when None. Schema ids are the registry's, or else
        those of that folder's ids.yaml.

        `config`: of Kafka's clients, as `common_config` gives it: TLS and SASL.
        """
        self._bootstrap = bootstrap
        self._catalog = catalog
        self._ids = segue_schemas.schema_ids(sources)
        self._registry = registry
        self._registered: dict[str, int] = {}
        """by topic"""
        self._failed: Any = None
        self._failed_topic = ""
        self._places: list[tuple[str, int, int]] = []
        """of what has been delivered since it was last emptied"""
        self._producer = open_producer({
            "bootstrap.servers": bootstrap,
            **(config or {}),
            "partitioner": "murmur2_random",  # as Kafka's Java clients: all sources must agree on it
            "enable.idempotence": True,
            "linger.ms": 5,
            "log_level": 0,  # what goes wrong is raised, in our words
            "delivery.timeout.ms": round(DELIVERED_WITHIN_S * 1000),
        })  # fmt: skip

    def publish(self, event: Mapping[str, Any]) -> None:
        """Queues an event of the Segment shape. Raises ConfigError if it is none; Unreachable: an earlier one failed, or the
        registry does not have the source's schema."""
        source = self._source(event)
        try:
            key, value = encode_event(source, self._schema_id(source), event)
        except NoEvent as error:
            raise _not_publishable(error) from error
        self._producer.produce(source.topic, value, key, on_delivery=self._delivered)
        self.poll()

    def publish_and_wait(self, event: Mapping[str, Any]) -> tuple[str, int, int]:
        """Publishes one event and returns its topic, partition and offset. Raises ConfigError, Unreachable."""
        self._places.clear()
        self._check_topic(event)
        self.publish(event)
        self._producer.flush(DELIVERED_WITHIN_S + 1)
        self._raise_failure()
        if not self._places:
            raise Unreachable(f"No Kafka answers at {self._bootstrap}.", "Check the address, or run `segue up`.")
        return self._places[-1]

    def poll(self) -> None:
        """Hears what became of earlier events. Raises Unreachable when one could not be delivered."""
        self._producer.poll(0)
        self._raise_failure()

    def close(self) -> None:
        """Waits for what is on its way."""
        self._producer.flush(DELIVERED_WITHIN_S)

    def _source(self, event: Mapping[str, Any]) -> Source:
        try:
            parsed = parse_event(event, self._catalog)
        except NoEvent as error:
            raise _not_publishable(error) from error
        if isinstance(parsed, Tick):
            raise _not_publishable("a tick is no event of a source.")
        return self._catalog.sources[parsed.source]

    def _schema_id(self, source: Source) -> int:
        if self._registry is None:
            return self._ids[segue_schemas.full_name(dict(source.schema))]
        if source.topic not in self._registered:
            subject = f"{source.topic}-value"
            try:
                found = self._registry.lookup(subject, schema_text(dict(source.schema)))
            except Unavailable as trouble:
                raise Unreachable(f"The schema registry does not answer: {trouble.says}.",
                                  "Check the address; without a registry leave SEGUE_REGISTRY out.") from trouble
            if found is None:
                raise Unreachable(f"{self._registry.url} does not have the schema of {subject}.",
                                  "Run `segue schema register`.")
            self._registered[source.topic] = found
        return self._registered[source.topic]

    def _check_topic(self, event: Mapping[str, Any]) -> None:
        # produce() would wait ten seconds for a topic that nobody has created
        topic = self._source(event).topic
        found = metadata(self._producer, self._bootstrap, topic).topics[topic]
        raise_refusal(found.error, "Write", "producer", topic=topic)
        if found.error is not None:
            raise Unreachable(f"{self._bootstrap} has no topic {topic!r}.", "A worker creates it: `segue run`.")

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            self._places[:] = [(message.topic(), message.partition(), message.offset())]
        elif self._failed is None:
            self._failed, self._failed_topic = error, message.topic()

    def _raise_failure(self) -> None:
        raise_refusal(self._failed, "Write", "producer", topic=self._failed_topic)
        if self._failed is not None:
            raise Unreachable(
                f"An event could not be delivered to {self._bootstrap}: {self._failed.str()}.",
                "Check the address; topics are created by `segue run`.",
            )


def _not_publishable(why: object) -> ConfigError:
    return ConfigError(f"The event cannot be published: {why}", "See docs/contracts.md, Files.")
