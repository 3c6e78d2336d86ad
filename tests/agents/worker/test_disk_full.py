"""A disk that is full, and has room again: nothing that was committed is lost, nothing is torn."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.agents.state.test_recovery import HERE, LAYOUT, Log, Timers, entry
from tests.agents.worker.conftest import wait_until

from segue_agents.outside import Outside
from segue_agents.state.changelog import Record
from segue_agents.state.checkpoint import Checkpoint
from segue_agents.state.recovery import ROOM_ASKED_EVERY_S, Recovery
from segue_agents.state.store import Store, StoreBroken, StoreFull, _sorted, free_share

DISK_BYTES = 160 << 20
ROWS = 500


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MB; mounting one needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("mount needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Filled:
    """A store and what it must hold."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.states: dict[bytes, bytes] = {}
        self.commits = 0

    def commit(self) -> None:
        rows = [(b"%07d" % (self.commits * ROWS + n), os.urandom(300)) for n in range(ROWS)]
        self.states.update(rows)  # the commit to Kafka was before
        self.commits += 1
        self.store.write(rows, Checkpoint("l", self.commits, 0, {}, {}))

    def commit_for_ever(self) -> None:
        while True:
            self.commit()


def _fill_up(disk: Path, left_bytes: int = 4 << 20) -> Path:
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - left_bytes))
    return filler


def test_what_cannot_be_written_waits_for_room(small_disk: Path) -> None:
    """The batch of the failed write stays, later ones are refused, and all are there once there is room again."""
    filled = Filled(small_disk / "partition-0")
    filled.commit()
    filler = _fill_up(small_disk)
    with pytest.raises(StoreFull):
        filled.commit_for_ever()
    store = filled.store
    assert store.pending
    assert not store.retry()
    with pytest.raises(StoreFull, match="earlier write"):
        store.write([(b"later", b"1")], Checkpoint("l", 0, 0, {}, {}))
    filler.unlink()
    until = time.monotonic() + 30
    while not store.retry():
        assert time.monotonic() < until
        time.sleep(0.2)
    assert not store.pending
    filled.commit()
    store.close()
    with Store(store.folder) as again:
        assert dict(again.scan()) == filled.states
        checkpoint = again.checkpoint()
        assert checkpoint is not None
        assert checkpoint.clock_key == filled.commits


def test_a_worker_that_ends_while_the_disk_is_full_leaves_a_store_of_one_moment(small_disk: Path) -> None:
    """It is behind, wholly: states and checkpoint are those of some commit, and the changelog has the rest."""
    filled = Filled(small_disk / "partition-0")
    filler = _fill_up(small_disk)
    with pytest.raises(StoreFull):
        filled.commit_for_ever()
    filled.store.close()
    filler.unlink()
    with Store(filled.store.folder) as again:
        checkpoint = again.checkpoint()
        commits = checkpoint.clock_key if checkpoint is not None else 0
        assert commits < filled.commits
        assert dict(again.scan()) == {k: v for k, v in filled.states.items() if int(k) < commits * ROWS}


def test_a_restore_waits_for_room(small_disk: Path) -> None:
    """It says that the disk is full, asks again now and then, and goes on where it was."""
    states = {b"%06d" % n: os.urandom(700) for n in range(90_000)}  # more than all memtables of a restore take
    records, before = dict[int, Record](), dict[str, int]()
    for n, row in enumerate(states.items(), 1):
        records[len(records)] = row
        if n % 15_000 == 0:
            after = HERE if n == len(states) else {"site": n}
            records[len(records)] = entry(after, before, states=15_000, persons=n)
            before = after
    log = Log(records, len(records))
    filler, now = _fill_up(small_disk), 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if now > 2 * ROOM_ASKED_EVERY_S:
            filler.unlink(missing_ok=True)

    outside = Outside(monotonic=lambda: now, sleep=sleep)
    restoring = Recovery(log, LAYOUT, "app", True, lambda *_: None, threading.Event(), outside)  # type: ignore[arg-type]
    with capture_logs() as logged:
        done = restoring.recover(0, small_disk / "partition-0", HERE, Timers)
    assert dict(done.store.scan()) == states
    assert [line["event"] for line in logged].count("store_full") >= 2
    done.store.close()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("IO error: No space left on device: While appending to file: 8.sst: No space left on device", StoreFull),
        ("IO error: Disk quota exceeded: While appending", StoreFull),
        ("Corruption: block checksum mismatch", StoreBroken),
        ("IO error: Input/output error", StoreBroken),
    ],
)
def test_full_is_told_from_broken(words: str, kind: type[StoreBroken]) -> None:
    """By RocksDB's words: it gives no number."""
    assert type(_sorted(Exception(words))) is kind


def test_free_share(tmp_path: Path) -> None:
    """Of the disk: something, and not more than all."""
    assert 0 < free_share(tmp_path) <= 1


SMALL_BUFFERS = """
from segue_agents.state import store
store.WRITE_BUFFER_BYTES = 64 << 10
"""


@pytest.mark.timeout(240)
def test_a_worker_waits_for_room(small_disk: Path, app: Any) -> None:
    """The disk fills while it works: it takes nothing more and stays in its group; with room again it goes on, and every
    change is there once."""
    app.settings = dataclasses.replace(app.settings, data_dir=small_disk / "state")
    app.start(plant=SMALL_BUFFERS, max_poll_interval_ms=10_000, session_timeout_ms=6_000)
    wait_until(lambda: app.said("partition_ready") == 2, "partitions")
    filler = _fill_up(small_disk, left_bytes=60 << 10)
    until = time.monotonic() + 100
    while not app.said("store_full"):
        assert time.monotonic() < until, app.log().read_text()
        app.publish(2_000, persons=2_000)
        time.sleep(0.3)
    app.publish(400)
    time.sleep(12)  # longer than max.poll.interval
    assert not app.said("partitions_lost")
    assert "segue_store_full" in app.metrics()
    filler.unlink()
    app.wait_for_all()
    assert app.said("store_has_room")
    assert app.end() == 0
