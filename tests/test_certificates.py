"""The tests' certificates are judged by OpenSSL as real ones would be."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from tests.certificates import DAY, LOOPBACK, Authority, Issued


def shake_hands(server: Issued, client: Issued | None, trusted: Path, host: str) -> str:
    """Mutual TLS over a pair of sockets; the client's name as the server learns it."""
    at_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_server.load_cert_chain(server.certificate, server.key)
    at_server.load_verify_locations(trusted)
    at_server.verify_mode = ssl.CERT_REQUIRED if client is not None else ssl.CERT_NONE
    at_client = ssl.create_default_context(cafile=str(trusted))
    if client is not None:
        at_client.load_cert_chain(client.certificate, client.key)
    here, there = socket.socketpair()
    here.settimeout(10)
    there.settimeout(10)
    seen: list[str] = []

    def serve() -> None:
        try:
            with at_server.wrap_socket(there, server_side=True) as secured:
                peer = secured.getpeercert() or {}
                seen.extend(value for part in peer.get("subject", ()) for _, value in part)
                secured.sendall(b"x")
        except OSError:
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with at_client.wrap_socket(here, server_hostname=host) as secured:
            assert secured.recv(1) == b"x"
    finally:
        here.close()
        thread.join(10)
    return "".join(seen)


def test_what_an_authority_signs_is_trusted_by_those_who_trust_it_and_names_its_owner(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server", hosts=LOOPBACK), authority.issue("segue-worker")
    for host in LOOPBACK:
        assert shake_hands(server, client, authority.certificate, host) == "segue-worker"


def test_another_host_another_authority_and_an_old_certificate_are_refused(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other")
    server = authority.issue("server", hosts=("kafka.example",))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(server, None, authority.certificate, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(server, None, other.certificate, "kafka.example")
    old = authority.issue("old", hosts=LOOPBACK, valid=(-2 * DAY, timedelta(minutes=-1)))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(old, None, authority.certificate, "localhost")
