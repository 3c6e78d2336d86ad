"""A worker's place on this machine: a folder, and the lock that keeps it for one process."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from segue.errors import StateError

_AUTOMATIC_SLOTS: Final = 256


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
            lock = _lock_file(folder)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            _sign(lock)
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


def _lock_file(folder: Path) -> IO[str]:
    """Raises StateError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise StateError(
            f"The folder {folder} cannot be used: {error.strerror}.",
            "Make room, give the worker the right to write there, or give it another data_dir.",
        ) from error


def _sign(lock: IO[str]) -> None:
    """The process's id into its lock file, for people to read. A full disk is no reason not to start: it is waited for."""
    with suppress(OSError):
        os.ftruncate(lock.fileno(), 0)
        os.write(lock.fileno(), b"%d\n" % os.getpid())  # nothing stays in a buffer, which a close would fail to write
