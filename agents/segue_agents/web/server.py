"""The socket of the web port: aiohttp's protocol over pages of ours, on a thread and an event loop of its own.

Why not Faust's web server: it answers on the worker's event loop, so that a probe would wait for what it asks about; it
brings pages of its own, one of which fails; and it has no limits. Faust lets an app replace it (`app.web_server`).

Why these limits: whoever can connect can be slow. A connection is for one request and has REQUEST_S in all, from the
first byte to the last; of those that are too many the oldest goes, so that a probe always finds room. Nothing a client
does can hold the worker's event loop, since nothing of it runs there.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs

import mode
import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from segue.errors import ConfigError
from segue_agents.web.access import Access, Caller
from segue_agents.web.pages import ALWAYS, TEXT, Answer, Asked, Pages

REQUEST_S: Final = 15.0
CONNECTIONS: Final = 64
HEADER_BYTES: Final = 8_190
BACKLOG: Final = 128
HANDSHAKE_S: Final = 5.0
REFRESH_S: Final = 1.0
"""files are looked at so often"""
BEAT_S: Final = 0.5
FRESH_S: Final = 1.0
"""the app's event loop is waited for so long before a page of metrics; a step takes some 10 ms"""
_NO_LOG: Final[Any] = None
"""aiohttp's way to say that requests are not logged, which its types do not know"""
_log = structlog.get_logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """The port, taken; 0: a free one. Raises ConfigError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"The web port {host}:{port} cannot be had: {error.strerror or error}.",
                          "Does another process have it? Set web_port, or 0 for one that is free.") from error


def address_of(taken: socket.socket, secure: bool) -> str:
    """`http://127.0.0.1:6066`: as seen from this machine."""
    host, port = taken.getsockname()[:2]
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http{'s' if secure else ''}://{f'[{here}]' if ':' in here else here}:{port}"


class WebServer(mode.Service):
    """Serves pages for as long as the app lives, its drain included."""

    def __init__(
        self, access: Access, pages: Pages, taken: socket.socket, beat: Callable[[], None], look: Callable[[], None], *,
        request_s: float = REQUEST_S, connections: int = CONNECTIONS, **kwargs: Any,
    ) -> None:
        """`taken`: a socket that listens. On the app's event loop `beat` is called now and then, and `look` before each
        page of metrics, to set what is as of now."""
        super().__init__(**kwargs)
        self.web_url = address_of(taken, access.tls is not None)
        self._access, self._pages, self._socket = access, pages, taken
        self._beat, self._look = beat, look
        self._request_s, self._connections = request_s, connections
        self._stop: asyncio.Event
        self._events: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segue-web", daemon=True)

    async def on_start(self) -> None:
        """Does not wait for anything."""
        if self._access.token_in_clear:
            _log.warning("web_token_in_clear", do="set web_tls_cert, or let something in front of the worker speak TLS")
        self._app_events = asyncio.get_running_loop()
        self._thread.start()

    @mode.Service.task
    async def _beating(self) -> None:
        while not self.should_stop:
            self._beat()
            await asyncio.sleep(BEAT_S)

    async def on_stop(self) -> None:
        """Closes the port and waits for the thread, not for clients."""
        if self._thread.ident is None:
            self._socket.close()
            return
        await asyncio.get_running_loop().run_in_executor(None, self._up.wait)
        if self._events is not None:
            self._events.call_soon_threadsafe(self._stop.set)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # --- the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 (a worker whose probes do not answer is to end and say why)
            asyncio.run_coroutine_threadsafe(self.crash(error), self._app_events)
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._events, self._stop = asyncio.get_running_loop(), asyncio.Event()
        door = Door(self._respond, self._request_s, self._connections)
        listening = await self._events.create_server(
            door, sock=self._socket, ssl=self._access.tls,
            ssl_handshake_timeout=HANDSHAKE_S if self._access.tls is not None else None,
        )  # fmt: skip
        self._up.set()
        while not self._stop.is_set():
            try:
                await asyncio.wait_for(self._stop.wait(), REFRESH_S)
            except TimeoutError:
                self._access.refresh()
        listening.close()
        door.close()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.path == "/metrics":
                await self._fresh()
            answer = self._pages.answer(_asked(request))
        except Exception as error:  # noqa: BLE001 (a bug of a page is no reason to end the worker)
            _log.error("web_page_failed", path=request.path, error=type(error).__name__)
            answer = Answer(500, b"This page has failed; the log says with what.\n", {"Content-Type": TEXT})
        return _response(answer)

    async def _fresh(self) -> None:
        """Over there no step is under way. A loop that hangs is not waited for: the page then says what was."""

        async def look() -> None:
            self._look()

        with suppress(TimeoutError):
            looked = asyncio.run_coroutine_threadsafe(look(), self._app_events)
            await asyncio.wait_for(asyncio.wrap_future(looked), FRESH_S)


class Door:
    """Makes a protocol for each connection, and keeps them in the order of their coming."""

    def __init__(self, respond: Callable[[web.BaseRequest], Any], request_s: float, places: int) -> None:
        self._server = web.Server(respond)
        self._events, self._request_s, self._places = asyncio.get_running_loop(), request_s, places
        self._inside: deque[Guest] = deque()

    def __call__(self) -> RequestHandler:
        """One more, whose place is taken when it is connected."""
        return Guest(self, self._server, self._events, self._request_s)

    def enter(self, guest: Guest) -> None:
        """Takes a place, from the oldest if there is none."""
        self._inside.append(guest)
        while len(self._inside) > self._places:
            self._inside.popleft().abort()

    def leave(self, guest: Guest) -> None:
        """Its place is free."""
        if guest in self._inside:
            self._inside.remove(guest)

    def close(self) -> None:
        """All go at once."""
        for guest in list(self._inside):
            guest.abort()


class Guest(RequestHandler):
    """One connection, for one request and a limited time."""

    __slots__ = ("_deadline", "_door", "_request_s")

    def __init__(self, door: Door, server: web.Server, events: asyncio.AbstractEventLoop, request_s: float) -> None:
        super().__init__(
            server, loop=events, access_log=_NO_LOG, keepalive_timeout=request_s, lingering_time=0,
            max_line_size=HEADER_BYTES, max_field_size=HEADER_BYTES,
        )  # fmt: skip
        self._door, self._request_s = door, request_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The clock starts."""
        super().connection_made(transport)
        self._deadline = self._loop.call_later(self._request_s, self.abort)
        self._door.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It stops."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._door.leave(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """At once, whatever was on its way."""
        transport = self.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None,  # noqa: ARG002 (theirs)
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """What is no HTTP is answered in a line, and is no event of the worker's log."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        return _response(Answer(status, b"Not a request that can be read.\n", {"Content-Type": TEXT}))


def _asked(request: web.BaseRequest) -> Asked:
    transport, headers = request.transport, request.headers
    certified = transport is not None and bool(transport.get_extra_info("peercert"))
    return Asked(
        request.method, request.path, parse_qs(request.query_string, keep_blank_values=True, max_num_fields=20)
        if request.query_string.count("&") < 20 else {}, headers.get("Accept", ""),
        Caller(headers.get("Authorization", ""), headers.get("Host", ""), certified), request.body_exists,
    )  # fmt: skip


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body, headers={**ALWAYS, **answer.headers})
    response.force_close()
    return response
