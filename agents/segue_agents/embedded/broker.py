"""A broker that lives as long as its owner: for `segue demo` and the tests."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Final

from segue_agents.embedded.jars import Progress
from segue_agents.embedded.server import Extras, ensure_kafka, free_ports, launch, wait_until_ready
from segue_agents.processes import Running, end, launched_from_a_lasting_thread

STOP_WITHIN_S: Final = 10
"""a stop takes half a second; beyond this it is killed, which costs the next start a log check"""


def _quiet(_line: str) -> None:
    pass


class Broker(Running):
    """One real Kafka node over a data folder. A start in the same folder finds the data of the last one."""

    def __init__(
        self, data_dir: Path, port: int | None = None, progress: Progress = _quiet, extras: Extras | None = None
    ) -> None:
        """`port`: any free one when None. `progress` is told one line a step."""
        self.data_dir = data_dir
        self.bootstrap = ""
        """host:port, once started"""
        self._port = port
        self._progress = progress
        self._extras = extras or Extras()

    def start(self) -> str:
        """Starts the server, waits until it answers, returns `host:port`. Raises Unreachable."""
        assert self._process is None, "started already"
        kafka = ensure_kafka(self._progress)
        port = self._port or free_ports(1)[0]
        self._progress(f"starting Kafka on 127.0.0.1:{port}")
        process = launched_from_a_lasting_thread(
            lambda: launch(kafka, self.data_dir, port, with_parent=True, extras=self._extras), "embedded-kafka")
        self._process = process
        atexit.register(self.stop)
        bootstrap = f"127.0.0.1:{port}"
        try:
            wait_until_ready(process, bootstrap, self.data_dir)
        except BaseException:
            self.stop()
            raise
        self.bootstrap = bootstrap
        return bootstrap

    def stop(self) -> None:
        """Ends the server: asks, waits, kills. Harmless when it does not run."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is not None:
            end(process, STOP_WITHIN_S)
