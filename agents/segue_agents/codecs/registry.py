"""A schema registry that speaks Confluent's REST API, asked for the schema of an id.

Three kinds of answer, and no fourth: the schema; that there is none, which is believed only in the registry's own words
(404 with its error code 40403, since any proxy says 404); and everything else, which says nothing about the id.

Why not `confluent_kafka.schema_registry`: it needs four more packages (httpx, authlib, cachetools, attrs), does not retry
a connection that was reset, and has neither a limit on the size of an answer nor one on its whole duration. Here are one
connection a question, so that none is stale, and a worker asks once in the life of a schema.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from segue.errors import ConfigError
from segue.limits import WRITER_SCHEMA_BYTES
from segue_agents.key_values import read_key_values
from segue_agents.settings import Settings
from segue_agents.wire import refuse_registry_password

CONNECT_WITHIN_S: Final = 5.0
ANSWER_WITHIN_S: Final = 10.0
"""from the connection's being open to the last byte, however they drip"""
USER_INFO: Final = "SEGUE_REGISTRY_USER_INFO"
"""the environment variable of `user:password`, for those who want no file"""
_NO_SCHEMA: Final = 40_403
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json"
_CONFIG: Final = ("basic.auth.user.info", "bearer.auth.token", "ssl.ca.location", "ssl.certificate.location",
                  "ssl.key.location")

Trouble = Literal["unauthorized", "server", "timeout", "connection", "wrong_answer"]


class Unavailable(Exception):
    """No answer that says anything about the id: ask again."""

    def __init__(self, kind: Trouble, says: str) -> None:
        super().__init__(f"{kind}: {says}")
        self.kind = kind
        self.says = says


@dataclass(frozen=True, slots=True)
class Found:
    """What a registry says of an id."""

    schema: str
    """as text; '' for one that is too large"""
    type: str
    """AVRO, JSON, PROTOBUF"""
    subjects: frozenset[str]
    """under which it is registered, deleted ones included; empty: the registry does not say"""
    too_large: bool = False


class Registry:
    """One registry, by its address. Raises ConfigError for files that cannot be used."""

    def __init__(self, url: str, config: Mapping[str, str] | None = None, *, connect_s: float = CONNECT_WITHIN_S,
                 answer_s: float = ANSWER_WITHIN_S) -> None:
        self.url = url
        self._parts = urlsplit(url)
        self._connect_s, self._answer_s = connect_s, answer_s
        config = config or {}
        self._headers = {"Accept": _ACCEPT, "User-Agent": "segue", "Connection": "close", **_authorization(config)}
        self._tls = _tls(config) if self._parts.scheme == "https" else None

    def fetch(self, schema_id: int) -> Found | None:
        """What the id stands for; None: the registry says that there is none. Raises Unavailable."""
        status, answer = self._ask(f"/schemas/ids/{schema_id}")
        if _is_none(status, answer):
            return None
        if status == 200 and answer is _TOO_LARGE:
            return Found("", "AVRO", frozenset(), too_large=True)
        if status != 200 or not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
            raise Unavailable("wrong_answer", f"{self.url} answers {status}, and not with a schema")
        return Found(answer["schema"], str(answer.get("schemaType") or "AVRO"), self._subjects(schema_id))

    def _subjects(self, schema_id: int) -> frozenset[str]:
        status, answer = self._ask(f"/schemas/ids/{schema_id}/versions?deleted=true")
        if status in (404, 405):  # an older registry
            return frozenset()
        if status != 200 or not isinstance(answer, list):
            raise Unavailable("wrong_answer", f"{self.url} answers {status}, and not with subjects")
        return frozenset(str(row["subject"]) for row in answer if isinstance(row, dict) and "subject" in row)

    def _ask(self, path: str) -> tuple[int, Any]:
        """The status, and the body read as JSON; None if it is none. Raises Unavailable where neither matters."""
        status, kind, body = self._exchange(self._parts.path.rstrip("/") + path)
        if status in (401, 403):
            raise Unavailable("unauthorized", f"{self.url} answers {status}")
        if status == 429 or status >= 500:
            raise Unavailable("server", f"{self.url} answers {status}")
        if len(body) > WRITER_SCHEMA_BYTES:
            return status, _TOO_LARGE if "json" in kind else None
        try:
            return status, json.loads(body)
        except (ValueError, RecursionError):
            return status, None

    def _exchange(self, path: str) -> tuple[int, str, bytes]:
        connection = self._connection()
        late = threading.Event()
        try:
            connection.connect()
            guard = threading.Timer(self._answer_s, _cut, (connection.sock, late))
            guard.daemon = True
            guard.start()
            try:
                connection.sock.settimeout(self._answer_s)
                connection.request("GET", path, headers=self._headers)
                with connection.getresponse() as response:
                    body = response.read(WRITER_SCHEMA_BYTES + 1)
                    kind = response.headers.get_content_type()
            finally:
                guard.cancel()
            if late.is_set():
                raise TimeoutError
            return response.status, kind, body
        except (OSError, HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise Unavailable("timeout", f"{self.url} does not answer within {self._answer_s:g} s") from error
            raise Unavailable("connection", f"{self.url}: {type(error).__name__} {error}") from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is not None:
            return HTTPSConnection(host, port, timeout=self._connect_s, context=self._tls)
        return HTTPConnection(host, port, timeout=self._connect_s)


_TOO_LARGE: Final = object()


def open_registry(url: str, config: Path | None, environ: Mapping[str, str] = os.environ, *,
                  plaintext: bool = False) -> Registry | None:
    """The registry of the settings `registry` and `registry_config`; None for `none`. Raises ConfigError.

    `plaintext`: a password may go over http://.
    """
    if url == "none":
        return None
    given = {} if config is None else read_key_values(config, "registry_config", _CONFIG)
    if environ.get(USER_INFO):
        given.setdefault("basic.auth.user.info", environ[USER_INFO])
    if _authorization(given):
        refuse_registry_password(url, plaintext=plaintext)
    return Registry(url, given)


def registry_of(settings: Settings) -> Registry | None:
    """The registry of a worker's settings, the secret ones included; None for `none`. Raises ConfigError."""
    user = settings.registry_user_info
    return open_registry(settings.registry, settings.registry_config, {} if user is None else {USER_INFO: user.reveal()},
                         plaintext=settings.allow_plaintext)


def _is_none(status: int, answer: Any) -> bool:
    return status == 404 and isinstance(answer, dict) and answer.get("error_code") == _NO_SCHEMA


def _cut(sock: Any, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes whoever reads it, under TLS too


def _authorization(config: Mapping[str, str]) -> dict[str, str]:
    if user := config.get("basic.auth.user.info"):
        return {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    if token := config.get("bearer.auth.token"):
        return {"Authorization": f"Bearer {token}"}
    return {}


def _tls(config: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        if certificate := config.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, config.get("ssl.key.location"))
    except OSError as error:  # SSLError too
        raise ConfigError(f"A certificate of the schema registry cannot be read: {error}.",
                          "Check ssl.ca.location, ssl.certificate.location and ssl.key.location.") from error
    return context
