"""How far restores are, for whoever watches: a bar on a terminal, else a log line every few seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

SAY_EVERY_S: Final = 5.0
BAR_AFTER_S: Final = 0.5
"""a restore that is quicker shows nothing"""
_log = structlog.get_logger(__name__)


class RestoreProgress:
    """Told partition and share, 0 to 1, as often as one likes, from any thread."""

    def __init__(self, monotonic: Callable[[], float], console: Console | None = None) -> None:
        """`console`: where the bar goes; by default standard error, if that is a terminal."""
        self._monotonic = monotonic
        self._console = console or Console(file=sys.stderr)
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        self._begun: dict[int, float] = {}
        self._said: dict[int, float] = {}

    def __call__(self, partition: int, share: float) -> None:
        """1.0: it is there."""
        with self._lock:
            now = self._monotonic()
            begun = self._begun.setdefault(partition, now)
            if share >= 1.0:
                self._ended(partition)
            elif self._console.is_interactive:  # a dumb terminal gets lines
                if now - begun >= BAR_AFTER_S:
                    self._show(partition, share)
            elif now - self._said.setdefault(partition, begun) >= SAY_EVERY_S:
                self._said[partition] = now
                _log.info("restoring", partition=partition, percent=round(share * 100, 1), seconds=round(now - begun, 1))

    def close(self) -> None:
        """Takes the bar away: a restore that was cancelled does not come to its end."""
        with self._lock:
            for partition in list(self._begun):
                self._ended(partition)

    def _show(self, partition: int, share: float) -> None:
        if self._bar is None:
            columns = (TextColumn("restoring partition {task.fields[partition]}"), BarColumn(),
                       TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, redirect_stdout=False)
            self._bar.start()
        if partition not in self._tasks:
            self._tasks[partition] = self._bar.add_task("", total=1.0, partition=partition)
        self._bar.update(self._tasks[partition], completed=share)

    def _ended(self, partition: int) -> None:
        self._begun.pop(partition, None)
        self._said.pop(partition, None)
        task = self._tasks.pop(partition, None)
        if self._bar is not None and task is not None:
            self._bar.remove_task(task)
            if not self._tasks:
                self._bar.stop()
                self._bar = None
