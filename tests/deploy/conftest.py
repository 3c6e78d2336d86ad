"""What docker-compose.yml describes, as processes of this machine: the same variables, the same commands, no Docker.

Addresses and folders are replaced, and nothing else. The broker's variables go through Kafka's own
`KafkaDockerWrapper`, which is in its jar and is what the image runs at its start: it writes the server's properties and
formats the data folder.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.files import ROOT, compose, image_environment
from tests.deploy.image import UID, build, first_process, may_shut_in, shut_in

from segue_agents.embedded.apicurio import ensure_apicurio
from segue_agents.embedded.java import find_java
from segue_agents.embedded.server import ensure_kafka, free_ports, log_file, wait_until_ready
from segue_agents.processes import end

STARTED_WITHIN_S = 120
SERVICES: dict[str, dict[str, Any]] = compose({})["services"]


@dataclass
class Stack:
    """Services of docker-compose.yml that run, or can be run, here."""

    folder: Path
    image: Path
    """the environment that the Dockerfile builds"""
    addresses: Mapping[str, str]
    """as written in the file -> as it is here"""

    def here(self, text: object) -> str:
        """With addresses and folders of this machine."""
        said = str(text)
        for there, here in self.addresses.items():
            said = said.replace(there, here)
        return said

    def environment(self, service: str) -> dict[str, str]:
        """Of a container: the image's variables and the service's, and nothing of this process."""
        given = image_environment() | SERVICES[service].get("environment", {})
        found = {name: self.here(value) for name, value in given.items()}
        return found | {"PATH": f"{self.image / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def command(self, service: str) -> list[str]:
        """Its entrypoint, else the image's, and its command, else the image's."""
        entrypoint: Sequence[str] = SERVICES[service].get("entrypoint", ["segue"])
        first, *others = [self.here(word) for word in (*entrypoint, *SERVICES[service].get("command", ["run"]))]
        return [shutil.which(first, path=str(self.image / "bin")) or first, *others]

    @contextmanager
    def run(self, service: str) -> Iterator[Running]:
        """As a process: the container's user, its PID 1, a root it cannot write, where this process may do that."""
        command = self.command(service)
        inside = may_shut_in()
        if inside:
            command = shut_in(command, self.folder / "worker")
        with self.log(service).open("wb") as log:
            process = subprocess.Popen(
                command,
                env=self.environment(service),
                cwd=self.folder / "worker",
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            yield Running(process, inside)
        finally:
            end(process, 30)

    def log(self, service: str) -> Path:
        """Where it writes."""
        return self.folder / f"{service}.log"

    def last_words(self, service: str) -> str:
        """The end of that."""
        return "\n".join(self.log(service).read_text(errors="replace").splitlines()[-15:]) + "\n"

    def healthy(self, service: str) -> bool:
        """By its own health check, run as Docker would, with the image's Python."""
        first, *others = [self.here(word) for word in SERVICES[service]["healthcheck"]["test"][1:]]
        test = [shutil.which(first, path=str(self.image / "bin")) or first, *others]
        return subprocess.run(test, capture_output=True, check=False, timeout=30).returncode == 0

    def wait_until_healthy(self, service: str, running: Running) -> None:
        """Fails with the end of its log."""
        until = time.monotonic() + STARTED_WITHIN_S
        while not self.healthy(service):
            assert running.process.poll() is None, f"{service} ended:\n{self.last_words(service)}"
            assert time.monotonic() < until, f"{service} is not healthy:\n{self.last_words(service)}"
            time.sleep(0.2)


@dataclass
class Running:
    """A service as a process."""

    process: subprocess.Popen[bytes]
    inside: bool
    """it is a child of `process`, the first one of a namespace of its own"""

    def terminate(self, within_s: float) -> int:
        """As `docker stop`: SIGTERM to PID 1; its exit code, or TimeoutExpired."""
        os.kill(first_process(self.process) if self.inside else self.process.pid, signal.SIGTERM)
        return self.process.wait(within_s)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Kafka and the registry, up, and `init` run."""
    with ExitStack() as running:
        # not below pytest's own folder, which is its user's alone
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="segue-compose-")))
        folder.chmod(0o755)
        ports = controller, internal, host, registry, _management, web = free_ports(6)
        for name in ("secrets", "worker"):
            (folder / name).mkdir()
        if may_shut_in():
            os.chown(folder / "worker", UID, UID)
        (folder / "secrets" / "web_token").write_text("0123456789abcdef" * 4)
        shutil.copytree(ROOT / "examples" / "shop", folder / "rules")
        stack = Stack(folder, build(folder / "image"), {
            "kafka:9093": f"127.0.0.1:{controller}", "kafka:29092": f"127.0.0.1:{internal}",
            "registry:8080": f"127.0.0.1:{registry}", "localhost:8080": f"127.0.0.1:{registry}",
            "CONTROLLER://:9093": f"CONTROLLER://127.0.0.1:{controller}", "INTERNAL://:29092": f"INTERNAL://127.0.0.1:{internal}",
            "HOST://:9092": f"HOST://127.0.0.1:{host}", "HOST://127.0.0.1:9092": f"HOST://127.0.0.1:{host}",
            "127.0.0.1:9464": f"127.0.0.1:{web}", "9464": str(web), "0.0.0.0": "127.0.0.1",
            "/var/lib/kafka/data": str(folder / "kafka"), "/var/lib/segue": str(folder / "worker"),
            "/etc/segue/rules": str(folder / "rules"), "/run/secrets": str(folder / "secrets"),
        })  # fmt: skip
        broker = running.enter_context(_kafka(stack))
        wait_until_ready(broker, f"127.0.0.1:{internal}", folder)
        running.enter_context(_registry(stack, ports[3], ports[4]))
        init = subprocess.run(stack.command("init"), env=stack.environment("init"), cwd=folder, capture_output=True,
                              text=True, check=False, timeout=STARTED_WITHIN_S)  # fmt: skip
        assert init.returncode == 0, init.stdout + init.stderr
        yield stack


@contextmanager
def _kafka(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """As the image starts it: its wrapper makes the configuration of the variables, then the server runs with it."""
    kafka = ensure_kafka(lambda _line: None)
    folders = {name: stack.folder / name for name in ("default", "mounted", "final")}
    for folder in folders.values():
        folder.mkdir()
    # the image's own configuration, which is gone as soon as one variable is given
    (folders["default"] / "server.properties").write_text("node.id=77\nprocess.roles=controller\n")
    for name in ("log4j2.yaml", "tools-log4j2.yaml"):
        (folders["default"] / name).touch()
    environment = {name: stack.here(value) for name, value in SERVICES["kafka"]["environment"].items()}
    java = [str(kafka.java), *shlex.split(environment["KAFKA_HEAP_OPTS"]), "-XX:+UseSerialGC", "-cp", kafka.class_path]
    given = [f"--{name}-configs-dir={folder}" for name, folder in folders.items()]
    said = subprocess.run([*java, "kafka.docker.KafkaDockerWrapper", "setup", *given], env=environment, capture_output=True,
                          text=True, check=False, timeout=STARTED_WITHIN_S)  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    with log_file(stack.folder).open("wb") as log:
        process = subprocess.Popen(
            [*java, "kafka.Kafka", str(folders["final"] / "server.properties")],
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            cwd=stack.folder,
        )
    try:
        yield process
    finally:
        end(process, 3)  # or killed: its data is thrown away


@contextmanager
def _registry(stack: Stack, port: int, management: int) -> Iterator[subprocess.Popen[bytes]]:
    """The program that the image holds, with the variables of the file and ports of this machine."""
    folder = ensure_apicurio(lambda _line: None)
    environment = {name: stack.here(value) for name, value in SERVICES["registry"]["environment"].items()}
    environment |= {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port), "HOME": os.environ.get("HOME", "/")}
    environment |= {"QUARKUS_MANAGEMENT_HOST": "127.0.0.1", "QUARKUS_MANAGEMENT_PORT": str(management)}
    java = [str(find_java(21, "schema registry")), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    with stack.log("registry").open("wb") as log:
        process = subprocess.Popen(
            [*java, "-jar", str(folder / "quarkus-run.jar")],
            env=environment,
            cwd=stack.folder,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        until = time.monotonic() + STARTED_WITHIN_S
        asked = stack.here(SERVICES["registry"]["healthcheck"]["test"][-1])
        while True:
            with suppress(OSError):
                urllib.request.urlopen(asked, timeout=5).close()
                break
            assert process.poll() is None and time.monotonic() < until, stack.log("registry").read_text()[-2000:]
            time.sleep(0.2)
        yield process
    finally:
        end(process, 3)
