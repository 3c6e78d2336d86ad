"""What a store is good for, and what restoring makes of a changelog."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from segue.errors import StateError
from segue.plan import Layout
from segue_agents.worker.changelog import Piece
from segue_agents.worker.checkpoint import KEY, Checkpoint
from segue_agents.worker.recovery import Decision, Recovery, decide
from segue_agents.worker.store import Store

LAYOUT = Layout("4c" * 8, {}, [], [], [], [], [], {})
HERE = {"site": 10, "clock": 4}


def checkpoint(
    offsets: dict[str, int], changelog_offset: int = 0, whole: bool = True, layout: str = LAYOUT.id
) -> Checkpoint:
    return Checkpoint(layout, 160, 10, offsets, {}, changelog_offset=changelog_offset, whole=whole)


@pytest.mark.parametrize(
    ("stored", "committed", "decision"),
    [
        (None, {}, "wipe"),
        (None, HERE, "wipe"),
        (checkpoint(HERE), HERE, "go"),
        (checkpoint({"site": 9, "clock": 4}), HERE, "replay"),
        (checkpoint({"site": 10}), HERE, "replay"),
        (checkpoint({"site": 11, "clock": 4}), HERE, "wipe"),
        (checkpoint({"site": 11, "clock": 3}), HERE, "wipe"),
        (checkpoint({**HERE, "gone": 1}), HERE, "wipe"),
        (checkpoint(HERE), {}, "wipe"),
        (checkpoint(HERE, whole=False), HERE, "replay"),
    ],
)
def test_decision(stored: Checkpoint | None, committed: dict[str, int], decision: Decision) -> None:
    """Equal: go; behind or half restored: replay; ahead in anything, or in doubt: wipe."""
    assert decide(stored, committed) == decision


class Log:
    """A changelog in memory, with holes where compaction or markers would be."""

    topic = "log"

    def __init__(self, records: Mapping[int, tuple[bytes, bytes | None]], end: int, low: int = 0) -> None:
        self.records, self.end, self.low = records, end, low
        self.reads: list[tuple[int, int]] = []

    def bounds(self, _partition: int) -> tuple[int, int]:
        return self.low, self.end

    def read(self, _partition: int, start: int, end: int) -> Iterator[Piece]:
        self.reads.append((start, end))
        for offset, record in sorted(self.records.items()):
            if start <= offset < end:
                yield Piece([record], offset + 1)
        yield Piece([], end)


class Timers:
    def __init__(self) -> None:
        self.seen: dict[bytes, bytes] = {}
        self.engine_time_ms = 0
        self.known: list[Layout] = []

    def know(self, layout: Layout) -> None:
        self.known.append(layout)

    def restore(self, person: bytes, encoded: bytes) -> None:
        self.seen[person] = encoded

    def resume(self, engine_time_ms: int) -> None:
        self.engine_time_ms = engine_time_ms


def recovery(log: Log, exactly_once: bool = True, layout: Layout = LAYOUT) -> Recovery:
    return Recovery(log, layout, "app", exactly_once, lambda *_: None, threading.Event())  # type: ignore[arg-type]


def entry(offsets: dict[str, int], layout: str = LAYOUT.id) -> tuple[bytes, bytes]:
    return KEY, checkpoint(offsets, layout=layout).encode()


FULL = {0: (b"a", b"1"), 1: (b"b", b"1"), 2: entry({"site": 5}), 4: (b"a", b"2"), 5: entry({"site": 10, "clock": 4})}


def test_nothing_anywhere_is_a_first_start(tmp_path: Path) -> None:
    """No store, no changelog, no offsets: an empty partition, and no checkpoint."""
    done = recovery(Log({}, 0)).recover(0, tmp_path / "s", {}, Timers())
    assert (done.checkpoint, done.persons, done.changelog_offset) == (None, 0, 0)
    done.store.close()


def test_whole_restore(tmp_path: Path) -> None:
    """Without a store everything comes from the changelog, up to its end, and the next start needs none of it."""
    log, timers = Log(FULL, 7), Timers()
    done = recovery(log).recover(0, tmp_path / "s", HERE, timers)
    assert timers.seen == {b"a": b"2", b"b": b"1"}
    assert timers.engine_time_ms == 10
    assert (done.persons, done.changelog_offset) == (2, 7)
    done.store.close()
    again = recovery(log).recover(0, tmp_path / "s", HERE, Timers())
    again.store.close()
    assert log.reads == [(0, 7)]


def test_a_store_behind_reads_the_tail_only(tmp_path: Path) -> None:
    """A store as of an earlier commit reads on from its own changelog offset; tombstones take persons away."""
    with Store(tmp_path / "s") as store:
        store.write([(b"a", b"1"), (b"b", b"1")], checkpoint({"site": 5}, changelog_offset=3))
    log, timers = Log({**FULL, 3: (b"b", None)}, 7), Timers()
    done = recovery(log).recover(0, tmp_path / "s", HERE, timers)
    assert log.reads == [(3, 7)]
    assert timers.seen == {b"a": b"2"}
    done.store.close()


def test_a_store_ahead_is_thrown_away(tmp_path: Path) -> None:
    """States of offsets that were never committed do not survive."""
    with Store(tmp_path / "s") as store:
        store.write([(b"a", b"9"), (b"z", b"9")], checkpoint({"site": 12, "clock": 4}, changelog_offset=7))
    timers = Timers()
    recovery(Log(FULL, 7)).recover(0, tmp_path / "s", HERE, timers).store.close()
    assert timers.seen == {b"a": b"2", b"b": b"1"}


@pytest.mark.parametrize(("low", "end"), [(4, 7), (0, 2)])
def test_a_store_that_the_changelog_no_longer_reaches(tmp_path: Path, low: int, end: int) -> None:
    """A changelog that begins after the store's offset, or ends before it, is another one: wipe and restore whole."""
    with Store(tmp_path / "s") as store:
        store.write([(b"z", b"9")], checkpoint({"site": 5}, changelog_offset=3))
    records = {max(low, 0): (b"a", b"2"), max(low, 0) + 1: entry(HERE)}
    timers = Timers()
    recovery(Log(records, end, low)).recover(0, tmp_path / "s", HERE, timers).store.close()
    assert timers.seen == {b"a": b"2"}


