"""A broker of the suite's own: killed, restarted, and seen by the workers through a proxy only."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from segue_agents.embedded import server
from segue_agents.processes import dies_with_parent, end

SEGMENT_BYTES = 32 << 20
"""small, so that what has been checked can be deleted and its room is free again"""
STOP_WITHIN_S = 15


class ChaosBroker:
    """One Kafka node with two listeners: a direct one for the checker, and one whose advertised address is the proxy's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._kafka = server.ensure_kafka(lambda _line: None)
        self.port, self.behind_proxy, self.proxy_port, self._controller = server.free_ports(4)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def direct(self) -> str:
        """No fault touches this address, but for the broker's own death."""
        return f"127.0.0.1:{self.port}"

    @property
    def proxied(self) -> str:
        """The address workers are given."""
        return f"127.0.0.1:{self.proxy_port}"

    def launch(self) -> None:
        """Starts it and returns at once. From the main thread: the kernel ends it with the thread that made it."""
        logs = self.folder / "kafka"
        logs.mkdir(exist_ok=True)
        if not (logs / "meta.properties").exists():
            for name in server.FORMATTED_FILES:
                shutil.copyfile(self._kafka.formatted / name, logs / name)
        properties = self.folder / "server.properties"
        properties.write_text(self._properties(logs), encoding="utf-8")
        command = [str(self._kafka.java), server.HEAP, "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true",
                   "-cp", self._kafka.class_path, "kafka.Kafka", str(properties.resolve())]  # fmt: skip
        with server.log_file(self.folder).open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=dies_with_parent(),  # noqa: PLW1509 (calls nothing but prctl)
            )  # fmt: skip

    def wait(self) -> None:
        """Until it answers. Raises Unreachable."""
        assert self._process is not None
        server.wait_until_ready(self._process, self.direct, self.folder)

    def start(self) -> None:
        """Launch, and wait."""
        self.launch()
        self.wait()

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Asks, waits, kills."""
        process, self._process = self._process, None
        if process is not None:
            end(process, STOP_WITHIN_S)

    def _properties(self, logs: Path) -> str:
        return server._properties(self.port, self._controller, logs.resolve(), server.Extras(
            listeners=(f"PROXIED://127.0.0.1:{self.behind_proxy}",),
            properties={
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port},PROXIED://127.0.0.1:{self.proxy_port}",
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
                "inter.broker.listener.name": "PLAINTEXT", "log.segment.bytes": str(SEGMENT_BYTES),
                "message.max.bytes": "8000000", "log.segment.delete.delay.ms": "1000",
                "log.retention.check.interval.ms": "10000",
            },
        ))  # fmt: skip
