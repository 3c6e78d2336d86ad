"""From an assignment of partitions to states that are as of the committed offsets, on threads apart."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import structlog
from confluent_kafka import TopicPartition

from segue.catalog import Catalog
from segue.engine import Engine, PartitionState
from segue.errors import StateError, Unreachable
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.state.changelog import Changelog
from segue_agents.state.progress import RestoreProgress
from segue_agents.state.recovery import Cancelled, Recovered, Recovery
from segue_agents.state.slot import Slot
from segue_agents.state.store import StoreBroken
from segue_agents.topics import clock_topic
from segue_agents.transport.asking import bounds, committed_offsets
from segue_agents.transport.refusals import raise_refusal

RESTORED_AT_ONCE: Final = 2
"""partitions; one waits for Kafka while the other works. Each has consumers, buffers and threads while it lasts"""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where an assignment begins."""

    positions: list[Any]
    """TopicPartitions with an explicit offset each"""
    committed: dict[int, dict[str, int]]
    """index -> topic -> committed offset, of those that have one"""
    first: dict[int, dict[str, int]]
    """index -> topic -> where reading begins, of those that have none"""


@dataclass(frozen=True, slots=True)
class Ready:
    """A partition index that may run."""

    epoch: int
    recovered: Recovered
    state: PartitionState
    first: dict[str, int]
    """topic -> where reading begins, of topics without a committed offset: to be committed"""
    seeks: list[Any]
    """positions other than the assigned ones"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A partition index whose state is not that of the offsets which were committed when its recovery began."""

    index: int
    committed: dict[str, int]
    error: StateError


def starting_offsets(consumer: Any, assigned: Iterable[Any], settings: Settings) -> Offsets:
    """Committed offsets, and for partitions without one the setting. Raises Unreachable."""
    ticks = clock_topic(settings.app_id)
    offsets = Offsets([], {}, {})
    for p in committed_offsets(consumer, settings.app_id, assigned):
        if p.error is not None:
            raise_refusal(p.error, "Describe", topic=p.topic, group=settings.app_id)
            raise Unreachable(f"The committed offset of {p.topic} {p.partition}: {p.error.str()}.",
                              "See the broker's log.")
        committed = offsets.committed.setdefault(p.partition, {})
        first = offsets.first.setdefault(p.partition, {})
        at = p.offset
        if at >= 0:
            committed[p.topic] = at
            if p.topic == ticks:
                # ticks are kept for an hour: after a longer sleep the next one there is says all that the lost ones said
                at = max(at, bounds(consumer, p.topic, p.partition)[0])
        else:
            # said by number and committed as such: "latest" would be later after the next start
            first[p.topic] = at = bounds(consumer, p.topic, p.partition)[settings.start_at == "latest"]
        offsets.positions.append(TopicPartition(p.topic, p.partition, at))
    if not any(offsets.committed.values()) and offsets.positions:
        _log.info("first_start", at=settings.start_at)
    return offsets


