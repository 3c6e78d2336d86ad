"""The simulated disk: the worker's own Store over a table that forgets what was not flushed, and breaks when told to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from segue_agents.worker.checkpoint import KEY, Checkpoint
from segue_agents.worker.store import Store, StoreBroken


class Table:
    """What is in one folder: what a crash leaves, and the writes since."""

    def __init__(self) -> None:
        self.flushed: dict[bytes, bytes] = {}
        self.rows: dict[bytes, bytes] = {}
        self.writes: list[tuple[dict[bytes, bytes], set[bytes]]] = []
        self.open = False
        self.damaged = False
        """half of it cannot be read; stays so until it is wiped"""

    def write(self, puts: dict[bytes, bytes], deletes: set[bytes]) -> None:
        """One batch."""
        self.writes.append((puts, deletes))
        _apply(self.rows, puts, deletes)

    def flush(self) -> None:
        """Everything is on disk."""
        self.flushed, self.writes = dict(self.rows), []

    def crash(self, chance: Random) -> None:
        """Of the writes since the last flush the first few may have reached the disk."""
        for puts, deletes in self.writes[: chance.randrange(len(self.writes) + 1)]:
            _apply(self.flushed, puts, deletes)
        self.rows, self.writes, self.open = dict(self.flushed), [], False


def _apply(rows: dict[bytes, bytes], puts: dict[bytes, bytes], deletes: set[bytes]) -> None:
    for key in deletes:
        rows.pop(key, None)
    rows.update(puts)


class Disk:
    """Folders of one machine."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def table(self, folder: Path) -> Table:
        """Made when first asked for."""
        return self.tables.setdefault(str(folder), Table())

    def wipe(self, folder: Path) -> None:
        """Removes a folder."""
        self.tables.pop(str(folder), None)

    def crash(self, slot: str, chance: Random) -> None:
        """The process of that slot is gone."""
        for name, table in self.tables.items():
            if f"/{slot}/" in name:
                table.crash(chance)


class _Rows:
    """RocksDB's iterator: over a damaged block it ends early, and only `status` says so."""

    def __init__(self, rows: list[tuple[bytes, bytes]], broken: bool) -> None:
        self._all, self._rows, self._at = rows, rows, 0
        self._broken = broken

    def seek(self, key: bytes) -> None:
        self._rows = [row for row in self._all if row[0] >= key]
        if self._broken:
            self._rows = self._rows[: len(self._rows) // 2]

    def valid(self) -> bool:
        return self._at < len(self._rows)

    def key(self) -> bytes:
        return self._rows[self._at][0]

    def value(self) -> bytes:
        return self._rows[self._at][1]

    def next(self) -> None:
        self._at += 1

    def status(self) -> None:
        if self._broken:
            raise ValueError("Corruption: block checksum mismatch")


class _Database:
    """What Store asks of Rdict."""

    def __init__(self, world: Any, process: Any, table: Table) -> None:
        self._world, self._process, self.table = world, process, table

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        if self._world.at("store_get", self._process) == "broken":
            self.table.damaged = True
            raise ValueError("Corruption: block checksum mismatch")
        return [self.table.rows.get(key) for key in keys]

    def iter(self) -> _Rows:
        if self._world.at("store_scan", self._process) == "broken":
            self.table.damaged = True
        return _Rows(sorted(self.table.rows.items()), self.table.damaged)


class SimulatedStore(Store):
    """The worker's own code, but for what opens, writes and closes RocksDB."""

    def __init__(self, world: Any, process: Any, folder: Path) -> None:
        self.folder = folder
        self._world, self._process = world, process
        kind = world.at("store_open", process)
        table = world.disk.table(folder)
        if table.open:
            raise StoreBroken("Its lock is held.")
        if kind == "broken" and table.rows:
            raise StoreBroken("Corruption: CURRENT is empty")
        table.open = True
        self._db: Any = _Database(world, process, table)

    def write(self, states: Iterable[tuple[bytes, bytes]], checkpoint: Checkpoint, gone: Iterable[bytes] = ()) -> None:
        kind = self._world.at("store_write", self._process)
        if kind in ("broken", "full"):
            raise StoreBroken("IO error: No space left on device")
        puts = dict(states)
        puts[KEY] = checkpoint.encode()
        self._db.table.write(puts, set(gone))
        if self._world.chance.random() < 0.1:
            self._db.table.flush()
        self._world.at("store_written", self._process)

    def size_bytes(self) -> int:
        return 0

    def close(self) -> None:
        if self._process.dead:
            return
        self._db.table.flush()
        self._db.table.open = False
