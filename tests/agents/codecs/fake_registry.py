"""A schema registry over real HTTP that answers as it is told to, well or badly."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NONE = (404, {"error_code": 40403, "message": "Schema not found"})


class FakeRegistry:
    """`GET /schemas/ids/{id}`, `/schemas/ids/{id}/versions`, `POST /subjects/{subject}`, as Confluent's registry answers."""

    def __init__(self, certificate: Path | None = None) -> None:
        """`certificate`: a file of key and certificate, for https."""
        self.schemas: dict[int, Any] = {}
        """id -> the answer's fields; an Avro schema alone under `schema`, not yet text"""
        self.subjects: dict[int, list[str]] = {}
        self.troubles: list[Any] = []
        """for the next questions, one each: "reset", "slow", "drip", or (status, body)"""
        self.always: Any = None
        """a trouble that does not end"""
        self.no_lookup: Any = None
        """a trouble of `POST /subjects/{subject}` alone; those above do not concern it"""
        self.looked_up: Counter[str] = Counter()
        self.password: str | None = None
        """Authorization header that is asked for"""
        self.asked: Counter[int] = Counter()
        self.at_once, self.most_at_once = 0, 0
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'' if certificate is None else 's'}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def add(self, schema_id: int, schema: Any, *subjects: str, **more: Any) -> None:
        self.schemas[schema_id] = {"schema": json.dumps(schema), **more}
        self.subjects[schema_id] = list(subjects)

    def close(self) -> None:
        """As a registry that is down: connections are refused."""
        if not self.over.is_set():
            self.over.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def lookup(self, path: str, sent: Any, authorization: str | None) -> Any:
        """The id of a schema under a subject. (status, body) or a trouble."""
        subject = path.strip("/").removeprefix("subjects/")
        with self._lock:
            self.looked_up[subject] += 1
        if self.password is not None and authorization != self.password:
            return 401, {"error_code": 40101, "message": "Unauthorized"}
        if self.no_lookup is not None:
            return self.no_lookup
        for schema_id, row in self.schemas.items():
            if subject in self.subjects[schema_id] and json.loads(row["schema"]) == json.loads(sent["schema"]):
                return 200, {"subject": subject, "id": schema_id, "version": 1, "schema": row["schema"]}
        known = any(subject in subjects for subjects in self.subjects.values())
        return 404, {"error_code": 40403 if known else 40401, "message": "Not found"}

    def answer(self, path: str, authorization: str | None) -> Any:
        """(status, body) or a trouble."""
        parts = path.split("?", maxsplit=1)[0].strip("/").split("/")
        assert parts[:2] == ["schemas", "ids"], path
        schema_id = int(parts[2])
        with self._lock:
            if len(parts) == 3:
                self.asked[schema_id] += 1
            if self.password is not None and authorization != self.password:
                return 401, {"error_code": 40101, "message": "Unauthorized"}
            if self.troubles:
                return self.troubles.pop(0)
            if self.always is not None:
                return self.always
        if schema_id not in self.schemas:
            return NONE
        if len(parts) == 3:
            return 200, self.schemas[schema_id]
        return 200, [{"subject": s, "version": 1} for s in self.subjects[schema_id]]

    def _handler(registry) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (two selves)
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                with registry._lock:
                    registry.at_once += 1
                    registry.most_at_once = max(registry.most_at_once, registry.at_once)
                time.sleep(0.0005)  # long enough to be seen beside another
                answer = registry.answer(self.path, self.headers.get("Authorization"))
                with registry._lock:  # before the reply: whoever has it may ask the next
                    registry.at_once -= 1
                self.reply(answer)

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.reply(registry.lookup(self.path, sent, self.headers.get("Authorization")))

            def reply(self, answer: Any) -> None:
                if answer == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    return
                if answer == "slow":
                    registry.over.wait(20)
                    return
                status, body = answer if isinstance(answer, tuple) else (200, "")
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                kind = "text/html" if data.startswith(b"<") else "application/vnd.schemaregistry.v1+json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data) if answer != "drip" else 100))
                self.end_headers()
                while answer == "drip" and not registry.over.is_set():
                    self.wfile.write(b" ")
                    time.sleep(0.05)
                self.wfile.write(data)

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is what some tests are about."""


@contextmanager
def running(schemas: Mapping[int, tuple[Any, str]] | None = None) -> Iterator[FakeRegistry]:
    registry = FakeRegistry()
    try:
        for schema_id, (schema, subject) in (schemas or {}).items():
            registry.add(schema_id, schema, subject)
        yield registry
    finally:
        registry.close()
