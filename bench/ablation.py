"""Where each microsecond goes: one partition through the stages of a worker, in one thread, CPU time of all threads.

usage: python bench/ablation.py [--broker HOST:PORT] [--events N] [--runs N]

One line of JSON a run: µs of CPU an event for each stage, `consume` with librdkafka's threads and crc checks (nothing
when no broker is named), and two ratios of all stages in Python: `late_tolerant`, with a lateness of a day to one of
a minute; `explainable`, with the cause and the expiry of changes encoded to without.
Not here: the store's and the changelog's writes and the commit, which belong to whole runs.
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

from bench.exactness import decoders, read
from bench.filling import declare, drop, fill, topics
from bench.generator import Shape, generate
from bench.segments import REFERENCE
from segue.engine import Engine, Merger
from segue.records import Change
from segue_agents.codecs.changes import ChangeEncoder
from segue_agents.rule_files import load_plan

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
    messages = generate(shape).messages()
    with tempfile.TemporaryDirectory() as folder:
        long = declare("", Path(folder) / "long")
        short = declare("", Path(folder) / "short")
        for file in short.iterdir():
            text = file.read_text(encoding="utf-8").replace("lateness: 24 hours", "lateness: 1 minute")
            file.write_text(text, encoding="utf-8")
        for _ in range(arguments.runs):
            consumed = {"consume": consume(arguments.broker, shape)} if arguments.broker else {}
            whole, impatient, bare = stages(messages, long), stages(messages, short), stages(messages, long, causes=False)
            total = sum(whole.values())
            run = {**consumed, **whole, "in_python": total, "late_tolerant": total / sum(impatient.values()),
                   "explainable": whole["changes"] / max(bare["changes"], 1e-9)}  # fmt: skip
            print(json.dumps({key: round(value, 3) for key, value in run.items()}), flush=True)
    return 0


def consume(broker: str, shape: Shape) -> float:
    """µs of CPU an event to have the messages in Python, read as a worker would and dropped."""
    suffix = f"-ablation-{uuid.uuid4().hex[:8]}"
    try:
        count = fill(broker, suffix, shape)
        before = time.process_time()
        for topic in topics(suffix):
            for partition in range(4):
                read(broker, topic, partition)
        return (time.process_time() - before) / count * 1e6
    finally:
        drop(broker, suffix)


def stages(messages: Messages, sources: Path, causes: bool = True) -> Times:
    """Stage -> µs of CPU an event."""
    plan = load_plan(REFERENCE, sources)
    partition, merger, encoder = Engine(plan).partition(0), Merger(plan.catalog, 0), ChangeEncoder(plan, 5)
    spent: Times = defaultdict(float)

    def timed(stage: str, work: Callable[..., Any], *given: Any) -> Any:
        before = time.thread_time()
        result = work(*given)
        spent[stage] += time.thread_time() - before
        return result

    def encode(changes: list[Change]) -> None:
        for _ in encoder.encoded(changes, _NOW_MS, 0):
            pass

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
            timed("states", partition.encoded, touched)
            timed("evict", partition.evict, *_CACHE, touched)
            touched, since = set(), 0
    gc.enable()
    count = sum(map(len, messages))
    return {stage: s / count * 1e6 for stage, s in spent.items()}


def _bare(change: Change) -> Change:
    """A change that does not say why, nor until when."""
    return change._replace(cause_event=None, expires_at_ms=None)


if __name__ == "__main__":
    sys.exit(main())