class Assignment:
    """Recovers what was assigned, each index on a thread of its own; the session's thread takes what is ready."""

    def __init__(
        self, settings: Settings, engine: Engine, catalog: Catalog, metrics: Metrics, bar: RestoreProgress,
        outside: Outside,
    ) -> None:
        self.catalog = catalog
        self._settings = settings
        self._engine = engine
        self._metrics, self._bar = metrics, bar
        self._outside = outside
        self.restoring: dict[int, float] = {}
        """index -> how far its state is back, 0 to 1, while it is under way; read from other threads"""
        self._epoch = 0
        self._at_once = threading.Semaphore(RESTORED_AT_ONCE)
        self._under_way: dict[int, tuple[threading.Event, Any]] = {}
        """index -> what cancels its recovery, and the thread it is on"""
        self._ready: queue.SimpleQueue[Ready | Refused | BaseException] = queue.SimpleQueue()

    def begin(self, slot: Slot, offsets: Offsets, topics: set[str]) -> None:
        """Indexes have come. Raises StateError when one lacks a topic."""
        self._epoch += 1
        for index in offsets.committed:
            has = {p.topic for p in offsets.positions if p.partition == index}
            if has != topics:
                raise StateError(f"Partition {index} was assigned without {', '.join(sorted(topics - has))}.",
                                 "Do all topics have the same number of partitions?")
        self.cancel(offsets.committed)
        for index, committed in sorted(offsets.committed.items()):
            cancelled = threading.Event()
            self.restoring[index] = 0.0
            thread = self._outside.background(
                self._recover, self._epoch, cancelled, slot, index, committed, offsets.first[index]
            )
            self._under_way[index] = cancelled, thread

    def cancel(self, indexes: Iterable[int] | None = None) -> None:
        """These indexes, or all, have gone: waits for their threads, closes what nobody took."""
        gone = list(self._under_way) if indexes is None else [i for i in indexes if i in self._under_way]
        for index in gone:
            self._under_way[index][0].set()
        for index in gone:
            self._under_way.pop(index)[1].join()
            self.restoring.pop(index, None)
        self._bar.close()
        kept: list[Ready | Refused | BaseException] = []
        while True:
            try:
                ready = self._ready.get_nowait()
            except queue.Empty:
                break
            if isinstance(ready, Ready) and ready.recovered.index in gone:
                ready.recovered.store.close()
            elif isinstance(ready, Refused) and ready.index in gone:
                continue
            elif isinstance(ready, Ready) or indexes is not None:
                kept.append(ready)
        for ready in kept:
            self._ready.put(ready)

    def take(self) -> Ready | Refused | None:
        """The next that is ready, or cannot be. Raises what recovery raised."""
        try:
            ready = self._ready.get_nowait()
        except queue.Empty:
            return None
        if isinstance(ready, BaseException):
            raise ready
        index = ready.index if isinstance(ready, Refused) else ready.recovered.index
        self._under_way.pop(index, None)
        self.restoring.pop(index, None)
        return ready

    def _recover(
        self, epoch: int, cancelled: threading.Event, slot: Slot, index: int, committed: dict[str, int],
        first: dict[str, int],
    ) -> None:
        while not self._at_once.acquire(timeout=0.1):
            if cancelled.is_set():
                return
        changelog = None
        try:
            changelog = Changelog(self._settings, self._outside)
            recovery = Recovery(
                changelog, self._engine.program.layout, self._settings.app_id,
                self._settings.guarantee == "exactly_once", self._progress, cancelled, self._outside,
                lambda: self._metrics.add("stores_set_aside_total", 1),
            )
            self._progress(index, 0.0, 0)
            began_s = self._outside.monotonic()
            recovered = recovery.recover(
                index, slot.partition_folder(index), committed, partial(self._engine.partition, index)
            )
            self._metrics.observe("state_recovery_duration_seconds", self._outside.monotonic() - began_s)
            self._metrics.add("transactions_torn_total", recovered.torn)
            state = cast("PartitionState", recovered.partition)
            checkpoint = recovered.checkpoint
            known = checkpoint.offsets if checkpoint is not None else {}
            first = {topic: at for topic, at in first.items() if topic not in known}
            self._ready.put(Ready(epoch, recovered, state, first, self._seeks(recovered, committed)))
        except Cancelled:
            pass
        except StoreBroken as error:  # a fresh one too
            self._ready.put(StateError(f"The store in {slot.folder} cannot be used: {error}.", "Is the disk full?"))
        except StateError as error:
            self._ready.put(Refused(index, committed, error))
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that takes it)
            self._ready.put(error)
        finally:
            if changelog is not None:
                changelog.close()
            self._at_once.release()

    def _progress(self, index: int, share: float, records: int) -> None:
        self._metrics.set("restore_progress_ratio", share, str(index))
        self._metrics.set("state_recovery_remaining_records", records, str(index))
        self._bar(index, share)
        self.restoring[index] = share

    def _seeks(self, recovered: Recovered, committed: dict[str, int]) -> list[Any]:
        """The checkpoint decides: the group's offsets may have expired, or (at least once) lag behind it."""
        if recovered.checkpoint is None:
            return []
        return [
            TopicPartition(topic, recovered.index, offset)
            for topic, offset in recovered.checkpoint.offsets.items() if committed.get(topic) != offset
        ]
