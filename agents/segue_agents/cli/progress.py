"""How far long work is: a bar or a spinner to a person at a terminal, elsewhere a plain line every few seconds.

All of it goes to standard error, and nothing with -q. Work that is quick shows nothing.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from segue_agents.cli.manners import is_quiet, say

SAY_EVERY_S: Final = 5.0
BAR_AFTER_S: Final = 0.5
REFRESH_S: Final = 0.1

Share = Callable[[], float]
"""how far it is, 0 to 1; asked from another thread"""


def is_animated() -> bool:
    """Whether standard error is a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def watched(doing: str, share: Share) -> Iterator[None]:
    """While the work inside goes on. `doing`: as in `replaying events.jsonl`.

    No bar while data goes to the same terminal, which it would tear apart, and which is progress enough.
    """
    if is_quiet() or (is_animated() and sys.stdout.isatty()):
        yield
        return
    over = threading.Event()
    shown = threading.Thread(target=_bar if is_animated() else _lines, args=(doing, share, over), daemon=True)
    shown.start()
    try:
        yield
    finally:
        over.set()
        shown.join()


def _lines(doing: str, share: Share, over: threading.Event) -> None:
    began = time.monotonic()
    while not over.wait(SAY_EVERY_S):
        say(f"{doing}: {share():.0%}, {time.monotonic() - began:.0f} s")


def _bar(doing: str, share: Share, over: threading.Event) -> None:
    if over.wait(BAR_AFTER_S):
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(doing, total=1.0)
        while not over.wait(REFRESH_S):
            bar.update(task, completed=share())


class Steps:
    """Told a line a step: the newest beside a spinner, or each on a line of its own. Used as a context."""

    def __init__(self) -> None:
        self._status: Any = None

    def __call__(self, line: str) -> None:
        """The step that begins now."""
        if is_quiet():
            return
        if not is_animated():
            say(line)
        elif self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(line)
            self._status.start()
        else:
            self._status.update(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()
