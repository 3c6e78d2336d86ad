"""Runs scenarios: fills topics of their own, works out the changes there should be, and lets workers and peers alternate."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from bench.backlog import Backlog, Say, filled
from bench.exactness import Changes
from bench.filling import drop, topics
from bench.peers import PEERS, Inexact, Peer
from bench.peers import run as run_peer
from bench.reference.compare import compared
from bench.reference.run import measure, undisturbed
from bench.scenarios import Scenario, Script
from bench.segments import write

HERE: Final = Path(__file__).parent

def run_workers(scenarios: Iterable[Scenario], bootstrap: str, runs: int, workload: Path | None, say: Say) -> dict[str, Any]:
    """Scenarios of one backlog, in rounds, so that they alternate with each other and with their peers. Raises Inexact."""
    scenarios = list(scenarios)
    folder = Path(tempfile.mkdtemp(prefix="segue-bench-"))
    out: dict[str, Any] = {s.name: {"title": s.title, "n": runs, "runs": []} for s in scenarios}
    peers = {s.name: _peers(s, workload, bootstrap, say) for s in scenarios}
    backlog = filled(bootstrap, scenarios[0].shape, scenarios[0].times, workload, folder, say)
    try:
        rules = {s.name: write(folder / f"rules-{s.name}", s.segments, s.shared) for s in scenarios}
        should = _should(scenarios, rules, backlog, bootstrap)
        for _ in range(runs):
            for scenario in scenarios:
                run = _one(scenario, backlog, rules[scenario.name], should[scenario.name], bootstrap, folder)
                out[scenario.name]["runs"].append(run)
                _tell(scenario.name, run, say)
                for peer in peers[scenario.name]:
                    run = _other(peer, scenario, backlog, should[scenario.name], workload, folder)
                    out[scenario.name].setdefault("peers", {}).setdefault(peer.title, []).append(run)
                    _tell(f"{scenario.name}, {peer.title}", run, say)
    finally:
        backlog.drop(bootstrap)
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _peers(scenario: Scenario, workload: Path | None, bootstrap: str, say: Say) -> list[Peer]:
    """Those whose tools are here."""
    able = []
    for peer in (PEERS[name] for name in scenario.peers if workload is not None):
        lacks = peer.lacks(bootstrap)
        if lacks:
            say(f"{peer.title} is left out: it needs {lacks}")
        else:
            able.append(peer)
    return able


def _should(scenarios: list[Scenario], rules: dict[str, Path], backlog: Backlog, bootstrap: str) -> dict[str, Changes]:
    known: dict[tuple[int, bool], Changes] = {}
    for s in scenarios:
        if (s.segments, s.shared) not in known:
            known[s.segments, s.shared] = backlog.should(bootstrap, rules[s.name])
    return {s.name: known[s.segments, s.shared] for s in scenarios}


def _tell(name: str, run: dict[str, Any], say: Say) -> None:
    say(f"{name}: {run['events_per_s']:,} events/s, {run['cpu_s_per_million']} µs of CPU an event, {run['peak_mb']} MB")


def _one(
    scenario: Scenario, backlog: Backlog, rules: Path, should: Changes, bootstrap: str, folder: Path
) -> dict[str, Any]:
    app = f"run-{uuid.uuid4().hex[:8]}{backlog.suffix}"
    own = folder / app
    own.mkdir()
    arguments = undisturbed(bootstrap, rules, backlog.sources, topics(backlog.suffix), scenario.workers, scenario.guarantee,
                            scenario.environment)
    load = os.getloadavg()[0]
    run = measure(app, own, arguments) | compared(f"out-{app}", should, bootstrap) | {"load_before": round(load, 2)}
    run.pop("logs")
    if run["missing"] or run["extra"] or run["out_of_sequence"] or run["doubled_ids"]:
        raise Inexact(f"{scenario.name}: the changes are not what they should be: {json.dumps(run)}")
    shutil.rmtree(own)
    drop(bootstrap, app)
    return run


def _other(
    peer: Peer, scenario: Scenario, backlog: Backlog, should: Changes, workload: Path | None, folder: Path
) -> dict[str, Any]:
    assert workload is not None
    run = run_peer(peer, workload, backlog.suffix, backlog.count, should, scenario.guarantee, folder,
                   scenario.jvm)
    if peer.exact and (run["missing"] or run["extra"]):
        raise Inexact(f"{peer.title}: the changes are not what they should be: {json.dumps(run)}")
    return run


def run_script(script: Script, bootstrap: str, runs: int, workload: Path | None, say: Say) -> dict[str, Any] | None:
    """The lines of JSON that it prints; None when its file is not there."""
    file, *rest = script.command
    if not (HERE / file).exists():
        say(f"{script.name}: left out, bench/{file} is not there")
        return None
    arguments = [a.format(broker=bootstrap, runs=runs, workload=workload.resolve() if workload else "") for a in rest]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, str(HERE / file), *arguments], stdout=subprocess.PIPE, text=True, check=True,
                          cwd=HERE.parent, env=environment)  # fmt: skip
    say(f"{script.name}: {done.stdout.strip()}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {"title": script.title, "n": len(lines), "runs": lines}
