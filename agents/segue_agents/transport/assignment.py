"""From an assignment of partitions to states that are as of the committed offsets, on a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

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
    """Recovers what was assigned, one index after the other; the source's thread takes what is ready."""

    def __init__(self, settings: Settings, engine: Engine, catalog: Catalog,
                 progress: Callable[[int, float], None], outside: Outside | None = None) -> None:
        self.catalog = catalog
        self._settings = settings
        self._engine = engine
        self._progress = progress
        self._outside = outside or Outside()
        self._epoch = 0
        self._cancelled = threading.Event()
        self._ready: queue.SimpleQueue[Ready | BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, slot: Slot, offsets: Offsets, topics: set[str]) -> None:
        """A new assignment. Raises StateError when an index lacks a topic."""
        self.cancel()
        self._epoch += 1
        self._cancelled = threading.Event()
        for index in offsets.committed:
            has = {p.topic for p in offsets.positions if p.partition == index}
            if has != topics:
                raise StateError(f"Partition {index} was assigned without {', '.join(sorted(topics - has))}.",
                                 "Do all topics have the same number of partitions?")
        self._thread = threading.Thread(
            target=self._recover, args=(self._epoch, self._cancelled, slot, offsets), name="segue-restore", daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """The assignment is over: waits for the thread, closes what nobody took."""
        self._cancelled.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        while True:
            try:
                ready = self._ready.get_nowait()
            except queue.Empty:
                return
            if isinstance(ready, Ready):
                ready.recovered.store.close()

    def take(self) -> Ready | None:
        """The next that is ready. Raises what recovery raised."""
        try:
            ready = self._ready.get_nowait()
        except queue.Empty:
            return None
        if isinstance(ready, BaseException):
            raise ready
        return ready

    def _recover(self, epoch: int, cancelled: threading.Event, slot: Slot, offsets: Offsets) -> None:
        changelog = None
        try:
            changelog = Changelog(self._settings, self._outside)
            recovery = Recovery(
                changelog, self._engine.program.layout, self._settings.app_id,
                self._settings.guarantee == "exactly_once", self._progress, cancelled, self._outside,
            )
            for index, committed in sorted(offsets.committed.items()):
                self._progress(index, 0.0)
                recovered = recovery.recover(
                    index, slot.partition_folder(index), committed, partial(self._engine.partition, index)
                )
                state = cast("PartitionState", recovered.partition)
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

    def _seeks(self, recovered: Recovered, committed: dict[str, int]) -> list[Any]:
        """The checkpoint decides: the group's offsets may have expired, or (at least once) lag behind it."""
        if recovered.checkpoint is None:
            return []
        return [
            TopicPartition(topic, recovered.index, offset)
            for topic, offset in recovered.checkpoint.offsets.items() if committed.get(topic) != offset
        ]
