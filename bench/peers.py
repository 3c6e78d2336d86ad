"""The other engines: each is run from the workload's folder, by its own run.sh, on the broker at 127.0.0.1:19092."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.exactness import Changes

TIMEOUT_S: Final = 600.0
PORT: Final = 19092
_SAID = re.compile(
    r"(?P<events>\d+) events; wall (?P<wall_s>[\d.]+)s \((?P<events_per_s>[\d,]+)/s\), with start-up (?P<start_s>[\d.]+)s; "
    r"cpu [\d.]+s \((?P<cpu_s_per_million>[\d.]+) s/M.*?rss (?P<peak_mb>\d+) MB"
)


class Inexact(Exception):
    """A run whose changes are not what they should be: its speed is worth nothing."""


@dataclass(frozen=True)
class Peer:
    """One other engine."""

    name: str
    """its folder below the workload's `peers/`"""
    title: str
    arguments: tuple[str, ...]
    """of run.sh; {suffix}, {oracle} and {mode} are filled in"""
    modes: dict[str, str]
    """our guarantee -> its own word for it"""
    programs: tuple[str, ...] = ()
    module: str = ""
    exact: bool = True
    """whether its changes are to be all of the oracle's; Faust as a user writes it cannot join two topics by time"""

    @property
    def built(self) -> Path:
        """Where its run.sh builds it: below $BUILD."""
        return Path(os.environ.get("BUILD") or Path(__file__).parents[1] / ".bench" / "peers") / self.name

    def lacks(self, bootstrap: str) -> str:
        """What of its tools is not here, or the broker's port; empty when it can run."""
        gone = [p for p in self.programs if shutil.which(p) is None]
        look = [python(), "-c", f"import {self.module}"]
        if self.module and subprocess.run(look, capture_output=True, check=False).returncode != 0:
            gone.append(f"the Python package {self.module}")
        if not bootstrap.endswith(f":{PORT}"):
            gone.append(f"a broker at 127.0.0.1:{PORT}")
        return ", ".join(gone)


def python() -> str:
    """What the peers written in Python run on: $PEERS_PYTHON, since their dependencies may contradict ours."""
    return os.environ.get("PEERS_PYTHON") or sys.executable


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer("kstreams", "Kafka Streams", ("2", "{mode}", "1000"),
             {"exactly_once": "exactly_once_v2", "at_least_once": "at_least_once"}, ("java", "javac", "mvn")),
        Peer("faust", "Faust", ("{suffix}", "{oracle}"), {"at_least_once": ""}, module="faust", exact=False),
        Peer("quix", "Quix Streams", ("{suffix}", "{oracle}", "{mode}"),
             {"exactly_once": "exactly-once", "at_least_once": "at-least-once"}, module="quixstreams"),
    )
}  # fmt: skip


def run(
    peer: Peer, workload: Path, suffix: str, events: int, should: Changes, guarantee: str, folder: Path, jvm: str = ""
) -> dict[str, Any]:
    """One run. Raises Inexact; SystemExit when it says nothing that can be read."""
    scratch = folder / peer.name
    (scratch / ".bench").mkdir(parents=True, exist_ok=True)
    oracle = scratch / "expected.pickle"
    oracle.write_bytes(pickle.dumps((should, Counter(row[1:3] for row in should.elements()), {})))
    environment = os.environ | {
        "SUFFIX": suffix, "N": str(events), "ORACLE": str(oracle), "PY": python(), "BUILD": str(peer.built),
        "JOPT": f"-XX:+UseParallelGC {jvm}".strip(), "STATE": str(scratch / "state"),
    }  # fmt: skip
    mode = peer.modes.get(guarantee) or next(iter(peer.modes.values()))
    arguments = [a.format(suffix=suffix, oracle=oracle, mode=mode) for a in peer.arguments]
    done = subprocess.run(["sh", str((workload / "peers" / peer.name / "run.sh").resolve()), *arguments], cwd=scratch,
                          env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)  # fmt: skip
    return parsed(done.stdout + done.stderr)


def parsed(said: str) -> dict[str, Any]:
    """The figures in the line that the peers' harness prints, and how many changes are missing or too many.

    Raises SystemExit when there is no such line.
    """
    found = _SAID.search(said)
    check = re.search(r"identical (\d+), missing (\d+), extra (\d+)", said)
    if found is None or check is None or check[1] == "0":  # with nothing right it has not run
        raise SystemExit(f"The peer said nothing that could be read. Its last words: {said[-600:]}")
    numbers = {key: float(text.replace(",", "")) for key, text in found.groupdict().items()}
    whole = {key: int(numbers.pop(key)) for key in ("events", "events_per_s", "peak_mb")}
    return {**whole, **numbers, "missing": int(check[2]), "extra": int(check[3])}
