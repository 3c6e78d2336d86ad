"""Kafka's clients made so that they can say why they get no answer.

librdkafka tells the caller that there was none, and the reason only to a callback: wrong password, unknown authority. A
client made here keeps the reasons, and `reason` puts the last one in words. A certificate that does not verify is all
one to librdkafka; what is wrong with it, a handshake of our own finds out (see `handshake`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from segue.errors import ConfigError
from segue_agents.security.wire import IN_CLEAR, hosts_of, principal_of, protocol_of, without_secrets
from segue_agents.transport.handshake import certificate_trouble, speaks_tls

KEPT: Final = 16
_PREFIX: Final = re.compile(r"^\S*?(?:://)?([^/\s]+?:\d+)/\S+: ")
_SUFFIX: Final = re.compile(r" \(after \d+ms in state \w+(?:, \d+ identical error\(s\) suppressed)?\)")


class Reason(NamedTuple):
    """Why there is no answer, and what to do."""

    what: str
    to_do: str
    final: bool
    """waiting does not help"""


@dataclass(slots=True)
class Troubles:
    """What a client heard about its connections."""

    config: Mapping[str, Any]
    heard: deque[Any] = field(default_factory=lambda: deque(maxlen=KEPT))
    """KafkaErrors, the newest last"""

    def __call__(self, error: Any) -> None:
        """librdkafka's error_cb."""
        self.heard.append(error)

    def reason(self) -> Reason | None:
        """In words; None when nothing was heard that says more than that nobody answers."""
        for error in reversed(self.heard):
            found = _reason(error, self.config)
            if found is not None:
                return found
        if self.heard and protocol_of(self.config) in IN_CLEAR and (at := _first_address(self.config)) and speaks_tls(*at):
            return Reason(f"Kafka at {at[0]}:{at[1]} speaks TLS, and security.protocol={protocol_of(self.config)} does not",
                          "Set security.protocol=SASL_SSL or SSL in the file of --kafka-config.", final=True)
        return None


class _Admin(AdminClient):  # type: ignore[misc]
    troubles: Troubles


class _Consumer(Consumer):  # type: ignore[misc]
    troubles: Troubles


class _Producer(Producer):  # type: ignore[misc]
    troubles: Troubles


def open_admin(config: Mapping[str, Any]) -> Any:
    """An AdminClient; keep it while it is asked. Raises ConfigError for a configuration that librdkafka refuses."""
    return _opened(_Admin, config)


def open_consumer(config: Mapping[str, Any]) -> Any:
    """Likewise a Consumer."""
    return _opened(_Consumer, config)


def open_producer(config: Mapping[str, Any]) -> Any:
    """Likewise a Producer."""
    return _opened(_Producer, config)


def _opened(kind: Any, config: Mapping[str, Any]) -> Any:
    troubles = Troubles(config)
    try:
        client = kind({**config, "error_cb": troubles})
    except KafkaException as error:
        says = without_secrets(error.args[0].str(), config)
        raise ConfigError(f"Kafka's client cannot be made: {says}.", "Check the file of --kafka-config.") from None
    client.troubles = troubles
    return client


def _reason(error: Any, config: Mapping[str, Any]) -> Reason | None:
    text, code = without_secrets(error.str(), config), error.code()
    says = _SUFFIX.sub("", _PREFIX.sub("", text)).rstrip(".")
    at = found[1] if (found := _PREFIX.match(text)) else ""
    address = at or config.get("bootstrap.servers", "")
    where = f"Kafka at {address}"
    if code == KafkaError._AUTHENTICATION:
        return _not_let_in(where, says, config)
    if code == KafkaError._SSL or "SSL alert" in says:
        return _bad_certificate(where, at, says, config)
    if "PLAINTEXT broker listener" in says:
        return Reason(f"{where} does not speak TLS on this port, and security.protocol={config['security.protocol']} does",
                      "Name the port of a listener with TLS.", final=True)
    if code == KafkaError._RESOLVE:
        return Reason(f"No Kafka answers at {address}: {says}", "Check the address.", final=False)
    if code == KafkaError._TRANSPORT and says.startswith("Connect to"):
        return Reason(f"No Kafka answers at {address}: {says}",
                      "Is it running? Check the address, or start one with `segue up`.", final=False)
    return None


def _not_let_in(where: str, says: str, config: Mapping[str, Any]) -> Reason:
    if "token" in says:
        url = config.get("sasl.oauthbearer.token.endpoint.url", "the token endpoint")
        return Reason(f"{url} gives no token to {principal_of(config)}: {says.partition(': ')[2] or says}",
                      "Check sasl.oauthbearer.client.id, .client.secret and .token.endpoint.url.", final=True)
    if "supported mechanisms" in says:
        return Reason(f"{where}: {says}", "Set sasl.mechanism to one of those, or name the port of another listener.",
                      final=True)
    return Reason(
        f"{where} does not let {principal_of(config)} in: {says}",
        "Check sasl.username and sasl.password. The user's SCRAM password is set with kafka-configs.sh --alter "
        "--entity-type users, for each mechanism apart.", final=True,
    )  # fmt: skip


def _bad_certificate(where: str, at: str, says: str, config: Mapping[str, Any]) -> Reason:
    address = _split(at) or _first_address(config)
    found = certificate_trouble(*address, config) if address is not None else None
    if found is not None:
        return Reason(f"{where}: {found.what}", found.to_do, final=True)
    if "alert" in says and not config.get("ssl.certificate.location"):
        return Reason(f"{where} wants a certificate of its clients ({says})",
                      "Set ssl.certificate.location and ssl.key.location.", final=True)
    if "alert" in says:
        return Reason(
            f"{where} refuses the certificate {config['ssl.certificate.location']} ({says})",
            "Is it signed by an authority that the broker trusts (ssl.truststore)? "
            f"`openssl x509 -noout -issuer -dates -in {config['ssl.certificate.location']}` shows by whom.", final=True,
        )  # fmt: skip
    return Reason(f"{where}: {says}", "Check ssl.ca.location.", final=True)


def _first_address(config: Mapping[str, Any]) -> tuple[str, int] | None:
    first = str(config.get("bootstrap.servers", "")).split(",")[0].strip()
    port = first.rpartition(":")[2]
    hosts = hosts_of(config)
    return (hosts[0], int(port)) if hosts and port.isdigit() else None


def _split(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None
