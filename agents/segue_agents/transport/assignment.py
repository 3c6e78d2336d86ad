"""From an assignment of partitions to states that are as of the committed offsets, on threads apart."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition

from segue.catalog import Catalog
from segue.engine import Engine, PartitionState
from segue.errors import StateError, Unreachable
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.worker.changelog import Changelog
from segue_agents.worker.recovery import Cancelled, Recovered, Recovery
from segue_agents.worker.store import Slot, StoreBroken

RESTORED_AT_ONCE: Final = 4
"""partitions; each has consumers, buffers and a thread while it lasts"""
_START: Final = {"earliest": OFFSET_BEGINNING, "latest": OFFSET_END}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where an assignment begins."""

    positions: list[Any]
    """TopicPartitions with an explicit offset each"""
    committed: dict[int, dict[str, int]]
    """index -> topic -> committed offset, of those that have one"""


@dataclass(frozen=True, slots=True)
class Ready:
    """A partition index that may run."""

    epoch: int
    recovered: Recovered
    state: PartitionState
    seeks: list[Any]
    """positions other than the assigned ones"""


def starting_offsets(consumer: Any, assigned: Iterable[Any], settings: Settings, within_s: float) -> Offsets:
    """Committed offsets, and for partitions without one the setting. Raises Unreachable."""
    try:
        found = consumer.committed(list(assigned), timeout=within_s)
    except KafkaException as error:
        raise Unreachable(
            f"The committed offsets of group {settings.app_id!r} cannot be learnt: {error.args[0].str()}.",
            "A transaction of a dead worker hangs there? See the broker's log.",
        ) from error
    positions: list[Any] = []
    committed: dict[int, dict[str, int]] = {}
    new = 0
    for p in found:
        if p.error is not None:
            raise Unreachable(f"The committed offset of {p.topic} {p.partition}: {p.error.str()}.",
                              "See the broker's log.")
        offsets = committed.setdefault(p.partition, {})
        if p.offset >= 0:
            offsets[p.topic] = p.offset
            positions.append(TopicPartition(p.topic, p.partition, p.offset))
        else:
            new += 1
            positions.append(TopicPartition(p.topic, p.partition, _START[settings.start_at]))
    if new == len(positions) and new:
        _log.info("first_start", at=settings.start_at)
    return Offsets(positions, committed)


class Assignment:
    """Recovers what was assigned, each index on a thread of its own; the session's thread takes what is ready."""

    def __init__(self, settings: Settings, engine: Engine, catalog: Catalog, progress: Callable[[int, float], None],
                 outside: Outside) -> None:
        self.catalog = catalog
        self._settings = settings
        self._engine = engine
        self._progress = progress
        self._outside = outside
        self._epoch = 0
        self._at_once = threading.Semaphore(RESTORED_AT_ONCE)
        self._under_way: dict[int, tuple[threading.Event, Any]] = {}
        """index -> what cancels its recovery, and the thread it is on"""
        self._ready: queue.SimpleQueue[Ready | BaseException] = queue.SimpleQueue()

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
            thread = self._outside.background(self._recover, self._epoch, cancelled, slot, index, committed)
            self._under_way[index] = cancelled, thread

    def cancel(self, indexes: Iterable[int] | None = None) -> None:
        """These indexes, or all, have gone: waits for their threads, closes what nobody took."""
        gone = list(self._under_way) if indexes is None else [i for i in indexes if i in self._under_way]
        for index in gone:
            self._under_way[index][0].set()
        for index in gone:
            self._under_way.pop(index)[1].join()
        kept: list[Ready | BaseException] = []
        while True:
            try:
                ready = self._ready.get_nowait()
            except queue.Empty:
                break
            if isinstance(ready, Ready) and ready.recovered.index in gone:
                ready.recovered.store.close()
            elif isinstance(ready, Ready) or indexes is not None:
                kept.append(ready)
        for ready in kept:
            self._ready.put(ready)

    def take(self) -> Ready | None:
        """The next that is ready. Raises what recovery raised."""
        try:
            ready = self._ready.get_nowait()
        except queue.Empty:
            return None
        if isinstance(ready, BaseException):
            raise ready
        self._under_way.pop(ready.recovered.index, None)
        return ready

    def _recover(self, epoch: int, cancelled: threading.Event, slot: Slot, index: int, committed: dict[str, int]) -> None:
        while not self._at_once.acquire(timeout=0.1):
            if cancelled.is_set():
                return
        changelog = None
        try:
            changelog = Changelog(self._settings)
            recovery = Recovery(
                changelog, self._engine.program.layout, self._settings.app_id,
                self._settings.guarantee == "exactly_once", self._progress, cancelled,
            )
            self._progress(index, 0.0)
            state = self._engine.partition(index)
            recovered = recovery.recover(index, slot.partition_folder(index), committed, state)
            self._ready.put(Ready(epoch, recovered, state, self._seeks(recovered, committed)))
        except Cancelled:
            pass
        except StoreBroken as error:  # a fresh one too
            self._ready.put(StateError(f"The store in {slot.folder} cannot be used: {error}.", "Is the disk full?"))
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that takes it)
            self._ready.put(error)
        finally:
            if changelog is not None:
                changelog.close()
            self._at_once.release()

    def _seeks(self, recovered: Recovered, committed: dict[str, int]) -> list[Any]:
        """The checkpoint decides: the group's offsets may have expired, or (at least once) lag behind it."""
        if recovered.checkpoint is None:
            return []
        return [
            TopicPartition(topic, recovered.index, offset)
            for topic, offset in recovered.checkpoint.offsets.items() if committed.get(topic) != offset
        ]
