"""What a run was and what it showed: a JSON file, a page to read, and a line a round in the ledger of all runs."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import confluent_kafka
from tests.chaos.faults import FAULTS
from tests.chaos.workers import ROOT
from tests.chaos.world import Result

from segue_agents.embedded.jars import KAFKA_VERSION

FOLDER: Final = ROOT / ".chaos"
LEDGER: Final = FOLDER / "ledger.jsonl"
NOT_FAULTS: Final = ("not met", "not permitted", "too late")


def versions() -> dict[str, str]:
    """Of all that took part."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "kafka": KAFKA_VERSION, "librdkafka": confluent_kafka.libversion()[0],
        "confluent-kafka": str(confluent_kafka.version()),
        "python": platform.python_version(), "commit": commit.stdout.strip() + ("+" if changed.stdout else ""),
    }  # fmt: skip


def faults_of(result: Result) -> int:
    """Thrown and met; a crash at a point is one with the kill before it, a restore's repeated crashes are each one."""
    return sum(n for name, n in result.thrown.items() if name not in NOT_FAULTS) + sum(result.crashes.values())


class Report:
    """Of one run, written anew after each round."""

    def __init__(self, seed: int, how: dict[str, Any]) -> None:
        self.seed, self.how = seed, how
        self.name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{seed}"
        self.folder = FOLDER / self.name
        self.folder.mkdir(parents=True)
        self.results: list[Result] = []
        self.acts: list[tuple[str, list[str]]] = []
        self.versions = versions()

    def act(self, name: str, problems: list[str]) -> list[str]:
        """A last act is over; its problems."""
        self.acts.append((name, problems))
        self._write()
        self._enter({"act": name, "faults": 1, "thrown": {name: 1}, "problems": len(problems)})
        return problems

    @property
    def failed(self) -> list[Result]:
        """Rounds with a problem."""
        return [r for r in self.results if r.finding.problems]

    def add(self, result: Result) -> None:
        """A round is over."""
        self.results.append(result)
        self._write()
        counts = result.finding.counts
        self._enter({
            "round": result.plan.number, **{k: counts[k] for k in ("events", "changes", "commits")}, "kills": result.kills,
            "faults": faults_of(result), "thrown": result.thrown, "crashes": result.crashes, "exits": result.exits,
            "problems": len(result.finding.problems),
        })  # fmt: skip

    def _enter(self, row: dict[str, Any]) -> None:
        if self.how.get("mutant"):
            return  # its rounds are meant to fail
        with LEDGER.open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps({"run": self.name, "seed": self.seed, "commit": self.versions["commit"], **row}) + "\n")

    def _write(self) -> None:
        whole: dict[str, Any] = {"seed": self.seed, "how": self.how, "versions": self.versions, "verdict": self.verdict}
        whole |= {"acts": self.acts, "rounds": [
            {"plan": asdict(r.plan), "counts": dict(r.finding.counts), "problems": r.finding.problems, "seconds": r.seconds,
             "faults": faults_of(r), "kills": r.kills, "thrown": r.thrown, "crashes": r.crashes, "exits": r.exits}
            for r in self.results
        ]}  # fmt: skip
        (self.folder / "report.json").write_text(json.dumps(whole, indent=1, default=str), encoding="utf-8")
        (self.folder / "report.md").write_text(self.page(), encoding="utf-8")

    @property
    def verdict(self) -> str:
        """One word and why."""
        failed, rounds = len(self.failed), len(self.results)
        acts = sum(bool(problems) for _, problems in self.acts)
        of = f"{failed} of {rounds} rounds and {acts} of {len(self.acts)} last acts"
        return f"FAILED in {of}" if failed or acts else f"PASSED, {rounds} rounds and {len(self.acts)} last acts"

    def _sum(self, counts: Counter[str]) -> str:
        kills, faults = sum(r.kills for r in self.results), sum(map(faults_of, self.results))
        events = f"{counts['events']:,} events, {counts['late']:,} of them late and {counts['refused']:,} refused"
        said = f"{counts['changes']:,} changes, {counts['commits']:,} commits of partitions, {kills} kills, {faults} faults"
        return f"{events}; {said}, {counts['stores compared']} stores compared."

    def page(self) -> str:
        """To be read."""
        counts = sum((r.finding.counts for r in self.results), Counter[str]())
        thrown, crashes, exits = Counter[str](), Counter[str](), Counter[str]()
        for r in self.results:
            thrown.update(r.thrown)
            crashes.update(r.crashes)
            exits.update(r.exits)
        lines = [
            f"# Chaos, seed {self.seed}: {self.verdict}", "",
            " · ".join(f"{k} {v}" for k, v in self.versions.items()), "",
            self._sum(counts), "",
            "| fault | rank | thrown |", "|---|---|---|",
            *(f"| {name} | {FAULTS[name][0] if name in FAULTS else ''} | {n} |" for name, n in sorted(thrown.items())), "",
            "| died at | times |", "|---|---|", *(f"| {name} | {n} |" for name, n in sorted(crashes.items())), "",
            "| workers ended | times |", "|---|---|", *(f"| {how} | {n} |" for how, n in sorted(exits.items())), "",
            "| round | events | faults | kills | seconds |", "|---|---|---|---|---|",
            *map(_row, self.results), "",
        ]  # fmt: skip
        for act, problems in self.acts:
            lines += [f"Last act {act}: {'; '.join(problems) or 'as it should be'}", ""]
        for r in self.failed:
            lines += [f"## Round {r.plan.number}", "", f"faults: {', '.join(r.plan.faults)}; {r.plan.mix}", ""]
            lines += [f"- {problem}" for problem in r.finding.problems]
            again = " ".join(f"--{k} {v}" for k, v in self.how.items() if v and k != "minutes")
            lines += ["", f"The same schedule again (not the same interleaving): python -m tests.chaos run {again}", ""]
        return "\n".join(lines)


def _row(result: Result) -> str:
    seconds = ", ".join(f"{name} {s:g}" for name, s in result.seconds.items())
    events = result.finding.counts["events"]
    return f"| {result.plan.number} | {events:,} | {faults_of(result)} | {result.kills} | {seconds} |"


def ledger() -> str:
    """The sum of all runs."""
    if not LEDGER.exists():
        return f"{LEDGER} is not there yet: run something first."
    rows = [json.loads(line) for line in LEDGER.read_text(encoding="utf-8").splitlines()]
    thrown, crashes = Counter[str](), Counter[str]()
    for row in rows:
        thrown.update(row["thrown"])
        crashes.update(row.get("crashes", {}))
    total = {k: sum(row.get(k, 0) for row in rows) for k in ("events", "changes", "commits", "kills", "faults")}
    failed = [f"{row['run']} {row.get('act') or 'round ' + str(row['round'])}" for row in rows if row["problems"]]
    return "\n".join([
        f"{len({row['run'] for row in rows})} runs, {len(rows)} rounds: "
        + ", ".join(f"{v:,} {k}" for k, v in total.items()),
        "thrown: " + ", ".join(f"{k} {v}" for k, v in sorted(thrown.items())),
        "died at: " + ", ".join(f"{k} {v}" for k, v in sorted(crashes.items())),
        f"failed: {len(failed)}" + (f" ({', '.join(failed)})" if failed else ""),
    ])  # fmt: skip
