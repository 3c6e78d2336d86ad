"""What a person costs whose state is not in memory, and how much memory many take.

usage: bigstate.py [--persons N] [--batches N] [--folder DIR]

Makes N persons in one store: real encoded states of the shop's rules, with a timer each within the day, copied under other
keys. Opens it as a start does (one scan, timers in the wheel), then steps over batches whose persons come evenly from all
of them, with memory for a tenth, and over as many from few, and commits to the store (no Kafka). One line of JSON: CPU
microseconds an event of both, of the parts of a miss, microseconds a person of the scan, memory, bytes of the store.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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


def main() -> int:
    """Exit 1 when the scan misses a person."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=120)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    settings = Settings(bootstrap="none:1", app_id="bigstate", rules=Path("examples/shop"))
    engine = Engine(load_plan(settings.rules, settings.sources))
    folder = Path(tempfile.mkdtemp(prefix="segue-bigstate-", dir=arguments.folder))
    try:
        fill(engine, folder / "store", arguments.persons)
        run = measure(engine, folder / "store", arguments.persons, arguments.batches)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(run), flush=True)
    return int(run["scanned"] != arguments.persons)


def key(n: int, persons: int) -> bytes:
    """In no order."""
    return b"person-%09d-%05d" % (n * 7_919 % persons, n % 99_991)


def batch(chosen: list[bytes], now_ms: int, kind: int, columns: int) -> Batch:
    """One event a person, of no values."""
    n = len(chosen)
    return Batch(
        partition=0, source=[0] * n, kind=[kind] * n, person=chosen, time_ms=[now_ms] * n, offset=list(range(n)),
        slots=[[None] * n for _ in range(columns)], moment=[], late=[], engine_time_ms=now_ms,
        clock_key=0, next_offsets={0: n}, consumed={0: n},
    )  # fmt: skip


def fill(engine: Engine, folder: Path, persons: int) -> None:
    """States as the engine makes them of one event of each kind, due at any time of the day to come."""
    made, chance = engine.partition(0), random.Random(1)
    for kind in range(KINDS):
        made.step(batch([b"%d" % n for n in range(100)], NOW_MS - 1000 + kind, kind, engine.program.plan.n_columns))
    tails = [made.encode(b"%d" % n)[8:] for n in range(100)]
    with Store(folder) as store:
        for first in range(0, persons, 20_000):
            rows = [
                (key(n, persons), (NOW_MS + chance.randrange(DAY_MS)).to_bytes(8, "big") + tails[n % 100])
                for n in range(first, min(persons, first + 20_000))
            ]
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
        chance, spent, events = random.Random(2), dict[str, float](), 0
        few = drive(engine, state, store, [key(n, persons) for n in range(min(FEW, persons))], batches, chance, {})
        everyone = _Everyone(persons)
        evenly = drive(engine, state, store, everyone, batches, chance, spent)
        events = batches * ROWS
        return {
            "persons": persons, "scanned": scanned, "scan_us_a_person": round(scan / persons * 1e6, 2),
            "few_us_an_event": round(few / events * 1e6, 2), "evenly_us_an_event": round(evenly / events * 1e6, 2),
            "parts_us_an_event": {part: round(s / events * 1e6, 2) for part, s in spent.items()},
            "memory_mb_after_scan": after_scan, "memory_mb": memory_mb(), "timers": state.timers_pending,
            "store_mb": round(store.size_bytes() / 1e6),
        }  # fmt: skip


class _Everyone:
    """All keys, without a list of them."""

    def __init__(self, persons: int) -> None:
        self._persons = persons

    def __len__(self) -> int:
        return self._persons

    def __getitem__(self, n: int) -> bytes:
        return key(n, self._persons)


def drive(
    engine: Engine, state: PartitionState, store: Store, persons: Any, batches: int, chance: random.Random,
    spent: dict[str, float],
) -> float:  # fmt: skip
    """CPU seconds of batches and commits; `spent` gets those of the parts."""
    touched: set[bytes] = set()
    columns, limit, total = engine.program.plan.n_columns, max(FEW, len(persons) // 10), 0.0

    def part(name: str, work: Any, *arguments: Any) -> Any:
        nonlocal total
        at = time.process_time()
        result = work(*arguments)
        took = time.process_time() - at
        spent[name] = spent.get(name, 0.0) + took
        total += took
        return result

    for n in range(batches):
        chosen = [persons[chance.randrange(len(persons))] for _ in range(ROWS)]
        taken = batch(chosen, state.engine_time_ms + 100, n % KINDS, columns)
        missing = part("missing", state.missing, taken)
        found = part("get", store.get, missing)
        part("load", lambda m=missing, f=found: list(map(state.load, m, f)))
        touched |= part("step", state.step, taken).touched
        if n % COMMIT_BATCHES == COMMIT_BATCHES - 1:
            rows = part("encode", lambda t=touched: [(p, state.encode(p)) for p in t])
            part("write", store.write, rows, Checkpoint("", 0, 0, {}, {}))
            part("evict", state.evict, limit, 1 << 40, touched)
            touched = set()
    return total


def memory_mb() -> int:
    """Resident, of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


if __name__ == "__main__":
    sys.exit(main())
