"""Child processes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self

PR_SET_PDEATHSIG: Final = 1


class Running:
    """A child process that is there from `start` to `stop`, or for as long as a `with` lasts."""

    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> object:
        """Starts it."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends it. Harmless when it does not run."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def end(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Asks it to end, waits, kills."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def dies_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`. Linux: the kernel sends the child SIGTERM when its parent goes, however it goes. Elsewhere nothing
    does."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it went before we asked
            os._exit(1)

    return ask


def launched_from_a_lasting_thread(launch: Callable[[], subprocess.Popen[bytes]], name: str) -> subprocess.Popen[bytes]:
    """The kernel kills the child with the *thread* that made it, so that thread stays until the child ends."""
    launched: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            process = launch()
        except BaseException as error:  # noqa: BLE001 (raised again where the result is asked for)
            launched.set_exception(error)
            return
        launched.set_result(process)
        process.wait()

    threading.Thread(target=keep, name=name, daemon=True).start()
    return launched.result()
