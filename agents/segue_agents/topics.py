"""The topics an app lives by: their names, how they are made, and the check that their partitions match.

All inputs and all topics of the app have the same number of partitions, so that partition i of each holds the same
persons (the producers' partitioner is murmur2 of the key). Anything else would split persons over workers.
"""

from __future__ import annotations

import time
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

import segue_schemas
from segue.catalog import Catalog
from segue.errors import ConfigError, Unreachable
from segue.limits import STATE_BYTES
from segue_agents.settings import Settings
from segue_agents.transport.asking import ANSWER_WITHIN_S, partition_counts
from segue_agents.transport.clients import common_config

_DAY_MS: Final = 86_400_000
DELETE_RETENTION_MS: Final = _DAY_MS
"""a tombstone of the changelog can be read for that long; who has been away longer may have missed one"""
COMPACTION_LAG_MS: Final = _DAY_MS // 24
"""so long a state stays when a newer one is there: a torn transaction's states have others to go back to"""
_log = structlog.get_logger(__name__)


def state_topic(app_id: str) -> str:
    """The changelog: each person's state as of the last commit."""
    return f"segue-{app_id}-state"


def clock_topic(app_id: str) -> str:
    """The ticks."""
    return f"segue-{app_id}-clock"


def dead_letters_topic(app_id: str) -> str:
    """Records that took no part, as they were."""
    return f"segue-{app_id}-dead-letters"


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Name -> configuration of every topic the app writes."""
    return {
        settings.output_topic: {"cleanup.policy": "delete", "retention.ms": str(14 * _DAY_MS)},
        state_topic(settings.app_id): {
            "cleanup.policy": "compact", "min.compaction.lag.ms": str(COMPACTION_LAG_MS),
            "delete.retention.ms": str(DELETE_RETENTION_MS), "max.message.bytes": str(STATE_BYTES),
        },
        clock_topic(settings.app_id): {"cleanup.policy": "delete", "retention.ms": str(_DAY_MS // 24)},
        dead_letters_topic(settings.app_id): {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)},
    }


def input_topics(settings: Settings) -> tuple[str, ...]:
    """The topics of all sources, in the catalog's order."""
    return tuple(s.topic for s in Catalog.from_declarations(segue_schemas.load_declarations(settings.sources)).sources)


def create_topics(settings: Settings, partitions: int) -> None:
    """Creates what is missing of inputs, output and internal topics; those that exist stay as they are.

    Raises Unreachable.
    """
    admin = AdminClient(common_config(settings))
    configs: dict[str, dict[str, str]] = {**{t: {} for t in input_topics(settings)}, **topic_configs(settings)}
    missing = [t for t in configs if t not in partition_counts(admin, settings.bootstrap)]
    if not missing:
        return
    made = admin.create_topics(
        [NewTopic(t, num_partitions=partitions, replication_factor=-1, config=configs[t]) for t in missing],
        operation_timeout=ANSWER_WITHIN_S,
    )
    _log.info("topics_created", topics=missing, partitions=partitions)
    for topic, future in made.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Unreachable(
                    f"The topic {topic} could not be created: {error.args[0].str()}.",
                    "Create it, or give the app the right to.",
                ) from error


def ready_topics(settings: Settings) -> int:
    """Creates what is missing if it may, checks that all topics have one number of partitions, and returns it.

    Raises ConfigError for unequal numbers, a changelog that loses states or, without `create_topics`, absent topics;
    Unreachable.
    """
    admin = AdminClient(common_config(settings))
    counts = partition_counts(admin, settings.bootstrap)
    inputs = input_topics(settings)
    needed = (*inputs, *topic_configs(settings))
    if settings.create_topics:
        known = [counts[t] for t in inputs if t in counts] or [counts[t] for t in needed if t in counts]
        create_topics(settings, known[0] if known else settings.partitions)
        counts = _counts_with(needed, settings, admin)
    absent = [t for t in needed if t not in counts]
    if absent:
        raise ConfigError(f"Kafka has no topic {', '.join(absent)}.", "Create them, or set create_topics.")
    check_changelog(state_topic(settings.app_id), _described(state_topic(settings.app_id), admin))
    return same_count({t: counts[t] for t in needed})


def check_changelog(topic: str, config: dict[str, str]) -> None:
    """Its configuration; {} when it cannot be asked. Raises ConfigError when the topic would lose states."""
    policy, most_bytes = config.get("cleanup.policy", "compact"), int(config.get("max.message.bytes", STATE_BYTES))
    if policy != "compact":
        raise ConfigError(
            f"{topic} has cleanup.policy={policy}, so Kafka deletes states that nothing else has.",
            f"kafka-configs.sh --alter --topic {topic} --add-config cleanup.policy=compact",
        )
    if most_bytes < STATE_BYTES:
        _log.warning("states_limited", topic=topic, max_message_bytes=most_bytes,
                     do=f"set max.message.bytes={STATE_BYTES}: a larger state of one person would stop the worker")


def _described(topic: str, admin: Any) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        entries = admin.describe_configs([resource], request_timeout=ANSWER_WITHIN_S)[resource].result()
    except KafkaException as error:
        _log.warning("changelog_not_checked", topic=topic, error=error.args[0].str(),
                     do="give the app the right to DescribeConfigs, or see that cleanup.policy is compact alone")
        return {}
    return {name: str(entry.value) for name, entry in entries.items()}


def same_count(counts: dict[str, int]) -> int:
    """The number of partitions that all topics share. Raises ConfigError that names two topics that differ."""
    first = next(iter(counts))
    for topic, count in counts.items():
        if count != counts[first]:
            raise ConfigError(
                f"{first} has {counts[first]} partitions and {topic} has {count}.",
                "All inputs and all topics of the app need the same number, or a person's records are in two places: "
                "recreate the topic that is wrong.",
            )
    return counts[first]


def _counts_with(needed: tuple[str, ...], settings: Settings, admin: Any) -> dict[str, int]:
    """Waits until the metadata shows what has just been created: brokers learn of it a moment later."""
    until = time.monotonic() + ANSWER_WITHIN_S
    while True:
        counts = partition_counts(admin, settings.bootstrap)
        if all(counts.get(topic) for topic in needed) or time.monotonic() > until:
            return counts
        time.sleep(0.1)
