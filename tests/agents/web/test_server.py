"""The port over real sockets: TLS, tokens, and clients who are slow, many, or speak no HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.agents.web.made import status
from tests.certificates import DAY, LOOPBACK, Authority

from segue.errors import ConfigError, Unreachable
from segue_agents.cli.status import _ask as ask_status
from segue_agents.cli.status import _trust as trust
from segue_agents.cli.status import _trust_local as trust_local
from segue_agents.settings import Settings
from segue_agents.web.access import Access
from segue_agents.web.address import Address
from segue_agents.web.pages import Pages
from segue_agents.web.server import WebServer, listen

TOKEN, OTHER = "a-token-that-is-long-enough", "another-token-of-some-length"
DEFAULTS = Settings()
WITHIN_S = 20.0
Start = Callable[..., WebServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers; the event loop that owns them stands still meanwhile, as a stuck worker's would."""
    with asyncio.Runner() as runner:
        servers: list[WebServer] = []

        def started(
            settings: Settings = DEFAULTS, environ: dict[str, str] | None = None,
            metrics: Callable[[], bytes] = lambda: b"segue_up 1\n", **limits: Any,
        ) -> WebServer:  # fmt: skip
            access = Access(settings, environ or {})
            taken = listen(settings.web_host, settings.web_port)
            server = WebServer(access, Pages(access, status, metrics), taken, lambda: None, lambda: None, **limits)
            servers.append(server)
            runner.run(server.start())
            return server

        yield started
        for server in servers:
            runner.run(server.stop())
            assert not server._thread.is_alive()
            with pytest.raises(OSError, match="refused"):
                raw(server)


def port_of(server: WebServer) -> int:
    return int(server.web_url.rpartition(":")[2])


def raw(server: WebServer) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port_of(server)), 5)
    made.settimeout(WITHIN_S)
    return made


def ask(
    server: WebServer, path: str, method: str = "GET", trusted: ssl.SSLContext | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    made = (http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=WITHIN_S) if trusted is None
            else http.client.HTTPSConnection("127.0.0.1", port_of(server), timeout=WITHIN_S, context=trusted))
    with closing(made):
        made.request(method, path, headers=headers)
        answer = made.getresponse()
        return answer.status, answer.headers, answer.read()


def told(conversation: bytes, server: WebServer) -> bytes:
    """All that comes back for these bytes, until the server closes."""
    with closing(raw(server)) as made:
        made.sendall(conversation)
        return everything(made)


def everything(made: socket.socket) -> bytes:
    found = b""
    try:
        while part := made.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def test_pages_are_served_while_the_worker_s_event_loop_stands_still(start: Start) -> None:
    """Every page, its HEAD without a body, and a query."""
    server = start()
    for path in ("/livez", "/healthz", "/readyz", "/startupz", "/metrics", "/status", "/status.json"):
        code, headers, body = ask(server, path)
        assert code == 200
        again, alike, nothing = ask(server, path, "HEAD")
        assert (again, nothing) == (200, b"")
        assert alike["Content-Length"] == str(len(body))
        assert headers["Server"] == "segue"
    assert json.loads(ask(server, "/status.json")[2])["app_id"] == "shop"
    assert ask(server, "/livez?verbose&exclude=loop")[2].startswith(b"[+]loop excluded: ok\n")


