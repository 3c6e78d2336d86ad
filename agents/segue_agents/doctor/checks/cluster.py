"""Of the brokers as a whole: whether they answer, what they can do, their limits, and what we may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from segue_agents.doctor.facts import Cluster, Facts, Group, Topic, Unknown
from segue_agents.doctor.findings import INCOMPATIBLE, UNREACHABLE, Check, Finding, Kind, fine
from segue_agents.topics import clock_topic, state_topic, topic_configs

# --- whether it answers

AWAY = Kind(
    "problem", "no Kafka answers ({why})", "Check the address and what lies between. On this machine: segue up", UNREACHABLE
)
NOT_ASKED = Kind("problem", "Kafka cannot be asked: {why}", "{fix}", UNREACHABLE)


def _kafka(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.cluster, Unknown):
        kind = AWAY if facts.cluster.unreachable else NOT_ASKED
        yield kind.at(
            facts.settings.bootstrap if facts.cluster.unreachable else "",
            why=facts.cluster.why.rstrip("."),
            fix=facts.cluster.fix or "See the security settings: segue config check",
        )
        return
    brokers = f"{facts.cluster.brokers} broker{'s' if facts.cluster.brokers != 1 else ''}"
    yield fine(f"{brokers}, answered in {facts.cluster.answered_ms:.0f} ms", facts.settings.bootstrap)


# --- versions and what comes with them

TXN_OFFSET_COMMIT, CONSUMER_GROUP_HEARTBEAT, INIT_PRODUCER_ID = 28, 68, 22
RELEASES: Final = (
    (78, 2, "4.2"),
    (76, 1, "4.1"),
    (26, 5, "4.0"),
    (66, 1, "3.8"),
    (65, 0, "3.0"),
    (60, 0, "2.8"),
    (28, 3, "2.5"),
    (22, 0, "0.11"),
)
"""(API, its version, the release of Kafka that brought it), the newest first: brokers do not say what they are"""
OLD = Kind(
    "problem",
    "Kafka {release} cannot tie a transaction to a consumer group, which exactly_once stands on (KIP-447)",
    "Upgrade the brokers to 2.5 or newer, or set guarantee=at_least_once.",
    INCOMPATIBLE,
)
NO_KIP_848 = Kind(
    "problem",
    "the brokers do not know the consumer group protocol (KIP-848)",
    "Set group_protocol=classic, or upgrade to Kafka 4.0 or newer with `consumer` in group.coordinator.rebalance.protocols.",
    INCOMPATIBLE,
)


def release(apis: Mapping[int, int]) -> str:
    """`4.2 or newer`, from what the brokers speak."""
    found = next((name for api, version, name in RELEASES if apis.get(api, -1) >= version), None)
    return "older than 0.11" if found is None else f"{found} or newer"


def _versions(facts: Facts) -> Iterator[Finding]:
    apis = cast("Mapping[int, int]", facts.apis)
    if facts.settings.guarantee == "exactly_once" and apis.get(TXN_OFFSET_COMMIT, -1) < 3:
        yield OLD.at(facts.settings.bootstrap, release=release(apis))
    if facts.settings.group_protocol == "consumer" and CONSUMER_GROUP_HEARTBEAT not in apis:
        yield NO_KIP_848.at(facts.settings.bootstrap)
    yield fine(f"Kafka {release(apis)}", facts.settings.bootstrap)


def _own_versions(facts: Facts) -> Iterator[Finding]:
    v: Any = facts.versions
    yield fine(
        f"Segue {v.segue}, Python {'.'.join(map(str, v.python))}, librdkafka {v.librdkafka}, confluent-kafka {v.client}"
    )


# --- limits of the brokers

TRANSACTION_LIMIT = Kind(
    "problem",
    "transaction_timeout_ms is {ours}, the brokers allow {theirs}: no producer would start",
    "Set transaction_timeout_ms={theirs} or less, or raise the brokers' transaction.max.timeout.ms.",
    INCOMPATIBLE,
)
SESSION_LIMIT = Kind(
    "problem",
    "session_timeout_ms is {ours}, the brokers allow {least} to {most}: no worker could join",
    "Set session_timeout_ms within these, or change the brokers' group.min.session.timeout.ms and "
    "group.max.session.timeout.ms.",
    INCOMPATIBLE,
)
OFFSETS_EXPIRE = Kind(
    "warning",
    "the brokers forget a group's offsets {minutes} minutes after its last worker has gone",
    "Raise the brokers' offsets.retention.minutes to 10080, a week, or more.",
)
AN_OUTAGE_MINUTES: Final = 1_440


def _limits(facts: Facts) -> Iterator[Finding]:
    config, ours = cast("Mapping[str, str]", facts.broker_config), facts.settings
    most = int(config.get("transaction.max.timeout.ms", ours.transaction_timeout_ms))
    if ours.guarantee == "exactly_once" and ours.transaction_timeout_ms > most:
        yield TRANSACTION_LIMIT.at("transaction.max.timeout.ms", ours=ours.transaction_timeout_ms, theirs=most)
    if ours.group_protocol == "classic":
        least = int(config.get("group.min.session.timeout.ms", ours.session_timeout_ms))
        most = int(config.get("group.max.session.timeout.ms", ours.session_timeout_ms))
        if not least <= ours.session_timeout_ms <= most:
            yield SESSION_LIMIT.at("group.min.session.timeout.ms", ours=ours.session_timeout_ms, least=least, most=most)
    minutes = int(config.get("offsets.retention.minutes", AN_OUTAGE_MINUTES))
    if minutes < AN_OUTAGE_MINUTES:
        yield OFFSETS_EXPIRE.at("offsets.retention.minutes", minutes=minutes)


# --- permissions

LACKING = Kind(
    "problem",
    "the principal may not {operations}",
    "segue acls prints the least set of rights; kafka-acls.sh --add --allow-principal User:... {flags} grants these.",
)
HIDDEN = Kind("problem", "Kafka refuses to describe it: {why}", "Give the principal READ and DESCRIBE on it: segue acls")
NOT_SEEN = Kind(
    "warning",
    "the principal may not DESCRIBE_CONFIGS: how it is configured is not checked",
    "kafka-acls.sh --add --allow-principal User:... --operation DESCRIBE_CONFIGS --topic {where}",
)
NOT_TOLD = Kind("warning", "Kafka does not say what the principal may do", "Brokers older than 2.3 cannot.")


def needed_operations(facts: Facts) -> dict[str, frozenset[str]]:
    """Topic -> what a worker does to it."""
    settings = facts.settings
    reads = {*facts.inputs, clock_topic(settings.app_id), state_topic(settings.app_id)}
    writes = set(topic_configs(settings))
    needed = {t: frozenset({"READ", "DESCRIBE"} if t in reads else ()) for t in reads | writes}
    return {t: ops | ({"WRITE", "DESCRIBE"} if t in writes else frozenset()) for t, ops in needed.items()}


def _permissions(facts: Facts) -> Iterator[Finding]:
    topics, cluster = cast("Mapping[str, Topic]", facts.topics), cast("Cluster", facts.cluster)
    needed, missing = needed_operations(facts), [n for n, t in topics.items() if "UNKNOWN_TOPIC" in t.error]
    for name, topic in topics.items():
        if topic.error and "AUTHORIZATION" in topic.error:
            yield HIDDEN.at(name, why=topic.error)
        elif topic.exists and topic.operations is None:
            yield NOT_TOLD.at(name)
        elif topic.exists and (lacks := needed.get(name, frozenset()) - (topic.operations or frozenset())):
            yield _lacking(name, lacks, f"--topic {name}")
        if topic.operations is not None and "DESCRIBE_CONFIGS" not in topic.operations:
            yield NOT_SEEN.at(name)
    if isinstance(facts.group, Group) and facts.group.operations is not None and "READ" not in facts.group.operations:
        yield _lacking(f"group {facts.settings.app_id}", {"READ"}, f"--group {facts.settings.app_id}")
    if missing and facts.settings.create_topics and cluster.operations is not None and "CREATE" not in cluster.operations:
        yield _lacking("cluster", {"CREATE"}, "--cluster")


def _lacking(where: str, lacks: Any, flags: str) -> Finding:
    operations = " and ".join(sorted(lacks))
    return LACKING.at(where, operations=operations, flags=" ".join(f"--operation {o}" for o in sorted(lacks)) + " " + flags)


CHECKS: Final = (
    Check("kafka", "whether a broker answers, with the security of kafka_config", (), _kafka, (AWAY, NOT_ASKED), ""),
    Check("versions", "Segue, Python, librdkafka, confluent-kafka", ("versions",), _own_versions, (), ""),
    Check(
        "kafka-version",
        "the APIs the brokers speak, and what guarantee and group_protocol need of them",
        ("apis",),
        _versions,
        (OLD, NO_KIP_848),
        "",
    ),
    Check(
        "broker-limits",
        "the brokers' bounds for transactions, sessions and offsets against the settings",
        ("broker_config",),
        _limits,
        (TRANSACTION_LIMIT, SESSION_LIMIT, OFFSETS_EXPIRE),
        "the settings lie within them",
    ),
    Check(
        "permissions",
        "what the principal may do to each topic, the group and the cluster",
        ("topics", "cluster"),
        _permissions,
        (LACKING, HIDDEN, NOT_SEEN, NOT_TOLD),
        "all that a worker needs, as far as Kafka says; of its transactional ids it says nothing",
    ),
)
