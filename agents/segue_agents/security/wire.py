"""What would go over the network in clear, or to anybody who answers: refused unless the operator asks for it by name.

Only this machine is trusted without TLS, and only when the address says so itself: `localhost`, 127.0.0.0/8, ::1. Names are
not looked up. What a name stands for may change between here and the connection, and one that is near today (`kafka` in a
Docker network, a Kubernetes service) still is a network that others may be on: that is for the operator to say.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from segue.errors import ConfigError
from segue_agents.config.kafka import is_secret
from segue_agents.config.rows import HIDDEN

ADDRESSES: Final = ("bootstrap.servers", "metadata.broker.list")
"""one setting of librdkafka under two names"""
IN_CLEAR: Final = frozenset({"plaintext", "sasl_plaintext"})
UNVERIFIED: Final = (
    ("enable.ssl.certificate.verification", frozenset({"false", "f", "0"}),
     "anybody between here and there can be Kafka"),
    ("ssl.endpoint.identification.algorithm", frozenset({"none"}),
     "anybody with some certificate of the same authority can be Kafka"),
)  # fmt: skip
TOKEN_URL: Final = "sasl.oauthbearer.token.endpoint.url"
_SEE: Final = "docs/operate/security.md shows how"


def is_loopback(host: str) -> bool:
    """Whether an address says by itself that it is this machine; a name other than `localhost` never does."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def protocol_of(config: Mapping[str, Any]) -> str:
    """Of librdkafka's configuration, in small letters."""
    return str(config.get("security.protocol", "plaintext")).lower()


def hosts_of(config: Mapping[str, Any]) -> list[str]:
    """The hosts of its addresses, without ports and `PROTOCOL://`."""
    written = ",".join(str(config[name]) for name in ADDRESSES if config.get(name))
    return [_host(address) for part in written.split(",") if (address := part.strip())]


def _host(address: str) -> str:
    bare = address.rpartition("://")[2]
    host, colon, port = bare.rpartition(":")
    return (host if colon and port.isdigit() else bare).strip("[]")


def refuse_unsafe(config: Mapping[str, Any], *, plaintext: bool, unverified_tls: bool) -> None:
    """`config`: librdkafka's, whole. `plaintext`, `unverified_tls`: asked for by name. Raises ConfigError."""
    if not plaintext:
        refuse_plaintext(config, hosts_of(config))
        _refuse_token_in_clear(str(config.get(TOKEN_URL, "")))
    if protocol_of(config) in IN_CLEAR or unverified_tls:
        return
    for key, values, so in UNVERIFIED:
        if str(config.get(key, "")).lower() in values:
            raise ConfigError(
                f"{key}={config[key]}: {so}.",
                f"Leave it out, and name the authority that signed the brokers' certificates with ssl.ca.location ({_SEE});"
                " or say --allow-unverified-tls.",
            )


def refuse_plaintext(config: Mapping[str, Any], hosts: Iterable[str]) -> None:
    """Hosts that are not this machine, without TLS. Raises ConfigError."""
    far = [host for host in hosts if not is_loopback(host)]
    if far and protocol_of(config) in IN_CLEAR:
        raise ConfigError(
            f"Kafka at {far[0]} would be spoken to without TLS (security.protocol={protocol_of(config)}): whoever is on the "
            "way could read and change what persons did.",
            f"Set security.protocol=SASL_SSL, or SSL, in the file of --kafka-config ({_SEE}); or say --allow-plaintext for "
            "a network that is yours alone.",
        )


def _refuse_token_in_clear(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{TOKEN_URL} is http:// to {parts.hostname}: the client's secret would go there in clear.",
            "Use https://, with https.ca.location for an authority of your own; or say --allow-plaintext.",
        )


def refuse_registry_password(url: str, *, plaintext: bool) -> None:
    """A registry that is sent a password or a token over http://. Raises ConfigError."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not plaintext and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"The registry is {url}: its password or token would go there in clear.",
            "Use https://, with ssl.ca.location in registry_config for an authority of your own; or say --allow-plaintext.",
        )


def without_secrets(text: str, config: Mapping[str, Any]) -> str:
    """A text as of librdkafka, in which no secret of this configuration stands."""
    for key, value in config.items():
        if is_secret(key) and isinstance(value, str) and value:
            text = text.replace(value, HIDDEN)
    return text


def principal_of(config: Mapping[str, Any]) -> str:
    """Whom ACLs have to name, as far as the configuration says: a broker may map names to others."""
    if "sasl" in protocol_of(config):
        user = config.get("sasl.username") or config.get("sasl.oauthbearer.client.id")
        return f"User:{user}" if user else "this client"
    if "ssl" in protocol_of(config) and config.get("ssl.certificate.location"):
        return f"the owner of {config['ssl.certificate.location']}"
    return "User:ANONYMOUS" if protocol_of(config) in IN_CLEAR else "this client"
