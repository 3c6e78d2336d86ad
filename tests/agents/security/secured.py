"""A real Kafka that denies everything not allowed, behind TLS: one listener for each way to say who one is.

Its plain listener is the super user's, and the controller's: who comes over it is User:ANONYMOUS. Users are
known by the same name whichever way they come, so a test's ACLs hold for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from tests.agents.security.tokens import AUDIENCE, ISSUER, IdentityProvider, secret_of
from tests.certificates import DAY, LOOPBACK, Authority, Issued

from segue_agents.embedded import Broker
from segue_agents.embedded.server import Extras, free_ports

USER: Final = "segue"
TOKEN_LIFE_S: Final = 6
"""and so long a connection may last without saying anew who it is: runs of tests outlive it"""
LISTENERS: Final = {
    "MTLS": "SSL", "SCRAM": "SASL_SSL", "OAUTH": "SASL_SSL", "ELSEWHERE": "SASL_SSL", "EXPIRED": "SASL_SSL",
}  # fmt: skip
SCRAM_ITERATIONS: Final = 4_096
MODULES: Final = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Secured:
    """Where it is, and the files of its clients."""

    folder: str
    plain: str
    """the super user's address"""
    mtls: str
    scram: str
    oauth: str
    elsewhere: str
    """SCRAM, with a certificate for another host"""
    expired: str
    """SCRAM, with a certificate that was good until a minute ago"""
    token_url: str

    def file(self, name: str) -> str:
        return str(Path(self.folder) / name)

    def tokens_given(self) -> int:
        return len(Path(self.file("tokens.txt")).read_text().splitlines())

    def scram_config(self, user: str = USER, password: str | None = None) -> dict[str, str]:
        return {
            "security.protocol": "SASL_SSL", "ssl.ca.location": self.file("authority.pem"),
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": user, "sasl.password": password or secret_of(user),
        }  # fmt: skip

    def oauth_config(self, user: str = USER, secret: str | None = None) -> dict[str, str]:
        return {
            "security.protocol": "SASL_SSL", "ssl.ca.location": self.file("authority.pem"),
            "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": self.token_url, "sasl.oauthbearer.client.id": user,
            "sasl.oauthbearer.client.secret": secret or secret_of(user), "sasl.oauthbearer.scope": "kafka",
        }  # fmt: skip

    def mtls_config(self, certificate: str = USER) -> dict[str, str]:
        return {
            "security.protocol": "SSL", "ssl.ca.location": self.file("authority.pem"),
            "ssl.certificate.location": self.file(f"{certificate}.pem"),
            "ssl.key.location": self.file(f"{certificate}.key"),
        }  # fmt: skip


@contextmanager
def secured_kafka(folder: Path) -> Iterator[Secured]:
    """Runs it."""
    files = folder / "files"
    authority = Authority(files)
    authority.issue(USER)
    authority.issue("late", valid=(-2 * DAY, timedelta(minutes=-1)))
    Authority(files / "other").issue(USER)
    keystores = {
        "MTLS": _keystore(server := authority.issue("broker", hosts=LOOPBACK)), "SCRAM": _keystore(server),
        "OAUTH": _keystore(server), "ELSEWHERE": _keystore(authority.issue("elsewhere", hosts=("kafka.example",))),
        "EXPIRED": _keystore(authority.issue("expired", hosts=LOOPBACK, valid=(-2 * DAY, timedelta(minutes=-1)))),
    }  # fmt: skip
    at = {name: f"127.0.0.1:{port}" for name, port in zip(LISTENERS, free_ports(len(LISTENERS)), strict=True)}
    with IdentityProvider(files, TOKEN_LIFE_S) as provider:
        extras = Extras(
            tuple(f"{name}://{address}" for name, address in at.items()),
            _properties(authority, keystores, provider),
            (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.keys.as_uri()}",),
        )
        with Broker(folder / "broker", extras=extras) as broker:
            add_user(broker.bootstrap, USER)
            yield Secured(str(files), broker.bootstrap, *at.values(), provider.token_url)


def add_user(plain: str, name: str, password: str | None = None) -> None:
    """Of SCRAM; another password for one there is."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
    wanted = UserScramCredentialUpsertion(name, info, (password or secret_of(name)).encode())
    admin = AdminClient({"bootstrap.servers": plain})  # kept: without it nothing would ever be answered
    admin.alter_user_scram_credentials([wanted])[name].result(30)


def written(folder: Path, config: dict[str, str]) -> Path:
    """As the setting kafka_config has it."""
    path = folder / "kafka.properties"
    path.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
    return path


def to_json(secured: Secured) -> str:
    return json.dumps(asdict(secured))


def _keystore(issued: Issued) -> Path:
    """Kafka wants the key and the certificate in one file."""
    both = issued.certificate.with_suffix(".keystore.pem")
    both.write_bytes(issued.key.read_bytes() + issued.certificate.read_bytes())
    return both


def _properties(authority: Authority, keystores: dict[str, Path], provider: IdentityProvider) -> dict[str, str]:
    found = {
        "listener.security.protocol.map": ",".join(
            ("CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", *(f"{n}:{p}" for n, p in LISTENERS.items()))
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
        "ssl.truststore.type": "PEM", "ssl.truststore.location": str(authority.certificate), "ssl.keystore.type": "PEM",
        "listener.name.mtls.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/",
    }  # fmt: skip
    for name, keystore in keystores.items():
        found[f"listener.name.{name.lower()}.ssl.keystore.location"] = str(keystore)
    for name in ("scram", "elsewhere", "expired"):
        found |= {
            f"listener.name.{name}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"listener.name.{name}.scram-sha-512.sasl.jaas.config": f"{MODULES}.scram.ScramLoginModule required;",
        }
    return found | {
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.oauth.oauthbearer.sasl.jaas.config":
            f"{MODULES}.oauthbearer.OAuthBearerLoginModule required;",
        "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class":
            f"{MODULES}.oauthbearer.OAuthBearerValidatorCallbackHandler",
        "listener.name.oauth.oauthbearer.connections.max.reauth.ms": str(TOKEN_LIFE_S * 1_000),
        "listener.name.oauth.sasl.oauthbearer.jwks.endpoint.url": provider.keys.as_uri(),
        "listener.name.oauth.sasl.oauthbearer.expected.audience": AUDIENCE,
        "listener.name.oauth.sasl.oauthbearer.expected.issuer": ISSUER,
    }  # fmt: skip
