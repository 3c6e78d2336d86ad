"""A partition's store brought to the committed offsets, before any of its batches is stepped over.

    store and committed offsets are equal      go
    the store is behind                        replay the changelog from where the store stands
    ahead, in doubt, broken or not there       wipe, and restore from the changelog whole

A restore notes how far it is with every piece it writes, so one that is cut short goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog

from segue.errors import StateError
from segue.plan.stored import Layout
from segue_agents.worker.changelog import Changelog
from segue_agents.worker.checkpoint import KEY, Checkpoint, Offsets, decode_checkpoint
from segue_agents.worker.layouts import Known, succession
from segue_agents.worker.store import Store, StoreBroken, wipe

_log = structlog.get_logger(__name__)
_NOTHING: Final = Checkpoint("", 0, 0, {}, {})

Decision = Literal["go", "replay", "wipe"]


class Restorable(Protocol):
    """What takes the stored states: a partition of the engine."""

    def know(self, layout: Layout) -> None:
        """Read states of this layout too."""

    def restore(self, person: bytes, encoded: bytes) -> None:
        """Note the timer of a stored state."""

    def resume(self, engine_time_ms: int) -> None:
        """Go on from here."""


class Cancelled(Exception):
    """The partition was taken away meanwhile."""


@dataclass(slots=True)
class Recovered:
    """A store that holds what the committed offsets say."""

    index: int
    store: Store
    checkpoint: Checkpoint | None
    """None: a first start"""
    changelog_offset: int
    """everything before it is in the store; the next record of the changelog is not before it"""
    persons: int
    known: Known
    """the layout of the rules the partition goes on with"""
    known_is_new: bool = True
    """its record is still to be written"""


def decide(stored: Checkpoint | None, committed: Offsets) -> Decision:
    """What a store is good for, seen from the committed offsets (of the topics that have one)."""
    if stored is None or not committed:
        return "wipe"
    if not stored.whole:
        return "replay"
    if not stored.offsets.keys() <= committed.keys():
        return "wipe"
    if any(offset > committed[topic] for topic, offset in stored.offsets.items()):
        return "wipe"
    return "go" if stored.offsets == dict(committed) else "replay"


@dataclass(slots=True)
class Recovery:
    """Recovers partitions of one app, one after the other, in a thread of its own."""

    changelog: Changelog
    layout: Layout
    """of the rules the partition goes on with"""
    app_id: str
    exactly_once: bool
    progress: Callable[[int, float], None]
    """partition, share restored: told now and then"""
    cancelled: threading.Event

    def recover(self, index: int, folder: Path, committed: Offsets, partition: Restorable) -> Recovered:
        """Raises StateError, Unreachable, Cancelled."""
        started = time.monotonic()
        try:
            recovered, how = self._bring(index, folder, committed)
            self._adopt(recovered, partition)
            persons = self._fill(recovered.store, partition)
        except StoreBroken as error:
            _log.warning("store_broken", partition=index, error=str(error))
            wipe(folder)
            recovered, how = self._bring(index, folder, committed)
            self._adopt(recovered, partition)
            persons = self._fill(recovered.store, partition)
        recovered.persons = persons
        if recovered.checkpoint is not None:
            partition.resume(recovered.checkpoint.engine_time_ms)
        self.progress(index, 1.0)
        _log.info("partition_ready", partition=index, how=how, persons=persons,
                  seconds=round(time.monotonic() - started, 3))
        return recovered

    def _bring(self, index: int, folder: Path, committed: Offsets) -> tuple[Recovered, Decision]:
        store = Store(folder)
        try:
            stored = store.checkpoint()
            decision = decide(stored, committed)
            if not self.exactly_once and stored is not None:
                decision = "replay"  # the committed offsets follow the changelog then, and do not move with it
            start = 0 if stored is None or decision == "wipe" else stored.changelog_offset
            if decision != "go":
                low, high = self.changelog.bounds(index)
                if start > high or (0 < start < low):
                    decision = "wipe"
                if decision == "wipe":
                    store.close()
                    wipe(folder)
                    store, stored, start = Store(folder), None, 0
                stored = self._replay(index, store, stored, max(start, low), high)
                start = max(start, high)
            self._check(index, stored, committed)
            return Recovered(index, store, stored, start, 0, Known(self.layout, {})), decision
        except BaseException:
            store.close()
            raise

    def _replay(
        self, index: int, store: Store, stored: Checkpoint | None, start: int, end: int
    ) -> Checkpoint | None:
        """Writes the changelog's records to the store; returns the last checkpoint among them, or the one before."""
        found = stored if stored is not None and stored.layout_id else None
        for piece in self.changelog.read(index, start, end):
            if self.cancelled.is_set():
                raise Cancelled
            states: dict[bytes, bytes] = {}
            gone: set[bytes] = set()
            for person, value in piece.records:
                if person == KEY:
                    if value is not None:
                        found = decode_checkpoint(value)
                elif value is None:
                    states.pop(person, None)
                    gone.add(person)
                else:
                    gone.discard(person)
                    states[person] = value
            if piece.records:
                store.write(states.items(), _under_way(found, piece.next_offset), gone)
            self.progress(index, (piece.next_offset - start) / max(1, end - start))
        if found is not None:
            store.write((), _at(found, end))
        return found

    def _check(self, index: int, found: Checkpoint | None, committed: Offsets) -> None:
        """Raises StateError when the state is not that of the committed offsets."""
        if not committed or not self.exactly_once:
            return
        if found is None:
            raise StateError(
                f"Partition {index} of app {self.app_id!r} has committed offsets, and its changelog "
                f"{self.changelog.topic} holds no checkpoint: the state is lost.",
                "Bring the topic back, or start under a new app_id, which reads all inputs again.",
            )
        if found.offsets != dict(committed):
            raise StateError(
                f"Partition {index} of app {self.app_id!r}: the changelog's last checkpoint is of other offsets "
                f"{_difference(found.offsets, committed)} than the committed ones.",
                "Were the group's offsets set by hand? Set them back, or start under a new app_id.",
            )

    def _adopt(self, recovered: Recovered, partition: Restorable) -> None:
        """The rules its states were written under are made known; raises StateError when these can't follow them."""
        checkpoint = recovered.checkpoint or _NOTHING
        try:
            known = recovered.store.layouts()
            recovered.known, recovered.known_is_new = succession(
                known, checkpoint.layout_id, self.layout, checkpoint.engine_time_ms, self.app_id
            )
        except (StateError, StoreBroken):
            recovered.store.close()
            raise
        for other in known:
            partition.know(other.layout)
        if recovered.known_is_new and checkpoint.layout_id:
            _log.info("rules_changed", partition=recovered.index, new_leaves=len(recovered.known.started_ms))

    def _fill(self, store: Store, partition: Restorable) -> int:
        """The timers of all stored states; their number."""
        persons = 0
        try:
            for person, state in store.scan():
                partition.restore(person, state)
                persons += 1
                if not persons & 0xFFF and self.cancelled.is_set():
                    raise Cancelled
        except BaseException:
            store.close()
            raise
        return persons


def _under_way(found: Checkpoint | None, changelog_offset: int) -> Checkpoint:
    of = found or _NOTHING
    return Checkpoint(of.layout_id, of.clock_key, of.engine_time_ms, of.offsets, of.previous,
                      changelog_offset=changelog_offset, whole=False)


def _at(found: Checkpoint, changelog_offset: int) -> Checkpoint:
    return Checkpoint(found.layout_id, found.clock_key, found.engine_time_ms, found.offsets, found.previous,
                      changelog_offset=changelog_offset)


def _difference(found: Offsets, committed: Mapping[str, int]) -> str:
    topics = sorted({*found, *committed})
    return ", ".join(
        f"{topic} {found.get(topic, '-')} against {committed.get(topic, '-')}"
        for topic in topics if found.get(topic) != committed.get(topic)
    )
