"""A broker of the suite's own: killed, restarted, and seen by the workers through a proxy only."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from segue_agents.embedded import server
from segue_agents.processes import end

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
                preexec_fn=server._dies_with_parent(),  # noqa: PLW1509 (calls nothing but prctl)
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
        text = server.PROPERTIES.format(port=self.port, controller_port=self._controller, log_dir=logs.resolve())
        lines = []
        for line in text.splitlines():
            if line.startswith("listeners="):
                line += f",PROXIED://127.0.0.1:{self.behind_proxy}"  # noqa: PLW2901 (the line, made longer)
            elif line.startswith("advertised.listeners="):
                line += f",PROXIED://127.0.0.1:{self.proxy_port}"  # noqa: PLW2901
            elif line.startswith("listener.security.protocol.map="):
                line += ",PROXIED:PLAINTEXT"  # noqa: PLW2901
            lines.append(line)
        assert sum("PROXIED" in line for line in lines) == 3, "the embedded broker's listeners are written differently now"
        more = [
            "inter.broker.listener.name=PLAINTEXT", f"log.segment.bytes={SEGMENT_BYTES}", "message.max.bytes=8000000",
            "log.segment.delete.delay.ms=1000", "log.retention.check.interval.ms=10000",
        ]
        return "\n".join([*lines, *more, ""])
