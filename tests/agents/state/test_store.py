"""The store and the slot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segue.errors import StateError
from segue_agents.state.checkpoint import Checkpoint
from segue_agents.state.slot import Slot
from segue_agents.state.store import Store, StoreBroken, wipe

CHECKPOINT = Checkpoint("layout", 7, 5, {"site": 3}, {"site": 1}, changelog_offset=9, written_ms=8)


def test_states_and_checkpoint_come_back(tmp_path: Path) -> None:
    """What was written before a close is read after it, in the order asked for, with None for the unknown."""
    with Store(tmp_path / "s", lambda: 8) as store:
        assert store.checkpoint() is None
        store.write([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")], CHECKPOINT)
        store.write([(b"a", b"4")], CHECKPOINT, gone=[b"c"])
    with Store(tmp_path / "s", lambda: 8) as store:
        assert store.get([b"b", b"x", b"a", b"c"]) == [b"2", None, b"4", None]
        assert store.checkpoint() == CHECKPOINT
        assert dict(store.scan()) == {b"a": b"4", b"b": b"2"}


def test_a_killed_process_leaves_states_and_checkpoint_of_one_moment(tmp_path: Path) -> None:
    """After kill -9 the store is as of some write, wholly: its log is off, but a batch is never torn."""
    child = (
        "import os, sys\n"
        "from segue_agents.state.checkpoint import Checkpoint\n"
        "from segue_agents.state.store import Store\n"
        "from pathlib import Path\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for n in range(1, 2000):\n"
        "    states = [(b'%d' % i, b'%d' % n * 40) for i in range(50)]\n"
        "    store.write(states, Checkpoint('l', n, 0, {}, {}))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "s"
    subprocess.run([sys.executable, "-c", child, str(folder)], check=False, env=os.environ)
    with Store(folder) as store:
        checkpoint = store.checkpoint()
        values = {state for _, state in store.scan()}
        assert values == ({b"%d" % checkpoint.clock_key * 40} if checkpoint else set())


def test_a_scan_over_a_broken_block_says_so(tmp_path: Path) -> None:
    """One flipped byte in a table makes the scan raise, where RocksDB's own iteration would just end early."""
    folder = tmp_path / "s"
    with Store(folder) as store:
        store.write([(b"%06d" % i, os.urandom(100)) for i in range(20_000)], CHECKPOINT)
    table = max(folder.glob("*.sst"), key=lambda f: f.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    with pytest.raises(StoreBroken), Store(folder) as store:
        list(store.scan())


def test_a_store_that_is_no_store(tmp_path: Path) -> None:
    """Rubbish in the folder is StoreBroken, and wiping mends it."""
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "CURRENT").write_text("")
    with pytest.raises(StoreBroken):
        Store(folder)
    wipe(folder)
    with Store(folder) as store:
        assert store.checkpoint() is None


def test_slots_are_given_in_order_and_held(tmp_path: Path) -> None:
    """The first free number is taken; a named slot that another holds is refused; a released one is free again."""
    first, second = Slot.take(tmp_path, "app", None), Slot.take(tmp_path, "app", None)
    assert (first.name, second.name) == ("0", "1")
    with pytest.raises(StateError, match="slot"):
        Slot.take(tmp_path, "app", "0")
    first.release()
    again = Slot.take(tmp_path, "app", None)
    assert again.name == "0"
    again.release()
    second.release()


def test_a_slot_on_a_full_disk_is_taken(tmp_path: Path) -> None:
    """/dev/full refuses the process's id as a full disk does: a courtesy, and no reason not to start."""
    (tmp_path / "app" / "0").mkdir(parents=True)
    (tmp_path / "app" / "0" / "lock").symlink_to("/dev/full")
    slot = Slot.take(tmp_path, "app", "0")
    assert slot.name == "0"
    slot.release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With what to do, and the exit code of a StateError."""
    (tmp_path / "app").write_text("a file")
    with pytest.raises(StateError, match="app/0 cannot be used: Not a directory") as raised:
        Slot.take(tmp_path, "app", "0")
    assert raised.value.exit_code == 4
    assert "data_dir" in raised.value.to_do
