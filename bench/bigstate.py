"""What a person costs whose state is not in memory, and how much memory many take.

usage: bigstate.py [--persons N] [--batches N] [--folder DIR]

Makes N persons in one store: real encoded states of the shop's rules, with a timer each within the day, copied under other
keys. Opens it as a start does (one scan, timers in the wheel), then steps over batches, with memory for a tenth, and commits
to the store (no Kafka): persons of few, of all with most events from few (skewed), and evenly of all. One line of JSON: CPU
microseconds an event of each, of the parts where evenly, microseconds a person of the scan, memory, bytes of the store, and
how often RocksDB has written a byte after all of it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segue.engine import Engine, PartitionState
from segue.records import Batch
from segue_agents.rule_files import load_plan
from segue_agents.settings import Settings
from segue_agents.state.checkpoint import Checkpoint
from segue_agents.state.store import Store

NOW_MS = 1_790_000_000_000
ROWS = 2_500
COMMIT_BATCHES = 40
FEW = 20_000
KINDS = 3
"""of events that occur"""
DAY_MS = 86_400_000
IN_MEMORY = 200_000
"""persons at most, as the default of `max_persons` is"""
AT_ONCE = 50_000
TAILS, EVENTS = 5_000, 9
"""states that differ, and events of each in the middle: some 250 bytes"""
SKEW = 8
"""of a random number's power: a tenth of the persons have three quarters of the events"""
PREFIX = "segue-bigstate-"


def main() -> int:
    """Exit 1 when the scan misses a person."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=120)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    settings = Settings(bootstrap="none:1", app_id="bigstate", rules=Path("examples/shop"))
    engine = Engine(load_plan(settings.rules, settings.sources))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder goes
    forget_old(arguments.folder or Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=arguments.folder))
    try:
        fill(engine, folder / "store", arguments.persons)
        run = measure(engine, folder / "store", arguments.persons, arguments.batches)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(run), flush=True)
    return int(run["scanned"] != arguments.persons)


def forget_old(parent: Path) -> None:
    """Removes the folders of runs that were killed: gigabytes each."""
    for folder in parent.glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)


def key(place: int) -> bytes:
    """Of the person at a place of the store's order."""
    return b"person-%09d-%05d" % (place, place * 7 % 99_991)


def batch(chosen: list[bytes], now_ms: int, kind: int, columns: int) -> Batch:
    """One event a person, of no values."""
    n = len(chosen)
    return Batch(
        partition=0, source=[0] * n, kind=[kind] * n, person=chosen, time_ms=[now_ms] * n, offset=list(range(n)),
        slots=[[None] * n for _ in range(columns)], moment=[], late=[], engine_time_ms=now_ms,
        clock_key=0, next_offsets={0: n}, consumed={0: n},
    )  # fmt: skip


