"""A session: one consumer's life, from the subscription to the last partition given back.

Every method of a confluent_kafka Consumer takes a lock that `poll`, `consume` and `close` hold for their whole
duration, callbacks included; another thread's call would deadlock in a rebalance. So one thread makes them all, the one
that calls `open`, `turn` and `close` here: it reads, decodes, merges, and hands batches over a bridge to the event loop.

A session begins with a new producer and a new consumer, and each partition's state is brought to its committed offsets
before a batch of it leaves. When the end of a transaction is uncertain everything is dropped and the next session
begins: the same way as after a start, so there is only one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Protocol

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from segue.engine import Merger
from segue.errors import StateError, Unreachable
from segue_agents.codecs.learner import Learner
from segue_agents.commit.committer import Committer
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.state.slot import Slot
from segue_agents.topics import clock_topic
from segue_agents.transport.asking import committed_offsets, resume_at_once
from segue_agents.transport.assignment import Assignment, Ready, Refused, starting_offsets
from segue_agents.transport.clients import source_config
from segue_agents.transport.lag import Lag
from segue_agents.transport.lane import Lane, Signal
from segue_agents.transport.open_transactions import OpenTransactions
from segue_agents.transport.rebalance import Rebalance
from segue_agents.transport.refusals import raise_refusal
from segue_agents.transport.split import Run, runs
from segue_agents.worker.clock import Clock, Ticker
from segue_agents.worker.loop import Worker

READ_AT_ONCE: Final = 5_000
"""messages of a read; 500 to 5,000 is best, 20,000 is slower"""
READ_EVERY_S: Final = 0.003
"""at most so often while little comes: a read of a few records costs as much as one of hundreds"""
POLL_S: Final = 0.1
LOOKED_EVERY_S: Final = 1.0
_log = structlog.get_logger(__name__)

_PASSING: Final = frozenset({
    KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._MAX_POLL_EXCEEDED, KafkaError._TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
})  # fmt: skip
"""librdkafka comes back from these by itself; said in the log"""
_UNREADABLE: Final = frozenset({KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG})
_GONE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


class Bridge(Protocol):
    """From the session's thread to the event loop, where the worker is."""

    def put(self, signal: Signal, meanwhile: Callable[[], None]) -> None:
        """Hands a batch over. Waits for room, and calls `meanwhile` now and then when that takes long."""

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs it over there and waits for its result."""


class Session:
    """One after the other, of one worker."""

    def __init__(
        self, settings: Settings, slot: Slot, worker: Worker, committer: Committer, decoders: dict[str, Learner],
        assignment: Assignment, clock: Clock, metrics: Metrics, outside: Outside, bridge: Bridge,
        ticker: Ticker | None = None,
    ) -> None:
        self._settings, self._slot, self._metrics, self._outside = settings, slot, metrics, outside
        self._worker, self._committer, self._bridge = worker, committer, bridge
        self._decoders, self._assignment = decoders, assignment
        self._clock, self._ticker, self._clock_topic = clock, ticker, clock_topic(settings.app_id)
        self._topics = [*decoders, *([self._clock_topic] if ticker is not None else [])]
        self._incremental = settings.group_protocol == "consumer"
        self._lanes: dict[int, Lane] = {}
        self._assigned: set[tuple[str, int]] = set()
        self._consumer: Any = None
        self.is_open = False
        """there is a consumer"""
        self.joined = False
        """the group has said which partitions are this worker's, if any"""
        self.assigned: tuple[int, ...] = ()
        """indexes, those included whose state is not back yet"""
        self._over = False
        self._staying = False
        self._open_transactions = OpenTransactions(metrics, 2 * settings.transaction_timeout_ms / 1000)
        self.lag = Lag()
        self._rebalance = Rebalance(metrics, outside)
        self._polled_at = self._read_at = self._looked_at = 0.0

    @property
    def owned(self) -> list[int]:
        """Indexes of the lanes that run."""
        return list(self._lanes)

    @property
    def over(self) -> bool:
        """Nothing more is to be had from it; the next one may begin."""
        return self._over or self._worker.failed is not None

    @property
    def lags(self) -> dict[tuple[str, int], int]:
        """Topic of a source, index -> records that wait for their commit. From any thread."""
        return {key: records for key, (records, _) in self.lag.waiting.items() if key[0] != self._clock_topic}

    @property
    def all_run(self) -> bool:
        """The state of everything assigned is back. What the breaker has stopped counts: its state is. From any thread."""
        return {i for _, i in tuple(self._assigned)} <= self._lanes.keys() | self._worker.stopped

    def end(self) -> None:
        """Everything uncommitted was dropped: this session is over. From any thread."""
        self._over = True

    # --- its life, on one thread

    def open(self) -> None:
        """A producer that fences its predecessor, a consumer that asks for partitions.

        Raises TransactionLost, Unreachable.
        """
        self._over = False
        self._committer.open()
        self._metrics.set("producer_up", 1)
        self._consumer = self._outside.consumer(
            {**source_config(self._settings, self._slot.name), "stats_cb": self._on_statistics}
        )
        self._polled_at = self._outside.monotonic()
        self._warm()
        self._consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke,
                                 on_lost=self._on_lost)
        self.is_open = True
        _log.info("session_started", slot=self._slot.name, topics=self._topics)

    def turn(self) -> None:
        """One read, and all the batches it makes possible. Raises StateError, Unreachable."""
        # consume() waits its whole timeout for the full number: poll first, then take what is there
        first = self._poll(POLL_S)
        gather_s = max(0.0, self._read_at + READ_EVERY_S - self._polled_at)
        messages = [] if first is None else [first, *self._consumer.consume(READ_AT_ONCE - 1, gather_s)]
        self._read_at = self._outside.monotonic()
        # taken after the callbacks of a rebalance and before anything is worked off under it
        self._worker.group = self._consumer.consumer_group_metadata()
        if messages:
            for run in runs(messages):
                self._feed(run)
        for lane in self._lanes.values():
            lane.release()
        self._start_lanes()
        self._offer(caught_up=len(messages) < READ_AT_ONCE)
        self._look_around()

    def close(self) -> None:
        """Gives back what is still assigned: what was stepped over is committed, the stores are closed."""
        self._worker.watchdog.rests()
        self.is_open = self.joined = False
        if self._consumer is not None:
            self._consumer.close()  # calls _on_revoke
            self._consumer = None
        self._let_go(None, keep=False)
        self._rebalance.over()
        self._metrics.set("producer_up", 0)

    def _poll(self, timeout_s: float) -> Any:
        self._worker.watchdog.polled(self._outside.monotonic())
        message = self._consumer.poll(timeout_s)
        self._polled_at = self._outside.monotonic()
        return message

    def _warm(self) -> None:
        try:
            self._consumer.list_topics(timeout=10.0)  # connections and metadata first, or the first second is lost
        except KafkaException as error:
            raise Unreachable(
                f"No Kafka answers at {self._settings.bootstrap} ({error.args[0].str()}).", "Check the address."
            ) from error

    # --- reading

    def _feed(self, run: Run) -> None:
        lane = self._lanes.get(run.partition)
        if run.error is not None:
            if run.error.code() != KafkaError._PARTITION_EOF:
                self._judge(run)
            elif lane is not None and run.topic is not None:
                lane.at_end(run.topic, run.messages[0].offset())
                self.lag.at_end(run.topic, run.partition, run.messages[0].offset())
        elif lane is not None and run.topic is not None:
            lane.feed(run.topic, run.messages)
            self.lag.read(run.topic, run.partition, run.messages)

    def _judge(self, run: Run) -> None:
        error, where = run.error, f"{run.topic} partition {run.partition}"
        if error.code() in _GONE:
            raise StateError(
                f"The records to go on from in {where} are gone: {error.str()}.",
                "They were deleted before they were read, or the topic was made anew: `segue gaps` says what is missing, "
                "`segue gaps accept` goes on behind it.",
            )
        if error.code() in _UNREADABLE:
            at = run.messages[0].offset()
            raise StateError(
                f"The batch at offset {at} of {where} cannot be read: {error.name()} {error.str()}.",
                f"Nothing behind it can be, either. `segue gaps accept {run.topic}:{run.partition} --to OFFSET` goes on "
                "behind it; what lies in between is missed.",
            )
        if error.code() == KafkaError.FENCED_INSTANCE_ID:
            raise StateError(f"Another worker runs as slot {self._slot.name!r}.", "Give each worker a slot of its own.")
        raise_refusal(error, "Read", topic=run.topic or "", group=self._settings.app_id)
        if error.fatal() or not (error.code() in _PASSING or error.retriable()):
            raise Unreachable(f"Reading {where} failed: {error.name()} {error.str()}.", "See the broker's log.")
        _log.warning("reading_interrupted", error=error.name(), says=error.str())

    def _offer(self, caught_up: bool) -> None:
        """Batches to the agent. While Kafka has more, only full ones: a batch costs its overhead whatever its size."""
        rows = self._settings.batch_rows
        for index in self._worker.stopped & self._lanes.keys():
            del self._lanes[index]  # what it holds is read again when it is assigned anew
            self._consumer.pause([TopicPartition(t, index) for t in self._topics])
        fed = [lane for lane in self._lanes.values() if lane.fed]
        for lane in fed:
            lane.holds = lane.waiting() > 0
        for lane in fed:
            while (caught_up or lane.waiting() >= rows) and self._lanes.get(lane.index) is lane:
                batch = lane.merger.take(rows)
                if batch is None:
                    break
                lane.holds = lane.waiting() > 0
                holds = any(other.holds for other in self._lanes.values())
                self._bridge.put(lane.signal(batch, caught_up, holds), self._stay)
                self._resume_after_stay()
            if caught_up:
                lane.fed = False

    def _stay(self) -> None:
        """While the worker takes no batch (its disk is full, say) the group must not think that we are gone."""
        if not self._staying:
            self._staying = True
            self._consumer.pause([TopicPartition(t, p) for t, p in self._assigned])
        message = self._poll(0.0)
        if message is not None:
            for run in runs([message]):
                self._feed(run)

    def _resume_after_stay(self) -> None:
        if self._staying:
            self._staying = False
            resume_at_once(self._consumer, [
                TopicPartition(t, p) for t, p in self._assigned
                if (lane := self._lanes.get(p)) is not None and t not in lane.paused
            ])

    def _look_around(self) -> None:
        for lane in self._lanes.values():
            pause, resume = lane.balance()
            if pause:
                self._consumer.pause([TopicPartition(t, lane.index) for t in pause])
            if resume:
                resume_at_once(self._consumer, [TopicPartition(t, lane.index) for t in resume])
        now = self._outside.monotonic()
        if now - self._looked_at < LOOKED_EVERY_S:
            return
        self._looked_at = now
        committed = {o.index: o.previous for o in list(self._worker.owned.values())}
        fetched = {(t, i) for i, lane in self._lanes.items() for t in self._topics if t not in lane.paused}
        self.lag.look(self._consumer, committed, fetched, now, self._outside.wall_ms())
        for lane in self._lanes.values():
            if lane.heartbeat_ms:
                self._metrics.set("heartbeat_timestamp_seconds", lane.heartbeat_ms / 1000, str(lane.index), "read")
        if self._settings.guarantee == "at_least_once":
            self._follow(committed, wait=False)

    # --- partitions come and go: called back inside poll() and close(), on this thread

    def _on_statistics(self, text: str) -> None:
        self._open_transactions.look(msgspec.json.decode(text), self._outside.monotonic())

    def _on_assign(self, consumer: Any, assigned: list[Any]) -> None:
        offsets = starting_offsets(consumer, assigned, self._settings)
        if self._incremental:
            consumer.incremental_assign(offsets.positions)
        else:
            consumer.assign(offsets.positions)
        if assigned:
            consumer.pause(assigned)
        self._assigned |= {(p.topic, p.partition) for p in assigned}
        self.joined = True
        self._tell_assigned()
        self.lag.assigned(offsets.positions)
        self._rebalance.begins("assigned")
        _log.info("partitions_assigned", partitions=sorted(offsets.committed))
        self._assignment.begin(self._slot, offsets, set(self._topics))

    def _on_revoke(self, consumer: Any, revoked: list[Any]) -> None:
        group = consumer.consumer_group_metadata()
        indexes = {p.partition for p in revoked}
        # a consumer that was not polled for so long may be out of the group without having been told (librdkafka 5604)
        silent_s = self._outside.monotonic() - self._polled_at
        keep = silent_s < self._settings.max_poll_interval_ms / 2_000
        _log.info("partitions_revoked", partitions=sorted(indexes), kept=keep)
        self._rebalance.begins("revoked", half=not self._incremental)
        committed = self._let_go(group, keep, indexes)
        if self._settings.guarantee == "at_least_once":
            self._follow(committed, wait=True)
        if not keep:
            self._over = True

    def _on_lost(self, _consumer: Any, lost: list[Any]) -> None:
        _log.warning("partitions_lost", partitions=sorted({p.partition for p in lost}))
        self._rebalance.begins("lost")
        self._let_go(None, keep=False)
        self._over = True  # the transaction was aborted with them

    def _let_go(self, group: Any, keep: bool, indexes: Iterable[int] | None = None) -> dict[int, dict[str, int]]:
        """These indexes, or all: with the classic protocol and `range` all go together, and come back in the next
        assignment."""
        going = {i for _, i in self._assigned} | set(self._lanes) if indexes is None else set(indexes)
        self._assignment.cancel(going if indexes is not None else None)
        for index in going:
            self._lanes.pop(index, None)
        self._assigned = {(t, i) for t, i in self._assigned if i not in going}
        self._open_transactions.forget(going)
        self._tell_assigned()
        self.lag.gone(going)
        committed = self._bridge.run(self._worker.release(going, group, keep)) or {}
        for index in going:  # the worker has only those whose state was back
            self._metrics.forget(index)
        return committed

    def _tell_assigned(self) -> None:
        self.assigned = tuple(sorted({i for _, i in self._assigned}))
        self._metrics.set("partitions_assigned", len(self.assigned))

    def _start_lanes(self) -> None:
        """Partitions whose state is back."""
        admitted = []
        while not self._over and (ready := self._assignment.take()) is not None:
            if isinstance(ready, Refused):
                self._doubt(ready)
            else:
                self._admit(ready)
                admitted += [TopicPartition(topic, ready.recovered.index) for topic in self._topics]
        if admitted:
            resume_at_once(self._consumer, admitted)
        if self.all_run:
            self._rebalance.ends()

    def _doubt(self, refused: Refused) -> None:
        """A worker that stood still during a restore may have been overtaken: then the session is over.

        Raises the StateError when the committed offsets still are those its recovery began with.
        """
        asked = [TopicPartition(t, refused.index) for t in self._topics]
        now = committed_offsets(self._consumer, self._settings.app_id, asked)
        if {p.topic: p.offset for p in now if p.offset >= 0} == refused.committed:
            raise refused.error
        _log.warning("partition_overtaken", partition=refused.index)
        self._over = True

    def _admit(self, ready: Ready) -> None:
        index, checkpoint = ready.recovered.index, ready.recovered.checkpoint
        lane = Lane(index, ready.epoch, self._merger(index, checkpoint.clock_key if checkpoint else 0),
                    self._decoders, self._clock_topic, self._ticker is not None)
        for position in ready.seeks:
            self._consumer.seek(position)
        self._bridge.run(self._worker.admit(ready.recovered, ready.state, ready.epoch, ready.first))
        self._lanes[index] = lane
        if self._ticker is not None:
            self._ticker.tick([index])

    def _merger(self, index: int, clock_key: int) -> Merger:
        # a tick from before this assignment says nothing about now: what the app slept through would seem to be ahead
        return Merger(self._assignment.catalog, index, self._settings.clock, clock_key,
                      clock_delay_ms=self._settings.clock_delay_ms, hold_until_ms=self._clock.now_ms())

    def _follow(self, committed: dict[int, dict[str, int]], wait: bool) -> None:
        """At least once: the group's offsets follow the checkpoints."""
        offsets = [TopicPartition(t, i, o) for i, topics in committed.items() for t, o in topics.items()]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=not wait)
            except KafkaException as error:
                _log.warning("offsets_not_committed", error=error.args[0].str())
