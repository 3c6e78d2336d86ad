"""A TCP proxy between the workers and their broker that knows what it carries.

A Kafka request begins with its size, the kind (API key), its version and a number by which the reply is known. So a
request of one kind can be held, dropped or cut, its reply withheld or told another error code, while all else passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from dataclasses import dataclass, field
from typing import Final, Literal

PRODUCE, FETCH, OFFSET_COMMIT, HEARTBEAT, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = (
    0, 1, 8, 12, 22, 24, 25, 26, 28
)  # fmt: skip
PIECE: Final = 1 << 16
LARGEST: Final = 256 << 20

Act = Literal["hold", "drop", "cut", "cut_in_frame", "drop_reply", "cut_before_reply", "delay_reply", "error"]


@dataclass(slots=True)
class Trap:
    """What is done to the next `times` requests of a kind."""

    api: int
    act: Act
    times: int = 1
    seconds: float = 0.0
    """of a hold or a delay"""
    code: int = 0
    """of an error: put into the reply, where the layout is (throttle, code)"""
    sprung: int = 0


@dataclass(slots=True)
class Link:
    """How every connection behaves."""

    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    """0: no bound"""
    deaf: Literal["", "up", "down", "both"] = ""
    """what is sent that way vanishes; the connection stays"""
    refused: bool = False


@dataclass(slots=True)
class Proxy:
    """Listens on one port, in a thread of its own. All fields may be set from any thread at any time."""

    port: int
    target: int
    link: Link = field(default_factory=Link)
    traps: list[Trap] = field(default_factory=list)
    seen: dict[int, int] = field(default_factory=dict)
    """API key -> requests that came"""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def start(self) -> None:
        """Returns when it listens."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="chaos-proxy", daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """Cuts everything."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(5)

    def heal(self) -> None:
        """All faults off. What a deaf link has swallowed is gone, so connections that lived through one are cut."""
        self.traps = []
        self.mend()

    def mend(self) -> None:
        """The link is as it should be; traps stay set."""
        was_deaf, self.link = self.link.deaf, Link()
        if was_deaf:
            self.cut()

    def trap(self, trap: Trap) -> Trap:
        """Sets it; its `sprung` counts."""
        self.traps = [*self.traps, trap]
        return trap

    def cut(self) -> None:
        """Resets every connection."""
        def reset() -> None:
            for writer in list(self._writers):
                writer.transport.abort()

        self._loop.call_soon_threadsafe(reset)

    # --- the thread

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20))
        ready.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.link.refused:
                raise ConnectionError
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 20)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, up_writer}
        self._writers |= ends
        replies: dict[int, Trap] = {}
        both = [asyncio.ensure_future(self._up(reader, up_writer, replies)),
                asyncio.ensure_future(self._down(up_reader, writer, replies))]  # fmt: skip
        try:
            with contextlib.suppress(asyncio.CancelledError):  # at the end of all; asyncio would print it
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: dict[int, Trap]) -> None:
        """Requests."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await self._frame(reader)
                api, _version, number = struct.unpack_from(">hhi", frame, 4)
                self.seen[api] = self.seen.get(api, 0) + 1
                trap = self._sprung(api)
                if trap is not None:
                    if trap.act == "drop":
                        continue
                    if trap.act == "cut":
                        return
                    if trap.act == "cut_in_frame":
                        writer.write(frame[: len(frame) // 2])
                        await writer.drain()
                        return
                    if trap.act == "hold":
                        await asyncio.sleep(trap.seconds)
                    else:
                        replies[number] = trap
                await self._send(writer, frame, "up")

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: dict[int, Trap]) -> None:
        """Replies."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await self._frame(reader)
                trap = replies.pop(struct.unpack_from(">i", frame, 4)[0], None)
                if trap is not None:
                    if trap.act == "drop_reply":
                        continue
                    if trap.act == "cut_before_reply":
                        return
                    if trap.act == "delay_reply":
                        await asyncio.sleep(trap.seconds)
                    elif trap.act == "error":
                        frame = frame[:12] + struct.pack(">h", trap.code) + frame[14:]
                await self._send(writer, frame, "down")

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        size = await reader.readexactly(4)
        length = struct.unpack(">i", size)[0]
        if not 0 <= length <= LARGEST:
            raise ConnectionError(f"a frame of {length} bytes")
        return size + await reader.readexactly(length)

    async def _send(self, writer: asyncio.StreamWriter, frame: bytes, way: Literal["up", "down"]) -> None:
        link = self.link
        if link.latency_s:
            await asyncio.sleep(link.latency_s)
        if self.link.deaf in (way, "both"):
            return
        if link.bytes_per_s:
            for start in range(0, len(frame), PIECE):
                piece = frame[start : start + PIECE]
                waited = 0.0
                while waited < len(piece) / link.bytes_per_s and self.link is link:  # over when it is healed
                    await asyncio.sleep(0.05)
                    waited += 0.05
                writer.write(piece)
                await writer.drain()
            return
        writer.write(frame)
        await writer.drain()

    def _sprung(self, api: int) -> Trap | None:
        for trap in self.traps:
            if trap.api == api and trap.sprung < trap.times:
                trap.sprung += 1
                return trap
        return None
