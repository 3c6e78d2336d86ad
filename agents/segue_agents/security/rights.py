"""Who needs which of Kafka's rights: exactly what each of them does, and nothing else.

Read and Write imply Describe, so it is named only where nothing else is. No right on the cluster is among them: a producer
without transactions needs IdempotentWrite there only before Kafka 2.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

from confluent_kafka import KafkaException, TopicCollection

from segue_agents.security.wire import principal_of, refuse_plaintext
from segue_agents.settings import Settings
from segue_agents.topics import clock_topic, dead_letters_topic, input_topics, state_topic
from segue_agents.transport.asking import ANSWER_WITHIN_S, metadata
from segue_agents.transport.clients import common_config
from segue_agents.transport.opening import open_admin
from segue_agents.transport.refusals import is_refusal, refusal


class Role(StrEnum):
    """Whose rights."""

    WORKER = "worker"
    ADMIN = "admin"
    OPERATOR = "operator"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Right(NamedTuple):
    """One ACL that allows."""

    resource: Literal["topic", "group", "transactional-id"]
    """as the flags of kafka-acls.sh name it"""
    name: str
    operation: str
    """as Kafka names it: Read, Write, Create, Describe, DescribeConfigs"""
    why: str
    pattern: Literal["literal", "prefixed"] = "literal"


def worker_rights(settings: Settings, slots: Sequence[str] = ()) -> Iterator[Right]:
    """Of `segue run` once its topics are there. `slots`: all there will be; empty: any, by the prefix of their ids."""
    app = settings.app_id
    for topic in input_topics(settings):
        yield Right("topic", topic, "Read", "the events")
    if settings.clock == "ticks":
        yield Right("topic", clock_topic(app), "Read", "time passes by its ticks")
        yield Right("topic", clock_topic(app), "Write", "a tick a second")
    else:
        yield Right("topic", clock_topic(app), "Describe", "that it is there, and its partitions")
    yield Right("topic", state_topic(app), "Read", "restores the states")
    yield Right("topic", state_topic(app), "Write", "states and checkpoints")
    yield Right("topic", state_topic(app), "DescribeConfigs", "that Kafka deletes no states")
    yield Right("topic", settings.output_topic, "Write", "the changes")
    yield Right("topic", dead_letters_topic(app), "Write", "records that were refused")
    yield Right("group", app, "Read", "workers share the partitions; offsets are committed")
    if settings.guarantee == "exactly_once":
        for slot in slots:
            yield Right("transactional-id", f"{app}-{slot}", "Write", f"the transactions of slot {slot}")
        if not slots:
            yield Right("transactional-id", f"{app}-", "Write", "transactions; a worker's id ends with its slot", "prefixed")


def admin_rights(settings: Settings) -> Iterator[Right]:
    """Of whoever creates the topics: `segue topics create`, or the first `segue run`."""
    app = settings.app_id
    for topic in (*input_topics(settings), clock_topic(app), state_topic(app), settings.output_topic,
                  dead_letters_topic(app)):
        yield Right("topic", topic, "Create", "when it is not there")
        yield Right("topic", topic, "Describe", "whether it is")


def operator_rights(settings: Settings) -> Iterator[Right]:
    """Of the person who runs `segue gaps` and `segue dead-letters`, `accept` and `retry` among them."""
    app = settings.app_id
    for topic in input_topics(settings):
        yield Right("topic", topic, "Read", "gaps: where they begin; accept: sets their offsets")
        yield Right("topic", topic, "Write", "dead-letters retry")
    if settings.clock == "ticks":
        yield Right("topic", clock_topic(app), "Read", "gaps of the clock")
    yield Right("topic", state_topic(app), "Read", "gaps: the newest checkpoints")
    yield Right("topic", state_topic(app), "Write", "gaps accept: a checkpoint beyond the gap")
    yield Right("topic", dead_letters_topic(app), "Read", "dead-letters ls, show")
    yield Right("topic", dead_letters_topic(app), "Write", "notes of what was accepted and sent again")
    yield Right("group", app, "Read", "its offsets; gaps accept joins it, to be alone")
    yield Right("transactional-id", f"{app}-gaps", "Write", "gaps accept")
    yield Right("transactional-id", f"{app}-dead-letters-retry", "Write", "dead-letters retry")


def producer_rights(settings: Settings) -> Iterator[Right]:
    """Of those who send events; of `segue send` too."""
    for topic in input_topics(settings):
        yield Right("topic", topic, "Write", "the events")


def consumer_rights(settings: Settings, group: str = "") -> Iterator[Right]:
    """Of those who read the changes; `segue watch` needs no group."""
    yield Right("topic", settings.output_topic, "Read", "the changes")
    if group:
        yield Right("group", group, "Read", "shares the partitions; offsets are committed")


_SIMPLE: Final[Mapping[Role, Callable[[Settings], Iterator[Right]]]] = {
    Role.ADMIN: admin_rights, Role.OPERATOR: operator_rights, Role.PRODUCER: producer_rights,
}  # fmt: skip


def rights_of(role: Role, settings: Settings, *, slots: Sequence[str] = (), group: str = "") -> list[Right]:
    """`slots`: of a worker. `group`: a consumer's."""
    if role is Role.WORKER:
        return list(worker_rights(settings, slots))
    return list(consumer_rights(settings, group) if role is Role.CONSUMER else _SIMPLE[role](settings))


