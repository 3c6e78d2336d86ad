"""Apicurio, a schema registry with Confluent's API, as a child process: for the tests and for `segue up --registry`.

One archive of Maven Central, checked against its sum, unpacked into the cache once: beside its place first, and moved in
whole, so that a folder that is there is complete. Its data is a file, so a start in the same folder has the schemas, and
the ids, of the last one.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext

from segue.errors import Unreachable
from segue_agents.embedded.jars import DOWNLOAD_TIMEOUT_S, Fetch, Jar, Progress, cache_folder
from segue_agents.embedded.java import find_java
from segue_agents.embedded.server import LOG_LINES_SHOWN, SERVER_PROPERTIES, free_ports
from segue_agents.processes import Running, dies_with_parent, end, launched_from_a_lasting_thread

APICURIO_VERSION: Final = "3.3.3"
ARCHIVE: Final = Jar("8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63", 158_577_952,
                     f"io.apicurio:apicurio-registry-app:{APICURIO_VERSION}")
"""its classifier is `all`, its packaging tar.gz"""
JAVA_LOWEST: Final = 21
READY_WITHIN_S: Final = 90
"""a start takes 4 s on a machine that has nothing else to do"""
STOP_WITHIN_S: Final = 10
"""a stop takes a second"""
API: Final = "/apis/ccompat/v7"


def fetch_archive(archive: Jar, below: Path) -> Path:
    """Downloads it with jgo into a Maven repository below this folder."""
    group, artifact, version = archive.coordinate.split(":")
    maven = MavenContext(repo_cache=below, timeout=DOWNLOAD_TIMEOUT_S)
    return Path(maven.project(group, artifact).at_version(version).artifact("all", "tar.gz").resolve())


def ensure_apicurio(progress: Progress, archive: Jar = ARCHIVE, fetch: Fetch = fetch_archive) -> Path:
    """The folder of the unpacked archive, fetched if it is not there yet. Raises Unreachable if it cannot be."""
    folder = cache_folder() / f"apicurio-{archive.coordinate.rpartition(':')[2]}"
    with _alone(folder):
        if not folder.exists():
            megabytes = max(1, round(archive.size_bytes / 1_000_000))
            progress(f"downloading Apicurio {APICURIO_VERSION} from Maven Central, {megabytes} MB, once")
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder.parent) as below:
                _unpack(_brought(archive, fetch, Path(below)), Path(below) / "unpacked")
                (Path(below) / "unpacked").replace(folder)
    return folder


def _brought(archive: Jar, fetch: Fetch, below: Path) -> Path:
    try:
        got = fetch(archive, below / "repository")
        with got.open("rb") as opened:
            right = hashlib.file_digest(opened, "sha256").hexdigest() == archive.sha256
    except Exception as error:  # jgo lets through what requests, sockets and the disk raise
        raise Unreachable(f"Apicurio could not be downloaded: {archive.coordinate}: {error}",
                          "Check the way to Maven Central (https_proxy?).") from error
    if not right:
        raise Unreachable(f"{archive.coordinate}: what was downloaded does not have the SHA-256 sum it should have.",
                          "Check what stands between here and Maven Central.")
    return got


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: the second finds what the first has brought."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def launch_apicurio(folder: Path, data_dir: Path, port: int, *, with_parent: bool) -> subprocess.Popen[bytes]:
    """Starts it and returns at once. `with_parent`: it is killed when the calling *thread* ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (management_port,) = free_ports(1)
    command = [str(find_java(JAVA_LOWEST, "schema registry")), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
               # Quarkus reads the environment; the file's name is there for `standing`, which knows the process by it
               f"-Dsegue.data={data_dir.resolve() / SERVER_PROPERTIES}", "-jar", str(folder / "quarkus-run.jar")]
    environ = os.environ | {
        "QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port), "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
        "QUARKUS_MANAGEMENT_HOST": "127.0.0.1", "QUARKUS_MANAGEMENT_PORT": str(management_port),
        # an id that was given out must not be forgotten by a kill half a second later, which is H2's default
        "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{data_dir.resolve() / 'registry'};WRITE_DELAY=0",
        "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "2", "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "2",
        "APICURIO_DATASOURCE_JDBC_MAX_SIZE": "8",
    }  # fmt: skip
    with registry_log(data_dir).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environ, start_new_session=True,
            preexec_fn=dies_with_parent() if with_parent else None,  # noqa: PLW1509 (calls nothing but prctl)
        )  # fmt: skip


def registry_log(data_dir: Path) -> Path:
    """Where it logs to."""
    return data_dir / "registry.log"


def registry_url(port: int) -> str:
    """What a worker is told."""
    return f"http://127.0.0.1:{port}{API}"


def wait_until_registry_ready(process: subprocess.Popen[bytes], port: int, data_dir: Path) -> None:
    """Returns when it answers. Raises Unreachable if it ends, or takes too long."""
    until = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(f"{registry_url(port)}/subjects", timeout=5) as answer:
                answer.read()
            return
        except (OSError, urllib.error.URLError):
            pass
        code = process.poll()
        if code is not None or time.monotonic() > until:
            what = f"ended with code {code}" if code is not None else f"was not ready in {READY_WITHIN_S} s"
            last = "\n".join(registry_log(data_dir).read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
            raise Unreachable(f"Apicurio {what}.", f"The end of {registry_log(data_dir)}:\n{last}")
        time.sleep(0.05)


class Apicurio(Running):
    """One registry over a data folder, which lives as long as its owner."""

    def __init__(self, data_dir: Path, progress: Progress = lambda _line: None) -> None:
        self.data_dir = data_dir
        self.url = ""
        """once started; the same after a restart"""
        self._progress = progress
        self._port = 0

    def start(self) -> str:
        """Starts it, waits until it answers, returns its URL. Raises Unreachable."""
        assert self._process is None, "started already"
        folder = ensure_apicurio(self._progress)
        self._port = self._port or free_ports(1)[0]
        self._process = launched_from_a_lasting_thread(
            lambda: launch_apicurio(folder, self.data_dir, self._port, with_parent=True), "embedded-apicurio")
        atexit.register(self.stop)
        try:
            wait_until_registry_ready(self._process, self._port, self.data_dir)
        except BaseException:
            self.stop()
            raise
        self.url = registry_url(self._port)
        return self.url

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Ends it: asks, waits, kills. Harmless when it does not run."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is not None:
            end(process, within_s)
