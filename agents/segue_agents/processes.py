"""Child processes."""

from __future__ import annotations

import subprocess


def end(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Asks it to end, waits, kills."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