def test_a_token_opens_and_nothing_else_does(start: Start) -> None:
    server = start(environ={"SEGUE_WEB_TOKEN": TOKEN})
    assert ask(server, "/status")[0] == 401
    assert ask(server, "/status", Authorization=f"Bearer {OTHER}")[0] == 401
    assert ask(server, "/status", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert ask(server, "/%73tatus")[0] == ask(server, "//status")[0] == ask(server, "/livez/../status")[0] == 401
    assert ask(server, "/livez")[0] == 200


def test_a_token_is_changed_while_it_runs(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    server = start(Settings(web_token_file=file))
    assert ask(server, "/status", Authorization=f"Bearer {TOKEN}")[0] == 200
    fresh = tmp_path / "fresh"
    fresh.write_text(f"{OTHER}\n")
    fresh.replace(file)
    until = time.monotonic() + WITHIN_S
    while ask(server, "/status", Authorization=f"Bearer {OTHER}")[0] != 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert ask(server, "/status", Authorization=f"Bearer {TOKEN}")[0] == 401


def test_tls_and_certificates_of_clients(start: Start, tmp_path: Path) -> None:
    """Probes ask for no certificate; the status page takes one of the authority's, and no other; plain HTTP is none."""
    authority, strangers = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    worker = authority.issue("worker", hosts=LOOPBACK)
    operator, stranger = authority.issue("operator"), strangers.issue("operator")
    old = authority.issue("old", valid=(-2 * DAY, timedelta(minutes=-5)))
    server = start(Settings(
        web_tls_cert=worker.certificate, web_tls_key=worker.key, web_tls_client_ca=authority.certificate,
    ))  # fmt: skip
    assert server.web_url.startswith("https://")

    def trusting(shown: Any = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return context

    assert ask(server, "/livez", trusted=trusting())[0] == ask(server, "/metrics", trusted=trusting())[0] == 200
    assert ask(server, "/status", trusted=trusting())[0] == 401
    assert ask(server, "/status", trusted=trusting(operator))[0] == 200
    for refused in (stranger, old):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(server, "/status", trusted=trusting(refused))
    assert b"segue" not in told(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n", server)
    assert server._access.tls is not None
    assert server._access.tls.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_is_changed_while_it_runs(start: Start, tmp_path: Path) -> None:
    """The next connection sees the new one; one that cannot be used is not taken."""
    authority = Authority(tmp_path)
    first = authority.issue("worker", hosts=LOOPBACK)
    server = start(Settings(web_tls_cert=first.certificate, web_tls_key=first.key))
    trusted = ssl.create_default_context(cafile=str(authority.certificate))

    def shown() -> bytes:
        with closing(trusted.wrap_socket(raw(server), server_hostname="localhost")) as made:
            return made.getpeercert(binary_form=True) or b""

    before = shown()
    authority.issue("worker", hosts=LOOPBACK)  # over the files of the first
    until = time.monotonic() + WITHIN_S
    while (after := shown()) == before:
        assert time.monotonic() < until
        time.sleep(0.1)
    first.certificate.write_text("nonsense")
    time.sleep(2.5)  # it is looked at every second
    assert shown() == after


def test_the_command_trusts_what_the_worker_on_this_machine_shows_and_elsewhere_its_authority(
    start: Start, tmp_path: Path
) -> None:
    """By the very file here, whatever name it is for; by the authority and the name there. A token goes to no other."""
    authority = Authority(tmp_path)
    worker, other = authority.issue("worker", hosts=("worker-0",)), authority.issue("other", hosts=LOOPBACK)
    operator = authority.issue("operator")
    server = start(Settings(
        web_tls_cert=worker.certificate, web_tls_key=worker.key, web_tls_client_ca=authority.certificate,
    ), {"SEGUE_WEB_TOKEN": TOKEN})  # fmt: skip
    here = Address(server.web_url, 1, str(worker.certificate))
    assert ask_status(server.web_url, TOKEN, trust_local(here, None, None))["app_id"] == "shop"
    assert ask_status(server.web_url, None, trust_local(here, operator.certificate, operator.key))["app_id"] == "shop"
    with pytest.raises(ConfigError, match="refuses to answer"):
        ask_status(server.web_url, None, trust_local(here, None, None))
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        ask_status(server.web_url, TOKEN, trust_local(Address(server.web_url, 1, str(other.certificate)), None, None))
    with pytest.raises(Unreachable, match="mismatch"):
        ask_status(server.web_url, TOKEN, trust(authority.certificate, None, None))
    named = start(Settings(web_tls_cert=other.certificate, web_tls_key=other.key), {"SEGUE_WEB_TOKEN": TOKEN})
    assert ask_status(named.web_url, TOKEN, trust(authority.certificate, None, None))["app_id"] == "shop"


def test_one_request_a_connection(start: Start) -> None:
    """What is sent behind it is not looked at, so that no proxy in front can be told another story."""
    twice = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2
    answer = told(twice, start())
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n", b"400"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", b"413"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"413"),
        (b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", b"405"),
        (b"TRACE /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
    ],
)
def test_what_is_no_request_is_answered_and_closed(start: Start, sent: bytes, code: bytes, capfd: Any) -> None:
    """In a line, without the software's name, without an echo, without a line in the log; and the next is served."""
    server = start()
    answer = told(sent, server)
    assert answer.split(b" ", 2)[1] == code
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    assert b"aaaa" not in answer
    assert ask(server, "/livez")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_slow_client_is_cut_off(start: Start) -> None:
    """Byte by byte, or silent from the beginning: its time is over, and others were served meanwhile."""
    server = start(request_s=1.0)
    began = time.monotonic()
    with closing(raw(server)) as silent, closing(raw(server)) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
        for _ in range(4):
            time.sleep(0.1)
            slow.sendall(b"a")
            assert ask(server, "/livez")[0] == 200
        assert everything(slow) == everything(silent) == b""
    assert 0.9 < time.monotonic() - began < WITHIN_S


def test_a_client_that_does_not_read_is_cut_off(start: Start) -> None:
    """A large page that nobody takes holds nothing up, and not for long."""
    server = start(metrics=lambda: b"x" * 50_000_000, request_s=1.0)
    with closing(raw(server)) as made:
        made.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.3)
        assert ask(server, "/livez")[0] == 200
        time.sleep(1.5)
        assert len(everything(made)) < 50_000_000
    assert ask(server, "/livez")[0] == 200


def test_of_too_many_connections_the_oldest_go(start: Start) -> None:
    """So that a probe always finds room."""
    server = start(connections=8, request_s=300)  # time alone closes none
    idle = [raw(server) for _ in range(30)]
    assert ask(server, "/readyz")[0] == 200
    try:
        for made in idle[:20]:
            assert everything(made) == b""
        assert ask(server, "/readyz")[0] == 200
    finally:
        for made in idle:
            made.close()


def test_a_page_that_fails_says_so_and_no_more(start: Start) -> None:
    """500, without what went wrong; the log has its kind. The worker goes on."""
    def failing() -> bytes:
        raise RuntimeError("anna@example.com")

    server = start(metrics=failing)
    code, headers, body = ask(server, "/metrics")
    assert (code, headers["Server"]) == (500, "segue")
    assert b"anna" not in body
    assert ask(server, "/livez")[0] == 200


def test_a_port_that_is_taken_is_said(start: Start) -> None:
    """Before anything is started, with what to do."""
    with pytest.raises(ConfigError, match="cannot be had: Address already in use") as refused:
        listen("127.0.0.1", port_of(start()))
    assert "web_port" in refused.value.to_do
    with pytest.raises(ConfigError, match="cannot be had"):
        listen("no-such-host.invalid", 0)
