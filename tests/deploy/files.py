"""What the repository ships for those who deploy it, read as data."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
KUBERNETES = ROOT / "deploy" / "kubernetes"
UNIT = ROOT / "deploy" / "systemd" / "segue@.service"
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
_DURATION = re.compile(r"(\d+)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def compose(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """docker-compose.yml with its `${NAME:-default}` filled in."""
    text = _VARIABLE.sub(lambda found: environ.get(found[1]) or found[2], COMPOSE.read_text(encoding="utf-8"))
    assert "${" not in text, "a variable without a default"
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def seconds(text: str) -> float:
    """`1m30s` -> 90."""
    return sum(int(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(text))


class Instruction(NamedTuple):
    """One of a Dockerfile: `COPY`, `a b`."""

    name: str
    says: str


def dockerfile() -> list[list[Instruction]]:
    """Its stages; instructions before the first FROM are stage 0."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    stages: list[list[Instruction]] = [[]]
    for line in filter(str.strip, text.splitlines()):
        name, _, says = line.strip().partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, says.strip()))
    return stages


def image_environment() -> dict[str, str]:
    """What a container of the image finds in its environment, from the Dockerfile's last stage."""
    found: dict[str, str] = {}
    for instruction in dockerfile()[-1]:
        if instruction.name == "ENV":
            found |= dict(pair.split("=", 1) for pair in shlex.split(instruction.says))
    return found


def kubernetes_objects() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object of deploy/kubernetes, and the file it is in."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if "rules" not in path.parts and path.name != "kustomization.yaml":
            for loaded in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                yield path, loaded


def key_values(path: Path) -> dict[str, str]:
    """A file of NAME=value lines."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def worker_environments() -> dict[str, dict[str, str]]:
    """Where a worker is described -> the SEGUE_ variables it is given there, values as text."""
    worker = compose()["services"]["worker"]
    pod = next(o for _, o in kubernetes_objects() if o["kind"] == "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    unit = " ".join(re.findall(r"^Environment=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE))
    found = {
        "compose": image_environment() | worker["environment"],
        "kubernetes": key_values(KUBERNETES / "segue.env") | {e["name"]: str(e.get("value", "segue-0")) for e in pod["env"]},
        "systemd": dict(pair.split("=", 1) for pair in shlex.split(unit.replace("%i", "0").replace("%S", "/var/lib"))),
    }
    return {place: {k: v for k, v in given.items() if k.startswith("SEGUE_")} for place, given in found.items()}
