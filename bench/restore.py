"""How fast a worker with an empty disk has its state back.

usage: restore.py [--broker HOST:PORT] [--persons N] [--partitions N] [--runs N] [--profile]

Writes N persons (state and key some 250 bytes, with a timer each) to a changelog topic of its own, as a worker's
transactions would, restores it N times from nothing as a worker does (some partitions at once; one after the other with
`--profile`), and deletes the topic. One line of JSON a run:
persons per second of wall time and of CPU time (the broker's not counted), peak memory. CPU above one core is RocksDB's and
librdkafka's threads.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from segue.engine import Engine
from segue_agents.outside import Outside
from segue_agents.rule_files import load_plan
from segue_agents.settings import Settings
from segue_agents.state.changelog import Changelog
from segue_agents.state.checkpoint import KEY, Checkpoint
from segue_agents.state.recovery import Recovered, Recovery
from segue_agents.topics import state_topic, topic_configs
from segue_agents.transport.assignment import RESTORED_AT_ONCE
from segue_agents.transport.clients import producer_config

TRANSACTION_PERSONS = 20_000
ANEW = 0.05
"""share of persons whose state is written once more later on: a changelog is never quite compacted"""


def main() -> int:
    """Exit 1 when a person is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="127.0.0.1:9092")
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    settings = Settings(bootstrap=arguments.broker, app_id=f"restore-{uuid.uuid4().hex[:8]}", rules=Path("examples/shop"))
    engine = Engine(load_plan(settings.rules, settings.sources))
    topic, admin = state_topic(settings.app_id), AdminClient({"bootstrap.servers": arguments.broker})
    config = topic_configs(settings)[topic]
    admin.create_topics([NewTopic(topic, arguments.partitions, config=config)])[topic].result()
    try:
        offsets = fill(settings, engine, arguments.persons, arguments.partitions)
        runs = [restore(settings, engine, offsets, arguments.profile) for _ in range(arguments.runs)]
    finally:
        admin.delete_topics([topic])[topic].result()
    return int(any(run["persons"] != arguments.persons for run in runs))


def states(engine: Engine, persons: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys in no order, states as the engine's: when next due, the layout's tag, and as much as a real one has."""
    chance = random.Random(1)
    filling = [msgspec.msgpack.encode([0, chance.randbytes(90) + bytes(95)]) for _ in range(1_000)]
    due_ms, tag = 1_790_000_000_000, engine.program.layout.tag
    for n in range(persons):
        person = b"person-%09d-%05d" % (n * 7_919 % persons, n % 99_991)
        yield person, (due_ms + chance.randrange(86_400_000)).to_bytes(8, "big") + tag + filling[n % 1_000]


def fill(settings: Settings, engine: Engine, persons: int, partitions: int) -> list[dict[str, int]]:
    """Fills the changelog; returns the committed offsets of each partition."""
    producer = Producer(producer_config(settings, "bench"))
    producer.init_transactions()
    topic, written = state_topic(settings.app_id), [0] * partitions
    offsets: list[dict[str, int]] = [{} for _ in range(partitions)]
    pending: list[tuple[bytes, bytes]] = []
    again = random.Random(2)

    def commit() -> None:
        producer.begin_transaction()
        counts = [0] * partitions
        for n, (person, state) in enumerate(pending):
            producer.produce(topic, state, person, n % partitions)
            counts[n % partitions] += 1
        for index in range(partitions):
            written[index] += counts[index]
            after = {"site": written[index]}
            checkpoint = Checkpoint(engine.program.layout.id, 0, 0, after, offsets[index], states=counts[index],
                                    members=[0] * len(engine.plan.segments))  # fmt: skip
            producer.produce(topic, checkpoint.encode(), KEY, index)
            offsets[index] = after
        producer.commit_transaction()
        pending[:] = pending[: int(len(pending) * ANEW) // partitions * partitions] if again.random() < 0.5 else []

    for row in states(engine, persons):
        pending.append(row)
        if len(pending) >= TRANSACTION_PERSONS * partitions:
            commit()
    commit()
    return offsets


def restore(settings: Settings, engine: Engine, offsets: list[dict[str, int]], profile: bool) -> dict[str, Any]:
    """All partitions from nothing; prints what it took."""
    folder = Path(tempfile.mkdtemp(prefix="segue-restore-"))
    gc.collect()
    gc.disable()  # as in a worker
    profiler = cProfile.Profile()
    try:
        cpu, started = cpu_s(), time.perf_counter()
        if profile:
            profiler.enable()
        with ThreadPoolExecutor(RESTORED_AT_ONCE) as threads:
            each = map if profile else threads.map  # a profiler sees its own thread only
            done = list(each(partial(recover, settings, engine, folder), range(len(offsets)), offsets))
        profiler.disable()
        wall, cpu = time.perf_counter() - started, cpu_s() - cpu
        persons = sum(recovered.persons for recovered in done)
        size = sum(recovered.store.size_bytes() for recovered in done)
        for recovered in done:
            recovered.store.close()
    finally:
        shutil.rmtree(folder)
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(14)
    run = {
        "persons": persons, "persons_per_s": round(persons / wall), "wall_s": round(wall, 2), "cpu_s": round(cpu, 2),
        "cpu_us_a_person": round(cpu / persons * 1e6, 2), "store_mb": round(size / 1e6),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), "load": os.getloadavg()[0],
    }  # fmt: skip
    print(json.dumps(run), flush=True)
    return run


def recover(settings: Settings, engine: Engine, folder: Path, index: int, committed: dict[str, int]) -> Recovered:
    """One partition, with consumers of its own, as the worker's assignment does it."""
    outside = Outside()
    changelog = Changelog(settings, outside)
    recovery = Recovery(changelog, engine.program.layout, settings.app_id, True, lambda *_: None, threading.Event(), outside)
    try:
        return recovery.recover(index, folder / f"partition-{index}", committed, partial(engine.partition, index))
    finally:
        changelog.close()


def cpu_s() -> float:
    """Of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
