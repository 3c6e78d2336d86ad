"""The source of batches: one thread that owns the consumer, between Kafka and a Faust channel.

Every method of a confluent_kafka Consumer takes a lock that `poll`, `consume` and `close` hold for their whole
duration, callbacks included; another thread's call would deadlock in a rebalance. So one thread makes them all: it
reads, decodes, merges, and puts batches on the channel, which lets it wait when the agent is busy. What others need of
the consumer (the group's metadata) goes along with the batch.

The thread works in sessions. A session begins with a new producer and a new consumer, and each partition's state is
brought to its committed offsets before a batch of it leaves. When the end of a transaction is uncertain everything is
dropped and a new session begins: the same way as after a start, so there is only one.
"""


from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import faust
import mode
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from segue.engine import Merger
from segue.errors import SegueError, StateError, Unreachable
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.metrics import Metrics
from segue_agents.settings import Settings
from segue_agents.topics import clock_topic
from segue_agents.transport.assignment import Assignment, Ready, starting_offsets
from segue_agents.transport.clients import source_config
from segue_agents.transport.lane import Lane, Signal
from segue_agents.transport.split import Run, runs
from segue_agents.worker.clock import Clock, Ticker
from segue_agents.worker.committer import Committer, TransactionLost
from segue_agents.worker.loop import Worker
from segue_agents.worker.store import Slot

READ_AT_ONCE: Final = 5_000
"""messages of a read; 500 to 5,000 is best, 20,000 is slower"""
POLL_S: Final = 0.1
ANSWER_WITHIN_S: Final = 40.0
"""committed offsets: a dead worker's open transaction is waited for, 15 s by default"""
LAG_EVERY_S: Final = 1.0
SESSION_PAUSE_S: Final = 0.5
_log = structlog.get_logger(__name__)

_PASSING: Final = frozenset({
    KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._MAX_POLL_EXCEEDED, KafkaError._TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED,
})  # fmt: skip
"""librdkafka comes back from these by itself; said in the log"""
_GONE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


