"""What would go over the network in clear, or to anybody, is refused unless it is asked for by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.errors import ConfigError
from segue_agents.codecs.registry import USER_INFO, open_registry
from segue_agents.config.rows import HIDDEN
from segue_agents.security.wire import is_loopback, principal_of, refuse_plaintext, refuse_unsafe, without_secrets
from segue_agents.settings import Settings
from segue_agents.transport.clients import changelog_config, clock_config, common_config, producer_config, source_config

TLS = {"security.protocol": "SASL_SSL"}
OIDC = "sasl.oauthbearer.token.endpoint.url"


@pytest.mark.parametrize(("host", "near"), [
    ("localhost", True), ("LocalHost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True),
    ("0.0.0.0", False), ("10.0.0.1", False), ("kafka", False), ("localhost.example", False), ("", False),
    ("127.0.0.1.example", False), ("fe80::1", False), ("2130706433", False), ("ip6-localhost", False),
])  # fmt: skip
def test_only_an_address_that_says_so_is_this_machine(host: str, near: bool) -> None:
    assert is_loopback(host) == near


@pytest.mark.parametrize(("bootstrap", "config"), [
    ("127.0.0.1:9092", {}), ("localhost:9092,[::1]:9093", {}), ("plaintext://127.0.0.1:9092", {}),
    ("127.0.0.1:9092", {"security.protocol": "SASL_PLAINTEXT"}), ("kafka:9093", TLS),
    ("kafka:9093", {"security.protocol": "ssl"}),
    ("kafka:9093", TLS | {"enable.ssl.certificate.verification": "true", "ssl.endpoint.identification.algorithm": "https"}),
    ("kafka:9093", TLS | {OIDC: "https://identity.example/token"}), ("kafka:9093", TLS | {OIDC: "http://127.0.0.1:1/token"}),
])  # fmt: skip
def test_what_is_safe(bootstrap: str, config: dict[str, str]) -> None:
    refuse_unsafe({"bootstrap.servers": bootstrap, **config}, plaintext=False, unverified_tls=False)


@pytest.mark.parametrize(("bootstrap", "config", "flag", "names"), [
    ("kafka:9092", {}, "--allow-plaintext", "kafka"),
    ("127.0.0.1:9092,10.1.2.3:9092", {}, "--allow-plaintext", "10.1.2.3"),
    ("PLAINTEXT://kafka:9092", {}, "--allow-plaintext", "kafka"),
    ("kafka", {}, "--allow-plaintext", "kafka"),
    ("kafka:9092", {"security.protocol": "Sasl_Plaintext"}, "--allow-plaintext", "sasl_plaintext"),
    ("kafka:9093", TLS | {OIDC: "http://identity/token"}, "--allow-plaintext", "identity"),
    ("kafka:9093", TLS | {"enable.ssl.certificate.verification": "False"}, "--allow-unverified-tls", "verification"),
    ("127.0.0.1:9", TLS | {"enable.ssl.certificate.verification": "0"}, "--allow-unverified-tls", "verification"),
    ("kafka:9093", TLS | {"ssl.endpoint.identification.algorithm": "NONE"}, "--allow-unverified-tls", "identification"),
])  # fmt: skip
def test_what_is_not_is_refused_unless_asked_for_by_name(
    bootstrap: str, config: dict[str, str], flag: str, names: str
) -> None:
    """Each by its own name: the other one does not allow it."""
    whole = {"bootstrap.servers": bootstrap, **config}
    allowed = {"plaintext": flag == "--allow-plaintext", "unverified_tls": flag == "--allow-unverified-tls"}
    refuse_unsafe(whole, **allowed)
    with pytest.raises(ConfigError) as caught:
        refuse_unsafe(whole, **{name: not value for name, value in allowed.items()})
    assert names in caught.value.what
    assert flag in caught.value.to_do


def test_every_client_is_made_through_it(tmp_path: Path) -> None:
    """From the settings alone, and with the file that says TLS."""
    settings = Settings(bootstrap="kafka:9092")
    makers = (
        common_config, lambda s: source_config(s, "0"), lambda s: changelog_config(s, "read_committed"),
        lambda s: producer_config(s, "0"), clock_config,
    )  # fmt: skip
    for make in makers:
        with pytest.raises(ConfigError, match="without TLS"):
            make(settings)
    file = tmp_path / "kafka.properties"
    file.write_text("security.protocol=SSL\n")
    for make in makers:
        make(Settings(bootstrap="kafka:9092", kafka_config=file))
        make(Settings(bootstrap="kafka:9092", allow_plaintext=True))


def test_a_cluster_may_not_lead_away_from_this_machine() -> None:
    """The bootstrap is near and the brokers it names are not, as through a tunnel."""
    with pytest.raises(ConfigError, match="kafka-1"):
        refuse_plaintext({"bootstrap.servers": "127.0.0.1:9092"}, ["127.0.0.1", "kafka-1"])
    refuse_plaintext(TLS, ["kafka-1"])


def test_a_registry_is_sent_no_password_in_clear() -> None:
    """Without one it may be asked."""
    password = {USER_INFO: "me:hunter2"}
    for url in ("https://registry:8081", "http://localhost:8081"):
        assert open_registry(url, None, password) is not None
    assert open_registry("http://registry:8081", None, {}) is not None
    assert open_registry("http://registry:8081", None, password, plaintext=True) is not None
    with pytest.raises(ConfigError, match="in clear") as caught:
        open_registry("http://registry:8081", None, password)
    assert "hunter2" not in str(caught.value)


def test_no_secret_stays_in_a_text() -> None:
    config = {"sasl.password": "hunter2", "sasl.oauthbearer.client.secret": "s3cr3t", "ssl.key.password": "",
              "sasl.username": "me", "logger": object()}  # fmt: skip
    assert without_secrets("me hunter2 s3cr3t", config) == f"me {HIDDEN} {HIDDEN}"


@pytest.mark.parametrize(("config", "who"), [
    ({}, "User:ANONYMOUS"), (TLS | {"sasl.username": "me"}, "User:me"), (TLS, "this client"),
    (TLS | {"sasl.oauthbearer.client.id": "app"}, "User:app"),
    ({"security.protocol": "SSL", "ssl.certificate.location": "me.pem"}, "the owner of me.pem"),
])  # fmt: skip
def test_whom_acls_have_to_name(config: dict[str, str], who: str) -> None:
    assert principal_of(config) == who
