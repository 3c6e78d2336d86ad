"""What our Kafka clients are told, and why. Figures: 2 cores, librdkafka 2.16, a broker on the same machine."""

from __future__ import annotations

import logging
import re
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from segue.errors import ConfigError, Unreachable
from segue.limits import STATE_BYTES
from segue_agents.config.kafka import REFUSED, KafkaProperties, Role, for_role, is_secret
from segue_agents.config.rows import HIDDEN
from segue_agents.key_values import read_key_values
from segue_agents.security.wire import refuse_unsafe
from segue_agents.settings import Settings
from segue_agents.transport.asking import ANSWER_WITHIN_S
from segue_agents.transport.refusals import raise_refusal


def common_config(settings: Settings) -> dict[str, Any]:
    """Of any client: where the broker is, and what the operator adds (security, mostly)."""
    return {**_address(settings), **for_role(given_properties(settings), "any")}


def _address(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.bootstrap,
        "client.id": settings.app_id,
        "logger": logging.getLogger("librdkafka"),
    }


def given_properties(settings: Settings) -> KafkaProperties:
    """What the operator gives to librdkafka. The file is read anew each time. Raises ConfigError.

    Every client is made with it, so this is where an unsafe connection is refused.
    """
    in_file = {} if settings.kafka_config is None else read_key_values(settings.kafka_config, "kafka_config")
    given = KafkaProperties({**in_file, **settings.kafka})
    for name in given.keys() & REFUSED.keys():
        raise ConfigError(f"{name} is refused.", REFUSED[name])
    refuse_unsafe({"bootstrap.servers": settings.bootstrap, **given}, plaintext=settings.allow_plaintext,
                  unverified_tls=settings.allow_unverified_tls)
    return given


