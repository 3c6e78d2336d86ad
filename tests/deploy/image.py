"""The Dockerfile without Docker: what its build stage copies and runs, and a process shut in as the container's is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.files import ROOT, Instruction, dockerfile
from uv import find_uv_bin

UID = 10001
BUILT_WITHIN_S = 300


def build(folder: Path) -> Path:
    """Does in `folder` what the build stage does, and returns the environment that the last stage copies.

    Not as there: bytecode is not compiled and the cache is used, or each test run would pay for what a release pays once.
    """
    stage = dockerfile()[2]
    variables = {name: value for i in stage if i.name == "ENV" for name, value in _pairs(i)}
    source, made = folder / "src", folder / variables["UV_PROJECT_ENVIRONMENT"].lstrip("/")
    variables |= {"UV_PROJECT_ENVIRONMENT": str(made), "UV_COMPILE_BYTECODE": "0", "UV_PYTHON": str(python_for_all())}
    del variables["UV_NO_CACHE"]
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    path = f"{Path(find_uv_bin()).parent}{os.pathsep}{os.environ['PATH']}"
    source.mkdir(parents=True)
    for instruction in stage:
        if instruction.name == "COPY" and "--from" not in instruction.says:
            *names, target = shlex.split(instruction.says)
            for name in names:
                _copy(ROOT / name, source / target / (name if target.endswith("/") else ""))
        elif instruction.name == "RUN":
            said = subprocess.run(["/bin/sh", "-c", instruction.says], cwd=source, env=kept | variables | {"PATH": path},
                                  capture_output=True, text=True, check=False, timeout=BUILT_WITHIN_S)  # fmt: skip
            assert said.returncode == 0, f"{instruction.says}:\n{said.stdout}{said.stderr}"
    return made


def python_for_all() -> Path:
    """One that any user may run: not a Python below somebody's home."""
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    for python in (Path(system) if system else None, Path(sys.executable)):
        if python is not None and _is_new_enough(python) and _open_to_all(python.resolve()):
            return python
    return Path(sys.executable)


def may_shut_in() -> bool:
    """Whether this process may do what Docker does: namespaces, another user."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        return False
    tried = subprocess.run([*_NAMESPACES, "--", "true"], capture_output=True, check=False)
    return tried.returncode == 0 and _open_to_all(python_for_all().resolve())


def shut_in(command: list[str], writable: Path) -> list[str]:
    """The command as a container has it: PID 1, user 10001 without capabilities, nothing writable but one folder."""
    mounts = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'
    user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    return [*_NAMESPACES, "--", "/bin/sh", "-c", mounts, str(writable), *user, "--", *command]


def first_process(outside: subprocess.Popen[bytes]) -> int:
    """The PID, as seen from here, of what is PID 1 in there; 0 when it is not there yet."""
    children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
    return int(children[0]) if children else 0


_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]


def _pairs(instruction: Instruction) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (pair.partition("=") for pair in shlex.split(instruction.says))]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _is_new_enough(python: Path) -> bool:
    said = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"Python (\d+)\.(\d+)", said.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= (3, 11)


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
