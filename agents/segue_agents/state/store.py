"""States on disk: one RocksDB per partition of a worker's slot, written once a commit, after the transaction.

RocksDB's own log is off, as the changelog is the truth: after a kill the store is as of its last flush, with the
checkpoint of that moment, since one batch holds both. A scan checks the iterator's status, because over a corrupt
block it ends early without an error.
"""

from __future__ import annotations

import errno
import faulthandler
import itertools
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from segue.errors import StateError
from segue_agents.state import manifest
from segue_agents.state.checkpoint import KEY, Checkpoint, decode_checkpoint
from segue_agents.state.layouts import PREFIX, Known, decode_known
from segue_agents.state.standing import Owner, decode_owner

WRITE_BUFFER_BYTES: Final = 8 << 20
BLOCK_CACHE_BYTES: Final = 16 << 20
BLOCK_BYTES: Final = 2 << 10
"""half the default: a get of a person unpacks a whole block, 3.5 us against 4.3; a scan is a tenth slower for it"""
READ_AHEAD_BYTES: Final = 2 << 20
"""of a scan"""
ROWS_AT_ONCE: Final = 4_096
_NO_PERSON: Final = b"\xff"
"""the checkpoint's and the layouts' keys begin with it, and stand behind all persons"""


RECOVERS_WITHIN_S: Final = 60.0
"""RocksDB writes again some seconds after there is room; a store that does not by then is built anew"""
ROOM_BYTES: Final = 4 * WRITE_BUFFER_BYTES
"""that RocksDB wants free before it writes again"""
LITTLE_ROOM: Final = 0.1
"""free share of the disk below which it is said"""
_WRITING: Final = (
    "write_buffer_size", "level0_file_num_compaction_trigger", "level0_slowdown_writes_trigger",
    "level0_stop_writes_trigger",
)  # fmt: skip
_RUNNING: Final = (str(WRITE_BUFFER_BYTES), "4", "20", "36")
"""of the files RocksDB's own defaults"""
_RESTORING: Final = (str(2 * WRITE_BUFFER_BYTES), "16", "48", "64")
"""measured: half the files, and a quarter of a million persons need no compaction after it; larger is no quicker"""
_OWNER: Final = b"\xffsegue-owner"
OPENS_WITHIN_S: Final = 120.0
"""an open takes some 10 ms, and seconds with millions of persons on a slow disk"""
_OPENING: Final = "opening"
"""a file in the folder while RocksDB opens it: one that is found is of an open that did not end"""
_one_open = threading.Lock()
"""there is one deadline in a process; and opens do not overlap anyway, as rocksdict holds the GIL in them"""


class StoreBroken(Exception):
    """RocksDB cannot open, read or write what it has. The answer is always to set it aside and restore."""


class StoreFull(StoreBroken):
    """There is no room on the disk. Nothing is damaged: what could not be written waits in the store, see `retry`."""


