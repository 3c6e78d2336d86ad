"""A broker that outlives the command that started it, and a schema registry beside it: `segue up`, `segue down`.

A data folder holds `standing.json` (process id, address) while its server runs. A process id alone may by now be somebody
else's, so the process must also have this folder in its command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from segue.errors import ConfigError
from segue_agents.embedded.apicurio import ensure_apicurio, launch_apicurio, registry_url, wait_until_registry_ready
from segue_agents.embedded.broker import STOP_WITHIN_S
from segue_agents.embedded.jars import Progress
from segue_agents.embedded.server import SERVER_PROPERTIES, ensure_kafka, free_ports, launch, wait_until_ready


@dataclass(frozen=True, slots=True)
class Standing:
    """A server that runs by itself."""

    pid: int
    bootstrap: str
    """a broker's host:port, a registry's URL"""


def up(data_dir: Path, port: int | None = None, progress: Progress = lambda _line: None) -> str:
    """Starts a broker over this folder, or finds the one that runs, and returns its `host:port`.

    `port`: any free one when None. Raises Unreachable, or ConfigError when it runs already on another port.
    """
    running = status(data_dir)
    if running is not None:
        if port is not None and not running.bootstrap.endswith(f":{port}"):
            raise ConfigError(
                f"A broker runs over {data_dir} already, at {running.bootstrap}.",
                "Use that one, or stop it first with `segue down`.",
            )
        return running.bootstrap
    kafka = ensure_kafka(progress)
    bootstrap = f"127.0.0.1:{port or free_ports(1)[0]}"
    progress(f"starting Kafka on {bootstrap}")
    process = launch(kafka, data_dir, int(bootstrap.rsplit(":", 1)[1]), with_parent=False)
    with _killed_if_it_fails(process):
        wait_until_ready(process, bootstrap, data_dir)
    _let_go(process, data_dir, bootstrap)
    return bootstrap


def registry_up(data_dir: Path, progress: Progress = lambda _line: None) -> str:
    """Starts a schema registry beside the broker of this folder, or finds the one that runs, and returns its URL.

    Raises Unreachable.
    """
    folder = _registry_folder(data_dir)
    running = status(folder)
    if running is not None:
        return running.bootstrap
    unpacked, port = ensure_apicurio(progress), free_ports(1)[0]
    progress(f"starting Apicurio on 127.0.0.1:{port}")
    process = launch_apicurio(unpacked, folder, port, with_parent=False)
    with _killed_if_it_fails(process):
        wait_until_registry_ready(process, port, folder)
    _let_go(process, folder, registry_url(port))
    return registry_url(port)


def down(data_dir: Path) -> bool:
    """Stops the broker over this folder, and the registry beside it, and keeps their data. False when none ran."""
    stopped = False
    for folder in (_registry_folder(data_dir), data_dir):
        running = status(folder)
        if running is not None:
            _end(folder, running.pid)
            stopped = True
        _record(folder).unlink(missing_ok=True)
    return stopped


def status(data_dir: Path) -> Standing | None:
    """The server that runs over this folder, or None."""
    try:
        running = Standing(**json.loads(_record(data_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return running if _runs(data_dir, running.pid) else None


@contextlib.contextmanager
def _killed_if_it_fails(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """For as long as it starts."""
    try:
        yield
    except BaseException:
        process.kill()
        process.wait()
        raise


def _let_go(process: subprocess.Popen[bytes], data_dir: Path, address: str) -> None:
    process.returncode = 0  # it is meant to outlive us, and Popen would warn that it does
    _record(data_dir).write_text(json.dumps(asdict(Standing(process.pid, address))), encoding="utf-8")


def _registry_folder(data_dir: Path) -> Path:
    return data_dir / "registry"


def _record(data_dir: Path) -> Path:
    return data_dir / "standing.json"


def _end(data_dir: Path, pid: int) -> None:
    for number, within_s in ((signal.SIGTERM, STOP_WITHIN_S), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # ours when the same process started it: else it stays as a zombie
            if not _runs(data_dir, pid) and not _is_leaving(pid):
                return
            time.sleep(0.05)


def _is_leaving(pid: int) -> bool:
    """Linux: its memory is gone, and with it what its command was, but not yet its ports and locks."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        return state not in "ZX" and not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _runs(data_dir: Path, pid: int) -> bool:
    config = str((data_dir / SERVER_PROPERTIES).resolve())
    try:
        return config in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return False
    said = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return config in said.stdout
