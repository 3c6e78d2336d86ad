"""Run real workers over the reference workload and say what it cost.

usage: run.py WORKERS ORACLE.pickle [--broker HOST:PORT] [--kill SECONDS] [--wipe] [--join SECONDS] [--guarantee G]
The topics site-events and email-events must be filled. Each run has an app id, topics and state of its own.
  --kill S   kill -9 the first worker after S seconds of work, and start it again
  --wipe     ... and delete its local state before it starts again
  --join S   start the last worker only after S seconds of work
Time counts from the first partition that is ready to the commit of the last offset; CPU is that of the workers,
start-up included. Ends with the comparison against the oracle; exit 1 if a change differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))  # run as a script, the project's folder is not on the path

from bench.generator import TOPICS  # noqa: E402
from bench.reference.compare import compare  # noqa: E402
from bench.workers import environment  # noqa: E402


class Workers:
    """Child processes, one a slot."""

    def __init__(self, app: str, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.app, self.arguments = folder, app, arguments
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.cpu_s = self.peak_mb = 0.0

    def start(self, slot: int) -> None:
        log = (self.folder / f"worker-{slot}.log").open("ab")
        self.processes[slot] = subprocess.Popen(
            [sys.executable, "-m", "segue_agents.cli", "run", "--broker", self.arguments.broker, "--app-id", self.app,
             "--slot", str(slot), "--data-dir", str(self.folder / "state"), "--clock", "none",
             "--rules", str(self.arguments.rules), "--sources", str(self.arguments.sources),
             "--output-format", "json", "--output-topic", f"out-{self.app}", "--guarantee", self.arguments.guarantee,
             "--log-format", "console"],
            stdout=log, stderr=subprocess.STDOUT, env=environment() | self.arguments.environment,
        )  # fmt: skip

    def stop(self, slot: int, how: signal.Signals) -> None:
        process = self.processes.pop(slot)
        peak_kb = _peak_kb(process.pid)
        process.send_signal(how)
        _, _, usage = os.wait4(process.pid, 0)
        self.cpu_s += usage.ru_utime + usage.ru_stime
        self.peak_mb += (peak_kb or usage.ru_maxrss) / 1024

    def ready_at(self) -> float | None:
        """When the first partition of any worker was ready, by its log."""
        lines = [line for f in self.folder.glob("*.log") for line in f.read_text().splitlines() if "partition_ready" in line]
        return min((datetime.fromisoformat(x.split()[0]).replace(tzinfo=UTC).timestamp() for x in lines), default=None)


def _peak_kb(pid: int) -> int:
    """Peak memory of a process that runs; 0 where the system does not tell. Not its ru_maxrss: that begins with the
    memory of whoever started it, until it became what it is."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def ends(broker: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """End offsets of the inputs."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "bench-look", "enable.auto.commit": False})
    known = consumer.list_topics(timeout=10).topics
    out = {
        (t, p): consumer.get_watermark_offsets(TopicPartition(t, p), timeout=10)[1]
        for t in topics
        for p in known[t].partitions
    }
    consumer.close()
    return out


def committed(group: Consumer, end: dict[tuple[str, int], int]) -> int:
    """How many records the group has committed. Asked by a consumer that is no member, as an AdminClient may crash."""
    try:
        found = group.committed([TopicPartition(t, p) for t, p in end], timeout=5)
    except KafkaException:  # its coordinator is at a commit: asked again
        return 0
    return sum(max(0, t.offset) for t in found)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("workers", type=int)
    parser.add_argument("oracle", type=Path)
    parser.add_argument("--broker", default="127.0.0.1:19092")
    parser.add_argument("--kill", type=float)
    parser.add_argument("--wipe", action="store_true")
    parser.add_argument("--join", type=float)
    parser.add_argument("--guarantee", default="exactly_once")
    parser.add_argument("--timeout", type=float, default=300)
    parser.set_defaults(
        rules=HERE.parents[1] / "examples" / "reference", sources=HERE / "sources", topics=TOPICS, environment={}
    )
    arguments = parser.parse_args()
    app = f"bench-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="segue-bench-"))
    result = measure(app, folder, arguments)
    result |= compare(f"out-{app}", arguments.oracle, arguments.broker)
    AdminClient({"bootstrap.servers": arguments.broker}).delete_topics(
        [f"out-{app}", *(f"segue-{app}-{x}" for x in ("state", "clock", "dead-letters"))]
    )
    print(json.dumps(result))
    same = result["identical"] == result["expected"] and not result["extra"] and not result["out_of_sequence"]
    if same:
        shutil.rmtree(folder)
    return not same


def undisturbed(
    broker: str, rules: Path, sources: Path, topics: Sequence[str], workers: int, guarantee: str = "exactly_once",
    environment: Mapping[str, str] | None = None, timeout: float = 300.0,
) -> argparse.Namespace:
    """What `measure` is to do when nobody is killed and nobody joins later."""
    return argparse.Namespace(
        broker=broker, rules=rules, sources=sources, topics=topics, workers=workers, guarantee=guarantee,
        environment=dict(environment or {}), timeout=timeout, kill=None, join=None, wipe=False,
    )


def measure(app: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let the workers work until everything is committed."""
    group = Consumer({"bootstrap.servers": arguments.broker, "group.id": app, "enable.auto.commit": False})
    end = ends(arguments.broker, arguments.topics)
    total = sum(end.values())
    workers = Workers(app, folder, arguments)
    late = arguments.workers - 1 if arguments.join else None
    started = time.time()
    for slot in range(arguments.workers):
        if slot != late:
            workers.start(slot)
    ready, kill, join = None, arguments.kill, arguments.join
    while (done := committed(group, end)) < total:
        ready = ready or workers.ready_at()
        worked = time.time() - ready if ready else 0.0
        if kill and worked > kill:
            workers.stop(0, signal.SIGKILL)
            if arguments.wipe:
                shutil.rmtree(folder / "state" / app / "0")
            workers.start(0)
            kill = None
        if join and late is not None and worked > join:
            workers.start(late)
            join = None
        dead = [slot for slot, process in workers.processes.items() if process.poll() is not None]
        if dead or time.time() - started > arguments.timeout:
            raise SystemExit(f"only {done} of {total} committed; logs in {folder}")
        time.sleep(0.1)
    finished = time.time()
    group.close()
    for slot in list(workers.processes):
        workers.stop(slot, signal.SIGTERM)
    wall_s = finished - (ready or started)
    return {
        "workers": arguments.workers, "guarantee": arguments.guarantee, "events": total, "wall_s": round(wall_s, 2),
        "events_per_s": round(total / wall_s), "events_per_s_with_start": round(total / (finished - started)),
        "cpu_s_per_million": round(workers.cpu_s / total * 1e6, 2), "peak_mb": round(workers.peak_mb),
        "logs": str(folder),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