class Store:
    """States of one partition: person -> encoded state, and the checkpoint they are of."""

    def __init__(self, folder: Path, wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        """Raises StoreBroken. An open that takes longer than `OPENS_WITHIN_S` ends the process, see `_opening`."""
        self.folder = folder
        self._wall_ms = wall_ms
        self._waiting: list[tuple[bytes, bytes | None]] | None = None
        self._room_since_ms = 0
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True
        self._read_options = ReadOptions()
        self._read_options.set_verify_checksums(True)
        self._read_options.set_readahead_size(READ_AHEAD_BYTES)
        try:
            with _opening(folder):
                self._db = Rdict(str(folder), _options())
        except StoreBroken:
            raise
        except Exception as error:
            raise _sorted(error) from error

    def checkpoint(self) -> Checkpoint | None:
        """What the states are of; None for an empty store. Raises StoreBroken for one that cannot be read, too."""
        value = self.get([KEY])[0]
        try:
            return None if value is None else decode_checkpoint(value)
        except StateError as error:
            raise StoreBroken(error.what) from error

    def owner(self) -> Owner | None:
        """Whose states these are; None: nobody has claimed them. Raises StoreBroken."""
        value = self.get([_OWNER])[0]
        try:
            return None if value is None else decode_owner(value)
        except msgspec.MsgspecError as error:
            raise StoreBroken(f"its owner cannot be read: {error}") from error

    def get(self, persons: list[bytes]) -> list[bytes | None]:
        """Encoded states in the order asked for; None for a person without one."""
        try:
            return self._db.get(persons)  # type: ignore[no-any-return]
        except Exception as error:
            raise _sorted(error) from error

    def claim(self, owner: Owner) -> None:
        """Notes whose states these are. Raises StoreBroken."""
        self._put([(_OWNER, msgspec.msgpack.encode(owner))])

    def write(self, states: Iterable[tuple[bytes, bytes]], checkpoint: Checkpoint, gone: Iterable[bytes] = ()) -> None:
        """States and their checkpoint, all or nothing. Raises StoreFull, StoreBroken."""
        self._put([*states, *((person, None) for person in gone), self._entry(checkpoint)])

    def replay(self, records: Iterable[tuple[bytes, bytes | None]], checkpoint: Checkpoint) -> None:
        """The changelog's records, in order; None takes a person away. Raises StoreFull, StoreBroken."""
        self._put([*records, self._entry(checkpoint)])

    def _entry(self, checkpoint: Checkpoint) -> tuple[bytes, bytes]:
        return KEY, msgspec.structs.replace(checkpoint, written_ms=self._wall_ms()).encode()

    def _put(self, rows: list[tuple[bytes, bytes | None]]) -> None:
        if self._waiting is not None:
            raise StoreFull("an earlier write still waits for room")  # in order, or not at all
        try:
            self._db.write(_batch(rows), self._write_options)
        except Exception as error:
            broken = _sorted(error)
            if isinstance(broken, StoreFull):
                self._waiting, self._room_since_ms = rows, 0
            raise broken from error

    @property
    def pending(self) -> bool:
        """Whether a write waits for room. Until `retry` says otherwise, do not read: reads would miss it."""
        return self._waiting is not None

    def retry(self) -> bool:
        """Writes what waits, if there is room now; whether nothing waits any more.

        On the same handle, which RocksDB mends by itself some seconds after there is room (measured: 1 to 6): what
        earlier writes left in memory only, the log being off, would be lost by a close. Raises StoreBroken when it does
        not, after `RECOVERS_WITHIN_S` with room.
        """
        if self._waiting is None:
            return True
        try:
            self._db.write(_batch(self._waiting), self._write_options)
        except Exception as error:
            broken = _sorted(error)
            if not isinstance(broken, StoreFull) or self._has_had_room():
                raise StoreBroken(str(broken)) from error
            return False
        self._waiting = None
        return True

    def _has_had_room(self) -> bool:
        if shutil.disk_usage(self.folder).free < ROOM_BYTES:
            self._room_since_ms = 0
            return False
        now_ms = self._wall_ms()
        self._room_since_ms = self._room_since_ms or now_ms
        return now_ms - self._room_since_ms > RECOVERS_WITHIN_S * 1000

    def restoring(self, under_way: bool) -> None:
        """While a restore lasts, files are larger and compactions wait for more: half its CPU else. Raises StoreBroken."""
        try:
            self._db.set_options(dict(zip(_WRITING, _RESTORING if under_way else _RUNNING, strict=True)))
        except Exception as error:
            raise _sorted(error) from error

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Every state, checksums verified. Raises StoreBroken at the end if it was not the end."""
        return itertools.chain.from_iterable(self.pieces())

    def pieces(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """As `scan`, many at a time."""
        return self._rows(b"", _NO_PERSON)

    def layouts(self) -> list[Known]:
        """Of all rules under which its states were written. Raises StateError, StoreBroken."""
        rows = itertools.chain.from_iterable(self._rows(PREFIX, PREFIX + b"\xff"))
        return [decode_known(value) for _, value in list(rows)]

    def _rows(self, first: bytes, end: bytes) -> Iterator[list[tuple[bytes, bytes]]]:
        """From a key on, up to another. Raises StoreBroken at the end if it was not the end.

        RocksDB's own iteration over items is a third faster than a cursor moved from here, and says nothing when it
        ends at a corrupt block. So what it ended at is looked at with a cursor: it is the end only if nothing follows.
        """
        last = first
        rows = self._db.items(from_key=first, read_opt=self._read_options)
        try:
            while piece := list(itertools.islice(rows, ROWS_AT_ONCE)):
                if piece[-1][0] >= end:
                    yield list(itertools.takewhile(lambda row: row[0] < end, piece))
                    return
                last = piece[-1][0]
                yield piece
        except Exception as error:
            raise _sorted(error) from error
        finally:
            del rows  # it keeps the store open, and the error's traceback would keep it
        self._must_end(last)

    def _must_end(self, last: bytes) -> None:
        rest = self._db.iter(self._read_options)
        try:
            rest.seek(last)
            if rest.valid() and rest.key() == last:
                rest.next()
            rest.status()
            if rest.valid():
                raise StoreBroken("a scan ended early")
        except StoreBroken:
            raise
        except Exception as error:
            raise _sorted(error) from error
        finally:
            del rest

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


@contextmanager
def _opening(folder: Path) -> Iterator[None]:
    """Around RocksDB's open, which over damage may never end: raises StoreBroken for what is known to be damaged.

    Against the rest there is a deadline. As the open holds the GIL, it is a timer of C that ends the process (code 1, the
    stacks on standard error); the next start finds the marker, and the store is set aside. A process killed in just these
    milliseconds leaves the marker as well, which costs a restore and no more.
    """
    marker = folder / _OPENING
    if marker.exists():
        raise StoreBroken("an open of it did not end: the process was killed in it, or it took too long")
    if found := manifest.damage(folder):
        raise StoreBroken(found)
    with _one_open:
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
        faulthandler.dump_traceback_later(OPENS_WITHIN_S, exit=True, file=sys.__stderr__ or 2)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            marker.unlink(missing_ok=True)


def wipe(folder: Path) -> None:
    """Removes a closed store."""
    shutil.rmtree(folder, ignore_errors=True)


def set_aside(folder: Path, wall_ms: int) -> Path:
    """Renames a closed store to `<folder>.damaged-<UTC time>`, and removes an older one of that kind."""
    at = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = folder.with_name(f"{folder.name}.damaged-{at}")
    for older in folder.parent.glob(f"{folder.name}.damaged-*"):
        wipe(older)
    folder.rename(aside)
    return aside


def free_share(folder: Path) -> float:
    """Of the disk the folder is on: what is free, 0 to 1."""
    usage = shutil.disk_usage(folder)
    return usage.free / max(1, usage.total)


def _batch(rows: Iterable[tuple[bytes, bytes | None]]) -> WriteBatch:
    """Of one use: rocksdict takes it for written even when the write fails."""
    batch = WriteBatch(raw_mode=True)
    put = batch.put
    for key, value in rows:
        if value is None:
            batch.delete(key)
        else:
            put(key, value)
    return batch


def _sorted(error: Exception) -> StoreBroken:
    """Disk full told apart: RocksDB gives words, no number."""
    words = str(error)
    full = os.strerror(errno.ENOSPC) in words or os.strerror(errno.EDQUOT) in words
    return StoreFull(words) if full else StoreBroken(words)


def _options() -> Any:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(3)
    # a filter of what is in memory only, too: a get asks up to three such tables first. 1.7 us instead of 3
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.03)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(2)
    blocks = BlockBasedOptions()
    blocks.set_block_size(BLOCK_BYTES)
    blocks.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    blocks.set_bloom_filter(10, False)  # new persons are looked up too
    options.set_block_based_table_factory(blocks)
    return options
