"""How long a worker takes from its process's start to its first commit.

usage: start.py [--broker HOST:PORT] [--persons N] [--partitions N] [--runs N] [--rules DIR]

Makes input topics of its own, and a changelog of N persons (state and key some 250 bytes, with a timer each, none due).
A first start, not counted, brings the state onto disk; then a worker is started and ended N times. What it commits is one
event a partition, which waits for it: ticks alone are committed seldom. One line of JSON a run: seconds of wall time
until each of its first log lines and until the first commit, CPU seconds and memory as of that moment. Times end with a
poll each 20 ms.
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
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from fastavro import schemaless_writer

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script
from bench.filling import declare
from bench.restore import states
from bench.workers import environment
from segue.engine import Engine
from segue_agents.rule_files import load_catalog, load_plan
from segue_agents.settings import Settings
from segue_agents.state.checkpoint import KEY, Checkpoint
from segue_agents.topics import clock_topic, create_topics, input_topics, state_topic, topic_configs
from segue_agents.transport.clients import producer_config
from segue_schemas import full_name, schema_ids

HERE = Path(__file__).parent
TRANSACTION_PERSONS = 50_000
WITHIN_S = 120.0
STEPS = ("worker_starts", "session_started", "partitions_assigned", "partition_ready")


def main() -> int:
    """Exit 1 when a start does not come to a commit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="127.0.0.1:9092")
    parser.add_argument("--persons", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rules", type=Path, default=HERE.parent / "examples" / "reference")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    folder, app = Path(tempfile.mkdtemp(prefix="segue-start-")), f"start-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        bootstrap=arguments.broker,
        app_id=app,
        rules=arguments.rules,
        sources=declare(f"-{app}", folder / "contracts"),
        data_dir=folder / "state",
        output_topic=f"out-{app}",
    )
    try:
        create_topics(settings, arguments.partitions)
        if arguments.persons:
            fill(settings, arguments.persons, arguments.partitions)
        start(settings, folder / "first.log")
        for run in range(arguments.runs):
            print(json.dumps({"persons": arguments.persons, **start(settings, folder / f"{run}.log")}), flush=True)
    finally:
        AdminClient({"bootstrap.servers": arguments.broker}).delete_topics(
            [*input_topics(settings), *topic_configs(settings)], operation_timeout=30.0
        )
        time.sleep(1.0)  # the request must have left before the client goes
        shutil.rmtree(folder)
    return 0


def fill(settings: Settings, persons: int, partitions: int) -> None:
    """The changelog, and committed offsets that its checkpoints are of: 0 everywhere, as no input has a record."""
    engine = Engine(load_plan(settings.rules, settings.sources))
    producer = Producer(producer_config(settings, "bench"))
    producer.init_transactions()
    topic, rows = state_topic(settings.app_id), states(engine, persons)
    offsets = dict.fromkeys((*input_topics(settings), clock_topic(settings.app_id)), 0)
    group = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": settings.app_id})
    due = (int(time.time() * 1000) + 30 * 86_400_000).to_bytes(8, "big")
    previous: dict[str, int] = {}
    for first in range(0, persons, TRANSACTION_PERSONS):
        counts = [0] * partitions
        producer.begin_transaction()
        for n in range(first, min(first + TRANSACTION_PERSONS, persons)):
            person, state = next(rows)
            producer.produce(topic, due + state[8:], person, n % partitions)
            counts[n % partitions] += 1
        for index, count in enumerate(counts):
            checkpoint = Checkpoint(engine.program.layout.id, 0, 0, offsets, previous, states=count,
                                    members=[0] * len(engine.plan.segments))  # fmt: skip
            producer.produce(topic, checkpoint.encode(), KEY, index)
        producer.send_offsets_to_transaction(
            [TopicPartition(t, i, 0) for t in offsets for i in range(partitions)], group.consumer_group_metadata()
        )
        producer.commit_transaction()
        previous = offsets
    group.close()


def start(settings: Settings, log: Path) -> dict[str, Any]:
    """Starts a worker, waits for its first commit, ends it; says when what had happened. Raises SystemExit."""
    # read_uncommitted: the last committed offsets at once, where librdkafka waits for those of an open transaction else
    looking = Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": settings.app_id, "isolation.level": "read_uncommitted"}
    )
    site = input_topics(settings)[0]
    asked = [TopicPartition(site, i) for i in looking.list_topics(site, timeout=10).topics[site].partitions]
    offer_events(settings, len(asked))
    before, began, wall = committed(looking, asked), time.perf_counter(), time.time()
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "segue_agents.cli", "run", "--broker", settings.bootstrap, "--app-id", settings.app_id,
             "--slot", "0", "--data-dir", str(settings.data_dir), "--rules", str(settings.rules),
             "--sources", str(settings.sources), "--output-topic", settings.output_topic, "--log-format", "json"],
            stdout=out, stderr=subprocess.STDOUT, env=environment(),
        )  # fmt: skip
    try:
        while committed(looking, asked) == before:
            if process.poll() is not None or time.perf_counter() - began > WITHIN_S:
                raise SystemExit(f"no commit:\n{log.read_text()}")
            time.sleep(0.02)
        took_s, used = time.perf_counter() - began, usage(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        looking.close()
    return {**said(log, wall), "first_commit_s": round(took_s, 2), **used, "load": os.getloadavg()[0]}


def offer_events(settings: Settings, partitions: int) -> None:
    """One event of the first source in each partition, of a new person, as of now."""
    source = load_catalog(settings.sources).sources[0]
    header = b"\0" + schema_ids(settings.sources)[full_name(dict(source.schema))].to_bytes(4, "big")
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    for index in range(partitions):
        person, value = f"new-{uuid.uuid4().hex}", io.BytesIO()
        schemaless_writer(value, dict(source.schema), {
            "event_id": person, "user_id": person, "ts": int(time.time() * 1000), "type": "product_view",
            "product_id": "p1", "category": "c1", "price": 1.0, "quantity": None, "url": "/p1",
        })  # fmt: skip
        producer.produce(source.topic, header + value.getvalue(), person.encode(), index)
    if producer.flush(10):
        raise SystemExit("the events were not taken")


def committed(group: Consumer, asked: list[TopicPartition]) -> list[int]:
    """Offsets of the group; by a consumer that is no member."""
    while True:
        try:
            return [p.offset for p in group.committed(asked, timeout=10)]
        except KafkaException:  # its coordinator is at a commit: asked again
            time.sleep(0.02)


def usage(pid: int) -> dict[str, Any]:
    """What a process has used so far: CPU seconds, memory and its peak, threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {
        "cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        "rss_mb": int(status["VmRSS"].split()[0]) // 1024, "peak_mb": int(status["VmHWM"].split()[0]) // 1024,
        "threads": int(status["Threads"]),
    }  # fmt: skip


def said(log: Path, wall: float) -> dict[str, float]:
    """When the worker's log had each step for the last time, seconds since its start."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {
        f"{line['event']}_s": round(datetime.fromisoformat(line["ts"]).timestamp() - wall, 2)
        for line in lines if line["event"] in STEPS
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
