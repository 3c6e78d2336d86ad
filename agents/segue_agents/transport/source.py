"""The source of batches: a thread between Kafka and a Faust channel.

The thread works in sessions (see `session`), one after the other, until the app stops. Batches go onto the channel,
which lets the thread wait when the agent is busy.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import faust
import mode
import structlog

from segue.errors import SegueError
from segue_agents.settings import Settings
from segue_agents.transport.lane import Signal
from segue_agents.transport.session import Session
from segue_agents.worker.committer import TransactionLost
from segue_agents.worker.loop import Worker

SESSION_PAUSE_S: Final = 0.5
MEANWHILE_EVERY_S: Final = 1.0
MEANWHILE_AFTER_S: Final = 3.0
"""a batch is taken within milliseconds; one that is not for so long means that the worker waits for something"""
_log = structlog.get_logger(__name__)


class SignalSource(mode.Service):
    """Feeds the channel; a service of the app."""

    session: Session
    """set before it starts: a session needs the source as its bridge"""

    def __init__(self, app: faust.App, channel: Any, settings: Settings, worker: Worker, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app, self._channel, self._settings, self._worker = app, channel, settings, worker
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segue-source", daemon=True)
        self._events: asyncio.AbstractEventLoop

    # --- the service

    async def on_start(self) -> None:
        """After the agents: a batch put before its agent listens would be dropped without a word."""
        self._events = asyncio.get_running_loop()
        await self._app.agents.wait_until_agents_started()
        if self._channel.subscriber_count != 1:
            raise AssertionError(f"{self._channel.subscriber_count} streams read the channel of batches, not one")
        self._app.flow_control.resume()  # once, before the first put: it clears every queue
        self._thread.start()

    @mode.Service.task
    async def _commit_when_due(self) -> None:
        pause_s = min(self._settings.idle_commit_interval_ms, self._settings.commit_interval_ms) / 4_000
        while not self.should_stop:
            await asyncio.sleep(pause_s)
            await self._worker.commit_when_due()

    async def on_stop(self) -> None:
        """Drains: what was stepped over is committed, the stores closed, the group left."""
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # --- the thread

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._one_session()
                if not self._stopping.is_set():
                    self._stopping.wait(SESSION_PAUSE_S)
        except BaseException as error:  # noqa: BLE001 (it must reach the service, or the process would only look alive)
            self._worker.failed = self._worker.failed or error
            if not self._stopping.is_set():
                asyncio.run_coroutine_threadsafe(self.crash(error), self._events)
            elif not isinstance(error, SegueError):
                _log.exception("source_failed_while_stopping")

    def _one_session(self) -> None:
        try:
            self.session.open()
            while not self._stopping.is_set() and not self.session.over:
                self.session.turn()
        except TransactionLost as lost:
            _log.warning("producer_not_opened", error=str(lost))
        finally:
            self.session.close()

    # --- the bridge

    def put(self, signal: Signal, meanwhile: Callable[[], None]) -> None:
        """Waits for room; given up when the agent has failed, since nobody would take it."""
        future = asyncio.run_coroutine_threadsafe(self._channel.put(signal), self._events)
        since = time.monotonic()
        while self._worker.failed is None:
            try:
                future.result(MEANWHILE_EVERY_S)
                return
            except TimeoutError:
                if time.monotonic() - since > MEANWHILE_AFTER_S:
                    meanwhile()
        future.cancel()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """On the event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._events).result()
