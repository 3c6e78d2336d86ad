"""A worker runs whole over SCRAM, OAuth and mTLS, on a Kafka that denies all but its rights; and what is said to one that
is not let in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agents.security.allowing import Allowing
from tests.agents.security.forked import ForkedApp
from tests.agents.security.secured import USER, Secured, written
from tests.agents.worker.conftest import wait_until

from segue.errors import Unreachable
from segue_agents.security.rights import Role, check_rights, rights_of
from segue_agents.settings import Settings

SECRET = "Wrong-Horse-9"
UNREACHABLE = 3
SAID_WITHIN_S = 20.0
"""of an answer that takes 1 to 2 s, on a busy machine"""


@pytest.fixture
def app(secured: Secured, topic_prefix: str, tmp_path: Path) -> Iterator[ForkedApp]:
    """Made by the super user; its worker has exactly the rights that `segue acls` names."""
    made = ForkedApp(secured.plain, topic_prefix, tmp_path)
    rights = rights_of(Role.WORKER, made.settings)
    allowing = Allowing(secured.plain, f"User:{USER}")
    allowing.give(rights)
    yield made
    made.kill_all()
    allowing.take(rights)


@pytest.mark.parametrize("way", ["scram", "oauth", "mtls"])
def test_a_worker_runs_whole(app: ForkedApp, secured: Secured, way: str, tmp_path: Path) -> None:
    """Consumes and commits exactly once; the next one, without its disk, restores from Kafka and goes on. By OAuth it
    outlives its tokens: the broker would close a connection that does not show a new one."""
    flags = {"bootstrap": getattr(secured, way), "kafka_config": written(tmp_path, getattr(secured, f"{way}_config")())}
    app.publish(40)
    app.start(**flags)
    app.wait_for_all()
    if way == "oauth":
        given = secured.tokens_given()
        wait_until(lambda: secured.tokens_given() > given + 2, "new tokens")
        app.publish(20)
        app.wait_for_all()
    assert app.end() == 0
    app.publish(40)
    app.start(**flags, data_dir=tmp_path / "elsewhere")
    app.wait_for_all()
    assert app.end() == 0
    assert app.said("how=wipe") == 2 * app.said("worker_starts")  # both partitions, each time from Kafka


WAYS_OUT = {
    "wrong password": ("scram", "scram_config", {"sasl.password": SECRET}, "does not let User:segue in",
                       "sasl.password"),
    "unknown user": ("scram", "scram_config", {"sasl.username": "nobody"}, "does not let User:nobody in",
                     "kafka-configs.sh"),
    "wrong client secret": ("oauth", "oauth_config", {"sasl.oauthbearer.client.secret": SECRET},
                            "gives no token to User:segue: .*invalid_client", "client.secret"),
    "no identity provider": ("oauth", "oauth_config", {"sasl.oauthbearer.token.endpoint.url": "http://127.0.0.1:1/token"},
                             "http://127.0.0.1:1/token gives no token", "token.endpoint.url"),
    "other mechanism": ("oauth", "scram_config", {}, "supported mechanisms: OAUTHBEARER", "sasl.mechanism"),
    "unknown authority": ("scram", "scram_config", {"ssl.ca.location": "{files}/other/authority.pem"},
                          "unable to get local issuer certificate", "ssl.ca.location"),
    "expired certificate": ("expired", "scram_config", {}, "certificate has expired", "clock"),
    "other host": ("elsewhere", "scram_config", {}, "IP address mismatch.*'127.0.0.1'", "advertised.listeners"),
    "own certificate expired": ("mtls", "mtls_config", {"ssl.certificate.location": "{files}/late.pem",
                                                        "ssl.key.location": "{files}/late.key"},
                                "late.pem.*certificate has expired", "Renew"),
    "own certificate unknown": ("mtls", "mtls_config", {"ssl.certificate.location": "{files}/other/segue.pem",
                                                        "ssl.key.location": "{files}/other/segue.key"},
                                "refuses the certificate .*other/segue.pem", "openssl x509"),
    "no certificate": ("mtls", "scram_config", {"security.protocol": "SSL"}, "wants a certificate", "ssl.key.location"),
    "plaintext to TLS": ("mtls", None, {}, "speaks TLS", "security.protocol"),
    "TLS to plaintext": ("plain", "mtls_config", {}, "does not speak TLS", "listener"),
}  # fmt: skip


@pytest.mark.parametrize("case", WAYS_OUT)
def test_one_that_is_not_let_in_is_told_why(secured: Secured, tmp_path: Path, case: str) -> None:
    """By whom, what is wrong, what to do; soon, and without a secret."""
    at, base, changed, what, to_do = WAYS_OUT[case]
    config = getattr(secured, base)() if base else {}
    config |= {name: value.format(files=secured.folder) for name, value in changed.items()}
    settings = Settings(bootstrap=getattr(secured, at), kafka_config=written(tmp_path, config))
    began_s = time.monotonic()
    with pytest.raises(Unreachable, match=what) as caught:
        check_rights(settings)
    assert time.monotonic() - began_s < SAID_WITHIN_S
    assert to_do in caught.value.to_do
    assert settings.bootstrap in caught.value.what or "token" in caught.value.what
    assert "Secret-7" not in str(caught.value) and SECRET not in str(caught.value)
    assert caught.value.exit_code == UNREACHABLE


def test_a_worker_that_is_not_let_in_ends_with_3(app: ForkedApp, secured: Secured, tmp_path: Path) -> None:
    """And leaves no secret in its log."""
    app.start(bootstrap=secured.scram, kafka_config=written(tmp_path, secured.scram_config(password=SECRET)))
    assert app.exit_code() == UNREACHABLE
    log = app.log().read_text()
    assert "does not let User:segue in" in log
    assert SECRET not in log

