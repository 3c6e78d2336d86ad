"""librdkafka's own properties, as an operator may give them: which are known, refused, risky, secret.

They come from the file's `kafka` table (`kafka.security.protocol = "SASL_SSL"`), from the environment
(`SEGUE_KAFKA_SECURITY_PROTOCOL`; as in Kafka's docker images `_` is a dot, `__` an underscore, `___` a hyphen) and from the
key=value file of `kafka_config`, the later named giving way. What the guarantee rests on is refused with the reason, as
nobody would see it broken; the rest is passed on, and goes over what we would have chosen.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from segue.errors import ConfigError
from segue.limits import STATE_BYTES
from segue_agents.config.rows import HIDDEN

Role = Literal["consumer", "producer", "any"]
TABLE: Final = "kafka"
KAFKA_PREFIX: Final = "SEGUE_KAFKA_"

_COPARTITIONED = "Partition i of every input has the same persons, and one worker has all of them: `range` keeps that."
_COMMITS = "Offsets are committed with the changes and the state they led to, or an event counts twice or never."
_PRODUCED = "It is what keeps a repeated request from being a doubled change."
_OURS = "The worker sets it, and counts on it."

REFUSED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "Say it as bootstrap.",
    "metadata.broker.list": "Say it as bootstrap.",
    "group.id": "The group is the app's: say it as app_id. Committed offsets and state belong to it.",
    "group.instance.id": "It is made of app_id and slot: say these.",
    "group.protocol": "Say it as group_protocol.",
    "group.protocol.type": _OURS,
    "group.remote.assignor": _COPARTITIONED,
    "partition.assignment.strategy": _COPARTITIONED,
    "session.timeout.ms": "Say it as session_timeout_ms.",
    "heartbeat.interval.ms": "It follows session_timeout_ms: say that.",
    "max.poll.interval.ms": "Say it as max_poll_interval_ms.",
    "enable.auto.commit": _COMMITS,
    "auto.commit.enable": _COMMITS,
    "auto.commit.interval.ms": _COMMITS,
    "enable.auto.offset.store": _COMMITS,
    "offset.store.method": _COMMITS,
    "offset.store.path": _COMMITS,
    "offset.store.sync.interval.ms": _COMMITS,
    "auto.offset.reset": "An offset that is gone is an error here, never a silent jump over events. Say start_at for the "
    "first start, and see `segue gaps`.",
    "isolation.level": "read_committed is what exactly once means: what was rolled back must not be read.",
    "enable.partition.eof": "The end of a partition says that no earlier event is on its way: sources are merged by it.",
    "check.crcs": "It is on: a record damaged on its way must not be counted. It costs nothing that can be measured.",
    "allow.auto.create.topics": "A topic the broker makes by itself has the wrong number of partitions. Say create_topics.",
    "topic.blacklist": "An input that cannot be seen is an input that is not counted.",
    "enable.idempotence": _PRODUCED,
    "transactional.id": "It is made of app_id and slot, so that a successor ends its predecessor's transaction: say these.",
    "transaction.timeout.ms": "Say it as transaction_timeout_ms.",
    "acks": "All replicas in sync must have a change before it counts: all.",
    "request.required.acks": "All replicas in sync must have a change before it counts: all.",
    "retries": _PRODUCED,
    "message.send.max.retries": _PRODUCED,
    "max.in.flight": _PRODUCED,
    "max.in.flight.requests.per.connection": _PRODUCED,
    "message.timeout.ms": "A transaction's time bounds it: say transaction_timeout_ms.",
    "delivery.timeout.ms": "A transaction's time bounds it: say transaction_timeout_ms.",
    "enable.gapless.guarantee": "It ends the producer where a commit is worked off again.",
    "queuing.strategy": "Changes of a person go out in their order: fifo.",
    "partitioner": "A person's records are all in the partition that murmur2 of the key gives, as Kafka's Java clients have it.",
    "delivery.report.only.error": _OURS,
    "message.max.bytes": f"It is {STATE_BYTES:,}: a person's state may be that large, and one that is refused stops it.",
    "retry.backoff.ms": "By it a commit is told apart from one that was sent twice.",
    "retry.backoff.max.ms": "By it a commit is told apart from one that was sent twice.",
    "statistics.interval.ms": "Open transactions and repeated requests are found by it.",
    "produce.offset.report": _OURS,
    "enabled_events": _OURS,
    "log.queue": _OURS,
    "internal.termination.signal": _OURS,
    "api.version.request": "Transactions need a broker that says what it can.",
    "api.version.fallback.ms": "Transactions need a broker that says what it can.",
    "broker.version.fallback": "Transactions need a broker that says what it can.",
}
"""property -> why not, and what to do instead. Every property that `transport.clients` sets for good is here."""

_OFF: Final = frozenset({"false", "no", "0", "off", "none"})
_WEAKER = "Whoever is between this worker and the broker can then read and change everything."
RISKY: Final[Mapping[str, str]] = {
    "enable.ssl.certificate.verification": f"Off, any certificate is believed. {_WEAKER}",
    "ssl.endpoint.identification.algorithm": f"With none, a certificate of any host is believed. {_WEAKER}",
    "enable.sasl.oauthbearer.unsecure.jwt": "Tokens without a signature are for tests: whoever connects says who he is.",
    "plugin.library.paths": "Code of that library runs in the worker, and sees every event.",
    "debug": "librdkafka then writes many lines a second at log_level=debug.",
    "socket.timeout.ms": "The producer of transactions keeps its own, a third of transaction_timeout_ms; for the others a "
    "lost answer is noticed so late.",
    "socket.max.fails": "With another than 1 client and broker may lose step after a timeout.",
    "fetch.wait.max.ms": "Above 10 a lull in one source holds the changes of the others back for as long.",
    "fetch.queue.backoff.ms": "At 1,000, librdkafka's default, a worker reads an eighth of what it could.",
    "queue.buffering.max.messages": "Below what one commit writes, the worker waits in the middle of it.",
    "queue.buffering.max.kbytes": "Below what one commit writes, the worker waits in the middle of it.",
    "queued.min.messages": "Higher, a rebalance waits behind what is read ahead, and memory grows.",
    "queued.max.messages.kbytes": "Higher, a rebalance waits behind what is read ahead, and memory grows.",
    "metadata.recovery.strategy": "With none, a worker does not find a cluster again whose brokers all changed.",
}
"""property -> what it may cost. Passed on, and said in the log and by `segue config check`."""

_RISKY_ONLY_OFF: Final = frozenset({"enable.ssl.certificate.verification", "ssl.endpoint.identification.algorithm"})
_RISKY_UNLESS_OFF: Final = frozenset({"enable.sasl.oauthbearer.unsecure.jwt"})
_SECRET: Final = re.compile(r"password|secret|passphrase|key\.pem$|^sasl\.oauthbearer\.config$")
_SECRET_NOT: Final = re.compile(r"\.(location|file|url)$")
_OF_THE_BINDING: Final = frozenset({"logger", "default.topic.config", "on_delivery", "on_commit"})
"""what confluent_kafka takes beside librdkafka's, and not as text"""
_END: Final = "segue.end"
"""no property: librdkafka names the first that it does not take, so that this one named means it took all before"""


