"""librdkafka's properties: the list is librdkafka's own, what is passed on arrives, what is refused cannot."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException, Producer

from segue.errors import ConfigError
from segue_agents.config.kafka import (
    REFUSED,
    RISKY,
    for_role,
    is_secret,
    known,
    property_of,
    risks,
    variable_of,
)
from segue_agents.settings import Settings
from segue_agents.transport.clients import (
    changelog_config,
    clock_config,
    common_config,
    producer_config,
    source_config,
    try_clients,
)

OURS = {"bootstrap.servers", "client.id", "logger"}
OWN_KEPT = {"linger.ms", "queue.buffering.max.messages", "socket.timeout.ms"}
"""which a client keeps whatever the operator says: the clock's, whose ticks wait for nothing, and the transactions' (RISKY
says so)"""


def configs(settings: Settings) -> dict[str, dict[str, object]]:
    return {
        "source": source_config(settings, "0"), "changelog": changelog_config(settings, "read_committed"),
        "producer": producer_config(settings, "0"), "clock": clock_config(settings), "admin": common_config(settings),
    }  # fmt: skip


@pytest.mark.parametrize("name", [*known(), *REFUSED, *RISKY])
def test_a_property_of_the_lists_is_one_of_librdkafkas(name: str) -> None:
    """By what the library says of it; its value is another matter."""
    with pytest.raises(KafkaException) as caught:
        Producer({name: True if name == "delivery.report.only.error" else "no value of it", "segue.end": ""})
    assert f'No such configuration property: "{name}"' not in caught.value.args[0].str()
    assert property_of(variable_of(name)) == name


@pytest.mark.parametrize("name", ["logger", "error_cb", "stats_cb", "on_delivery", "oauth_cb", "default.topic.config", "no"])
def test_what_is_no_property_is_said_to_be_none(name: str) -> None:
    """What confluent_kafka takes beside them is none either: it would be no text."""
    with pytest.raises(ConfigError, match="There is no setting of the variable"):
        Settings.load({}, {variable_of(name): "x"})


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_what_is_not_refused_arrives_in_every_client(protocol: str, guarantee: str) -> None:
    """A property that a client of ours would set over the operator's is refused, so that none is silently ignored."""
    given = {name: "theirs" for name in known() if name not in REFUSED}
    settings = Settings(kafka=given, group_protocol=protocol, guarantee=guarantee)  # type: ignore[arg-type]
    for client, config in configs(settings).items():
        role = {"source": "consumer", "changelog": "consumer", "admin": "any"}.get(client, "producer")
        lost = {name for name in for_role(given, role) if config[name] != "theirs"}  # type: ignore[arg-type]
        assert lost <= OWN_KEPT, client
        assert set(config) - set(given) - OURS <= set(REFUSED), client


def test_the_guarantee_stands() -> None:
    """What exactly once needs of the clients, whatever is passed on."""
    made = configs(Settings(kafka={"linger.ms": "7", "fetch.min.bytes": "9"}))
    assert made["source"]["isolation.level"] == made["changelog"]["isolation.level"] == "read_committed"
    assert made["source"]["enable.auto.commit"] is False
    assert made["producer"]["enable.idempotence"] is True
    assert made["producer"]["linger.ms"] == "7"
    assert made["source"]["fetch.min.bytes"] == "9"
    assert "fetch.min.bytes" not in made["producer"]  # librdkafka would grumble


@pytest.mark.parametrize("name", REFUSED)
def test_a_dangerous_property_is_refused_with_the_reason(name: str) -> None:
    """In words that say what to do instead, from any place."""
    with pytest.raises(ConfigError) as caught:
        Settings.load({}, {variable_of(name): "1"})
    assert f"{name} ({variable_of(name)}) is refused." in str(caught.value)
    assert caught.value.to_do == REFUSED[name]
    with pytest.raises(ConfigError):
        common_config(Settings(kafka={name: "1"}))


def test_a_risky_property_is_passed_on_and_explained() -> None:
    """Unless its value is the careful one."""
    given = {"ssl.endpoint.identification.algorithm": "none", "debug": "all", "client.rack": "a",
             "enable.ssl.certificate.verification": "true"}  # fmt: skip
    assert [name for name, _ in risks(given)] == ["ssl.endpoint.identification.algorithm", "debug"]


def test_what_librdkafka_will_not_have_is_known_before_a_start() -> None:
    """Names, values, missing files, and properties that do not go together."""
    for environ, says in (
        ({"SEGUE_KAFKA_SECURITY_PROTOCOL": "TSL"}, "does not take it as 'TSL'"),
        ({"SEGUE_KAFKA_SSL_CA_LOCATION": "/no/such"}, "there is no file /no/such"),
        ({"SEGUE_KAFKA_LINGER_MS": "-1"}, "does not take it as '-1'"),
    ):
        with pytest.raises(ConfigError, match=says):
            Settings.load({}, environ)
    try_clients(Settings())
    with pytest.raises(ConfigError, match=r"fetch\.max\.bytes"):
        try_clients(Settings.load({}, {"SEGUE_KAFKA_RECEIVE_MESSAGE_MAX_BYTES": "2000"}))
    with pytest.raises(ConfigError, match=r"sasl\.password must be set"):
        try_clients(Settings(kafka={"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "x"}))


def test_secrets_are_known_by_name() -> None:
    """Passwords, keys, tokens; not where they lie."""
    found = {name for name in known() if is_secret(name)}
    assert found == {
        "sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase", "sasl.oauthbearer.assertion.private.key.pem",
    }  # fmt: skip
