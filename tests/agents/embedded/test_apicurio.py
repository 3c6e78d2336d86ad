"""The schema registry that is fetched and started here: its archive, its process."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from tests.agents.embedded.test_broker import wait_until_gone

from segue.errors import Unreachable
from segue_agents.codecs.registry import Registry
from segue_agents.embedded import down, registry_up, status
from segue_agents.embedded.apicurio import ensure_apicurio
from segue_agents.embedded.jars import Jar

pytestmark = pytest.mark.timeout(300)  # a registry takes half a minute to start where much else runs


def archive(name: str = "quarkus-run.jar") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as opened:
        row = tarfile.TarInfo(name)
        row.size = 3
        opened.addfile(row, io.BytesIO(b"jar"))
    return made.getvalue()


class Shelf:
    """A repository of one file, that counts how often it was asked for."""

    def __init__(self, content: bytes) -> None:
        self.content, self.asked = content, 0

    def fetch(self, _archive: Jar, below: Path) -> Path:
        self.asked += 1
        below.mkdir()
        (below / "download").write_bytes(self.content)
        return below / "download"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path))
    return tmp_path


def of(content: bytes) -> Jar:
    return Jar(hashlib.sha256(content).hexdigest(), len(content), "org.example:registry:1")


def names(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.iterdir() if p.suffix != ".lock")


def test_fetched_once(cache: Path) -> None:
    """Unpacked into the cache, said once, and then left alone."""
    shelf, said = Shelf(archive()), list[str]()
    folders = [ensure_apicurio(said.append, of(shelf.content), shelf.fetch) for _ in range(2)]
    assert folders == [cache / "apicurio-1"] * 2
    assert (folders[0] / "quarkus-run.jar").read_bytes() == b"jar"
    assert (shelf.asked, len(said), names(cache)) == (1, 1, ["apicurio-1"])


@pytest.mark.parametrize("content", [b"forged", archive("../outside")], ids=["another sum", "a path that leads outside"])
def test_what_is_not_to_be_trusted(cache: Path, content: bytes) -> None:
    """Nothing of it is unpacked, and nothing is left."""
    wanted = of(archive()) if content == b"forged" else of(content)
    with pytest.raises((Unreachable, tarfile.OutsideDestinationError)):
        ensure_apicurio(lambda _line: None, wanted, Shelf(content).fetch)
    assert names(cache) == []


def test_what_is_not_to_be_had(cache: Path) -> None:
    """Said with what to do."""

    def fails(_archive: Jar, _below: Path) -> Path:
        raise OSError("no route")

    with pytest.raises(Unreachable, match=r"org\.example:registry:1: no route\n.*https_proxy"):
        ensure_apicurio(lambda _line: None, of(b"x"), fails)
    assert names(cache) == []


@pytest.fixture(scope="module")
def fetched() -> None:
    try:
        ensure_apicurio(lambda _line: None)
    except Unreachable as error:
        pytest.skip(f"no real schema registry: {error.what}")


def test_a_standing_registry(fetched: None, tmp_path: Path) -> None:
    """It answers, is found again instead of started twice, and `down` leaves no process."""
    url = registry_up(tmp_path)
    try:
        running = status(tmp_path / "registry")
        assert running is not None
        assert registry_up(tmp_path) == url == running.bootstrap
        assert Registry(url).lookup("t-value", "{}") is None
        assert status(tmp_path) is None  # no broker: that is another process
    finally:
        assert down(tmp_path)
    wait_until_gone(running.pid)
    assert not down(tmp_path)


def test_dies_with_its_owner(fetched: None, tmp_path: Path) -> None:
    """A registry whose owner is killed outright ends too."""
    program = (
        "import pathlib, sys, threading, time\n"
        "from segue_agents.embedded import Apicurio\n"
        "registry = Apicurio(pathlib.Path(sys.argv[1]))\n"
        "threading.Thread(target=registry.start, daemon=True).start()\n"
        "while registry.pid is None: time.sleep(0.01)\n"
        "print(registry.pid, flush=True); time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    until = time.monotonic() + 20
    while not (tmp_path / "registry.log").stat().st_size:  # it runs, and not only its fork
        assert time.monotonic() < until
        time.sleep(0.02)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    wait_until_gone(pid)
