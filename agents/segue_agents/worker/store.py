"""States on disk: one RocksDB per partition of a worker's slot, written once a commit, after the transaction.

RocksDB's own log is off, as the changelog is the truth: after a kill the store is as of its last flush, with the
checkpoint of that moment, since one batch holds both. A scan checks the iterator's status, because over a corrupt
block it ends early without an error.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch, WriteOptions

from segue.errors import StateError
from segue_agents.worker.checkpoint import KEY, Checkpoint, decode_checkpoint
from segue_agents.worker.layouts import PREFIX, Known, decode_known

WRITE_BUFFER_BYTES: Final = 8 << 20
BLOCK_CACHE_BYTES: Final = 16 << 20
_AUTOMATIC_SLOTS: Final = 256
_NO_PERSON: Final = b"\xff"
"""the checkpoint's and the layouts' keys begin with it, and stand behind all persons"""


class StoreBroken(Exception):
    """RocksDB cannot open, read or write what it has. The answer is always to wipe and restore."""


class Slot:
    """A worker's folder, `<data_dir>/<app>/<slot>`, held by a lock for the life of the process."""

    def __init__(self, name: str, folder: Path, lock: IO[str]) -> None:
        self.name = name
        self.folder = folder
        self._lock = lock

    @classmethod
    def take(cls, data_dir: Path, app_id: str, name: str | None) -> Slot:
        """The named slot, or the first free of 0, 1, 2 ... Raises StateError when another process has it."""
        names = [name] if name is not None else [str(i) for i in range(_AUTOMATIC_SLOTS)]
        for candidate in names:
            folder = data_dir / app_id / candidate
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / "lock").open("a+", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            return cls(candidate, folder, lock)
        raise StateError(
            f"Another worker holds slot {names[0] if name is not None else 'of every number'} of {data_dir / app_id}.",
            "Stop it, or give this one another slot or data_dir.",
        )

    def partition_folder(self, index: int) -> Path:
        """Where the store of a partition is."""
        return self.folder / f"partition-{index}"

    def release(self) -> None:
        """Lets another process have it."""
        self._lock.close()


class Store:
    """States of one partition: person -> encoded state, and the checkpoint they are of."""

    def __init__(self, folder: Path) -> None:
        """Raises StoreBroken."""
        self.folder = folder
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True
        try:
            self._db = Rdict(str(folder), _options())
        except Exception as error:
            raise StoreBroken(str(error)) from error

    def checkpoint(self) -> Checkpoint | None:
        """What the states are of; None for an empty store."""
        value = self.get([KEY])[0]
        return None if value is None else decode_checkpoint(value)

    def get(self, persons: list[bytes]) -> list[bytes | None]:
        """Encoded states in the order asked for; None for a person without one."""
        try:
            return self._db.get(persons)  # type: ignore[no-any-return]
        except Exception as error:
            raise StoreBroken(str(error)) from error

    def write(self, states: Iterable[tuple[bytes, bytes]], checkpoint: Checkpoint, gone: Iterable[bytes] = ()) -> None:
        """States and their checkpoint, all or nothing."""
        batch = WriteBatch(raw_mode=True)
        for person, state in states:
            batch.put(person, state)
        for person in gone:
            batch.delete(person)
        batch.put(KEY, checkpoint.encode())
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise StoreBroken(str(error)) from error

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Every state. Raises StoreBroken at the end if it was not the end."""
        return itertools.takewhile(lambda row: row[0] < _NO_PERSON, self._rows(b""))

    def layouts(self) -> list[Known]:
        """Of all rules under which its states were written. Raises StateError, StoreBroken."""
        return [decode_known(value) for key, value in self._rows(PREFIX) if key.startswith(PREFIX)]

    def _rows(self, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        """From a key on. Raises StoreBroken at the end if it was not the end."""
        rows = self._db.iter()
        rows.seek(first)
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()
        try:
            rows.status()
        except Exception as error:
            raise StoreBroken(str(error)) from error
        finally:
            del rows  # it keeps the store open, and the error's traceback would keep it

    def size_bytes(self) -> int:
        """About what it takes, on disk and in its buffers."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(int(self._db.property_int_value(name) or 0) for name in names)

    def close(self) -> None:
        """Flushes, so that the next start finds all of it."""
        # a store that cannot be flushed or closed is behind or damaged: the next start finds that, and mends it
        with suppress(Exception):
            self._db.flush()
        with suppress(Exception):
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wipe(folder: Path) -> None:
    """Removes a closed store."""
    shutil.rmtree(folder, ignore_errors=True)


def _options() -> Any:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(2)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    blocks.set_bloom_filter(10, False)  # new persons are looked up too
    options.set_block_based_table_factory(blocks)
    return options
