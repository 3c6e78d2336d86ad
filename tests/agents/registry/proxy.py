"""A reverse proxy with TLS in front of a registry, which lets those through who say who they are."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Proxy:
    """Its `url` stands for the one behind it."""

    def __init__(self, behind: str, certificate: Path) -> None:
        """`certificate`: a file of key and certificate."""
        parts = urlsplit(behind)
        self.wants = ""
        """the Authorization header that is asked for"""
        self._behind = f"{parts.scheme}://{parts.netloc}"
        self._server = _Server(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}{parts.path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, method: str, path: str, body: bytes | None, authorization: str | None) -> tuple[int, bytes]:
        if authorization != self.wants:
            return 401, b'{"error_code": 40101, "message": "Unauthorized"}'
        kind = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self._behind + path, body, kind, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (two selves)
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def _pass(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                status, answer = proxy._answer(self.command, self.path, body, self.headers.get("Authorization"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = _pass  # noqa: N815

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *_: Any) -> None:
        """A client that does not know the certificate hangs up: that is one of the tests."""
