"""Finds out what is wrong with a certificate, when librdkafka has said only that something is.

OpenSSL knows: it has expired, it is for another host, nobody trusted has signed it. So the handshake is made once more, by
Python's ssl with the same files, and asked. Nothing is sent. Only after a failure, so it costs nothing otherwise.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

ANSWER_WITHIN_S: Final = 5.0
_EXPIRED, _NOT_YET, _HOST, _ADDRESS = 10, 9, 62, 64  # X509_V_ERR_...
_ANOTHER_HOST: Final = frozenset({_HOST, _ADDRESS})


class Trouble(NamedTuple):
    """With a certificate."""

    what: str
    to_do: str


def certificate_trouble(host: str, port: int, config: Mapping[str, Any]) -> Trouble | None:
    """With the server's, or with ours; None when none is found. `config`: librdkafka's."""
    with suppress(OSError, ValueError):  # files that cannot be read: librdkafka has said so
        try:
            _shake_hands(host, port, _trusting(config))
        except ssl.SSLCertVerificationError as error:
            return _of_server(error, host, config)
    ours = config.get("ssl.certificate.location")
    own = _own_trouble(Path(ours), config) if ours else None
    if own is None:
        return None
    return Trouble(f"the certificate {ours} that is shown to it is not valid: {_said(own)}", "Renew it.")


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake gets an answer there, whoever it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        _shake_hands(host, port, context)
    except OSError:
        return False
    return True


def _shake_hands(host: str, port: int, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection((host, port), timeout=ANSWER_WITHIN_S) as connection,
        context.wrap_socket(connection, server_hostname=host),
    ):
        pass


def _trusting(config: Mapping[str, Any]) -> ssl.SSLContext:
    """Whom librdkafka trusts with this configuration."""
    authority, text = config.get("ssl.ca.location"), config.get("ssl.ca.pem")
    if text:
        return ssl.create_default_context(cadata=str(text))
    if authority and Path(authority).is_dir():
        return ssl.create_default_context(capath=str(authority))
    return ssl.create_default_context(cafile=str(authority) if authority and authority != "probe" else None)


def _of_server(error: ssl.SSLCertVerificationError, host: str, config: Mapping[str, Any]) -> Trouble:
    said = f"its certificate is not valid: {_said(error)}"
    if error.verify_code in (_EXPIRED, _NOT_YET):
        return Trouble(said, "Renew the broker's certificate; or is this machine's clock wrong?")
    if error.verify_code in _ANOTHER_HOST:
        return Trouble(said, f"Name the broker as its certificate does, or have one made with {host} among its names; see "
                             "advertised.listeners too.")
    named = config.get("ssl.ca.location")
    return Trouble(said, "Name the authority that has signed it with ssl.ca.location"
                         + (f" ({named} has not)." if named else "; without it the system's count."))


def _said(error: ssl.SSLCertVerificationError) -> str:
    return error.verify_message.rstrip(".")


def _own_trouble(certificate: Path, config: Mapping[str, Any]) -> ssl.SSLCertVerificationError | None:
    """Of a client's certificate that trusts itself: what remains are its dates. Both ends are here, in memory."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        server.load_cert_chain(certificate, config.get("ssl.key.location"), config.get("ssl.key.password") or (lambda: b""))
        client.load_verify_locations(certificate)
        asks, answers = ssl.MemoryBIO(), ssl.MemoryBIO()
        here = client.wrap_bio(answers, asks)
        there = server.wrap_bio(asks, answers, server_side=True)
        for end in (here, there, here):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error
    except (OSError, ValueError):
        return None
    return None
