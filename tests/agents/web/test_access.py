"""Who may read what, and settings that would leave something open by mistake."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import LOOPBACK, Authority

from segue.errors import ConfigError
from segue_agents.settings import Settings
from segue_agents.web.access import OPEN, Access, Caller, is_address_or_localhost, is_loopback, shown_token

TOKEN, OTHER = "a-token-that-is-long-enough", "another-token-of-some-length"
GUARDED = ["/", "/status", "/status.json", "/graph", "/router/x", "/table/", "/metrics/", "/livez/../status"]


def access(tokens: str = "", **settings: Any) -> Access:
    return Access(Settings(**settings), {"SEGUE_WEB_TOKEN": tokens} if tokens else {})


def bearer(token: str, host: str = "worker.example") -> Caller:
    return Caller(f"Bearer {token}", host)


@pytest.mark.parametrize("path", sorted(OPEN))
def test_metrics_and_probes_are_for_everybody(path: str) -> None:
    for port in (access(), access(TOKEN, web_host="0.0.0.0"), access(web_auth="closed", web_host="0.0.0.0")):
        assert port.judge(path, Caller(host="anything.example")) == "yes"


@pytest.mark.parametrize("path", GUARDED)
def test_everything_else_is_for_those_with_a_token(path: str) -> None:
    """Also what does not exist; on loopback too, once there is one."""
    for host in ("127.0.0.1", "0.0.0.0"):
        port = access(f"{TOKEN}\n{OTHER}\n", web_host=host)
        for good in (bearer(TOKEN), bearer(OTHER), Caller("bearer " + TOKEN), basic("any:" + TOKEN)):
            assert port.judge(path, good) == "yes"
        bad = ("", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, f"Token {TOKEN}",
               f"Bearer {TOKEN}\n{OTHER}", "Bearer \udcff", "Basic !!", "Basic ", f"Bearer {TOKEN} {OTHER}")  # fmt: skip
        for shown in bad:
            assert port.judge(path, Caller(shown.encode("utf-8", "ignore").decode(), "127.0.0.1")) == "no token"


def basic(pair: str) -> Caller:
    return Caller("Basic " + b64encode(pair.encode()).decode())


def test_what_a_browser_sends_is_a_token_too() -> None:
    """It asks its user for a name and a password: the token is the password."""
    assert shown_token(basic("operator:" + TOKEN).authorization) == TOKEN
    assert shown_token("Basic " + b64encode(b"\xff\xfe").decode()) == ""


@pytest.mark.parametrize("path", GUARDED)
def test_without_a_token_loopback_is_for_this_machine(path: str) -> None:
    """Not for a page of the web whose name was made to point here."""
    port = access()
    for host in ("127.0.0.1:6066", "localhost", "localhost:1", "[::1]:6066", "LOCALHOST:8"):
        assert port.judge(path, Caller(host=host)) == "yes"
    for host in ("evil.example:6066", "evil.example", "", "localhost.evil.example", "127.0.0.1.evil.example:80"):
        assert port.judge(path, Caller(host=host)) == "wrong host"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "worker-0", "localhost.example", "127.0.0.1.nip.io"])
def test_beyond_loopback_without_a_secret_is_refused(host: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match="other machines could read the status page") as refused:
        access(web_host=host)
    for way in ("web_token_file", "SEGUE_WEB_TOKEN", "web_tls_client_ca", "web_auth=closed", "web_auth=none"):
        assert way in refused.value.to_do


def test_unless_it_is_asked_for_by_name() -> None:
    assert access(web_host="0.0.0.0", web_auth="none").judge("/status", Caller()) == "yes"
    assert access(web_host="0.0.0.0", web_auth="closed").judge("/status", Caller()) == "no right"


@pytest.mark.parametrize("auth", ["none", "closed"])
def test_a_token_that_would_not_be_asked_for_is_refused(auth: str) -> None:
    """Whoever sets one believes that it guards something."""
    with pytest.raises(ConfigError, match=f"web_auth is {auth}"):
        access(TOKEN, web_auth=auth)


@pytest.mark.parametrize("tokens", ["tooshrt", "\n\n", f"{TOKEN}\n{OTHER}\n{TOKEN}x", "with spaces in the middle", "ü" * 20])
def test_a_token_that_is_none(tokens: str, tmp_path: Path) -> None:
    """Refused, in the environment and in a file, and never quoted."""
    file = tmp_path / "token"
    file.write_text(tokens)
    for settings, environ in ((Settings(), {"SEGUE_WEB_TOKEN": tokens}), (Settings(web_token_file=file), {})):
        with pytest.raises(ConfigError) as refused:
            Access(settings, environ)
        assert not any(line and line in str(refused.value) for line in tokens.splitlines())


def test_files_that_are_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    certificate = Authority(tmp_path / "ca").issue("worker", hosts=LOOPBACK)
    cases: list[dict[str, Any]] = [
        {"web_token_file": missing}, {"web_tls_cert": missing}, {"web_tls_key": missing}, {"web_tls_client_ca": missing},
        {"web_tls_cert": certificate.certificate, "web_tls_key": missing},
        {"web_tls_cert": certificate.certificate},  # its key is not in it
        {"web_tls_cert": certificate.certificate, "web_tls_key": certificate.key, "web_tls_client_ca": missing},
    ]  # fmt: skip
    for settings in cases:
        with pytest.raises(ConfigError) as refused:
            access(**settings)
        assert refused.value.to_do


def test_a_token_said_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(OTHER)
    with pytest.raises(ConfigError, match="web_token_file is set, and so is SEGUE_WEB_TOKEN"):
        access(TOKEN, web_token_file=file)


def test_tokens_are_changed_without_a_restart(tmp_path: Path) -> None:
    """The new one beside the old, then alone. A file that has become unusable leaves what was read before."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    port = access(web_token_file=file)
    new = f"new-{OTHER}"

    def now(text: str) -> list[str]:
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        fresh.replace(file)  # as a mounted secret changes
        port.refresh()
        return [port.judge("/status", bearer(token)) for token in (TOKEN, new)]

    assert now(TOKEN) == ["yes", "no token"]
    assert now(f"{new}\n{TOKEN}\n") == ["yes", "yes"]
    assert now(f"{new}\n") == ["no token", "yes"]
    assert now("") == ["no token", "yes"]
    file.unlink()
    port.refresh()
    assert port.judge("/status", bearer(new)) == "yes"
    assert now(TOKEN) == ["yes", "no token"]


def test_a_file_written_in_place_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    port = access(web_token_file=file)
    file.write_text(OTHER)
    os.utime(file, ns=(1, 1))  # a coarse clock would show the same time twice
    port.refresh()
    assert port.judge("/status", bearer(OTHER)) == "yes"
    assert port.judge("/status", bearer(TOKEN)) == "no token"


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "host", "")))
    assert not is_address_or_localhost("a:b:c")
