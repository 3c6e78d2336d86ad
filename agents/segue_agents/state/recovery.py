"""A partition's store brought to the committed offsets, before any of its batches is stepped over.

What a store found at the start is good for is the table of `standing`; which of the changelog's records count is said by
`links`. A restore notes how far it is with every piece it writes, so one that is cut short goes on where it was. In the
end all states are read once, checksums verified, for their timers, and counted: fewer than the checkpoint says is damage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import msgspec
import structlog

from segue.errors import StateError
from segue.plan.stored import Layout
from segue_agents.outside import Outside
from segue_agents.state.changelog import Changelog, Record
from segue_agents.state.checkpoint import Checkpoint, Offsets
from segue_agents.state.layouts import Known, succession
from segue_agents.state.links import Links
from segue_agents.state.standing import DAMAGED, DOUBTFUL, HALF_RESTORED, MISSING, Owner, Standing, Way, judge
from segue_agents.state.store import LITTLE_ROOM, Store, StoreBroken, StoreFull, free_share, set_aside, wipe

WRITE_AT_ONCE: Final = 20_000
"""records; large, as the thread that writes waits for the GIL after each"""
ROOM_ASKED_EVERY_S: Final = 5.0
_log = structlog.get_logger(__name__)
_NOTHING: Final = Checkpoint("", 0, 0, {}, {})


class Restorable(Protocol):
    """What takes the stored states: a partition of the engine."""

    def know(self, layout: Layout) -> None:
        """Read states of this layout too."""

    def restore(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        """Note the timers of stored states: persons and encoded states."""

    def count_members(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        """Count the members of segments among them: the checkpoint does not say."""

    def resume(self, engine_time_ms: int, member_counts: Sequence[int] | None) -> None:
        """Go on from here. `member_counts`: None if they have been counted."""


class Cancelled(Exception):
    """The partition was taken away meanwhile."""


class Doubtful(Exception):
    """The changelog's tail does not make a state that can be believed: to be restored whole."""


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
    partition: Restorable
    known: Known
    """the layout of the rules the partition goes on with"""
    known_is_new: bool = True
    """its record is still to be written"""
    torn: int = 0
    """transactions whose states were left out"""


