"""The worker's loop: read, step, commit; and what comes and goes with partitions.

Everything here runs on the event loop, under one gate: a batch, a commit, and the arrival or departure of partitions
never overlap. Batches of partitions that have gone are skipped by their epoch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
import structlog
from confluent_kafka import TopicPartition

from segue.engine import PartitionState
from segue.errors import SegueError
from segue.plan import Plan
from segue.records import Batch, Step
from segue_agents.codecs.changes import ChangeEncoder
from segue_agents.commit.committer import RESTART_EXIT_CODE, Committer, TransactionLost
from segue_agents.commit.reactions import Refused, TooLarge
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.state.checkpoint import KEY
from segue_agents.state.recovery import Recovered
from segue_agents.state.store import StoreBroken, StoreFull
from segue_agents.topics import clock_topic, dead_letters_topic, state_topic
from segue_agents.transport.lane import Signal
from segue_agents.worker.accounts import Accounts
from segue_agents.worker.breaker import Breaker, Trip
from segue_agents.worker.clock import Clock
from segue_agents.worker.dead_letters import dead_letter
from segue_agents.worker.memory import Garbage
from segue_agents.worker.owned import Owned
from segue_agents.worker.schedule import Schedule
from segue_agents.worker.watchdog import Watchdog

REBUILDS: Final = 5
"""so many in REBUILDS_WITHIN_S and the process gives up: two workers fight over one slot, or Kafka is ill"""
REBUILDS_WITHIN_S: Final = 120.0
HEARD_EVERY_S: Final = 0.5
"""what the producer says of itself, when nothing is committed"""
ROOM_ASKED_EVERY_S: Final = 1.0
ROOM_PAUSE_S: Final = 0.2
IN_VAIN_TIMES: Final = 2
"""without a commit between: a record that is too large is so again, and a right that is missing is still missing"""
_log = structlog.get_logger(__name__)


class GaveUp(SegueError):
    """Too many rebuilds. Whoever supervises the process starts it again."""

    exit_code = RESTART_EXIT_CODE


class Worker:
    """Owns partitions, and works off their batches."""

    def __init__(
        self, settings: Settings, plan: Plan, encoder: ChangeEncoder, committer: Committer, clock: Clock,
        metrics: Metrics, outside: Outside, on_rebuild: Callable[[], None],
    ) -> None:
        """`on_rebuild`: called when all was dropped and has to be read from the committed offsets again."""
        self.failed: BaseException | None = None
        self.owned: dict[int, Owned] = {}
        self.group: Any = None
        """the consumer's group metadata: set by the session after each poll, so that no older one goes into a commit"""
        self.stopped: set[int] = set()
        """indexes that go no further until they are assigned anew; read by the session"""
        self.commits = self.rebuilds = 0
        """so far"""
        self.committed: tuple[int, float] | None = None
        """when the last commit ended, ms since the epoch, and how long it took in seconds"""
        self.sooner = asyncio.Event()
        """a commit may be due sooner than `pause_s` has said"""
        self.watchdog = Watchdog(settings.commit_interval_ms, settings.transaction_timeout_ms,
                                 settings.max_poll_interval_ms)
        self._settings = settings
        self._topics = tuple(s.topic for s in plan.catalog.sources)
        self._state_topic, self._clock_topic = state_topic(settings.app_id), clock_topic(settings.app_id)
        self._dead_letters = dead_letters_topic(settings.app_id)
        self._breaker = Breaker(self._topics, settings.breaker_consecutive, settings.breaker_ratio)
        self._encoder = encoder
        self._committer = committer
        self._clock = clock
        self._metrics, self._accounts = metrics, Accounts(metrics, plan, clock)
        self._outside = outside
        self._on_rebuild = on_rebuild
        self._gate = asyncio.Lock()
        self._garbage = Garbage()
        self._in_vain = 0
        self._schedule = Schedule(settings.commit_interval_ms, settings.idle_commit_interval_ms, outside.monotonic())
        self._room_asked_at = 0.0
        self._rebuilds: deque[float] = deque(maxlen=REBUILDS)

    # --- the loop

    async def work(self, signals: AsyncIterable[Signal]) -> None:
        """Works off batches as they come, until there are no more."""
        async for signal in signals:
            await self.take(signal)

    async def take(self, signal: Signal) -> None:
        """One batch: read, step, commit. Waits while the disk is full; the gate stays open meanwhile."""
        while self._waits_for_room(signal):
            await self._outside.pause(ROOM_PAUSE_S)
        async with self._gate:
            owned = self.owned.get(signal.batch.partition)
            if owned is None or owned.epoch != signal.epoch or self.failed is not None:
                return  # the partition has gone meanwhile; whoever has it reads this again
            if (trip := self._breaker.check(signal.batch)) is not None:
                self._stop(trip)
                return
            try:
                began_s = self._outside.monotonic()
                owned.read(signal.batch)
                step = owned.state.step(signal.batch)
                await self._commit(owned, signal, step, began_s)
            except (TransactionLost, StoreBroken) as lost:
                await self._rebuild(lost)
            except BaseException as error:
                self.failed = error  # before the gate opens: a drain on the way out must commit nothing
                raise

    async def _commit(self, owned: Owned, signal: Signal, step: Step, began_s: float) -> None:
        """The step's output goes into the open transaction, which ends when it is time."""
        self._send(owned, signal.batch, step)
        owned.note(signal.batch, step, self._topics, self._clock_topic, signal.heartbeat_ms)
        now_s, urgent = self._outside.monotonic(), bool(step.touched or signal.batch.consumed or signal.batch.rejected)
        sooner = self._schedule.stepped(now_s, urgent, signal.caught_up, signal.holds)
        if self._schedule.urgent:  # what time alone has moved may wait longer
            self.watchdog.waits(now_s)
        self._accounts.count(signal.batch, step, now_s - began_s)
        if self._due():
            await self._end_transaction()
        elif sooner:
            self.sooner.set()

    async def commit_when_due(self) -> None:
        """Commits what no further batch has committed: called when `pause_s` have passed or `sooner` is set."""
        self.sooner.clear()
        if self._due() or any(o.store.pending for o in self.owned.values()):
            async with self._gate:
                try:
                    await self._retry_stores()
                    if self._due():  # again: a batch may have committed meanwhile
                        await self._end_transaction()
                except (TransactionLost, StoreBroken) as lost:
                    await self._rebuild(lost)
        elif not self._gate.locked():
            self._committer.serve()  # or its statistics pile up while nothing commits

    def pause_s(self) -> float:
        """Until `commit_when_due` has something to do, unless it is `sooner`."""
        left_s = self._schedule.left_s(self._outside.monotonic()) if self._has_batches() else HEARD_EVERY_S
        return min(max(left_s, 0.0), HEARD_EVERY_S)

    def _waits_for_room(self, signal: Signal) -> bool:
        owned = self.owned.get(signal.batch.partition)
        return owned is not None and owned.epoch == signal.epoch and owned.store.pending and self.failed is None

    async def _retry_stores(self) -> None:
        """What Kafka has and a full disk has not: tried again now and then. Under the gate."""
        if self._outside.monotonic() - self._room_asked_at < ROOM_ASKED_EVERY_S:
            return
        for owned in [o for o in self.owned.values() if o.store.pending]:
            self._room_asked_at = self._outside.monotonic()
            has_room = await self._outside.apart(owned.store.retry)
            self._metrics.set("store_full", not has_room, str(owned.index))
            if has_room:
                _log.info("store_has_room", partition=owned.index)

    def _due(self) -> bool:
        return self._has_batches() and self._schedule.left_s(self._outside.monotonic()) <= 0

    def _has_batches(self) -> bool:
        return self.failed is None and any(o.batches for o in self.owned.values())

    def _stop(self, trip: Trip) -> None:
        """A partition whose records are mostly refused goes no further; its offsets stay where they are."""
        if trip.partition not in self.stopped:
            self.stopped.add(trip.partition)
            self._metrics.set("partition_stopped", 1, str(trip.partition), trip.reason)
            _log.error("partition_stopped", topic=trip.topic, partition=trip.partition, offset=trip.offset,
                       reason=trip.reason, error=trip.what, do=trip.to_do)

    @property
    def trips(self) -> dict[int, Trip]:
        """Why partitions are stopped. From any thread."""
        return self._breaker.trips

    @property
    def producer_is_open(self) -> bool:
        """Output has somewhere to go. From any thread."""
        return self._committer.is_open

    # --- what goes out

    def _send(self, owned: Owned, batch: Batch, step: Step) -> None:
        produce, index = self._committer.produce, owned.index
        if step.changes:
            records = self._encoder.encoded(step.changes, self._clock.now_ms(), index)
            self._committer.produce_all(self._settings.output_topic, index, records)
        for rejected in (*batch.rejected, *step.rejected):
            key_, value_, headers_ = dead_letter(rejected, self._topics[rejected.source], index)
            produce(self._dead_letters, index, key_, value_, headers_)

    async def _end_transaction(self) -> None:
        """States, checkpoints and offsets; then the stores. Raises TransactionLost, StoreBroken."""
        began_s = self._outside.monotonic()
        self.watchdog.waits(began_s)
        dirty = [o for o in self.owned.values() if o.batches]
        await self._outside.apart(self._finish, dirty)
        ended_s = self._outside.monotonic()
        self._schedule.committed(began_s, ended_s)
        self.commits += 1
        self._in_vain = 0
        self.watchdog.committed()
        self._garbage.committed()
        now_ms = self._outside.wall_ms()
        self.committed = now_ms, ended_s - began_s
        for owned in dirty:
            owned.committed_ms = now_ms
        self._accounts.committed(dirty, ended_s - began_s, now_ms)
        self._accounts.pending(self.owned.values())

    def _finish(self, dirty: list[Owned]) -> None:
        """On another thread, so that pages are served meanwhile; the gate keeps everyone else off."""
        produce = self._committer.produce
        states = [owned.encoded() for owned in dirty]
        for owned, encoded in zip(dirty, states, strict=True):
            self._committer.produce_all(self._state_topic, owned.index, ((p, state, None) for p, state in encoded))
        self._committer.checkpoint_follows()
        checkpoints = [owned.checkpoint() for owned in dirty]
        for owned, checkpoint in zip(dirty, checkpoints, strict=True):
            produce(self._state_topic, owned.index, KEY, checkpoint.encode())
        self._committer.commit(
            [TopicPartition(t, o.index, offset) for o in dirty for t, offset in o.moved().items()], self.group
        )
        self._accounts.changelog_records += sum(map(len, states)) + len(checkpoints)
        for owned, encoded, checkpoint in zip(dirty, states, checkpoints, strict=True):
            owned.changelog_offset += len(encoded) + 1 + self._committer.markers
            at = msgspec.structs.replace(checkpoint, changelog_offset=owned.changelog_offset)
            try:
                owned.store.write(encoded, at)
            except StoreFull as full:  # Kafka has it, and the store keeps it until there is room
                self._metrics.set("store_full", 1, str(owned.index))
                _log.error("store_full", partition=owned.index, error=str(full),
                           do="make room: the partition waits, nothing is lost")
            owned.committed(self._settings.max_persons, self._settings.max_state_bytes)

    # --- partitions come and go

    async def admit(self, recovered: Recovered, state: PartitionState, epoch: int, first: Mapping[str, int]) -> None:
        """A partition whose store is as of the committed offsets. On the event loop, before any of its batches.

        `first`: topic -> where reading begins, where nothing was committed; it is with the next commit.
        """
        async with self._gate:
            if not self._committer.is_open:  # all was dropped while the partition was on its way: the session is over
                await self._outside.apart(recovered.store.close)
                return
            self.owned[recovered.index] = _owned(recovered, state, epoch, first, self._outside.wall_ms())
            if first:
                self._schedule.hurry(self._outside.monotonic())
                self.sooner.set()
            self._garbage.loaded()
            self._accounts.stand(self.owned[recovered.index])
            self._accounts.pending(self.owned.values())

    async def release(self, indexes: Iterable[int], group: Any, keep: bool) -> dict[int, dict[str, int]]:
        """Partitions go: finish what is in hand, commit (`keep`), close. Returns the offsets committed, per index."""
        async with self._gate:
            if keep and self.failed is None:
                self.group = group
                try:
                    if any(o.batches for o in self.owned.values()):
                        await self._end_transaction()
                except (TransactionLost, StoreBroken) as lost:
                    await self._rebuild(lost)
            elif any(o.batches for o in self.owned.values()):
                await self._forget()
            self._forget_stopped(indexes)
            gone = [o for i in indexes if (o := self.owned.pop(i, None)) is not None]
            await self._close(gone)
            return {o.index: o.previous for o in gone}

    async def start_over(self, stage: str, why: str) -> None:
        """Drops all that is not committed, and begins anew from what is."""
        async with self._gate:
            if self.failed is None:
                await self._drop_all(stage, why)

    async def _rebuild(self, lost: TransactionLost | StoreBroken) -> None:
        if isinstance(lost, TooLarge | Refused):
            self._in_vain += 1
            from_the_beginning = isinstance(lost, Refused) and self.commits == 0
            if self._in_vain == IN_VAIN_TIMES or from_the_beginning:
                self.failed = GaveUp(lost.what, lost.to_do) if isinstance(lost, TooLarge) else lost.not_allowed
                raise self.failed
        await self._drop_all(lost.stage if isinstance(lost, TransactionLost) else "store", str(lost))

    async def _drop_all(self, stage: str, why: str) -> None:
        """Drops all that is not committed; the session begins anew from what is. Raises GaveUp."""
        _log.warning("rebuild", stage=stage, error=why)
        self._metrics.add("rebuilds_total", 1, stage)
        self.rebuilds += 1
        now = self._outside.monotonic()
        if len(self._rebuilds) == REBUILDS and now - self._rebuilds[0] < REBUILDS_WITHIN_S:
            self.failed = GaveUp(
                f"{REBUILDS} times in {REBUILDS_WITHIN_S:.0f} s a commit was lost, lastly: {why}",
                "Does another worker have this slot? See the broker's log.",
            )
            raise self.failed
        self._rebuilds.append(now)
        await self._forget()
        self._on_rebuild()

    async def _forget(self) -> None:
        gone = list(self.owned.values())
        self._forget_stopped(self.owned)
        self.owned.clear()
        self._accounts.dropped()
        await self._outside.apart(self._committer.drop)
        await self._close(gone)
        self.watchdog.dropped()  # not before: an abort that never returns is what it is there for

    def _forget_stopped(self, indexes: Iterable[int]) -> None:
        for trip in self._breaker.forget(indexes):
            self.stopped.discard(trip.partition)  # its gauge goes with the partition's others

    async def _close(self, gone: list[Owned]) -> None:
        for owned in gone:
            await self._outside.apart(owned.store.close)
            self._metrics.forget(owned.index)


def _owned(
    recovered: Recovered, state: PartitionState, epoch: int, first: Mapping[str, int], now_ms: int
) -> Owned:
    checkpoint = recovered.checkpoint
    heartbeat_ms = checkpoint.heartbeat_ms if checkpoint is not None else 0
    heartbeat_ms = heartbeat_ms or now_ms  # a first start: from now on there has to be one
    offsets = dict(checkpoint.offsets) if checkpoint is not None else {}
    return Owned(
        recovered.index, epoch, state, recovered.store, recovered.changelog_offset, recovered.persons,
        {**offsets, **first}, recovered.known, recovered.known_is_new, batches=bool(first),
        clock_key=checkpoint.clock_key if checkpoint is not None else 0, previous=dict(offsets),
        totals=checkpoint.totals if checkpoint is not None else {},
        told=checkpoint.totals if checkpoint is not None else {},
        members=list(state.member_counts), newest_ms=dict(checkpoint.newest_ms) if checkpoint is not None else {},
        heartbeat_ms=heartbeat_ms, committed_heartbeat_ms=heartbeat_ms,
    )
