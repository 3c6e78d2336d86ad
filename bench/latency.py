"""How long it takes from an event to its change, as a reader of committed records sees it.

usage: latency.py [--broker HOST:PORT] [--rate N] [--burst N] [--seconds N] [--workers N] [--guarantee G] [--clock C]
                  [--commit-ms N] [--runs N]

Makes topics and an app of its own, starts workers with commits each 100 ms, and sends events of both sources at a steady
rate, as of now; with `--burst` so many at a time, and a lull after each. A tenth of them are the first of a person, which
puts that person into a segment at once; the others are of persons known already and change nothing. An event's time
begins just before it is handed to a producer (that does not linger) and ends when a read_committed consumer has its
change in hand. The first second is not counted. One line of JSON a run: milliseconds, and the workers' CPU as a share of
one core: idle before the events (`idle_cpu`), and during them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from fastavro import schemaless_writer

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script
from bench.filling import declare
from bench.start import usage
from bench.workers import environment
from segue_agents.rule_files import load_catalog
from segue_agents.settings import Settings
from segue_agents.topics import create_topics, input_topics, topic_configs
from segue_schemas import full_name, schema_ids

PARTITIONS: Final = 4
RULES: Final = """\
segment: segment_fresh
when: did (purchase or click) in the last 1 hour
---
segment: segment_busy
when: count(product_view or open) >= 1000 in the last 1 hour
"""
FRESH_EACH: Final = 10
"""events, of which one is the first of its person"""
EMAIL_EACH: Final = 5
KNOWN: Final = 5_000
"""persons that come again and again"""
WARM_S: Final = 1.0
IDLE_S: Final = 3.0
WITHIN_S: Final = 30.0


def main() -> int:
    """Exit 1 when a change does not come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="127.0.0.1:9092")
    parser.add_argument("--rate", type=int, default=2_000, help="events a second")
    parser.add_argument("--burst", type=int, default=1, help="events at once")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--guarantee", choices=["exactly_once", "at_least_once"], default="exactly_once")
    parser.add_argument("--clock", choices=["none", "ticks"], default="ticks")
    parser.add_argument("--commit-ms", type=int, default=100)
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    for _ in range(arguments.runs):
        print(json.dumps(measure(arguments)), flush=True)
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """One run. Raises SystemExit."""
    with own_app(arguments) as settings, Reader(settings) as reader, workers(settings, arguments.workers) as pids:
        sender = Sender(settings)
        sender.fresh(False)
        reader.wait_for(sender.sent)  # the workers run
        before = cpu_s(pids)
        time.sleep(IDLE_S)
        idle = (cpu_s(pids) - before) / IDLE_S
        before, began = cpu_s(pids), time.perf_counter()
        sender.send(arguments.rate, WARM_S, arguments.burst)
        warm = len(sender.sent)
        sender.send(arguments.rate, arguments.seconds, arguments.burst)
        busy = (cpu_s(pids) - before) / (time.perf_counter() - began)
        reader.wait_for(sender.sent)
        took = sorted(1000 * (reader.seen[p] - at) for p, at in list(sender.sent.items())[warm:])
    return {
        "guarantee": arguments.guarantee, "clock": arguments.clock, "workers": arguments.workers, "rate": arguments.rate,
        "burst": arguments.burst,
        "n": len(took), **{f"p{share}_ms": round(took[len(took) * share // 100], 1) for share in (50, 90, 99)},
        "max_ms": round(took[-1], 1), "late_ms": round(sender.late_ms, 1), "idle_cpu": round(idle, 3), "cpu": round(busy, 3),
        "load": os.getloadavg()[0],
    }  # fmt: skip


@contextmanager
def own_app(arguments: argparse.Namespace) -> Iterator[Settings]:
    """Its topics and its folder, until it is done."""
    folder, app = Path(tempfile.mkdtemp(prefix="segue-latency-")), f"latency-{uuid.uuid4().hex[:8]}"
    (folder / "rules.yaml").write_text(RULES)
    settings = Settings(
        bootstrap=arguments.broker, app_id=app, rules=folder / "rules.yaml",
        sources=declare(f"-{app}", folder / "contracts"), data_dir=folder / "state", output_topic=f"out-{app}",
        guarantee=arguments.guarantee, clock=arguments.clock, commit_interval_ms=arguments.commit_ms,
    )  # fmt: skip
    create_topics(settings, PARTITIONS)
    try:
        yield settings
    finally:
        admin = AdminClient({"bootstrap.servers": arguments.broker})
        for future in admin.delete_topics([*input_topics(settings), *topic_configs(settings)]).values():
            future.result()
        shutil.rmtree(folder)


@contextmanager
def workers(settings: Settings, n: int) -> Iterator[list[int]]:
    """Process ids of workers, ended afterwards."""
    given = ("app_id", "rules", "sources", "data_dir", "output_topic", "guarantee", "clock", "commit_interval_ms")
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in given]
    processes = []
    try:
        for slot in range(n):
            with (settings.data_dir.parent / f"{slot}.log").open("ab") as log:
                processes.append(subprocess.Popen(
                    [sys.executable, "-m", "segue_agents.cli", "run", "--broker", settings.bootstrap, "--slot", str(slot),
                     *flags],
                    stdout=log, stderr=log, env=environment(),
                ))  # fmt: skip
        yield [p.pid for p in processes]
    except SystemExit as error:
        raise SystemExit(f"{error}:\n{settings.data_dir.parent.joinpath('0.log').read_text()[-2000:]}") from error
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(30)


class Sender:
    """Events at a steady rate."""

    def __init__(self, settings: Settings) -> None:
        self.sent: dict[bytes, float] = {}
        """person -> when the event that changes it was handed over"""
        self.late_ms = 0.0
        """at most, behind the rate"""
        self._sources = {s.name: (s, header) for s, header in _headers(settings)}
        self._producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 0, "partitioner": "murmur2_random"})
        self._n = 0

    def send(self, rate: int, seconds: float, burst: int) -> None:
        """For so long."""
        began = time.perf_counter()
        for i in range(round(rate * seconds)):
            wait_s = began + i // burst * burst / rate - time.perf_counter()
            if wait_s > 0.0005:
                self._producer.poll(0)
                time.sleep(wait_s)
            self.late_ms = max(self.late_ms, -1000 * wait_s)
            self._n += 1
            if self._n % FRESH_EACH == 0:
                self.fresh(self._n // FRESH_EACH % EMAIL_EACH == 0)
            else:
                mailed = self._n % EMAIL_EACH == 1
                self._event(mailed, b"known-%d" % (self._n % KNOWN), "open" if mailed else "product_view")
        self._producer.flush(10)

    def fresh(self, mailed: bool) -> None:
        """The first event of a person."""
        person = b"fresh-%d" % len(self.sent)
        self.sent[person] = time.perf_counter()
        self._event(mailed, person, "click" if mailed else "purchase")

    def _event(self, mailed: bool, person: bytes, symbol: str) -> None:
        source, header = self._sources["email" if mailed else "site"]
        record: Mapping[str, Any] = {"event_id": uuid.uuid4().hex, "user_id": person.decode(), "type": symbol,
                                     "ts": time.time_ns() // 1_000_000}  # fmt: skip
        rest = {"campaign_id": "c1"} if mailed else {
            "product_id": "p1", "category": "c1", "price": 1.0, "quantity": None, "url": "/p1"}
        value = io.BytesIO()
        schemaless_writer(value, dict(source.schema), {**record, **rest})
        self._producer.produce(source.topic, header + value.getvalue(), person)


def _headers(settings: Settings) -> Iterator[tuple[Any, bytes]]:
    ids = schema_ids(settings.sources)
    for source in load_catalog(settings.sources).sources:
        yield source, b"\0" + ids[full_name(dict(source.schema))].to_bytes(4, "big")


class Reader:
    """Notes on a thread of its own when each person's first change is there."""

    def __init__(self, settings: Settings) -> None:
        self.seen: dict[bytes, float] = {}
        self._over = threading.Event()
        self._consumer = Consumer({
            "bootstrap.servers": settings.bootstrap, "group.id": f"{settings.app_id}-reader", "enable.auto.commit": False,
            "isolation.level": "read_committed",
        })  # fmt: skip
        self._consumer.assign([TopicPartition(settings.output_topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._over.is_set():
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None:
                self.seen.setdefault(message.key(), time.perf_counter())
        self._consumer.close()

    def wait_for(self, persons: Mapping[bytes, Any]) -> None:
        """Until all of these have changed. Raises SystemExit."""
        until = time.perf_counter() + WITHIN_S
        while missing := persons.keys() - self.seen.keys():
            if time.perf_counter() > until:
                raise SystemExit(f"{len(missing)} of {len(persons)} changes have not come")
            time.sleep(0.05)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def cpu_s(pids: list[int]) -> float:
    """Of these processes, so far."""
    return sum(float(usage(pid)["cpu_s"]) for pid in pids)


if __name__ == "__main__":
    sys.exit(main())
