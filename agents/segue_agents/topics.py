"""The topics an app lives by: their names, how they are made, and the check that their partitions match.

All inputs and all topics of the app have the same number of partitions, so that partition i of each holds the same
persons (the producers' partitioner is murmur2 of the key). Anything else would split persons over workers.
"""

from __future__ import annotations

import time
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

import segue_schemas
from segue.catalog import Catalog
from segue.errors import ConfigError, NotAllowed, Unreachable
from segue.limits import STATE_BYTES
from segue_agents.security.wire import principal_of
from segue_agents.settings import Settings
from segue_agents.transport.asking import ANSWER_WITHIN_S, metadata, partition_counts
from segue_agents.transport.clients import common_config
from segue_agents.transport.opening import open_admin
from segue_agents.transport.refusals import is_refusal, raise_refusal

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


def needed_topics(settings: Settings) -> dict[str, dict[str, str]]:
    """Name -> configuration of the inputs, whose configuration is their producers' affair, and of the app's own."""
    return {**{t: {} for t in input_topics(settings)}, **topic_configs(settings)}


def partitions_for(settings: Settings, counts: dict[str, int]) -> int:
    """How many a topic that has to be created gets: as many as the inputs that are there have."""
    inputs = input_topics(settings)
    known = [counts[t] for t in inputs if t in counts] or [counts[t] for t in needed_topics(settings) if t in counts]
    return known[0] if known else settings.partitions


def create_topics(settings: Settings, partitions: int) -> list[str]:
    """Creates what is missing of inputs, output and internal topics; those that exist stay as they are. Returns which.

    Raises Unreachable.
    """
    admin = open_admin(common_config(settings))
    configs = needed_topics(settings)
    missing = [t for t in configs if t not in partition_counts(admin, settings.bootstrap)]
    if not missing:
        return []
    made = admin.create_topics(
        [NewTopic(t, num_partitions=partitions, replication_factor=-1, config=configs[t]) for t in missing],
        operation_timeout=ANSWER_WITHIN_S,
    )
    _log.info("topics_created", topics=missing, partitions=partitions)
    for topic, future in made.items():
        try:
            future.result()
        except KafkaException as error:
            if is_refusal(error.args[0]):
                raise NotAllowed(
                    f"Kafka has no topic {topic!r} and does not allow {principal_of(common_config(settings))} to create it.",
                    "Have it created with `segue topics create` by somebody who may (`segue acls admin` says which "
                    "rights that takes), and run workers with --no-create-topics.",
                ) from error
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Unreachable(f"The topic {topic} could not be created: {error.args[0].str()}.",
                                  "See the broker's log.") from error
    return missing


def ready_topics(settings: Settings) -> int:
    """Creates what is missing if it may, checks that all topics have one number of partitions, and returns it.

    Raises ConfigError for unequal numbers, a changelog that loses states or, without `create_topics`, absent topics;
    Unreachable.
    """
    admin = open_admin(common_config(settings))
    counts = partition_counts(admin, settings.bootstrap)
    needed = tuple(needed_topics(settings))
    if settings.create_topics:
        create_topics(settings, partitions_for(settings, counts))
        counts = _counts_with(needed, settings, admin)
    absent = [t for t in needed if t not in counts]
    if absent:
        _refuse_hidden(absent[0], settings, admin)
        raise ConfigError(f"Kafka has no topic {', '.join(absent)}.",
                          "Create them with `segue topics create`, or set create_topics.")
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
        raise_refusal(error.args[0], "DescribeConfigs", topic=topic)
        _log.warning("changelog_not_checked", topic=topic, error=error.args[0].str(),
                     do="see that cleanup.policy is compact alone")
        return {}
    return {name: str(entry.value) for name, entry in entries.items()}


def _refuse_hidden(topic: str, settings: Settings, admin: Any) -> None:
    """Of all topics only those are listed that may be described; asked for by name, the others are refused."""
    found = metadata(admin, settings.bootstrap, topic).topics[topic]
    raise_refusal(found.error, "Describe", topic=topic)


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