class KafkaProperties(dict[str, str]):
    """Property -> value. Printed with its secrets hidden."""

    def __repr__(self) -> str:
        return repr(shown(self))


@cache
def known() -> Mapping[str, str]:
    """Every property of librdkafka 2.16 -> for whom: C consumers, P producers, * all."""
    text = resources.files("segue_agents.config").joinpath("librdkafka.txt").read_text(encoding="utf-8")
    pairs = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {name: scope for scope, name in pairs}


def is_secret(name: str) -> bool:
    """Its value is never printed."""
    return bool(_SECRET.search(name)) and not _SECRET_NOT.search(name)


def shown(properties: Mapping[str, str]) -> dict[str, str]:
    """As they may be printed."""
    return {name: HIDDEN if is_secret(name) else value for name, value in properties.items()}


def for_role(properties: Mapping[str, str], role: Role) -> dict[str, str]:
    """Those that concern a consumer, a producer, any client: librdkafka grumbles at each of the other kind."""
    of_role = {"consumer": "C*", "producer": "P*", "any": "*"}[role]
    return {name: value for name, value in properties.items() if known().get(name, "*") in of_role}


def property_of(variable: str) -> str:
    """`SEGUE_KAFKA_SECURITY_PROTOCOL` -> `security.protocol`."""
    written = variable.removeprefix(KAFKA_PREFIX).lower()
    return re.sub("_{1,3}", lambda run: {1: ".", 2: "_", 3: "-"}[len(run[0])], written)