@dataclass(slots=True)
class Recovery:
    """Recovers partitions of one app, one after the other, in a thread of its own."""

    changelog: Changelog
    layout: Layout
    """of the rules the partition goes on with"""
    app_id: str
    exactly_once: bool
    progress: Callable[[int, float, int], None]
    """partition, share restored, records of the changelog that are left: told now and then"""
    cancelled: threading.Event
    outside: Outside
    on_set_aside: Callable[[], None] = lambda: None
    """told of every store that was"""

    def recover(self, index: int, folder: Path, committed: Offsets, make: Callable[[], Restorable]) -> Recovered:
        """`make`: an empty partition, as one that a damaged store was read into is no good.

        A full disk is waited for. Raises StateError, Unreachable, Cancelled; StoreBroken when a fresh store breaks too.
        """
        started = self.outside.monotonic()
        self._say_room(folder)
        recovered, standing = self._with_room(index, folder, committed, make)
        if recovered.checkpoint is not None:
            recovered.partition.resume(recovered.checkpoint.engine_time_ms, self._members(recovered.checkpoint))
        self.progress(index, 1.0, 0)
        _log.info("partition_ready", partition=index, how=standing.way.name.lower(), persons=recovered.persons,
                  seconds=round(self.outside.monotonic() - started, 3))
        return recovered

    def _with_room(
        self, index: int, folder: Path, committed: Offsets, make: Callable[[], Restorable]
    ) -> tuple[Recovered, Standing]:
        """Again and again while the disk is full: what a restore has come to is kept."""
        while True:
            try:
                return self._brought(index, folder, committed, make)
            except StoreFull as error:
                _log.warning("store_full", partition=index, folder=str(folder), error=str(error))
                self._wait(ROOM_ASKED_EVERY_S)

    def _brought(
        self, index: int, folder: Path, committed: Offsets, make: Callable[[], Restorable]
    ) -> tuple[Recovered, Standing]:
        try:
            return self._as_found(index, folder, committed, make())
        except StoreFull:
            raise
        except (StoreBroken, Doubtful) as error:
            standing = DAMAGED if isinstance(error, StoreBroken) else DOUBTFUL
            self._clear(index, folder, standing, error=str(error))
        return self._fresh(index, folder, committed, make()), standing

    def _wait(self, seconds: float) -> None:
        """Raises Cancelled."""
        until = self.outside.monotonic() + seconds
        while self.outside.monotonic() < until:
            if self.cancelled.is_set():
                raise Cancelled
            self.outside.sleep(0.1)

    # --- the store as it was found

    def _as_found(
        self, index: int, folder: Path, committed: Offsets, partition: Restorable
    ) -> tuple[Recovered, Standing]:
        """Raises StoreBroken, Doubtful, and what `recover` does."""
        here = self._here(index)
        if not folder.exists():
            self._clear(index, folder, MISSING)
            return self._fresh(index, folder, committed, partition), MISSING
        low, high = self.changelog.bounds(index)
        store = self.outside.open_store(folder)
        try:
            stored, owner = store.checkpoint(), store.owner()
            standing = judge(stored, owner, here, committed, (low, high), self.outside.wall_ms(), self.exactly_once)
            if standing.way in (Way.WIPE, Way.SET_ASIDE):
                store.close()
                self._clear(index, folder, standing, owner=owner, stored=stored, begins=low, ends=high)
                return self._fresh(index, folder, committed, partition), standing
            assert stored is not None
            _log.info(standing.event, partition=index, changelog_offset=stored.changelog_offset, end=high)
            if owner != here:
                store.claim(here)
            recovered = Recovered(index, store, stored, stored.changelog_offset, 0, partition, Known(self.layout, {}))
            if standing.way is Way.REPLAY:
                self._replay(recovered, max(stored.changelog_offset, low), high, whole=False)
                if self._lacks(recovered.checkpoint, committed):
                    raise Doubtful("the changelog's last checkpoint is of other offsets than the committed ones")
            try:
                self._take_in(recovered, begins=low if standing is HALF_RESTORED else 0)
            except Doubtful as doubt:
                if standing.way is Way.GO:
                    raise StoreBroken(str(doubt)) from doubt
                raise
            return recovered, standing
        except BaseException:
            store.close()
            raise

    def _here(self, index: int) -> Owner:
        cluster, topic = self.changelog.identity()
        return Owner(self.app_id, index, cluster, topic)

    def _clear(self, index: int, folder: Path, standing: Standing, **more: object) -> None:
        """Makes room for a fresh store, and says why."""
        # when records of the changelog were deleted, the store may be the last copy
        if folder.exists() and (standing.way is Way.SET_ASIDE or self.changelog.bounds(index)[0] > 0):
            kept = set_aside(folder, self.outside.wall_ms())
            self.on_set_aside()
            _log.warning(standing.event, partition=index, set_aside=str(kept), **more)
            return
        wipe(folder)
        say = _log.info if standing is MISSING else _log.warning
        say(standing.event, partition=index, **more)

    # --- a fresh one

    def _fresh(self, index: int, folder: Path, committed: Offsets, partition: Restorable) -> Recovered:
        """Restored whole. Raises StateError when the changelog does not have it."""
        low, high = self.changelog.bounds(index)
        store = self.outside.open_store(folder)
        try:
            store.claim(self._here(index))
            recovered = Recovered(index, store, None, 0, 0, partition, Known(self.layout, {}))
            try:
                store.restoring(True)
                self._replay(recovered, low, high, whole=True)
                self._check(index, recovered.checkpoint, committed)
                self._take_in(recovered, begins=low if high > low or committed else 0)
                store.restoring(False)  # not before: compactions would take a core from the scan, and help it little
            except Doubtful as doubt:
                store.close()
                wipe(folder)  # or the next start would find it, and believe it
                raise StateError(
                    f"Partition {index} of app {self.app_id!r}: restored whole from {self.changelog.topic}, and {doubt}.",
                    "Was the topic cut (DeleteRecords, retention), or is it not compacted? A store set aside beside "
                    f"{folder} may have it. Or start under a new app_id, which reads all inputs again.",
                ) from doubt
            return recovered
        except BaseException:
            store.close()
            raise

    def _check(self, index: int, found: Checkpoint | None, committed: Offsets) -> None:
        """Raises StateError when the state is not that of the committed offsets."""
        if not self._lacks(found, committed):
            return
        if found is None:
            raise StateError(
                f"Partition {index} of app {self.app_id!r} has committed offsets, and its changelog "
                f"{self.changelog.topic} holds no checkpoint: the state is lost.",
                "Bring the topic back, or start under a new app_id, which reads all inputs again.",
            )
        raise StateError(
            f"Partition {index} of app {self.app_id!r}: the changelog's last checkpoint is of other offsets "
            f"{_difference(found.offsets, committed)} than the committed ones.",
            "Were the group's offsets set by hand? `segue gaps accept` sets them back; or start under a new app_id.",
        )

    def _lacks(self, found: Checkpoint | None, committed: Offsets) -> bool:
        if not committed or not self.exactly_once:
            return False
        return found is None or found.offsets != dict(committed)

    # --- both

    def _replay(self, recovered: Recovered, start: int, end: int, whole: bool) -> None:
        """Writes the changelog's records from `start` to `end` to the store. Raises Doubtful."""
        before = recovered.checkpoint
        found = before if before is not None and before.layout_id else None
        newest_at_ms = before.written_ms if before is not None and before.whole else 0
        links = Links(found, newest_at_ms, self.outside.wall_ms(), from_the_start=whole)
        records: list[Record] = []
        at = start
        with Writer(recovered.store, self.outside) as writer:
            for piece in self.changelog.read(recovered.index, start, end):
                if self.cancelled.is_set():
                    raise Cancelled
                for covered in links.feed(piece):
                    records += covered.records
                    at = covered.next_offset
                if len(records) >= WRITE_AT_ONCE:
                    writer.write(records, _at(links.found, at, whole=False))
                    records = []
                left = max(0, end - piece.next_offset)
                self.progress(recovered.index, 1 - left / max(1, end - start), left)
            writer.wait()
        links.end()
        self._say_links(recovered, links, whole)
        recovered.checkpoint, recovered.changelog_offset = links.found, max(start, end)
        recovered.torn = len(links.torn)
        if records or links.found is not None:
            recovered.store.replay(records, _at(links.found, recovered.changelog_offset))

    def _say_links(self, recovered: Recovered, links: Links, whole: bool) -> None:
        """Raises Doubtful."""
        for states in links.torn:
            # without transactions a worker that died between states and checkpoint leaves as much
            event = "transaction_torn" if self.exactly_once else "states_without_checkpoint"
            _log.warning(event, partition=recovered.index, records=states)
        if not self.exactly_once:
            return
        if links.gap:
            _log.warning("checkpoint_does_not_follow", partition=recovered.index, offsets=links.gap)
        if doubt := links.doubt or (links.gap and not whole and "a checkpoint does not follow the one before it"):
            raise Doubtful(doubt)

    def _take_in(self, recovered: Recovered, begins: int) -> None:
        """Layouts, timers, the count. Raises StateError, StoreBroken, Doubtful.

        `begins`: of a store restored from nothing, the changelog's first offset. Compaction leaves it at 0; where it is
        not, records were deleted, and only the count of persons can say that nobody is missing.
        """
        self._adopt(recovered)
        counts = recovered.checkpoint is None or self._members(recovered.checkpoint) is None
        recovered.persons = persons = self._fill(recovered.store, recovered.partition, counts)
        said = recovered.checkpoint.persons if recovered.checkpoint is not None else -1
        if begins and said == -1:
            raise Doubtful(f"it begins at offset {begins}, and no checkpoint says how many persons there are")
        if said in (-1, persons):
            return
        if self.exactly_once or begins:
            raise Doubtful(f"{persons} persons are there, where its checkpoint says {said}")
        _log.warning("persons_differ", partition=recovered.index, persons=persons, said=said)

    def _adopt(self, recovered: Recovered) -> None:
        """The rules its states were written under are made known; raises StateError when these can't follow them."""
        checkpoint = recovered.checkpoint or _NOTHING
        known = recovered.store.layouts()
        recovered.known, recovered.known_is_new = succession(
            known, checkpoint.layout_id, self.layout, checkpoint.engine_time_ms, self.app_id
        )
        for other in known:
            recovered.partition.know(other.layout)
        if recovered.known_is_new and checkpoint.layout_id:
            _log.info("rules_changed", partition=recovered.index, new_leaves=len(recovered.known.started_ms))

    def _members(self, checkpoint: Checkpoint) -> list[int] | None:
        """Those of its layout's segments are those of these rules' only when it is the same."""
        return checkpoint.members if checkpoint.layout_id == self.layout.id else None

    def _fill(self, store: Store, partition: Restorable, counts: bool) -> int:
        """The timers of all stored states; their number. `counts`: their members as well."""
        persons = 0
        restore = partition.restore
        for piece in store.pieces():
            if self.cancelled.is_set():
                raise Cancelled
            restore(piece)
            if counts:
                partition.count_members(piece)
            persons += len(piece)
        return persons

    def _say_room(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        share = free_share(folder.parent)
        if share < LITTLE_ROOM:
            _log.warning("little_room", folder=str(folder.parent), free_share=round(share, 3))


class Writer:
    """Writes to a store while the next records are read: RocksDB needs no GIL for it."""

    def __init__(self, store: Store, outside: Outside) -> None:
        self._store = store
        self._outside = outside
        self._writing: Any = None
        self._failed: BaseException | None = None

    def write(self, records: list[Record], checkpoint: Checkpoint) -> None:
        """After what is being written. Raises what that raised."""
        self.wait()
        self._writing = self._outside.background(self._write, records, checkpoint)

    def wait(self) -> None:
        """Until all is written. Raises StoreBroken."""
        self._join()
        if self._failed is not None:
            raise self._failed

    def _join(self) -> None:
        if self._writing is not None:
            self._writing.join()
            self._writing = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._join()  # or the store would be closed under it

    def _write(self, records: list[Record], checkpoint: Checkpoint) -> None:
        try:
            self._store.replay(records, checkpoint)
        except BaseException as error:  # noqa: BLE001 (raised again by whoever waits)
            self._failed = error


def _at(found: Checkpoint | None, changelog_offset: int, whole: bool = True) -> Checkpoint:
    return msgspec.structs.replace(found or _NOTHING, changelog_offset=changelog_offset, whole=whole and found is not None)


def _difference(found: Offsets, committed: Mapping[str, int]) -> str:
    topics = sorted({*found, *committed})
    return ", ".join(
        f"{topic} {found.get(topic, '-')} against {committed.get(topic, '-')}"
        for topic in topics if found.get(topic) != committed.get(topic)
    )
