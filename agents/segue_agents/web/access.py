"""Who may read what, and TLS of the port.

Metrics and probes are open: they speak of partitions and segments, and the machines that read them bring no secret.
Everything else, also what does not exist, is for those who show a token or a certificate. On loopback neither is asked
for unless one is set, as who can connect is on the machine; a web page in a browser is there too, which gives itself
away by the name it came by (DNS rebinding), so then the host must be an address or localhost.

Tokens and certificates are files, and read again when they change: a rotation needs no restart.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import ssl
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import structlog

from segue.errors import ConfigError
from segue_agents.settings import Settings

OPEN: Final = frozenset({"/metrics", "/livez", "/healthz", "/readyz", "/startupz"})
TOKEN_VARIABLE: Final = "SEGUE_WEB_TOKEN"
TOKENS_AT_MOST: Final = 2
"""the new one and the old one, while a rotation is under way"""
TOKEN_LENGTH: Final = 16
"""characters at least"""
TOKEN_FILE_BYTES: Final = 4_096
Verdict = Literal["yes", "no token", "no right", "wrong host"]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request shows of whoever makes it."""

    authorization: str = ""
    host: str = ""
    """the header"""
    certified: bool = False
    """a client certificate was shown that `web_tls_client_ca` has signed"""


class Access:
    """Of one port. `refresh` and `judge` come from one thread."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Raises ConfigError for what would be open by mistake, or could not be read."""
        self._settings = settings
        given = environ.get(TOKEN_VARIABLE)
        if given and settings.web_token_file is not None:
            raise ConfigError(f"web_token_file is set, and so is {TOKEN_VARIABLE}.", "Say one of them.")
        self._tokens = read_tokens(given, TOKEN_VARIABLE) if given else ()
        self._context: ssl.SSLContext | None = None
        self._seen: dict[Path, tuple[int, int] | None] = {}
        if settings.web_token_file is not None:
            self._tokens = read_token_file(settings.web_token_file)
        if settings.web_tls_cert is not None:
            self._context = tls_context(settings.web_tls_cert, settings.web_tls_key, settings.web_tls_client_ca)
        elif settings.web_tls_key is not None or settings.web_tls_client_ca is not None:
            raise ConfigError("web_tls_key or web_tls_client_ca is set, and web_tls_cert is not.",
                              "Name the certificate's file (PEM) in web_tls_cert.")
        self._asks = bool(self._tokens) or settings.web_tls_client_ca is not None
        self._refuse_contradictions()
        self._changed()

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For the socket; None: plain HTTP."""
        return self._context

    @property
    def token_in_clear(self) -> bool:
        """A token is asked for over plain HTTP, and not on loopback only."""
        return bool(self._tokens) and self._context is None and not is_loopback(self._settings.web_host)

    def judge(self, path: str, caller: Caller) -> Verdict:
        """Whether the caller may have an answer about the path."""
        if path in OPEN:
            return "yes"
        if self._settings.web_auth == "closed":
            return "no right"
        if self._settings.web_auth == "none":
            return "yes"
        if self._asks:
            return "yes" if caller.certified or self._knows(caller.authorization) else "no token"
        return "yes" if is_address_or_localhost(caller.host) else "wrong host"

    def refresh(self) -> None:
        """Reads files that have changed. One that cannot be used is said in the log; what was read before stays."""
        changed, settings = self._changed(), self._settings
        if settings.web_token_file in changed and settings.web_token_file is not None:
            try:
                self._tokens = read_token_file(settings.web_token_file)
                _log.info("web_tokens_read", tokens=len(self._tokens))
            except ConfigError as error:
                _log.error("web_token_file_unusable", error=error.what, do="the tokens read before are still good")
        files = {settings.web_tls_cert, settings.web_tls_key} - {None}
        if changed & files and self._context is not None and settings.web_tls_cert is not None:
            try:
                _load(self._context, settings.web_tls_cert, settings.web_tls_key)
                _log.info("web_certificate_read")
            except ConfigError as error:
                _log.error("web_certificate_unusable", error=error.what, do="the one read before is still shown")

    def _knows(self, authorization: str) -> bool:
        shown = shown_token(authorization).encode()
        # all of them, always: neither the time nor the order says which one was nearly right
        return sum(hmac.compare_digest(shown, token.encode()) for token in self._tokens) > 0

    def _refuse_contradictions(self) -> None:
        settings = self._settings
        if settings.web_auth != "required" and self._asks:
            raise ConfigError(f"web_auth is {settings.web_auth}, and a token or a client authority is set.",
                              "Say web_auth=required, or take it away.")
        if settings.web_auth == "required" and not self._asks and not is_loopback(settings.web_host):
            raise ConfigError(
                f"web_host is {settings.web_host}: other machines could read the status page.",
                f"Set web_token_file or {TOKEN_VARIABLE}, or web_tls_client_ca; or web_auth=closed, which serves metrics "
                "and probes alone; or web_auth=none, if everybody who can connect may read it.",
            )

    def _changed(self) -> set[Path | None]:
        """Files that are not as they were when last asked."""
        s, changed = self._settings, set[Path | None]()
        for path in (s.web_token_file, s.web_tls_cert, s.web_tls_key):
            if path is None:
                continue
            try:
                at = path.stat()
                now = at.st_mtime_ns, at.st_ino
            except OSError:
                now = None
            if self._seen.get(path) != now:
                changed.add(path)
            self._seen[path] = now
        return changed


def shown_token(authorization: str) -> str:
    """`Bearer T`, or `Basic` with T as the password and any name, which is how a browser asks; else ''."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""


