"""What Kafka's admin interface says. Each question is bounded by `ANSWER_S`; none changes anything, or makes a topic."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Final

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from segue_agents.doctor.facts import Cluster, Ends, Group, Look, Member, Partition, Topic
from segue_agents.settings import Settings
from segue_agents.topics import clock_topic, topic_configs
from segue_agents.transport.clients import common_config

CONNECT_S: Final = 5.0
ANSWER_S: Final = 4.0
LOADING: Final = frozenset({
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE,
})  # fmt: skip
"""a group's coordinator that is still finding itself: asked again"""
_API: Final = re.compile(r": (\S+):\s+ApiKey \S+ \((\d+)\) Versions (\d+)\.\.(\d+)")
_NOISE: Final = re.compile(r"^\[thrd:[^]]*\]: ")


class Kafka:
    """One admin client, and what it was told in its log."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._said: list[logging.LogRecord] = []
        self._logger = logging.Logger("segue.doctor")  # noqa: LOG001 (of its own: nobody else is to hear it)
        self._logger.addHandler(_Into(self._said))
        # librdkafka tells what the brokers speak in its log of features, and nowhere else
        self._admin = AdminClient({**common_config(settings), "logger": self._logger, "debug": "feature"})

    def cluster(self) -> Cluster:
        """Connects. Raises KafkaException, with the client's own last word on why."""
        began = time.monotonic()
        try:
            found = self._admin.describe_cluster(include_authorized_operations=True, request_timeout=CONNECT_S).result()
        except KafkaException as error:
            raise ConnectionError(self._last_word() or error.args[0].str()) from error
        took_ms = (time.monotonic() - began) * 1_000
        return Cluster(str(found.cluster_id or ""), len(found.nodes), took_ms, _names(found.authorized_operations))

    def apis(self) -> dict[int, int]:
        """API -> the highest version that all brokers seen speak. Raises LookupError when the log has nothing."""
        until = time.monotonic() + 1.0
        while not (rows := self._rows()) and time.monotonic() < until:
            self._admin.poll(0.05)
        if not rows:
            raise LookupError("librdkafka's log does not tell what the brokers speak")
        brokers: dict[str, dict[int, int]] = {}
        for broker, key, highest in rows:
            brokers.setdefault(broker, {})[key] = highest
        shared = set.intersection(*(set(of) for of in brokers.values()))
        return {key: min(of[key] for of in brokers.values()) for key in sorted(shared)}

    def broker_config(self) -> dict[str, str]:
        """Of one broker. Raises KafkaException."""
        nodes = self._admin.describe_cluster(request_timeout=ANSWER_S).result().nodes
        resource = ConfigResource(ResourceType.BROKER, str(nodes[0].id))
        return _values(self._admin.describe_configs([resource], request_timeout=ANSWER_S)[resource].result())

    def topics(self, inputs: Iterable[str]) -> dict[str, Topic]:
        """Inputs and the app's own, in that order, each as described or with an error. Raises KafkaException."""
        names = list(dict.fromkeys((*inputs, *topic_configs(self._settings))))
        asked = self._admin.describe_topics(
            TopicCollection(names), include_authorized_operations=True, request_timeout=ANSWER_S
        )
        return {name: _described(asked[name]) for name in names}

    def topic_configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Of those that tell. Raises KafkaException when none does."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        found: dict[str, dict[str, str]] = {}
        refused = None
        if not resources:
            return found
        for resource, asked in self._admin.describe_configs(resources, request_timeout=ANSWER_S).items():
            try:
                found[resource.name] = _values(asked.result())
            except KafkaException as error:
                refused = error
        if refused is not None and not found:
            raise refused
        return found

    def group(self) -> Group:
        """The app's. Raises KafkaException."""
        name, until = self._settings.app_id, time.monotonic() + ANSWER_S
        while True:
            try:
                found = self._admin.describe_consumer_groups(
                    [name], include_authorized_operations=True, request_timeout=ANSWER_S
                )[name].result()
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.GROUP_ID_NOT_FOUND:
                    return Group("DEAD", (), None)
                if code not in LOADING or time.monotonic() > until:
                    raise
                time.sleep(0.2)
                continue
            members = tuple(
                Member(m.client_id, m.host, m.group_instance_id or "", len(m.assignment.topic_partitions))
                for m in found.members
            )
            return Group(found.state.name, members, _names(found.authorized_operations))

    def look(self, topics: Mapping[str, Topic]) -> Look:
        """The ends of all partitions there are, and the group's offsets. Raises KafkaException."""
        partitions = [TopicPartition(name, p) for name, t in topics.items() if t.exists for p in range(t.partitions)]
        high = self._offsets(partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)
        stable = self._offsets(partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)
        low = self._offsets(partitions, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)
        # asked for in this order a transaction that ends in between cannot look like one that is open
        ends = {p: Ends(low[p], min(stable[p], high[p]), high[p]) for p in high if p in stable and p in low}
        own = set(topic_configs(self._settings)) - {clock_topic(self._settings.app_id)}
        return Look(time.monotonic(), ends, self._committed([p for p in partitions if p.topic not in own]))

    def _offsets(self, partitions: list[Any], spec: Any, isolation: Any) -> dict[Partition, int]:
        """Of those that tell, which one without a leader does not. Raises KafkaException when none does."""
        if not partitions:
            return {}
        asked = self._admin.list_offsets(
            dict.fromkeys(partitions, spec), isolation_level=isolation, request_timeout=ANSWER_S
        )
        found: dict[Partition, int] = {}
        refused = None
        for p, answer in asked.items():
            try:
                found[p.topic, p.partition] = int(answer.result().offset)
            except KafkaException as error:
                refused = error
        if refused is not None and not found:
            raise refused
        return found

    def _committed(self, wanted: list[Any]) -> dict[Partition, int]:
        if not wanted:
            return {}
        until = time.monotonic() + ANSWER_S
        # by a consumer that is no member: librdkafka's admin client may crash over a group's offsets
        config = {**common_config(self._settings), "group.id": self._settings.app_id, "enable.auto.commit": False}
        with closing(Consumer({**config, "logger": self._logger})) as consumer:
            while True:
                try:
                    found = consumer.committed(wanted, timeout=ANSWER_S)
                except KafkaException as error:
                    if error.args[0].code() not in LOADING or time.monotonic() > until:
                        raise
                    time.sleep(0.2)
                    continue
                return {(p.topic, p.partition): p.offset for p in found if p.error is None and p.offset >= 0}

    # --- what its log says

    def _rows(self) -> list[tuple[str, int, int]]:
        found = [m for record in list(self._said) if (m := _API.search(record.getMessage()))]
        return [(m[1], int(m[2]), int(m[4])) for m in found]

    def _last_word(self) -> str:
        for _ in range(5):
            self._admin.poll(0.02)
        said = [r.getMessage() for r in self._said if r.levelno >= logging.WARNING]
        return said[-1].split("]: ")[-1] if said else ""


class _Into(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, said: list[logging.LogRecord]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record)


def _names(operations: Any) -> frozenset[str] | None:
    return None if operations is None else frozenset(o.name for o in operations)


def _values(entries: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(entry.value) for name, entry in entries.items() if entry.value is not None}


def _described(asked: Any) -> Topic:
    try:
        found = asked.result()
    except KafkaException as error:
        return Topic(error=error.args[0].name())
    partitions = found.partitions
    return Topic(
        partitions=len(partitions),
        replicas=min((len(p.replicas) for p in partitions), default=0),
        leaderless=tuple(p.id for p in partitions if p.leader is None or p.leader.id < 0),
        behind=tuple(p.id for p in partitions if len(p.isr) < len(p.replicas)),
        operations=_names(found.authorized_operations),
    )