# --- what is missing


def check_rights(settings: Settings) -> None:
    """Before a worker starts: that Kafka allows all it will do, so that none is missed only when it is needed.

    Raises NotAllowed, naming all that are missing; Unreachable; ConfigError for brokers that would be spoken to in clear.
    """
    config = common_config(settings)
    admin = open_admin(config)
    brokers = metadata(admin, settings.bootstrap).brokers.values()
    if not settings.allow_plaintext:
        refuse_plaintext(config, [broker.host for broker in brokers])  # the cluster may name others than the bootstrap's
    missing = missing_rights(admin, list(worker_rights(settings)))
    if missing:
        said = "; ".join(f"{r.operation} on {r.resource} {r.name!r} ({r.why})" for r in missing)
        raise refusal(said, principal_of(config))


def missing_rights(admin: Any, rights: Sequence[Right]) -> list[Right]:
    """Those that Kafka says the client has not, all at once; of topics that are there and of groups.

    What it does not say (of transactional ids it never does) is not among them. `admin`: an AdminClient.
    """
    topics, groups = ([r for r in rights if r.resource == kind] for kind in ("topic", "group"))
    allowed = _allowed(admin, {r.name for r in topics}, {r.name for r in groups})
    return [r for r in (*topics, *groups) if (found := allowed.get((r.resource, r.name))) is not None
            and _word(r.operation) not in found]


def _allowed(admin: Any, topics: set[str], groups: set[str]) -> dict[tuple[str, str], set[str]]:
    """(kind, name) -> operations that are allowed, of what Kafka says them of."""
    asked: dict[tuple[str, str], Any] = {}
    options = {"include_authorized_operations": True, "request_timeout": ANSWER_WITHIN_S}
    if topics:
        described = admin.describe_topics(TopicCollection(sorted(topics)), **options)
        asked |= {("topic", name): future for name, future in described.items()}
    if groups:
        asked |= {("group", name): f for name, f in admin.describe_consumer_groups(sorted(groups), **options).items()}
    found: dict[tuple[str, str], set[str]] = {}
    for resource, future in asked.items():
        try:
            operations = future.result().authorized_operations
        except KafkaException as error:
            if is_refusal(error.args[0]):
                found[resource] = set()
            continue
        if operations is not None:
            found[resource] = {_word(operation.name) for operation in operations}
    return found


def _word(operation: str) -> str:
    """`DescribeConfigs` and DESCRIBE_CONFIGS are one."""
    return operation.replace("_", "").lower()
