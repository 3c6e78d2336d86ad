"""A schema registry that speaks Confluent's REST API, as a worker asks it: for the schema of an id, the id of a schema.

Three kinds of answer, and no fourth: what was asked for; that there is none, which is believed only in the registry's own
words (404 with its error code 40403 or 40401, since any proxy says 404); and everything else, which says nothing.

The commands use `confluent_kafka.schema_registry` (`subjects`). A worker does not: half a second and 28 MB more at each
start, and neither a limit on the size of an answer nor one on its whole duration. Here are one connection a question, so
that none is stale, and credentials read anew for each, so that they can be changed under a running worker.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from segue.errors import ConfigError
from segue.limits import WRITER_SCHEMA_BYTES
from segue_agents.key_values import read_key_values
from segue_agents.security.wire import refuse_registry_password
from segue_agents.settings import Settings

CONNECT_WITHIN_S: Final = 5.0
ANSWER_WITHIN_S: Final = 10.0
"""from the connection's being open to the last byte, however they drip"""
USER_INFO: Final = "SEGUE_REGISTRY_USER_INFO"
"""the environment variable of `user:password`, for those who want no file"""
CONFIG_KEYS: Final = ("basic.auth.user.info", "bearer.auth.token", "bearer.auth.logical.cluster",
                      "bearer.auth.identity.pool.id", "ssl.ca.location", "ssl.certificate.location", "ssl.key.location")
"""of the file of the setting `registry_config`; named as Confluent's own clients have them"""
_CONFLUENT_CLOUD: Final = {"bearer.auth.logical.cluster": "target-sr-cluster",
                           "bearer.auth.identity.pool.id": "Confluent-Identity-Pool-Id"}
_NO_SUBJECT: Final = 40_401
_NO_SCHEMA: Final = 40_403
_CONTENT: Final = "application/vnd.schemaregistry.v1+json"

Trouble = Literal["unauthorized", "server", "timeout", "connection", "wrong_answer"]
Config = Mapping[str, str]


class Unavailable(Exception):
    """No answer that says anything about the question: ask again."""

    def __init__(self, kind: Trouble, says: str) -> None:
        super().__init__(f"{kind}: {says}")
        self.kind = kind
        self.says = says