def fill(engine: Engine, folder: Path, persons: int) -> None:
    """States as the engine makes them of a few events, due at any time of the day to come."""
    made, chance = engine.partition(0), random.Random(1)
    columns, random_ms = engine.program.plan.n_columns, np.random.default_rng(1)
    for n in range(EVENTS):
        chosen = [b"%d" % chance.randrange(TAILS) for _ in range(TAILS)]
        times = sorted(NOW_MS - DAY_MS + (n * DAY_MS + chance.randrange(DAY_MS)) // EVENTS for _ in chosen)
        for first in range(0, TAILS, 20):
            made.step(batch(sorted(set(chosen[first : first + 20])), times[first], n % KINDS, columns))
    tails = [made.encode(person)[8:] for person in made.states]
    with Store(folder) as store:
        # in the order of their keys: files that do not overlap are not compacted, which would take minutes
        for first in range(0, persons, AT_ONCE):
            n = min(persons - first, AT_ONCE)
            due = (NOW_MS + random_ms.integers(0, DAY_MS, n)).astype(">i8").tobytes()
            rows = [(key(first + i), due[8 * i : 8 * i + 8] + tails[(first + i) % len(tails)]) for i in range(n)]
            store.replay(rows, Checkpoint("", 0, 0, {}, {}))


def measure(engine: Engine, folder: Path, persons: int, batches: int) -> dict[str, Any]:
    """The scan, then few persons, then all."""
    state = engine.partition(0)
    with Store(folder) as store:
        started, scanned = time.process_time(), 0
        for piece in store.pieces():
            state.restore(piece)
            scanned += len(piece)
        scan = time.process_time() - started
        state.resume(NOW_MS)
        gc.collect()
        gc.freeze()
        gc.disable()  # as a worker does
        after_scan = memory_mb()
        random.seed(2)
        step, load = persons // min(FEW, persons), partial(drive, engine, state, store, persons, batches)
        few = load(lambda: random.randrange(FEW) * step % persons)
        load(lambda: scattered(persons, SKEW))  # until memory holds those who come often
        skewed = load(lambda: scattered(persons, SKEW))
        evenly = load(lambda: scattered(persons, 1))
        return {
            "persons": persons, "scanned": scanned, "scan_us_a_person": round(scan / persons * 1e6, 2),
            "few_us_an_event": few["all"], "skewed_us_an_event": skewed["all"], "evenly_us_an_event": evenly["all"],
            "parts_skewed": skewed, "parts_evenly": evenly,
            "memory_mb_after_scan": after_scan, "memory_mb": memory_mb(), "timers": state.timers_pending,
            "store_mb": round(store.size_bytes() / 1e6), "written_times": written_times(store),
        }  # fmt: skip


def scattered(persons: int, skew: int) -> int:
    """A person's place; with a skew above 1 some come often, and they are all over the store."""
    return int(persons * random.random() ** skew) * 7_919 % persons


def written_times(store: Store) -> float:
    """Write amplification: bytes written to files for each byte flushed, since the store was opened."""
    said = store._db.property_value("rocksdb.stats")  # noqa: SLF001 (for a figure that only this wants)
    row = re.search(r"^ Sum .*$", said, re.MULTILINE)
    heads = re.search(r"^Level .*$", said, re.MULTILINE)
    assert row is not None
    assert heads is not None
    sizes = re.sub(r"(?<=\d) (?=[KMGT]B)", "", row[0]).split()
    return float(sizes[heads[0].split().index("W-Amp")])


def drive(
    engine: Engine, state: PartitionState, store: Store, persons: int, batches: int, place: Callable[[], int]
) -> dict[str, float]:
    """Batches and commits; CPU microseconds an event of each part, and of "all": RocksDB's threads too."""
    touched, spent = set[bytes](), {"all": 0.0}
    columns, limit = engine.program.plan.n_columns, max(FEW, min(persons // 10, IN_MEMORY))

    def part(name: str, work: Any, *arguments: Any) -> Any:
        at, in_all = time.thread_time(), time.process_time()
        result = work(*arguments)
        spent[name] = spent.get(name, 0.0) + time.thread_time() - at
        spent["all"] += time.process_time() - in_all
        return result

    for n in range(batches):
        taken = batch([key(place()) for _ in range(ROWS)], state.engine_time_ms + 100, n % KINDS, columns)
        missing = part("missing", state.missing, taken)
        found = part("get", store.get, missing)
        part("load", lambda m=missing, f=found: list(map(state.load, m, f)))
        touched |= part("step", state.step, taken).touched
        if n % COMMIT_BATCHES == COMMIT_BATCHES - 1:
            rows = part("encode", lambda t=touched: [(p, state.encode(p)) for p in t])
            part("write", store.write, rows, Checkpoint("", 0, 0, {}, {}))
            part("evict", state.evict, limit, 1 << 40, touched)
            touched = set()
    return {name: round(s / (batches * ROWS) * 1e6, 2) for name, s in spent.items()}


def memory_mb() -> int:
    """Resident, of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


if __name__ == "__main__":
    sys.exit(main())