class SignalSource(mode.Service):
    """Feeds the channel; a service of the app."""

    def __init__(
        self, app: faust.App, channel: Any, settings: Settings, slot: Slot, worker: Worker, committer: Committer,
        decoders: dict[str, ColumnDecoder], assignment: Assignment, clock: Clock, ticker: Ticker | None,
        metrics: Metrics, **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._app, self._channel = app, channel
        self._settings, self._slot, self._metrics = settings, slot, metrics
        self._worker, self._committer = worker, committer
        self._decoders, self._assignment = decoders, assignment
        self._clock, self._ticker, self._clock_topic = clock, ticker, clock_topic(settings.app_id)
        self._topics = [*decoders, *([self._clock_topic] if ticker is not None else [])]
        self._lanes: dict[int, Lane] = {}
        self._stopping, self._renew = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="segue-source", daemon=True)
        self._lag_at = 0.0
        self._events: asyncio.AbstractEventLoop

    def rebuild(self) -> None:
        """Everything uncommitted was dropped: begin a new session. From any thread."""
        self._renew.set()

    @property
    def owned(self) -> list[int]:
        """Indexes of the lanes that run."""
        return list(self._lanes)

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
                self._renew.clear()
                self._session()
                if not self._stopping.is_set():
                    self._stopping.wait(SESSION_PAUSE_S)
        except BaseException as error:  # noqa: BLE001 (it must reach the service, or the process would only look alive)
            self._worker.failed = self._worker.failed or error
            if not self._stopping.is_set():
                asyncio.run_coroutine_threadsafe(self.crash(error), self._events)
            elif not isinstance(error, SegueError):
                _log.exception("source_failed_while_stopping")

    def _session(self) -> None:
        try:
            self._committer.open()
        except TransactionLost as lost:
            _log.warning("producer_not_opened", error=str(lost))
            return
        consumer = Consumer(source_config(self._settings, self._slot.name))
        try:
            self._warm(consumer)
            consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke,
                               on_lost=self._on_lost)
            _log.info("session_started", slot=self._slot.name, topics=self._topics)
            while not self._stopping.is_set() and not self._renew.is_set() and self._worker.failed is None:
                self._turn(consumer)
        finally:
            consumer.close()  # calls _on_revoke for what is still assigned
            self._let_go(None, keep=False)

    def _warm(self, consumer: Any) -> None:
        try:
            consumer.list_topics(timeout=10.0)  # connections and metadata first, or the first second is lost
        except KafkaException as error:
            raise Unreachable(
                f"No Kafka answers at {self._settings.bootstrap} ({error.args[0].str()}).", "Check the address."
            ) from error

    def _turn(self, consumer: Any) -> None:
        """One read, and all the batches it makes possible."""
        # consume() waits its whole timeout for the full number: poll first, then take what is there
        first = consumer.poll(POLL_S)
        messages = [] if first is None else [first, *consumer.consume(READ_AT_ONCE - 1, 0)]
        if messages:
            for run in runs(messages):
                self._feed(run)
        self._start_lanes(consumer)
        self._offer(consumer, caught_up=len(messages) < READ_AT_ONCE)
        self._look_around(consumer)

    def _feed(self, run: Run) -> None:
        lane = self._lanes.get(run.partition)
        if run.error is not None:
            if run.error.code() != KafkaError._PARTITION_EOF:
                self._judge(run)
            elif lane is not None and run.topic is not None:
                lane.at_end(run.topic, run.messages[0].offset())
        elif lane is not None and run.topic is not None:
            lane.feed(run.topic, run.messages)

    def _judge(self, run: Run) -> None:
        error, where = run.error, f"{run.topic} partition {run.partition}"
        if error.code() in _GONE:
            raise StateError(
                f"The records to go on from in {where} are gone: {error.str()}.",
                "They were deleted before they were read. Start under a new app_id, or accept the gap by setting the "
                "group's offsets by hand under one.",
            )
        if error.code() == KafkaError.FENCED_INSTANCE_ID:
            raise StateError(f"Another worker runs as slot {self._slot.name!r}.", "Give each worker a slot of its own.")
        if error.fatal() or not (error.code() in _PASSING or error.retriable()):
            raise Unreachable(f"Reading {where} failed: {error.name()} {error.str()}.", "See the broker's log.")
        _log.warning("reading_interrupted", error=error.name(), says=error.str())

    def _offer(self, consumer: Any, caught_up: bool) -> None:
        """Batches to the agent. While Kafka has more, only full ones: a batch costs its overhead whatever its size."""
        rows = self._settings.batch_rows
        for lane in list(self._lanes.values()):
            if not lane.fed:
                continue
            while caught_up or lane.waiting() >= rows:
                batch = lane.merger.take(rows)
                if batch is None or self._lanes.get(lane.index) is not lane:
                    break
                group = consumer.consumer_group_metadata()
                self._put(Signal(batch, lane.epoch, group, caught_up, lane.arrived_ms))
            if caught_up:
                lane.fed = False

    def _look_around(self, consumer: Any) -> None:
        for lane in self._lanes.values():
            pause, resume = lane.balance()
            if pause:
                consumer.pause([TopicPartition(t, lane.index) for t in pause])
            if resume:
                consumer.resume([TopicPartition(t, lane.index) for t in resume])
        now = time.monotonic()
        if now - self._lag_at < LAG_EVERY_S:
            return
        self._lag_at = now
        for lane in self._lanes.values():
            for topic, position in lane.positions.items():
                _, high = consumer.get_watermark_offsets(TopicPartition(topic, lane.index), cached=True)
                self._metrics.set("lag_records", max(0, high - position), topic, str(lane.index))
        if self._settings.guarantee == "at_least_once":
            self._follow(consumer, {o.index: o.previous for o in list(self._worker.owned.values())}, wait=False)

    # --- partitions come and go: called back inside poll() and close(), on this thread

    def _on_assign(self, consumer: Any, assigned: list[Any]) -> None:
        offsets = starting_offsets(consumer, assigned, self._settings, ANSWER_WITHIN_S)
        consumer.assign(offsets.positions)
        if assigned:
            consumer.pause(assigned)
        self._metrics.set("partitions_assigned", len(offsets.committed))
        _log.info("partitions_assigned", partitions=sorted(offsets.committed))
        self._assignment.begin(self._slot, offsets, set(self._topics))

    def _on_revoke(self, consumer: Any, revoked: list[Any]) -> None:
        group = consumer.consumer_group_metadata()
        _log.info("partitions_revoked", partitions=sorted({p.partition for p in revoked}))
        committed = self._let_go(group, keep=True)
        if self._settings.guarantee == "at_least_once":
            self._follow(consumer, committed, wait=True)

    def _on_lost(self, _consumer: Any, lost: list[Any]) -> None:
        _log.warning("partitions_lost", partitions=sorted({p.partition for p in lost}))
        self._let_go(None, keep=False)
        self._renew.set()  # the transaction was aborted with them

    def _let_go(self, group: Any, keep: bool) -> dict[int, dict[str, int]]:
        """With `range` all partitions go together, and come back in the next assignment."""
        self._assignment.cancel()
        indexes = list(self._lanes)
        self._lanes.clear()
        self._metrics.set("partitions_assigned", 0)
        return self._on_loop(self._worker.release(indexes, group, keep)) or {}

    def _start_lanes(self, consumer: Any) -> None:
        """Partitions whose state is back."""
        while (ready := self._assignment.take()) is not None:
            self._admit(consumer, ready)

    def _admit(self, consumer: Any, ready: Ready) -> None:
        index, checkpoint = ready.recovered.index, ready.recovered.checkpoint
        lane = Lane(index, ready.epoch, self._merger(index, checkpoint.clock_key if checkpoint else 0),
                    self._decoders, self._clock_topic)
        for position in ready.seeks:
            consumer.seek(position)
        self._on_loop(_call(self._worker.admit, ready.recovered, ready.state, ready.epoch))
        self._lanes[index] = lane
        if self._ticker is not None:
            self._ticker.tick([index])
        consumer.resume([TopicPartition(topic, index) for topic in self._topics])

    def _merger(self, index: int, clock_key: int) -> Merger:
        # a tick from before this assignment says nothing about now: what the app slept through would seem to be ahead
        return Merger(self._assignment.catalog, index, self._settings.clock, clock_key,
                      clock_delay_ms=self._settings.clock_delay_ms, hold_until_ms=self._clock.now_ms())

    def _follow(self, consumer: Any, committed: dict[int, dict[str, int]], wait: bool) -> None:
        """At least once: the group's offsets follow the checkpoints."""
        offsets = [TopicPartition(t, i, o) for i, topics in committed.items() for t, o in topics.items()]
        if offsets:
            try:
                consumer.commit(offsets=offsets, asynchronous=not wait)
            except KafkaException as error:
                _log.warning("offsets_not_committed", error=error.args[0].str())

    def _put(self, signal: Signal) -> None:
        """Waits for room; given up when the agent has failed, since nobody would take it."""
        future = asyncio.run_coroutine_threadsafe(self._channel.put(signal), self._events)
        while self._worker.failed is None:
            with suppress(TimeoutError):
                future.result(0.5)
                return
        future.cancel()

    def _on_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs it on the event loop and waits for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._events).result()


async def _call(function: Any, *arguments: Any) -> Any:
    return function(*arguments)