def _config(settings: Settings, role: Role, tuned: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
    """`tuned`: what we would choose; the operator's goes over it. `fixed`: what the guarantee rests on; `config.kafka`
    refuses all of it to the operator, or says that the worker keeps its own."""
    return {**_address(settings), **tuned, **for_role(given_properties(settings), role), **fixed}


def source_config(settings: Settings, slot: str) -> dict[str, Any]:
    """The one consumer of the inputs."""
    tuned = {
        "fetch.queue.backoff.ms": 5,  # at the default of 1,000 a fast consumer idles: 192,000/s against 1,600,000/s
        # the broker answers an empty fetch after that long, and the end of a partition is only known from one: until then a
        # source that has just had a record holds the others back. At the default of 500 that is what a lull cost
        "fetch.wait.max.ms": 10,
        # low: a rebalance waits behind what is prefetched, and memory
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 16_384,
    }
    fixed = {
        "group.id": settings.app_id,
        **_membership(settings, slot),
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # where reading starts is said at the assignment; an offset that is gone is an error, never a silent jump
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,  # no measurable cost
        "statistics.interval.ms": 5_000,  # for transactions of others that stay open
    }
    return _config(settings, "consumer", tuned, fixed)


def _membership(settings: Settings, slot: str) -> dict[str, Any]:
    """Of the group. `range` keeps the partition indexes of all topics together; sticky does not."""
    if settings.group_protocol == "consumer":
        # no static id: the broker would refuse a killed member's restart until its session is over (UNRELEASED_INSTANCE_ID)
        return {"group.protocol": "consumer", "group.remote.assignor": "range"}
    return {
        # static: a worker that is back within the session gets its partitions without a rebalance
        "group.instance.id": f"{settings.app_id}-{slot}",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": settings.session_timeout_ms,
        # a member learns of a rebalance from the answer to a heartbeat: so long do those that join wait for it
        "heartbeat.interval.ms": max(100, min(500, settings.session_timeout_ms // 4)),
    }


def changelog_config(settings: Settings, isolation: str) -> dict[str, Any]:
    """A consumer that reads assigned partitions of the changelog and commits nothing."""
    tuned = {
        "fetch.queue.backoff.ms": 5,
        # the broker answers an empty fetch after that long, and the end of a partition is only known from one: at the
        # default of 500 each partition cost a second of waiting
        "fetch.wait.max.ms": 10,
        "queued.min.messages": 50_000,
    }
    fixed = {
        # the app's own, though it does not join: librdkafka looks for the coordinator of any, which takes a right on it
        "group.id": settings.app_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": isolation,
        "enable.partition.eof": True,
        "check.crcs": True,
    }
    return _config(settings, "consumer", tuned, fixed)


def producer_config(settings: Settings, slot: str) -> dict[str, Any]:
    """The one producer of changes, changelog and dead letters."""
    if settings.guarantee == "exactly_once":
        return transactional_config(settings, slot)
    # changes are there for everyone as soon as they are sent: nothing to wait for
    return _producing_config(settings, {"linger.ms": 1}, {})


def transactional_config(settings: Settings, name: str) -> dict[str, Any]:
    """A producer of transactions. `name`: of the slot, or of whatever else writes for the app."""
    return _producing_config(settings, {"linger.ms": 5}, {
        # one stable id per name: a successor ends its predecessor's open transaction at once; with a new id at each start
        # the group would wait for its timeout
        "transactional.id": f"{settings.app_id}-{name}",
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        # a request without an answer is given up, its connection closed, and sent again: thrice within a transaction's
        # time, so that one lost answer does not cost it. The default is the whole of that time
        "socket.timeout.ms": max(300, settings.transaction_timeout_ms // 3),
        # an EndTxn that is answered sooner was certainly not sent again, and it usually is (4 to 8 ms): transactions.py.
        # Not more than the default: AddOffsetsToTxn waits as long when the last transaction's markers are still written
        "retry.backoff.ms": 100,
        "statistics.interval.ms": 250,  # 0.4 ms of CPU each with 192 partitions
    })


def _producing_config(settings: Settings, tuned: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
    tuned = tuned | {
        "compression.type": "lz4",
        # above what one commit interval can put out, or produce() raises BufferError
        "queue.buffering.max.messages": 2_000_000,
        "queue.buffering.max.kbytes": 1_048_576,
    }
    fixed = fixed | {
        "enable.idempotence": True,
        "delivery.report.only.error": True,  # no callback per record
        # for a state; batches of several records stay below batch.size, 1 MB by default
        "message.max.bytes": STATE_BYTES,
    }
    return _config(settings, "producer", tuned, fixed)


def clock_config(settings: Settings) -> dict[str, Any]:
    """The producer of ticks: by itself, since a tick must be readable before anything is committed."""
    fixed = {
        "enable.idempotence": True,
        "linger.ms": 0,
        "queue.buffering.max.messages": 1_000,
        "message.timeout.ms": 5_000,  # an older tick is no news
    }
    return _config(settings, "producer", {}, fixed)


def try_clients(settings: Settings) -> None:
    """Makes every client that a worker has, without a connection: librdkafka reads certificates then, and holds properties
    against each other. Raises ConfigError."""
    quiet = logging.Logger("segue.check")  # noqa: LOG001 (nobody else is to hear it)
    quiet.addHandler(logging.NullHandler())  # that they have no address
    try:
        for make, config in (
            (AdminClient, common_config(settings)), (Consumer, source_config(settings, "check")),
            (Consumer, changelog_config(settings, "read_committed")), (Producer, producer_config(settings, "check")),
            (Producer, clock_config(settings)),
        ):
            plain = {name: value for name, value in config.items() if not callable(value)}
            client = make({**plain, "bootstrap.servers": "", "logger": quiet})
            if make is Consumer:
                client.close()
    except KafkaException as error:
        words = re.sub("^Failed to create [a-z ]+: ", "", str(error.args[0].str()))
        for name, value in given_properties(settings).items():
            if is_secret(name) and value:
                words = words.replace(value, HIDDEN)
        raise ConfigError(f"librdkafka makes no client of its properties: {words}.",
                          "`segue config show` has them, and where each is from.") from None


def topic_identity(config: dict[str, Any], topic: str) -> tuple[str, str]:
    """(the Kafka cluster's id, the topic's id), which a topic made anew has not. Raises Unreachable."""
    admin = AdminClient(config)
    try:
        cluster = admin.list_topics(topic, timeout=ANSWER_WITHIN_S).cluster_id
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_WITHIN_S)[topic].result()
    except KafkaException as error:
        raise_refusal(error.args[0], "Describe", topic=topic)
        raise Unreachable(f"The id of {topic} cannot be learnt: {error.args[0].str()}.", "See the broker's log.") from error
    return str(cluster or ""), str(described.topic_id or "")
