"""A real Prometheus for a test: a configuration of its own, a free port, asked over HTTP, stopped for sure."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from segue_agents.embedded.server import free_ports
from segue_agents.processes import dies_with_parent, end

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 5.0

Sample = tuple[dict[str, str], float]
"""labels and value"""


class Prometheus:
    """One server over a folder. `targets`: the files in which workers name themselves; their job is `segue`."""

    def __init__(
        self, program: Path, folder: Path, targets: Path, rules: Sequence[Path] = (), scrape_ms: int = 1_000
    ) -> None:
        self.address = ""
        """http://host:port, once started"""
        self._folder = folder
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        (folder / "prometheus.yml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": f"{scrape_ms}ms", "scrape_timeout": f"{scrape_ms}ms",
                       "evaluation_interval": f"{scrape_ms}ms"},
            "rule_files": [str(rule.resolve()) for rule in rules],
            "scrape_configs": [{"job_name": "segue", "file_sd_configs": [
                # a folder that is made after this start is seen only by looking again
                {"files": [str(targets)], "refresh_interval": "1s"}]}],
        }))  # fmt: skip

    def __enter__(self) -> Self:
        port, log = free_ports(1)[0], self._folder / "prometheus.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [self._program, f"--config.file={self._folder / 'prometheus.yml'}",
                 f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=dies_with_parent(),  # noqa: PLW1509 (calls nothing but prctl)
            )  # fmt: skip
        self.address = f"http://127.0.0.1:{port}"
        try:
            wait_until(self._ready, lambda: log.read_text()[-2_000:], READY_WITHIN_S)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Harmless when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            end(process, STOP_WITHIN_S)

    def query(self, expression: str) -> list[Sample]:
        """What an instant query answers. Raises AssertionError with Prometheus' words when it refuses."""
        said = self._get("query", {"query": expression})
        if said["resultType"] == "scalar":
            return [({}, float(said["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in said["result"]]

    def alerts(self) -> list[tuple[str, str, dict[str, str]]]:
        """(name, pending or firing, labels) of what is active."""
        return [(a["labels"]["alertname"], a["state"], a["labels"]) for a in self._get("alerts")["alerts"]]

    def rules(self) -> list[dict[str, Any]]:
        """All rules as they were last evaluated."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def targets_up(self) -> int:
        """Targets that answered when they were last scraped."""
        return sum(t["health"] == "up" for t in self._get("targets")["activeTargets"])

    def _ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, "prometheus ended"
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, path: str, asked: Mapping[str, str] | None = None) -> Any:
        url = f"{self.address}/api/v1/{path}"
        try:
            with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(asked or {})}", timeout=10) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as refused:
            said = json.load(refused)
        assert said["status"] == "success", f"{asked}: {said.get('error')}"
        return said["data"]


def wait_until(true: Callable[[], object], otherwise: Callable[[], object], within_s: float) -> None:
    """Asks again and again. `otherwise`: what the failure says."""
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, f"not within {within_s} s: {otherwise()}"
        time.sleep(0.1)
