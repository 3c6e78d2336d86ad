"""The source of batches: a thread between Kafka and a Faust channel.

The thread works in sessions (see `session`), one after the other, until the app stops. Batches go onto the channel,
which lets the thread wait when the agent is busy.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import faust
import mode
import structlog

from segue.errors import NotAllowed, SegueError, Unreachable
from segue_agents.backoff import Backoff
from segue_agents.commit.committer import RESTART_EXIT_CODE, TransactionLost
from segue_agents.outside import Outside
from segue_agents.transport.lane import Signal
from segue_agents.transport.session import Session
from segue_agents.worker.loop import Worker
from segue_agents.worker.watchdog import Verdict

SESSION_PAUSE_S: Final = 0.5
"""at most, before the second session; sessions that do not come to a commit double it"""
SESSION_PAUSE_MOST_S: Final = 30.0
WATCHED_EVERY_S: Final = 1.0
MEANWHILE_EVERY_S: Final = 1.0
MEANWHILE_AFTER_S: Final = 3.0
"""a batch is taken within milliseconds; one that is not for so long means that the worker waits for something"""
_log = structlog.get_logger(__name__)


class SignalSource(mode.Service):
    """Feeds the channel; a service of the app."""

    session: Session
    """set before it starts: a session needs the source as its bridge"""

    def __init__(
        self, app: faust.App, channel: Any, worker: Worker, outside: Outside, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._app, self._channel, self._worker = app, channel, worker
        self._outside = outside
        self._stopping, self._drained = threading.Event(), threading.Event()
        self._backoff = Backoff(SESSION_PAUSE_S, SESSION_PAUSE_MOST_S, outside.chance)
        self._was_there = False
        self._refused_at = 0
        """how many commits there were when a right was last found missing"""
        self._thread = threading.Thread(target=self._run, name="segue-source", daemon=True)
        self._events: asyncio.AbstractEventLoop

    @property
    def stopping(self) -> bool:
        """It drains, or has."""
        return self._stopping.is_set()

    # --- the service

    async def on_start(self) -> None:
        """After the agents: a batch put before its agent listens would be dropped without a word."""
        self._events = asyncio.get_running_loop()
        await self._app.agents.wait_until_agents_started()
        if self._channel.subscriber_count != 1:
            raise AssertionError(f"{self._channel.subscriber_count} streams read the channel of batches, not one")
        self._app.flow_control.resume()  # once, before the first put: it clears every queue
        self._thread.start()
        self._outside.background(self._watch)

    @mode.Service.task
    async def _commit_when_due(self) -> None:
        while not self.should_stop:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._worker.pause_s()):
                    await self._worker.sooner.wait()
            await self._worker.commit_when_due()

    async def on_stop(self) -> None:
        """Drains: what was stepped over is committed, the stores closed, the group left."""
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._drained.set()

    # --- the thread

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                commits = self._worker.commits
                self._one_session()
                if self._worker.commits > commits:
                    self._backoff.reset()
                self._stopping.wait(self._backoff.next_s())
        except BaseException as error:  # noqa: BLE001 (it must reach the service, or the process would only look alive)
            self._worker.failed = self._worker.failed or error
            if not self._stopping.is_set():
                asyncio.run_coroutine_threadsafe(self.crash(error), self._events)
            elif not isinstance(error, SegueError):
                _log.exception("source_failed_while_stopping")

    def _one_session(self) -> None:
        try:
            self.session.open()
            self._was_there = True
            while not self._stopping.is_set() and not self.session.over:
                self.session.turn()
        except TransactionLost as lost:
            _log.warning("producer_not_opened", error=str(lost))
        except Unreachable as error:
            if not self._was_there:
                raise  # wrong from the beginning: whoever starts it wants to know
            if isinstance(error, NotAllowed):
                if self._refused_at == self._worker.commits:
                    raise  # from the beginning, or twice without a commit between: somebody has to give it the right
                self._refused_at = self._worker.commits
            _log.warning("kafka_unreachable", error=str(error))
        finally:
            self.session.close()

    def _watch(self) -> None:
        """On a thread of its own, to the end of the drain: what it watches may hold all others."""
        watchdog = self._worker.watchdog
        while not self._drained.wait(WATCHED_EVERY_S):
            verdict = watchdog.verdict(self._outside.monotonic())
            if verdict is Verdict.WELL:
                continue
            _log.error("watchdog", verdict=verdict.name.lower(), why=verdict.value)
            if verdict is Verdict.EXIT:
                os._exit(RESTART_EXIT_CODE)  # nothing in order is to be had of a process that hangs
            self.session.end()
            asyncio.run_coroutine_threadsafe(self._worker.start_over("watchdog", verdict.value), self._events)

    # --- the bridge

    def put(self, signal: Signal, meanwhile: Callable[[], None]) -> None:
        """Waits for room; given up when the agent has failed, since nobody would take it."""
        future = asyncio.run_coroutine_threadsafe(self._channel.put(signal), self._events)
        since = self._outside.monotonic()
        while self._worker.failed is None:
            try:
                future.result(MEANWHILE_EVERY_S)
                return
            except TimeoutError:
                if self._outside.monotonic() - since > MEANWHILE_AFTER_S:
                    meanwhile()
        future.cancel()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """On the event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._events).result()
