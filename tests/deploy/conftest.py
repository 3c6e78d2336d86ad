"""What docker-compose.yml describes, as processes of this machine: the same variables, the same commands, no Docker.

Addresses and folders are replaced, and nothing else. The broker's variables go through Kafka's own
`KafkaDockerWrapper`, which is in its jar and is what the image runs at its start: it writes the server's properties and
formats the data folder.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from segue_agents.embedded.apicurio import ensure_apicurio
from segue_agents.embedded.java import find_java
from segue_agents.embedded.server import ensure_kafka, free_ports, log_file, wait_until_ready
from segue_agents.processes import end
from tests.deploy.files import ROOT, compose, image_environment

STARTED_WITHIN_S = 120
SERVICES: dict[str, dict[str, Any]] = compose({})["services"]


@dataclass
class Stack:
    """Services of docker-compose.yml that run, or can be run, here."""

    folder: Path
    addresses: Mapping[str, str]
    """as written in the file -> as it is here"""

    def here(self, text: object) -> str:
        """With addresses and folders of this machine."""
        said = str(text)
        for there, here in self.addresses.items():
            said = said.replace(there, here)
        return said

    def environment(self, service: str) -> dict[str, str]:
        """Of a container: the image's variables and the service's. Nothing of this process but where programs are."""
        given = image_environment() | SERVICES[service].get("environment", {})
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: os.environ[name] for name in ("HOME", "PYTHONPATH") if name in os.environ}
        return kept | {name: self.here(value) for name, value in given.items()} | {"PATH": path}

    def command(self, service: str) -> list[str]:
        """Its entrypoint, else the image's, and its command, else the image's."""
        entrypoint: Sequence[str] = SERVICES[service].get("entrypoint", ["segue"])
        return [self.here(word) for word in (*entrypoint, *SERVICES[service].get("command", ["run"]))]

    @contextmanager
    def run(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        """As a process, ended at the end."""
        with self.log(service).open("wb") as log:
            process = subprocess.Popen(self.command(service), env=self.environment(service), cwd=ROOT, stdout=log,
                                       stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            end(process, 30)

    def log(self, service: str) -> Path:
        """Where it writes."""
        return self.folder / f"{service}.log"

    def healthy(self, service: str) -> bool:
        """By its own health check, run as Docker would, with this machine's Python."""
        test = [self.here(word) for word in SERVICES[service]["healthcheck"]["test"][1:]]
        if test[0] == "python":
            test[0] = sys.executable
        return subprocess.run(test, capture_output=True, check=False, timeout=30).returncode == 0

    def wait_until_healthy(self, service: str, process: subprocess.Popen[bytes]) -> None:
        """Fails with the end of its log."""
        until = time.monotonic() + STARTED_WITHIN_S
        while not self.healthy(service):
            last = "\n".join(self.log(service).read_text(errors="replace").splitlines()[-15:])
            assert process.poll() is None, f"{service} ended with {process.returncode}:\n{last}"
            assert time.monotonic() < until, f"{service} is not healthy:\n{last}"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka and the registry, up, and `init` run."""
    folder = tmp_path_factory.mktemp("compose")
    controller, internal, host, registry, management, web = free_ports(6)
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "web_token").write_text("0123456789abcdef" * 4)
    made = Stack(folder, {
        "kafka:9093": f"127.0.0.1:{controller}", "kafka:29092": f"127.0.0.1:{internal}", "registry:8080": f"127.0.0.1:{registry}",
        "CONTROLLER://:9093": f"CONTROLLER://127.0.0.1:{controller}", "INTERNAL://:29092": f"INTERNAL://127.0.0.1:{internal}",
        "HOST://:9092": f"HOST://127.0.0.1:{host}", "HOST://127.0.0.1:9092": f"HOST://127.0.0.1:{host}",
        "localhost:8080": f"127.0.0.1:{registry}", "127.0.0.1:9464": f"127.0.0.1:{web}", "9464": str(web),
        "0.0.0.0": "127.0.0.1", "/var/lib/kafka/data": str(folder / "kafka"), "/var/lib/segue": str(folder / "worker"),
        "/etc/segue/rules": str(ROOT / "examples" / "shop"), "/run/secrets": str(secrets),
    })  # fmt: skip
    with ExitStack() as running:
        broker = running.enter_context(_kafka(made))
        wait_until_ready(broker, f"127.0.0.1:{internal}", folder)
        running.enter_context(_registry(made, registry, management))
        init = subprocess.run(made.command("init"), env=made.environment("init"), cwd=ROOT, capture_output=True, text=True,
                              check=False, timeout=STARTED_WITHIN_S)  # fmt: skip
        assert init.returncode == 0, init.stdout + init.stderr
        yield made


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
        process = subprocess.Popen([*java, "kafka.Kafka", str(folders["final"] / "server.properties")], env=environment,
                                   stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=stack.folder)
    try:
        yield process
    finally:
        end(process, 30)


@contextmanager
def _registry(stack: Stack, port: int, management: int) -> Iterator[subprocess.Popen[bytes]]:
    """The program that the image holds, with the variables of the file and ports of this machine."""
    folder = ensure_apicurio(lambda _line: None)
    environment = {name: stack.here(value) for name, value in SERVICES["registry"]["environment"].items()}
    environment |= {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port), "HOME": os.environ.get("HOME", "/")}
    environment |= {"QUARKUS_MANAGEMENT_HOST": "127.0.0.1", "QUARKUS_MANAGEMENT_PORT": str(management)}
    java = [str(find_java(21, "schema registry")), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    with stack.log("registry").open("wb") as log:
        process = subprocess.Popen([*java, "-jar", str(folder / "quarkus-run.jar")], env=environment, cwd=stack.folder,
                                   stdout=log, stderr=log, stdin=subprocess.DEVNULL)
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
        end(process, 20)
