"""Results: one JSON file a sitting, with all that says what was measured where, and every run."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"
LIBRARIES: Final = ("confluent-kafka", "numpy", "msgspec", "rocksdict", "faust-streaming")
ROOT: Final = Path(__file__).parents[1]


def sitting() -> dict[str, Any]:
    """A result without scenarios: commit, machine, versions, time."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "commit": _git("rev-parse", "--short=10", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")), "machine": _machine(),
        "cpus": os.cpu_count(), "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {name: version(name) for name in LIBRARIES}, "scenarios": {},
    }  # fmt: skip


def path_of(result: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Named by date, time of day and commit."""
    return folder / f"{result['at'][:16].replace(':', '')}-{result['commit']}.json"


def save(result: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(file: Path) -> dict[str, Any]:
    """Raises SystemExit for a file that is no result."""
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} cannot be read as a result: {error}") from error
    if not isinstance(result, dict) or "scenarios" not in result:
        raise SystemExit(f"{file} is no result of `python -m bench run`: it has no scenarios.")
    return result


def spread(runs: list[dict[str, Any]], key: str) -> tuple[float, float, float] | None:
    """(median, least, greatest) of a figure; None when no run has it."""
    values = [run[key] for run in runs if isinstance(run.get(key), int | float)]
    return (statistics.median(values), min(values), max(values)) if values else None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _machine() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
