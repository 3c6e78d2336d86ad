"""Workers as forks of one process that has imported everything: a start costs a tenth of a new interpreter's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.agents.worker.conftest import App

import segue_agents.app
from segue_agents import cli

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])


def run(arguments: list[str], log: str, checked: bool) -> None:
    """What the fork does: `segue run`. Not `checked`: it finds out by itself which right is missing."""
    os.setsid()
    os.environ["SEGUE_CREATE_TOPICS"] = "false"
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(to, 1)
    os.dup2(to, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    if not checked:
        _check_only_afterwards()
    cli.main(["run", *arguments])


def _check_only_afterwards() -> None:
    check, before = segue_agents.app.check_rights, [True]
    segue_agents.app.check_rights = lambda settings: None if before and before.pop() else check(settings)


class Fork:
    """As much of a Popen as `App` uses."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        process.start()

    def send_signal(self, how: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, how)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float) -> int:
        self._process.join(timeout_s)
        assert self._process.exitcode is not None, f"it still runs after {timeout_s} s"
        return self._process.exitcode


class ForkedApp(App):
    """Its workers are forks."""

    def start(self, name: str = "0", plant: str = "", *, checked: bool = True, **flags: Any) -> None:
        assert not plant, "not of forks"
        given = {"clock": "none", "slot": name, "log_format": "console", **flags}
        given = {n: getattr(self.settings, n) for n in self.given} | given
        arguments = [f"--{'broker' if n == 'bootstrap' else n.replace('_', '-')}={value}" for n, value in given.items()]
        fork = _forks.Process(target=run, args=(arguments, str(self.log(name)), checked), daemon=True)
        self.workers[name] = Fork(fork)  # type: ignore[assignment]

    def kill_all(self) -> None:
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
            worker.wait(20)
        self.workers.clear()

    def log(self, slot: str = "0") -> Path:
        return self.folder / f"worker-{slot}.log"
