"""A worker as a child process that ends with its parent, however the parent ends.

The child watches its standard input, whose other end only the parent holds: when the parent is gone, killed included,
the pipe closes and the child ends itself. That works on every platform and asks no kernel for a favour.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from segue_agents.processes import Running, end

STOP_WITHIN_S: Final = 10
"""a worker finishes its batch and commits; beyond this it is killed, which loses nothing"""
LOG_LINES_SHOWN: Final = 12


class Child(Running):
    """`segue <arguments>` in a process of its own, its output in a file."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._arguments = list(arguments)
        self._log = log

    @property
    def return_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Starts it and returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "segue_agents.cli", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # its own session: a ^C in the terminal is for us, who end it in good order
                start_new_session=True,
            )

    def stop(self) -> None:
        """Asks it to end, waits, kills. Harmless when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        end(process, STOP_WITHIN_S)
        process.stdin.close()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def end_with_parent() -> None:
    """Called in the child: from now on the process ends when its standard input does."""

    def watch() -> None:
        while os.read(0, 4096):  # not sys.stdin: its lock, held here, would be fatal when the interpreter ends
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_WITHIN_S)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
