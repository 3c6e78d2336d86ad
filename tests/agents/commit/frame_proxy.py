"""A proxy in front of one broker that can keep back the next request of a kind.

What is kept back is out of the client's hands, like a packet on a slow path: the client's connection is cut, so that it
sends the request again, and the first one arrives when the test says so.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Any

HOST = "127.0.0.1"


class FrameProxy:
    """Listens on a port of its own; brokers are told to the clients under this port, so that all goes through it."""

    def __init__(self, broker: str) -> None:
        host, _, port = broker.rpartition(":")
        self._broker = (host, int(port))
        self._server = socket.create_server((HOST, 0))
        self.bootstrap = f"{HOST}:{self._server.getsockname()[1]}"
        advertised = struct.Struct(f">{len(host)}si")
        self._rewrite = (advertised.pack(host.encode(), int(port)),
                         advertised.pack(HOST.encode(), self._server.getsockname()[1]))
        assert len(host) == len(HOST), "the proxy's own address has to fit where the broker's stood"
        self._hold: int | None = None
        self.held: bytes | None = None
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, api_key: int) -> None:
        """The next request of this kind."""
        self._hold = api_key

    def release(self) -> bytes:
        """It arrives now; the broker's answer to it, from behind the correlation id."""
        assert self.held is not None
        with socket.create_connection(self._broker, timeout=10) as late:
            late.sendall(self.held)
            answer = _frame(late)
        assert answer is not None
        return answer[8:]

    def close(self) -> None:
        self._server.close()
        for one in self._open:
            _cut(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(self._broker)
                self._open += [client, broker]
                for pump in (self._requests, self._answers):
                    threading.Thread(target=pump, args=(client, broker), daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while (frame := _frame(client)) is not None:
                if struct.unpack_from(">h", frame, 4)[0] == self._hold:
                    self._hold, self.held = None, frame
                    break
                broker.sendall(frame)
        _cut(client)
        _cut(broker)

    def _answers(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while (frame := _frame(broker)) is not None:
                client.sendall(frame.replace(*self._rewrite))
        _cut(client)


def _frame(source: socket.socket) -> bytes | None:
    """A size and as many bytes; None at the end."""
    head = _exactly(source, 4)
    body = head and _exactly(source, struct.unpack(">i", head)[0])
    return head + body if head and body else None


def _exactly(source: socket.socket, n: int) -> bytes | None:
    parts: list[Any] = []
    while n:
        part = source.recv(n)
        if not part:
            return None
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
