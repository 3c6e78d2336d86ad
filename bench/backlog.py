"""What workers work off: topics of a run's own, filled, and the changes that must come of them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.exactness import Changes, expected
from bench.filling import PARTITIONS, declare, delete, drop, fill, topics
from bench.generator import Shape
from bench.peers import PORT

Say = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """The reference workload's own events, by the programs in its folder."""

    percent: int = 100
    """of its persons"""


@dataclass(frozen=True)
class Backlog:
    """Filled topics."""

    suffix: str
    """of the topics' names"""
    count: int
    sources: Path
    oracle: Path | None
    """the workload's own pickle of changes, where there is one"""

    def should(self, bootstrap: str, rules: Path) -> Changes:
        """By the oracle, else by the engine in one go over the topics."""
        if self.oracle is None:
            return expected(bootstrap, rules, self.sources, PARTITIONS)
        changes: Changes = pickle.loads(self.oracle.read_bytes())[0]
        return changes

    def drop(self, bootstrap: str) -> None:
        """The topics; the workload's own stay, as its programs know them by name, and a part of them goes."""
        if self.oracle is None:
            drop(bootstrap, self.suffix)
        elif self.suffix:
            delete(bootstrap, topics(self.suffix))


def filled(bootstrap: str, shape: Shape | Published, times: int, workload: Path | None, folder: Path, say: Say) -> Backlog:
    """Makes and fills the topics. Raises SystemExit where the workload's folder is needed and was not given."""
    if isinstance(shape, Published):
        if workload is None:
            raise SystemExit("The reference workload's folder is needed: --workload FOLDER")
        return _published(bootstrap, shape, workload, folder, say)
    suffix = f"-bench-{uuid.uuid4().hex[:8]}"
    sources = declare(suffix, folder / "contracts")
    count = fill(bootstrap, suffix, shape, times)
    say(f"{count:,} events are there")
    return Backlog(suffix, count, sources, None)


def _published(bootstrap: str, shape: Published, workload: Path, folder: Path, say: Say) -> Backlog:
    if not bootstrap.endswith(f":{PORT}"):
        raise SystemExit(f"The workload's programs speak to 127.0.0.1:{PORT}, not to {bootstrap}.")
    suffix = "" if shape.percent == 100 else "-s"
    oracle = folder / f"oracle{suffix}.pickle"

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run([sys.executable, str(workload / program), *arguments], cwd=folder, check=True, text=True,
                              stdout=subprocess.PIPE)  # fmt: skip
        return done.stdout

    run("gen.py", bootstrap)
    if suffix:
        run("peers/subset.py", str(shape.percent))
    said = run("oracle.py", "build", str(oracle), *([suffix] if suffix else []))
    say(said.splitlines()[0])
    counts = said[said.index("{") + 1 : said.index("}")].split(",")
    return Backlog(suffix, sum(int(c.split(":")[1]) for c in counts), declare(suffix, folder / "contracts"), oracle)
