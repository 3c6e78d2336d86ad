"""Where each microsecond goes: one partition through the stages of a worker, in one thread, CPU time of all threads.

usage: python bench/ablation.py [--broker HOST:PORT] [--events N] [--runs N]

One line of JSON a run: µs of CPU an event for each stage, and two ratios of all stages in Python: `late_tolerant`, with
a lateness of a day to one of a minute; `explainable`, with the cause and the expiry of changes encoded to without.
With a broker also `consume`, `output` and `changelog`: reading with crc checks, producing changes, producing states, each
with librdkafka's threads. Not here: the transaction's own requests, which take waiting more than work.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, the project's folder is not on the path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.exactness import decoders
from bench.filling import PARTITIONS, declare, drop, fill, topics
from bench.generator import Shape, generate
from bench.segments import REFERENCE
from segue.engine import Engine, Merger
from segue.plan import Plan
from segue.records import Change
from segue_agents.codecs.changes import ChangeEncoder
from segue_agents.rule_files import load_plan
from segue_agents.settings import Settings
from segue_agents.state.checkpoint import Checkpoint
from segue_agents.state.store import Store
from segue_agents.transport.clients import producer_config, source_config

_BATCH: Final = 3_000
_COMMIT_EVENTS: Final = 100_000
_NOW_MS: Final = 1_790_500_000_000
_CACHE: Final = 100_000, 1 << 30
Messages = list[list[Any]]
Times = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    shape = Shape(events=arguments.events, persons=arguments.events // 25)
    # first, in a small heap: after the stages, with all they leave behind, the same reading takes twice as long
    readings = [{"consume": consume(arguments.broker, shape)} if arguments.broker else {} for _ in range(arguments.runs)]
    messages = generate(shape).messages()
    with tempfile.TemporaryDirectory() as folder:
        long = declare("", Path(folder) / "long")
        short = declare("", Path(folder) / "short")
        for file in short.iterdir():
            text = file.read_text(encoding="utf-8").replace("lateness: 24 hours", "lateness: 1 minute")
            file.write_text(text, encoding="utf-8")
        for reading in readings:
            whole, impatient, bare = stages(messages, long), stages(messages, short), stages(messages, long, causes=False)
            total = sum(whole.values())
            written = produced(arguments.broker, messages, long) if arguments.broker else {}
            run = {**reading, **whole, **written, "in_python": total, "late_tolerant": total / sum(impatient.values()),
                   "explainable": total / (total - whole["changes"] + bare["changes"])}  # fmt: skip
            print(json.dumps({key: round(value, 3) for key, value in run.items()}), flush=True)
    return 0


def consume(broker: str, shape: Shape) -> float:
    """µs of CPU an event to have the messages in Python, read as a worker would and dropped."""
    suffix = f"-ablation-{uuid.uuid4().hex[:8]}"
    try:
        count = fill(broker, suffix, shape)
        consumer = Consumer(source_config(Settings(bootstrap=broker), "0"))
        consumer.list_topics(timeout=10)
        before = time.process_time()
        consumer.assign([TopicPartition(topic, partition, 0) for topic in topics(suffix) for partition in range(PARTITIONS)])
        left = count
        while left > 0:
            left -= sum(message.error() is None for message in consumer.consume(_BATCH, 0.05))
        spent = time.process_time() - before
        consumer.close()
        return spent / count * 1e6
    finally:
        drop(broker, suffix)


def produced(broker: str, messages: Messages, sources: Path) -> Times:
    """µs of CPU an event, of all threads, to have the changes and the states in Kafka."""
    kept: dict[str, list[Any]] = {"output": [], "changelog": []}
    stages(messages, sources, kept=kept)
    suffix = f"-ablation-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker})
    spent: Times = {}
    try:
        for stage, records in kept.items():
            admin.create_topics([NewTopic(stage + suffix, 1, 1)])[stage + suffix].result()
            producer = Producer(producer_config(Settings(bootstrap=broker, guarantee="at_least_once"), "0"))
            producer.list_topics(stage + suffix, timeout=10)
            before = time.process_time()
            for i, (key, value, headers) in enumerate(records):
                producer.produce(stage + suffix, value, key, 0, None, None, 0, headers)
                if i % 1_000 == 0:
                    producer.poll(0)
            producer.flush(60)
            spent[stage] = (time.process_time() - before) / sum(map(len, messages)) * 1e6
    finally:
        drop(broker, suffix)
    return spent


def stages(
    messages: Messages, sources: Path, causes: bool = True, kept: dict[str, list[Any]] | None = None
) -> Times:
    """Stage -> µs of CPU an event. `kept`: gets the records of changes and states."""
    with tempfile.TemporaryDirectory(prefix="segue-ablation-") as folder:
        return _stages(messages, load_plan(REFERENCE, sources), sources, Store(Path(folder) / "store"), causes, kept)


def _stages(
    messages: Messages, plan: Plan, sources: Path, store: Store, causes: bool, kept: dict[str, list[Any]] | None
) -> Times:
    partition, merger, encoder = Engine(plan).partition(0), Merger(plan.catalog, 0), ChangeEncoder(plan, 5)
    spent: Times = defaultdict(float)
    checkpoint = Checkpoint("0" * 16, 0, 0, {}, {})

    def timed(stage: str, work: Callable[..., Any], *given: Any) -> Any:
        before = time.thread_time()
        result = work(*given)
        spent[stage] += time.thread_time() - before
        return result

    def encode(changes: list[Change]) -> None:
        for record in encoder.encoded(changes, _NOW_MS, 0):
            if kept is not None:
                kept["output"].append(record)

    sweep = partition._sweep  # noqa: SLF001 (the step's timers, which are told apart from the rest of it)
    partition._sweep = lambda *given: timed("timers", sweep, *given)  # type: ignore[method-assign] # noqa: SLF001

    gc.collect()
    gc.disable()
    touched: set[bytes] = set()
    since = 0
    at = [0] * len(messages)
    by_source = {d.source_index: (d, 1 if d.source.name == "email" else 0) for d in decoders(plan, sources)}
    while any(at[i] < len(m) for i, m in enumerate(messages)) or touched:
        for index, (decoder, which) in by_source.items():
            if at[which] >= len(messages[which]):
                merger.at_end(index)
            elif merger.buffered(index) < 3 * _BATCH:
                chunk = messages[which][at[which] : at[which] + _BATCH]
                at[which] += len(chunk)
                timed("merge", merger.feed, index, timed("decode", decoder.decode, chunk))
        while (batch := timed("merge", merger.take, _BATCH)) is not None:
            timed("missing", partition.missing, batch)
            step = timed("step", partition.step, batch)
            changes = step.changes if causes else [_bare(c) for c in step.changes]
            timed("changes", encode, changes)
            touched |= step.touched
            since += len(batch.kind)
        if since >= _COMMIT_EVENTS or all(at[i] >= len(m) for i, m in enumerate(messages)):
            states = timed("states", partition.encoded, touched)
            timed("store", store.write, states, checkpoint)
            if kept is not None:
                kept["changelog"] += [(person, state, None) for person, state in states]
            timed("evict", partition.evict, *_CACHE, touched)
            touched, since = set(), 0
    gc.enable()
    store.close()
    spent["step"] -= spent["timers"]
    count = sum(map(len, messages))
    return {stage: s / count * 1e6 for stage, s in spent.items()}


def _bare(change: Change) -> Change:
    """A change that does not say why, nor until when."""
    return change._replace(cause_event=None, expires_at_ms=None)


if __name__ == "__main__":
    sys.exit(main())
