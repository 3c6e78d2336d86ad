"""`segue run` in processes that die: started with what is planted, watched, and started again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.plants import STACKS_SIGNAL

ROOT: Final = Path(__file__).parents[2]
STOP_WITHIN_S: Final = 30
SESSION_MS: Final = 3_000

SAID: Final = re.compile(r"\] (partition_ready|partitions_assigned|partitions_revoked|partitions_lost) (.*)")
NUMBERS: Final = re.compile(r"\bpartitions?=\[?([\d, ]+)")


@dataclass(slots=True)
class Worker:
    """One slot's process."""

    slot: str
    process: subprocess.Popen[bytes]
    armed: str = ""
    """the crash point it was started with"""
    stopped: bool = False
    """SIGSTOP"""
    log_from: int = 0
    """where its own words begin in its slot's log"""


@dataclass(slots=True)
class Workers:
    """All of an app's."""

    broker: str
    app: str
    folder: Path
    sources: Path
    output: str
    mutant: str = ""
    flags: dict[str, str] = field(default_factory=dict)
    running: dict[str, Worker] = field(default_factory=dict)
    exits: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    """crash point -> how often a worker died there"""
    odd: dict[str, str] = field(default_factory=dict)
    """how a worker ended -> the last words of the last one that did"""
    wanted: set[str] = field(default_factory=set)
    """slots that are to run"""

    def start(self, slot: str, *plants: str, armed: str = "", data: Path | None = None, name: str = "") -> Worker:
        """`plants`: calls of tests.chaos.plants, as Python."""
        plants = (f"stacks({str(self.folder)!r})", *plants)
        if self.mutant:
            plants = (f"mutate({self.mutant!r})", *plants)
        code = "".join(f"plants.{plant}\n" for plant in plants)
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.chaos import plants\n{code}"
        flags = {
            "broker": self.broker, "app-id": self.app, "slot": slot, "data-dir": str(data or self.data),
            "rules": str(ROOT / "examples" / "reference"), "sources": str(self.sources), "output-topic": self.output,
            "output-format": "json", "clock": "none", "session-timeout-ms": str(SESSION_MS),
            "transaction-timeout-ms": "5000", "max-poll-interval-ms": "30000", "commit-interval-ms": "200",
            "idle-commit-interval-ms": "100", "log-format": "console",
        } | self.flags  # fmt: skip
        arguments = [f"--{key}={value}" for key, value in flags.items()]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SEGUE_", "PYTHONDONTWRITE"))}
        # compiled once for all of an app's starts
        environment.setdefault("PYTHONPYCACHEPREFIX", str(self.folder.parent / "compiled"))
        with self.log(name or slot).open("ab") as log:
            log_from = log.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                [sys.executable, "-c", f"{code}import segue_agents.cli as cli; cli.main()", "run", *arguments,
                 "--end-with-parent"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        worker = Worker(slot, process, armed, log_from=log_from)
        if not name:
            self.running[slot] = worker
            self.wanted.add(slot)
        return worker

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def log(self, slot: str) -> Path:
        return self.folder / f"worker-{slot}.log"

    def slot_folder(self, slot: str) -> Path:
        """Where its state is."""
        return self.data / self.app / slot

    def kill(self, slot: str) -> None:
        """kill -9; the slot stays wanted. Whoever has died meanwhile counts as that."""
        worker = self.running.get(slot)
        if worker is not None and worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
            self._forget(slot, "killed")

    def pause(self, slot: str) -> bool:
        """SIGSTOP; False when it does not run."""
        worker = self.running.get(slot)
        if worker is None or worker.process.poll() is not None:
            return False
        worker.process.send_signal(signal.SIGSTOP)
        worker.stopped = True
        return True

    def go_on(self, slot: str) -> None:
        """SIGCONT."""
        worker = self.running.get(slot)
        if worker is not None:
            worker.process.send_signal(signal.SIGCONT)
            worker.stopped = False

    def end(self, slot: str) -> None:
        """SIGTERM, and it is not wanted any more."""
        self.wanted.discard(slot)
        worker = self.running.get(slot)
        if worker is None:
            return
        if worker.stopped:
            self.go_on(slot)
        worker.process.terminate()
        try:
            code = worker.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.tell_stacks(slot)
            worker.process.kill()
            worker.process.wait()
            self._forget(slot, f"did not end within {STOP_WITHIN_S} s of SIGTERM")
            return
        # one that has only just been started has no handler yet
        how = {0: "ended", -signal.SIGTERM: "ended while it started"}
        self._forget(slot, how.get(code, f"code {code} after SIGTERM"))

    def tend(self, plant: Any = None) -> list[str]:
        """Starts again what has died. `plant`: slot -> (plants, armed) of a new start. The slots started."""
        started = []
        for slot in sorted(self.wanted):
            worker = self.running.get(slot)
            if worker is not None:
                code = worker.process.poll()
                if code is None:
                    continue
                if code == -signal.SIGKILL and worker.armed:
                    self.crashes[worker.armed] += 1
                    self._forget(slot, "crashed")
                else:
                    self._forget(slot, f"code {code}")
            plants, armed = plant(slot) if plant is not None else ((), "")
            self.start(slot, *plants, armed=armed)
            started.append(slot)
        return started

    def _forget(self, slot: str, how: str) -> None:
        worker = self.running.pop(slot)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        if how.startswith(("code", "did")):
            words = self.last_words(slot, 30)
            how = "code 4: another has its slot" if how.startswith("code 4") and "Another worker" in words else how
            self.odd[how] = words
        self.exits[how] += 1

    def tell_stacks(self, slot: str) -> None:
        """Where all its threads are: Python's into a file beside its log, librdkafka's too if gdb is there."""
        worker = self.running.get(slot)
        if worker is None or worker.process.poll() is not None:
            return
        worker.process.send_signal(STACKS_SIGNAL)
        time.sleep(1)
        gdb = shutil.which("gdb")
        if gdb is not None:
            file, pid = self.folder / f"stacks-{worker.process.pid}-native", str(worker.process.pid)
            with file.open("wb") as out, suppress(subprocess.TimeoutExpired):
                subprocess.run([gdb, "-p", pid, "-batch", "-ex", "thread apply all bt 25"],
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=30, check=False)  # fmt: skip

    def end_all(self) -> None:
        """SIGTERM to all at once, then waits."""
        for slot, worker in list(self.running.items()):
            if worker.stopped:
                self.go_on(slot)
            worker.process.terminate()
        for slot in list(self.running):
            self.end(slot)
        self.wanted.clear()

    def kill_all(self) -> None:
        """For the way out of a failure."""
        self.wanted.clear()
        for worker in self.running.values():
            worker.process.kill()
            worker.process.wait()
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        self.running.clear()

    def last_words(self, slot: str, lines: int = 15) -> str:
        """The end of its log."""
        log = self.log(slot)
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def ready(self) -> set[int]:
        """Partitions whose state is back at a worker that runs, by what the workers' logs say."""
        return {p for worker in self.running.values() for p in self._ready(worker)}

    def _ready(self, worker: Worker) -> set[int]:
        ready: set[int] = set()
        with self.log(worker.slot).open(errors="replace") as log:
            log.seek(worker.log_from)
            for what, keys in SAID.findall(log.read()):
                numbers = {int(n) for n in NUMBERS.findall(keys)[0].split(",")}
                ready = ready | numbers if what == "partition_ready" else ready - numbers
        return ready

    def wipe(self, slot: str) -> None:
        """Its folder of state, gone."""
        shutil.rmtree(self.slot_folder(slot), ignore_errors=True)

    def said(self, slot: str, words: str) -> int:
        """How often its log has the words."""
        log = self.log(slot)
        return log.read_text(errors="replace").count(words) if log.exists() else 0
