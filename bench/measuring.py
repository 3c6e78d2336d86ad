"""Runs scenarios: fills topics of their own, works out the changes there should be, and lets workers and peers alternate."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from bench.exactness import Changes, expected
from bench.filling import PARTITIONS, declare, drop, fill, topics
from bench.reference.compare import compared
from bench.reference.run import measure
from bench.scenarios import Scenario, Script
from bench.segments import write

HERE: Final = Path(__file__).parent
TIMEOUT_S: Final = 300.0
_PEER = re.compile(
    r"(?P<events>\d+) events; wall (?P<wall_s>[\d.]+)s \((?P<events_per_s>[\d,]+)/s\), with start-up (?P<start_s>[\d.]+)s; "
    r"cpu [\d.]+s \((?P<cpu_s_per_million>[\d.]+) s/M.*?rss (?P<peak_mb>\d+) MB"
)
Say = Callable[[str], None]


class Inexact(Exception):
    """A run whose changes are not what they should be: its speed is worth nothing."""


def run_workers(scenarios: Iterable[Scenario], bootstrap: str, runs: int, kstreams: Path | None, say: Say) -> dict[str, Any]:
    """Scenarios of one workload, in rounds, so that they alternate. Raises Inexact."""
    scenarios = list(scenarios)
    suffix = f"-bench-{uuid.uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix="segue-bench-"))
    out: dict[str, Any] = {s.name: {"title": s.title, "n": runs, "runs": []} for s in scenarios}
    try:
        sources = declare(suffix, folder / "contracts")
        count = fill(bootstrap, suffix, scenarios[0].shape, scenarios[0].times)
        say(f"{count:,} events are there")
        rules = {s.name: write(folder / f"rules-{s.name}", s.segments, s.shared) for s in scenarios}
        should = _expected(scenarios, rules, sources, bootstrap)
        for _ in range(runs):
            for scenario in scenarios:
                run = _one(scenario, suffix, rules[scenario.name], sources, should[scenario.name], bootstrap, folder)
                out[scenario.name]["runs"].append(run)
                say(f"{scenario.name}: {run['events_per_s']:,} events/s, {run['cpu_s_per_million']} µs of CPU an event")
                if kstreams and scenario.peer:
                    run = peer(kstreams, suffix, count, should[scenario.name], scenario.guarantee, folder)
                    out[scenario.name].setdefault("kstreams", []).append(run)
                    say(f"{scenario.name}, Kafka Streams: {run['events_per_s']:,} events/s, {run['cpu_s_per_million']} µs")
    finally:
        drop(bootstrap, suffix)
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _expected(scenarios: list[Scenario], rules: dict[str, Path], sources: Path, bootstrap: str) -> dict[str, Changes]:
    known: dict[tuple[int, bool], Changes] = {}
    for s in scenarios:
        if (s.segments, s.shared) not in known:
            known[s.segments, s.shared] = expected(bootstrap, rules[s.name], sources, PARTITIONS)
    return {s.name: known[s.segments, s.shared] for s in scenarios}


def _one(
    scenario: Scenario, suffix: str, rules: Path, sources: Path, should: Changes, bootstrap: str, folder: Path
) -> dict[str, Any]:
    app = f"run-{uuid.uuid4().hex[:8]}{suffix}"
    own = folder / app
    own.mkdir()
    arguments = argparse.Namespace(
        broker=bootstrap, rules=rules, sources=sources, topics=topics(suffix), environment=dict(scenario.environment),
        workers=scenario.workers, guarantee=scenario.guarantee, timeout=TIMEOUT_S, kill=None, join=None,
        wipe=False)  # fmt: skip
    load = os.getloadavg()[0]
    run = measure(app, own, arguments) | compared(f"out-{app}", should, bootstrap) | {"load_before": round(load, 2)}
    run.pop("logs")
    if run["missing"] or run["extra"] or run["out_of_sequence"] or run["doubled_ids"]:
        raise Inexact(f"{scenario.name}: the changes are not what they should be: {json.dumps(run)}")
    shutil.rmtree(own)
    return run


def peer(kstreams: Path, suffix: str, events: int, should: Changes, guarantee: str, folder: Path) -> dict[str, Any]:
    """One run of Kafka Streams from its own folder, by its own run.sh, which speaks to the broker at 127.0.0.1:19092."""
    scratch = folder / "peer"
    (scratch / ".bench").mkdir(parents=True, exist_ok=True)
    oracle = scratch / "expected.pickle"
    oracle.write_bytes(pickle.dumps((should, Counter(row[1:3] for row in should.elements()), {})))
    build = os.environ.get("BUILD") or str(HERE.parent / ".bench" / "kstreams")
    environment = os.environ | {"SUFFIX": suffix, "N": str(events), "ORACLE": str(oracle), "PY": sys.executable,
                                "BUILD": build, "JOPT": "-XX:+UseParallelGC"}  # fmt: skip
    mode = "exactly_once_v2" if guarantee == "exactly_once" else guarantee
    done = subprocess.run(["sh", str((kstreams / "run.sh").resolve()), "2", mode, "1000"], cwd=scratch, env=environment,
                          capture_output=True, text=True, check=False, timeout=2 * TIMEOUT_S)  # fmt: skip
    return parsed(done.stdout + done.stderr)


def parsed(said: str) -> dict[str, Any]:
    """The figures in the line that the peer's harness prints. Raises SystemExit when there is none."""
    found = _PEER.search(said)
    if found is None:
        raise SystemExit(f"The peer said nothing that could be read. Its last words: {said[-600:]}")
    check = re.search(r"identical (\d+), missing (\d+), extra (\d+)", said)
    if check is None or check[2] != "0" or check[3] != "0":
        raise Inexact(f"The peer's changes are not what they should be: {said[-600:]}")
    numbers = {key: float(text.replace(",", "")) for key, text in found.groupdict().items()}
    return {key: int(x) if key in {"events", "events_per_s", "peak_mb"} else x for key, x in numbers.items()}


def run_script(script: Script, bootstrap: str, runs: int, say: Say) -> dict[str, Any] | None:
    """The lines of JSON that it prints; None when its file is not there."""
    file, *rest = script.command
    if not (HERE / file).exists():
        say(f"{script.name}: left out, bench/{file} is not there")
        return None
    arguments = [a.format(broker=bootstrap, runs=runs) for a in rest]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, str(HERE / file), *arguments], stdout=subprocess.PIPE, text=True, check=True,
                          cwd=HERE.parent, env=environment)  # fmt: skip
    say(f"{script.name}: {done.stdout.strip()}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {"title": script.title, "n": len(lines), "runs": lines}
