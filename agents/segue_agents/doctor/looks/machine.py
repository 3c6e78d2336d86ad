"""This machine: versions, the disk below data_dir. Nothing is written, not even to see whether it could be."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import confluent_kafka

from segue_agents.doctor.facts import Disk, Versions
from segue_agents.settings import Settings

MOUNTS: Final = Path("/proc/self/mounts")


def versions() -> Versions:
    """Of what runs here."""
    try:
        own = version("segue")
    except PackageNotFoundError:
        own = "unknown"
    return Versions(own, sys.version_info[:3], confluent_kafka.libversion()[0], version("confluent-kafka"))


def disk(settings: Settings) -> Disk:
    """Of data_dir, or of the folder it would be made in. Raises OSError."""
    folder = settings.data_dir.absolute()
    there = next(f for f in (folder, *folder.parents) if f.exists())
    usage = shutil.disk_usage(there)
    app = folder / settings.app_id
    return Disk(
        folder=str(there),
        exists=there == folder,
        writable=there.is_dir() and os.access(there, os.W_OK | os.X_OK),
        free_bytes=usage.free,
        total_bytes=usage.total,
        filesystem=_filesystem(there),
        state_bytes=_size(app),
        slots={f.name: _holder(f / "lock") for f in sorted(app.iterdir()) if (f / "lock").exists()} if app.is_dir() else {},
    )


def _size(folder: Path) -> int:
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a file that a compaction has just removed
                total += (Path(at) / name).stat().st_size
    return total


def _filesystem(folder: Path) -> str:
    """By the longest mount point above it; '' where there is no such list."""
    try:
        rows = [line.split(" ") for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    here = str(folder.resolve())
    found = [(row[1], row[2]) for row in rows if len(row) > 2 and (here + "/").startswith(row[1].rstrip("/") + "/")]
    return max(found, key=lambda row: len(row[0]), default=("", ""))[1]


def _holder(lock: Path) -> int | None:
    """The process that signed the lock, while it lives. The lock itself is not touched: a worker may want it now."""
    try:
        pid = int(lock.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # it is another user's
        return pid
    return pid