def read_token_file(path: Path) -> tuple[str, ...]:
    """Tokens of a file, one a line. Raises ConfigError, which quotes none."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(TOKEN_FILE_BYTES + 1)
        text = raw.decode("ascii")
    except OSError as error:
        raise ConfigError(f"The web port's tokens in {path} cannot be read: {os.strerror(error.errno or 0)}.",
                          "Check web_token_file and its permissions.") from error
    except UnicodeDecodeError:
        raise ConfigError(f"The web port's tokens in {path} are not ASCII.", _HOW) from None
    if len(raw) > TOKEN_FILE_BYTES:
        raise ConfigError(f"{path} is longer than {TOKEN_FILE_BYTES} bytes.", _HOW)
    return read_tokens(text, str(path))


def read_tokens(text: str, where: str) -> tuple[str, ...]:
    """One a line; raises ConfigError, which quotes none."""
    tokens = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not 1 <= len(tokens) <= TOKENS_AT_MOST:
        raise ConfigError(f"{where} holds {len(tokens)} tokens.",
                          f"It has one a line, one or {TOKENS_AT_MOST} of them: the new one first, the old one after it.")
    for token in tokens:
        if len(token) < TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(f"A token in {where} is shorter than {TOKEN_LENGTH} characters, or has others than "
                              "letters, digits and signs.", _HOW)
    return tokens


_HOW: Final = "Make one with `openssl rand -hex 32`."


def tls_context(certificate: Path, key: Path | None, client_authority: Path | None) -> ssl.SSLContext:
    """Of a server. With a client authority, clients may show a certificate, and one that it has not signed is refused.

    Raises ConfigError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    if client_authority is not None:
        try:
            context.load_verify_locations(client_authority)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"web_tls_client_ca {client_authority} cannot be used: {_words(error)}.",
                              "It is a file of certificates in PEM.") from error
        context.verify_mode = ssl.CERT_OPTIONAL  # metrics and probes ask for none
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    def refuse() -> str:
        raise ConfigError(f"The key of {certificate} has a password.", "Write it without one, readable by the worker alone.")

    try:
        context.load_cert_chain(certificate, key, refuse)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"web_tls_cert {certificate} with the key in {key or certificate} cannot be used: {_words(error)}.",
            "Both are PEM files, and the key is the certificate's.",
        ) from error


def _words(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it. A name other than localhost may be anybody's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address_or_localhost(host: str) -> bool:
    """Of a Host header, port and all: no name that somebody's DNS could have led here."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