def test_a_restore_cut_short_goes_on(tmp_path: Path) -> None:
    """A restore that stopped half way goes on from what it had written."""
    with Store(tmp_path / "s") as store:
        store.write([(b"a", b"1"), (b"b", b"1")], checkpoint({"site": 5}, changelog_offset=3, whole=False))
    log, timers = Log(FULL, 7), Timers()
    recovery(log).recover(0, tmp_path / "s", HERE, timers).store.close()
    assert (log.reads, timers.seen) == ([(3, 7)], {b"a": b"2", b"b": b"1"})


@pytest.mark.parametrize("committed", [{"site": 11, "clock": 4}, {"site": 9, "clock": 4}, {"site": 10}])
def test_torn_offsets_are_an_error(tmp_path: Path, committed: dict[str, int]) -> None:
    """When the last checkpoint is not of the committed offsets the state cannot be trusted, and nothing starts."""
    with pytest.raises(StateError, match="other offsets"):
        recovery(Log(FULL, 7)).recover(0, tmp_path / "s", committed, Timers())


def test_a_lost_changelog_is_an_error(tmp_path: Path) -> None:
    """Committed offsets without any checkpoint mean that the state is lost."""
    with pytest.raises(StateError, match="lost"):
        recovery(Log({}, 0)).recover(0, tmp_path / "s", HERE, Timers())


def test_expired_offsets_come_from_the_checkpoint(tmp_path: Path) -> None:
    """Without committed offsets the checkpoint says where to go on, since it was committed with them."""
    done = recovery(Log(FULL, 7)).recover(0, tmp_path / "s", {}, Timers())
    assert done.checkpoint is not None
    assert done.checkpoint.offsets == HERE
    done.store.close()


def test_at_least_once_follows_the_checkpoint(tmp_path: Path) -> None:
    """Without transactions the group's offsets may lag, and the checkpoint still holds."""
    done = recovery(Log(FULL, 7), exactly_once=False).recover(0, tmp_path / "s", {"site": 2}, Timers())
    assert done.checkpoint is not None
    assert done.checkpoint.offsets == HERE
    done.store.close()


@pytest.mark.parametrize("in_store", [True, False])
def test_other_rules_are_refused(tmp_path: Path, in_store: bool) -> None:
    """States of another layout are an error that says what to do."""
    if in_store:
        with Store(tmp_path / "s") as store:
            store.write([], checkpoint(HERE, layout="0d" * 8))
    log = Log({} if in_store else {0: entry(HERE, layout="0d" * 8)}, 1)
    with pytest.raises(StateError, match="of which nothing is known"):
        recovery(log).recover(0, tmp_path / "s", HERE, Timers())


def test_a_broken_store_is_replaced(tmp_path: Path) -> None:
    """A store that cannot be opened is wiped and restored, not crashed over."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "CURRENT").write_text("")
    timers = Timers()
    recovery(Log(FULL, 7)).recover(0, tmp_path / "s", HERE, timers).store.close()
    assert timers.seen == {b"a": b"2", b"b": b"1"}


def test_a_store_that_breaks_while_it_is_read_is_replaced(tmp_path: Path) -> None:
    """A damaged block is found by the scan only, when the store is open: it is wiped and restored all the same."""
    folder, timers = tmp_path / "s", Timers()
    with Store(folder) as store:
        store.write([(b"%06d" % i, os.urandom(100)) for i in range(20_000)], checkpoint(HERE, changelog_offset=7))
    table = max(folder.glob("*.sst"), key=lambda f: f.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    done = recovery(Log(FULL, 7)).recover(0, folder, HERE, timers)
    assert dict(done.store.scan()) == {b"a": b"2", b"b": b"1"}
    done.store.close()