class Refused(Exception):
    """The registry does not take a schema; its own words."""


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

    def __init__(self, url: str, config: Config | Callable[[], Config] | None = None, *,
                 connect_s: float = CONNECT_WITHIN_S, answer_s: float = ANSWER_WITHIN_S) -> None:
        """`config`: of CONFIG_KEYS; a function is called before each question."""
        self.url = url
        self._parts = urlsplit(url)
        self._connect_s, self._answer_s = connect_s, answer_s
        self._config: Callable[[], Config] = config if callable(config) else lambda: config or {}
        self._credentials()

    def fetch(self, schema_id: int) -> Found | None:
        """What the id stands for; None: the registry says that there is none. Raises Unavailable."""
        status, answer = self._ask(f"/schemas/ids/{schema_id}")
        if _is_none(status, answer, _NO_SCHEMA):
            return None
        if status == 200 and answer is _TOO_LARGE:
            return Found("", "AVRO", frozenset(), too_large=True)
        if status != 200 or not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
            raise Unavailable("wrong_answer", f"{self.url} answers {status}, and not with a schema")
        return Found(answer["schema"], str(answer.get("schemaType") or "AVRO"), self._subjects(schema_id))

    def lookup(self, subject: str, schema: str) -> int | None:
        """The id of this very schema under the subject; None: it is not registered there. Raises Unavailable."""
        status, answer = self._ask(f"/subjects/{quote(subject, safe='')}", {"schema": schema})
        return None if _is_none(status, answer, _NO_SUBJECT, _NO_SCHEMA) else self._id(status, answer)

    def register(self, subject: str, schema: str) -> int:
        """Its id, new or old. Raises Unavailable, Refused."""
        status, answer = self._ask(f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
        if status in (409, 422) and isinstance(answer, dict):
            raise Refused(str(answer.get("message") or f"{self.url} answers {status}"))
        return self._id(status, answer)

    def _id(self, status: int, answer: Any) -> int:
        found = answer.get("id") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(found, int) or not 0 <= found < 1 << 31:
            raise Unavailable("wrong_answer", f"{self.url} answers {status}, and not with an id")
        return found

    def _subjects(self, schema_id: int) -> frozenset[str]:
        status, answer = self._ask(f"/schemas/ids/{schema_id}/versions?deleted=true")
        if status in (404, 405):  # an older registry
            return frozenset()
        if status != 200 or not isinstance(answer, list):
            raise Unavailable("wrong_answer", f"{self.url} answers {status}, and not with subjects")
        return frozenset(str(row["subject"]) for row in answer if isinstance(row, dict) and "subject" in row)

    def _ask(self, path: str, sent: dict[str, str] | None = None) -> tuple[int, Any]:
        """The status, and the body read as JSON; None if it is none. Raises Unavailable where neither matters."""
        status, kind, body = self._exchange(self._parts.path.rstrip("/") + path, sent)
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

    def _exchange(self, path: str, sent: dict[str, str] | None) -> tuple[int, str, bytes]:
        try:
            headers, tls = self._credentials()
        except ConfigError as error:  # changed since the start, and perhaps half written
            raise Unavailable("unauthorized", error.what) from error
        connection = self._connection(tls)
        late = threading.Event()
        try:
            connection.connect()
            guard = threading.Timer(self._answer_s, _cut, (connection.sock, late))
            guard.daemon = True
            guard.start()
            try:
                connection.sock.settimeout(self._answer_s)
                if sent is None:
                    connection.request("GET", path, headers=headers)
                else:
                    connection.request("POST", path, json.dumps(sent), headers | {"Content-Type": _CONTENT})
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

    def _credentials(self) -> tuple[dict[str, str], ssl.SSLContext | None]:
        config = self._config()
        headers = {"Accept": f"{_CONTENT}, application/json", "User-Agent": "segue", "Connection": "close"}
        return headers | _authorization(config), _tls(config) if self._parts.scheme == "https" else None

    def _connection(self, tls: ssl.SSLContext | None) -> HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if tls is not None:
            return HTTPSConnection(host, port, timeout=self._connect_s, context=tls)
        return HTTPConnection(host, port, timeout=self._connect_s)


_TOO_LARGE: Final = object()


def open_registry(url: str, config: Path | None, environ: Mapping[str, str] = os.environ, *,
                  plaintext: bool = False) -> Registry | None:
    """The registry of the settings `registry` and `registry_config`; None for `none`. Raises ConfigError.

    `plaintext`: a password may go over http://.
    """
    if url == "none":
        return None

    def asked() -> dict[str, str]:
        given = read_config(config, environ)
        if _authorization(given):
            refuse_registry_password(url, plaintext=plaintext)
        return given

    asked()  # what is wrong is said before anything is asked
    return Registry(url, asked)


def read_config(config: Path | None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the file of `registry_config` and the environment say, by CONFIG_KEYS. Raises ConfigError."""
    given = {} if config is None else read_key_values(config, "registry_config", CONFIG_KEYS)
    if environ.get(USER_INFO):
        given.setdefault("basic.auth.user.info", environ[USER_INFO])
    return given


def registry_of(settings: Settings) -> Registry | None:
    """The registry of a worker's settings, the secret ones included; None for `none`. Raises ConfigError."""
    user = settings.registry_user_info
    return open_registry(settings.registry, settings.registry_config, {} if user is None else {USER_INFO: user.reveal()},
                         plaintext=settings.allow_plaintext)


def schema_text(schema: Mapping[str, Any]) -> str:
    """A schema as it is sent to a registry: always the same text, since some compare texts."""
    return json.dumps(schema, separators=(",", ":"))


def _is_none(status: int, answer: Any, *codes: int) -> bool:
    return status == 404 and isinstance(answer, dict) and answer.get("error_code") in codes


def _cut(sock: Any, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes whoever reads it, under TLS too


def _authorization(config: Config) -> dict[str, str]:
    if user := config.get("basic.auth.user.info"):
        return {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    if token := config.get("bearer.auth.token"):
        headers = {"Authorization": f"Bearer {token}"}
        return headers | {header: config[key] for key, header in _CONFLUENT_CLOUD.items() if key in config}
    return {}


def _tls(config: Config) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        if certificate := config.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, config.get("ssl.key.location"))
    except OSError as error:  # SSLError too
        raise ConfigError(f"A certificate of the schema registry cannot be read: {error}.",
                          "Check ssl.ca.location, ssl.certificate.location and ssl.key.location.") from error
    return context
