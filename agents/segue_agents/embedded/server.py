"""A Kafka server as a child process: its files, its command line, and when it is ready.

One node in KRaft mode. Formatting a data folder costs a JVM start (0.8 s) and gives the same two small files each time,
so it is done once into the cache and copied from there. The cluster id is fixed: a random one begins with '-' one time
in 64, and Kafka's own format tool then takes it for a flag.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from segue.errors import Unreachable
from segue_agents.embedded.jars import KAFKA_VERSION, Progress, cache_folder, ensure_jars, required_jars
from segue_agents.embedded.java import find_java
from segue_agents.processes import dies_with_parent

SERVER_PROPERTIES: Final = "server.properties"
"""in the data folder, and so in the server's command line"""
CLUSTER_ID: Final = "c2VndWUtZW1iZWRkZWQtMQ"
READY_WITHIN_S: Final = 60
"""a start takes 2 to 4 s; a machine that swaps may take many times that"""
HEAP: Final = "-Xmx256m"
FORMATTED_FILES: Final = ("bootstrap.checkpoint", "meta.properties")
"""in the order they are copied: the last one marks a data folder as formatted"""
LOG_LINES_SHOWN: Final = 8

PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:{controller_port},{listeners}
advertised.listeners={listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={log_dir}
# the application creates its topics, with the partitions they are meant to have
auto.create.topics.enable=false
# one node; few partitions make the internal topics quick to create
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# replayed events keep their old times: deleting by time would delete them at once
log.retention.ms=-1
offsets.retention.minutes=5256000
# the default buffer of the log cleaner is 128 MB of a heap of 256
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
background.threads=2
"""


@dataclass(frozen=True, slots=True)
class Extras:
    """What a broker has beyond its plain listener: listeners with TLS or SASL, say, and an authorizer."""

    listeners: tuple[str, ...] = ()
    """each as in `SECURE://127.0.0.1:9093`; its protocol is one of the properties"""
    properties: Mapping[str, str] = field(default_factory=dict)
    """of `server.properties`; one that is there already is replaced"""
    java_flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kafka:
    """What it takes to start a broker: a Java and the jars."""

    java: Path
    class_path: str
    formatted: Path
    """a folder with the files of a freshly formatted data folder"""


def ensure_kafka(progress: Progress) -> Kafka:
    """Java and Kafka, downloaded into the cache if they are not there yet. Raises Unreachable, saying what to do."""
    java = find_java()
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    jars = ensure_jars(folder / "jars", required_jars(), progress)
    kafka = Kafka(java, os.pathsep.join(map(str, jars)), folder / "formatted")
    if not all((kafka.formatted / name).exists() for name in FORMATTED_FILES):
        _format(kafka)
    return kafka


def _format(kafka: Kafka) -> None:
    """Runs Kafka's format tool once; its result is the same for every data folder of this version."""
    with tempfile.TemporaryDirectory(prefix=".format-", dir=kafka.formatted.parent) as below:
        config = Path(below) / SERVER_PROPERTIES
        data = Path(below) / "formatted"
        config.write_text(_properties(9092, 9093, data, Extras()), encoding="utf-8")
        command = [str(kafka.java), HEAP, "-XX:+UseSerialGC", "-cp", kafka.class_path]
        command += ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", str(config)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode != 0:
            raise Unreachable(f"Kafka's format tool failed: {(said.stderr or said.stdout).strip()[-500:]}")
        kafka.formatted.mkdir(exist_ok=True)
        for name in FORMATTED_FILES:
            (data / name).replace(kafka.formatted / name)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nothing listens on at this moment."""
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in opened]
    finally:
        for one in opened:
            one.close()


def _properties(port: int, controller_port: int, log_dir: Path, extras: Extras) -> str:
    listeners = ",".join((f"PLAINTEXT://127.0.0.1:{port}", *extras.listeners))
    text = PROPERTIES.format(listeners=listeners, controller_port=controller_port, log_dir=log_dir)
    return text + "".join(f"{name}={value}\n" for name, value in extras.properties.items())  # the last one counts


def launch(
    kafka: Kafka, data_dir: Path, port: int, *, with_parent: bool, extras: Extras | None = None
) -> subprocess.Popen[bytes]:
    """Starts the server and returns at once. `with_parent`: it is killed when the calling *thread* ends."""
    extras = extras or Extras()
    log_dir = data_dir / "kafka"
    log_dir.mkdir(parents=True, exist_ok=True)
    if not (log_dir / "meta.properties").exists():
        for name in FORMATTED_FILES:
            shutil.copyfile(kafka.formatted / name, log_dir / name)
    (controller_port,) = free_ports(1)
    text = _properties(port, controller_port, log_dir.resolve(), extras)
    (data_dir / SERVER_PROPERTIES).write_text(text, encoding="utf-8")
    command = [str(kafka.java), HEAP, "-XX:+UseSerialGC", *_logging_flags(), *extras.java_flags, "-cp", kafka.class_path]
    command += ["kafka.Kafka", str((data_dir / SERVER_PROPERTIES).resolve())]
    with log_file(data_dir).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # its own session: a ^C in the terminal is for us, and the broker must outlive our last commit
            start_new_session=True,
            preexec_fn=dies_with_parent() if with_parent else None,  # noqa: PLW1509 (calls nothing but prctl)
        )


def log_file(data_dir: Path) -> Path:
    """Where the server logs to."""
    return data_dir / "broker.log"


def wait_until_ready(process: subprocess.Popen[bytes], bootstrap: str, data_dir: Path) -> None:
    """Returns when the broker answers a metadata request. Raises Unreachable if it ends, or takes too long."""
    host, port = bootstrap.rsplit(":", 1)
    until = time.monotonic() + READY_WITHIN_S
    # the port first: a client that is refused logs it and backs off
    while not _accepts(host, int(port)):
        _still_starting(process, until, data_dir)
        time.sleep(0.02)
    client = AdminClient({"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 200})
    while True:
        try:
            if client.list_topics(timeout=1.0).brokers:
                return
        except KafkaException:
            pass
        _still_starting(process, until, data_dir)
        time.sleep(0.02)


def _still_starting(process: subprocess.Popen[bytes], until: float, data_dir: Path) -> None:
    code = process.poll()
    if code is None and time.monotonic() < until:
        return
    what = f"ended with code {code} while it started" if code is not None else f"was not ready in {READY_WITHIN_S} s"
    last = "\n".join(log_file(data_dir).read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
    raise Unreachable(f"The embedded Kafka {what}.", f"The end of {log_file(data_dir)}:\n{last}")


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _logging_flags() -> list[str]:
    prefix = "-Dorg.slf4j.simpleLogger"
    return [f"{prefix}.showDateTime=true", f"{prefix}.dateTimeFormat=HH:mm:ss.SSS", f"{prefix}.showThreadName=false"]
