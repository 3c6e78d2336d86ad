"""The simulated disk: the worker's own Store over a table that forgets what was not flushed, and breaks when told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from random import Random
from typing import Any

from segue_agents.state.store import Store, StoreBroken

Row = tuple[bytes, bytes | None]


class Table:
    """What is in one folder: what a crash leaves, and the writes since."""

    def __init__(self) -> None:
        self.flushed: dict[bytes, bytes] = {}
        self.rows: dict[bytes, bytes] = {}
        self.writes: list[list[Row]] = []
        self.open = False
        self.damaged = False
        """half of it cannot be read; stays so until it is wiped"""

    def write(self, batch: list[Row]) -> None:
        """All or nothing."""
        self.writes.append(batch)
        _apply(self.rows, batch)

    def flush(self) -> None:
        """Everything is on disk."""
        self.flushed, self.writes = dict(self.rows), []

    def close(self, chance: Random) -> None:
        """What was not flushed is as after a crash."""
        self.crash(chance)

    def crash(self, chance: Random) -> None:
        """Of the writes since the last flush the first few may have reached the disk."""
        for batch in self.writes[: chance.randrange(len(self.writes) + 1)]:
            _apply(self.flushed, batch)
        self.rows, self.writes, self.open = dict(self.flushed), [], False


def _apply(rows: dict[bytes, bytes], batch: list[Row]) -> None:
    for key, value in batch:
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value


class Folder(PurePosixPath):
    """A path on the simulated disk: what the recovery asks of one."""

    disk: Disk

    def exists(self) -> bool:
        return str(self) in self.disk.tables

    def mkdir(self, *_: Any, **__: Any) -> None:
        pass


class Disk:
    """Folders of one machine."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.full_until_s = 0.0

    def table(self, folder: PurePosixPath) -> Table:
        """Made when first asked for."""
        return self.tables.setdefault(str(folder), Table())

    def wipe(self, folder: PurePosixPath) -> None:
        """Removes a folder."""
        self.tables.pop(str(folder), None)

    def set_aside(self, folder: PurePosixPath, _wall_ms: int) -> PurePosixPath:
        """Nobody looks at it again."""
        self.wipe(folder)
        return folder.with_name(f"{folder.name}.damaged")

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

    def write(self, batch: list[Row], _options: Any) -> None:
        kind, disk = self._world.at("store_write", self._process), self._world.disk
        if kind == "full":
            disk.full_until_s = self._world.now_s + self._world.chance.choice((0.5, 3.0, 20.0))
        if self._world.now_s < disk.full_until_s:
            raise ValueError("IO error: No space left on device: While appending to file")
        if kind == "broken":
            raise ValueError("IO error: While appending to file: Input/output error")
        self.table.write(batch)
        if self._world.chance.random() < 0.1:
            self.table.flush()
        self._world.at("store_written", self._process)

    def items(self, from_key: bytes, **_: Any) -> Iterator[tuple[bytes, bytes]]:
        """RocksDB's: over a damaged block it ends early and says nothing."""
        if self._world.at("store_scan", self._process) == "broken":
            self.table.damaged = True
        rows = self._cursor(from_key)
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()

    def iter(self, _options: Any = None) -> _Rows:
        return _Rows(sorted(self.table.rows.items()), self.table.damaged)

    def _cursor(self, first: bytes) -> _Rows:
        rows = self.iter()
        rows.seek(first)
        return rows

    def set_options(self, _options: dict[str, str]) -> None:
        self._world.alive(self._process)

    def property_int_value(self, _name: str) -> int:
        return 0

    def flush(self) -> None:
        self._world.alive(self._process)
        self.table.flush()

    def close(self) -> None:
        self._world.alive(self._process)
        self.table.close(self._world.chance)


class SimulatedStore(Store):
    """The worker's own code, but for what opens RocksDB and asks how full a disk is."""

    def __init__(self, world: Any, process: Any, folder: PurePosixPath) -> None:
        self.folder: Any = folder
        self._wall_ms = world.cluster.now_ms
        self._waiting, self._room_since_ms = None, 0
        self._write_options = self._read_options = None  # type: ignore[assignment]
        kind = world.at("store_open", process)
        table = world.disk.table(folder)
        if table.open:
            raise StoreBroken("Its lock is held.")
        if kind == "broken" and table.rows:
            raise StoreBroken("Corruption: CURRENT is empty")
        table.open = True
        self._db: Any = _Database(world, process, table)

    def _has_had_room(self) -> bool:
        return False
