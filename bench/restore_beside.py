"""How fast workers, and Kafka Streams, have the state of the same events back from nothing on disk.

usage: restore_beside.py [--broker HOST:PORT] [--workload FOLDER] [--events N] [--persons N] [--runs N]

Both work off one backlog of evenly spread events, two workers and an application of two threads; then, alternating, each
is started N times without its local state. One line of JSON a run: persons, seconds, and persons a second of each.
Each counts, by its own log, from the first assignment until the last partition (ours) or changelog (Kafka Streams') is
restored. Without Kafka Streams' tools and folder, or on another port than 19092: ours alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script
from bench.filling import PARTITIONS, declare, drop, fill, topics
from bench.generator import Shape
from bench.peers import PEERS
from bench.reference.run import Workers, measure, undisturbed
from bench.segments import write

WITHIN_S: Final = 300.0
_WORKERS: Final = 2
_THREADS: Final = 2
_STORES: Final = 2
_SAID: Final = re.compile(r"^(\S+) .*(Adding newly assigned partitions|Finished restoring changelog)", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="127.0.0.1:9092")
    parser.add_argument("--workload", default="", help="the reference workload's folder, with its peers")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--persons", type=int, default=1_500_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    folder, app = Path(tempfile.mkdtemp(prefix="segue-restore-")), f"restore-{uuid.uuid4().hex[:8]}"
    suffix = f"-{app}"
    try:
        count = fill(arguments.broker, suffix, Shape(arguments.events, arguments.persons, skew=1.0, session=1))
        ours = Ours(arguments.broker, app, folder, suffix)
        theirs = streams(arguments, app, folder, suffix, count)
        for _ in range(arguments.runs):
            run = ours.restore()
            if theirs is not None:
                took_s = theirs.restore()
                run |= {"kstreams_s": took_s, "kstreams_persons_per_s": round(run["persons"] / took_s)}
                run["ratio"] = round(took_s / run["wall_s"], 2)
            print(json.dumps({**run, "load": os.getloadavg()[0]}), flush=True)
    finally:
        drop(arguments.broker, app)  # in the names of all topics
        shutil.rmtree(folder, ignore_errors=True)
    return 0


class Ours:
    """Two workers."""

    def __init__(self, broker: str, app: str, folder: Path, suffix: str) -> None:
        self._app, self._folder = app, folder / "segue"
        self._folder.mkdir()
        self._arguments = undisturbed(broker, write(folder / "rules", 4), declare(suffix, folder / "contracts"),
                                      topics(suffix), _WORKERS)
        measure(app, self._folder, self._arguments)

    def restore(self) -> dict[str, Any]:
        """Starts both without their state, and ends them when they have it. As static members that are back at once they
        have their partitions without a rebalance: so they are started before, and ended."""
        self._started()
        cpu_s = self._started()
        ready = self._said("partition_ready")
        took_s = (max(map(_when, ready)) - min(map(_when, self._said("partitions_assigned")))).total_seconds()
        persons = sum(int(line.split("persons=")[1].split()[0]) for line in ready)
        return {"persons": persons, "wall_s": round(took_s, 2), "persons_per_s": round(persons / took_s),
                "cpu_s": round(cpu_s, 2)}  # fmt: skip

    def _started(self) -> float:
        """From a start without state to having it; the seconds of CPU."""
        shutil.rmtree(self._folder / "state")
        for log in self._folder.glob("*.log"):
            log.unlink()
        workers, until = Workers(self._app, self._folder, self._arguments), time.monotonic() + WITHIN_S
        for slot in range(_WORKERS):
            workers.start(slot)
        try:
            while len(self._said("partition_ready")) < PARTITIONS:
                if time.monotonic() > until:
                    raise SystemExit(f"no state after {WITHIN_S:.0f} s; logs in {self._folder}")
                time.sleep(0.1)
        finally:
            for slot in range(_WORKERS):
                workers.stop(slot, signal.SIGTERM)
        return workers.cpu_s

    def _said(self, event: str) -> list[str]:
        return [line for log in self._folder.glob("*.log") for line in log.read_text().splitlines() if f" {event} " in line]


def _when(line: str) -> datetime:
    return datetime.fromisoformat(line.split(maxsplit=1)[0])


class Streams:
    """One application of Kafka Streams, of the workload's own program, which begins without state at each start."""

    def __init__(self, built: Path, broker: str, app: str, folder: Path, suffix: str, count: int) -> None:
        self._built, self._app, self._folder, self._count = built, f"kstreams-{app}", folder / "kstreams", count
        self._folder.mkdir()
        self._environment = os.environ | {"STATE": str(self._folder / "state"), "SUFFIX": suffix, "BOOT": broker}
        self._out = f"out-{self._app}"
        admin = AdminClient({"bootstrap.servers": broker})  # kept until the answer is there: it ends with it
        admin.create_topics([NewTopic(self._out, PARTITIONS, 1)])[self._out].result()
        with self._started("warn") as (process, log):
            if process.wait(WITHIN_S):
                raise SystemExit(f"Kafka Streams did not work the events off: {log.read_text()[-600:]}")

    def restore(self) -> float:
        """Seconds."""
        until = time.monotonic() + WITHIN_S
        with self._started("info") as (process, log):
            while len(done := self._when(log, "Finished")) < _STORES * PARTITIONS:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"Kafka Streams has no state: {log.read_text()[-600:]}")
                time.sleep(0.1)
        return round((done[-1] - self._when(log, "Adding")[0]).total_seconds(), 2)

    @staticmethod
    def _when(log: Path, word: str) -> list[datetime]:
        return [datetime.fromisoformat(at) for at, said in _SAID.findall(log.read_text()) if said.startswith(word)]

    @contextmanager
    def _started(self, level: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        log = self._folder / f"{uuid.uuid4().hex[:8]}.log"
        said = {"defaultLogLevel": level, "showDateTime": "true", "dateTimeFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS"}
        command = ["java", "-Xmx1g", "-XX:+UseParallelGC",
                   *(f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in said.items()),
                   "-cp", f"{self._built}/classes:{self._built}/libs/*", "bench.Main", str(_THREADS), "exactly_once_v2",
                   "1000", "rocksdb", str(self._count), self._out, self._app]  # fmt: skip
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=self._environment)
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()


def streams(arguments: argparse.Namespace, app: str, folder: Path, suffix: str, count: int) -> Streams | None:
    """Kafka Streams, after it has worked the events off; None where it cannot be run."""
    peer = PEERS["kstreams"]
    if not arguments.workload or peer.lacks(arguments.broker):
        return None
    # its run.sh builds what lacks, then hands over to $PY: here to a program that does nothing
    subprocess.run(["sh", str(Path(arguments.workload) / "peers" / "kstreams" / "run.sh")], check=True,
                   cwd=folder, env=os.environ | {"PY": "true", "BUILD": str(peer.built)})  # fmt: skip
    return Streams(peer.built, arguments.broker, app, folder, suffix, count)


if __name__ == "__main__":
    sys.exit(main())
