"""The wheel as a stranger gets it: built, installed into an empty environment, run far from this repository."""

from __future__ import annotations

import os
import subprocess
import zipfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path, timeout_s: float = 110) -> str:
    """Its output, or a failure that shows it."""
    # nothing of this environment may help the installed package to find its parts
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    said = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert said.returncode == 0, f"{command}:\n{said.stdout[-3000:]}"
    return said.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(find_uv_bin(), "build", "--wheel", "--quiet", "--out-dir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def segue(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `segue` command of a fresh environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("stranger")
    uv = find_uv_bin()
    run(uv, "venv", "--quiet", folder / "venv", cwd=folder)
    run(uv, "pip", "install", "--quiet", "--python", folder / "venv", wheel, cwd=folder)
    return folder / "venv" / "bin" / "segue"


def test_everything_is_in_it(wheel: Path) -> None:
    """The wheel holds every file of the three packages, data included, and nothing else."""
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    expected = set()
    for package in ("segue", "segue_agents", "segue_schemas"):
        folder = Path(str(files(package)))
        found = (path.relative_to(folder.parent) for path in folder.rglob("*") if path.is_file())
        expected |= {str(path) for path in found if "__pycache__" not in path.parts and path.suffix != ".pyc"}
    expected |= {f"segue_agents/examples/shop/{path.name}" for path in (ROOT / "examples" / "shop").iterdir()}
    assert held == expected


def test_the_command_runs(segue: Path, tmp_path: Path) -> None:
    """`segue --version`, installed from the wheel, tells the version."""
    assert version("segue") in run(segue, "--version", cwd=tmp_path)


def test_the_demo_runs(segue: Path, tmp_path: Path) -> None:
    """`segue demo`, installed from the wheel, runs to its end on its own Kafka."""
    run(segue, "demo", "--seconds", "5", cwd=tmp_path)