def variable_of(name: str) -> str:
    """The way back."""
    return KAFKA_PREFIX + name.replace("-", "___").replace("_", "__").replace(".", "_").upper()


def flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """`{"security": {"protocol": "SSL"}}`, which is how TOML reads `security.protocol`, as (`security.protocol`, "SSL")."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def as_text(name: str, value: Any) -> str:
    """A value of TOML as librdkafka takes it. Raises ConfigError."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(
        f"{TABLE}.{name} is neither text nor a number.", 'Write it as in kafka.security.protocol = "SASL_SSL".'
    )


def refusal(name: str, said: str) -> ConfigError | None:
    """Why a property cannot be given, if so; `said`: as it was written. librdkafka is asked of names that are not listed."""
    if name in REFUSED:
        return ConfigError(f"{said} is refused.", REFUSED[name])
    if name in known() or (name not in _OF_THE_BINDING and not _is_unknown(name)):
        return None
    near = difflib.get_close_matches(name, [n for n in known() if n not in REFUSED], n=1)
    hint = f"Did you mean {near[0]}?" if near else "docs/operate/settings.md says where the list of them is."
    return ConfigError(f"{said}: librdkafka has no property {name!r}.", hint)


def wrong_values(properties: Mapping[str, str], said: Mapping[str, str]) -> Iterator[ConfigError]:
    """What librdkafka says of each value. Makes no client. `said`: property -> where it was written."""
    for name, value in properties.items():
        error = _taken({name: value})
        if error is not None:
            shown_value = "" if is_secret(name) else f" as {value!r}"
            hint = "See its CONFIGURATION.md." if is_secret(name) else f"It says: {error}."
            yield ConfigError(f"{said.get(name, name)}: librdkafka does not take it{shown_value}.", hint)


def risks(properties: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(property, what it may cost) of what was given and is risky."""
    for name, value in properties.items():
        off = value.lower() in _OFF
        harmless = (name in _RISKY_ONLY_OFF and not off) or (name in _RISKY_UNLESS_OFF and off)
        if name in RISKY and not harmless:
            yield name, RISKY[name]


def check_given(properties: Mapping[str, str], said: Mapping[str, str]) -> Iterable[ConfigError]:
    """All that is wrong with properties: refused and unknown ones, else their values."""
    wrong = {name: found for name in properties if (found := refusal(name, said.get(name, name))) is not None}
    right = {name: value for name, value in properties.items() if name not in wrong}
    return [*wrong.values(), *wrong_values(right, said), *_missing_files(right, said)]


def _missing_files(properties: Mapping[str, str], said: Mapping[str, str]) -> Iterator[ConfigError]:
    """librdkafka would only say that something failed."""
    for name, value in properties.items():
        if name.endswith((".location", ".file", ".keytab")) and value != "probe" and not Path(value).exists():
            yield ConfigError(
                f"{said.get(name, name)}: there is no file {value}.", "Check the path, as it is where the worker runs."
            )


def _is_unknown(name: str) -> bool:
    error = _taken({name: "1"})
    return error is not None and error.startswith("No such configuration property")


def _taken(properties: Mapping[str, str]) -> str | None:
    """What librdkafka says against them; None: nothing."""
    from confluent_kafka import KafkaException, Producer  # a command without Kafka needs none of it

    try:
        Producer({**properties, _END: ""})
    except KafkaException as error:
        said = str(error.args[0].str())
        return None if f'"{_END}"' in said else said
    except TypeError:  # a callback
        return "No such configuration property"
    raise AssertionError(f"{_END} is a property")
