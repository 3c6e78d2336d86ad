"""What an operator does with a runbook: its queries and its commands, taken from the page as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from segue_agents.embedded.jars import Jar, cache_folder, ensure_jars
from segue_agents.embedded.server import ensure_kafka

RUNBOOKS: Final = Path(__file__).parents[2] / "docs" / "operate" / "runbooks"
COMMAND_WITHIN_S: Final = 60
TRANSACTIONS: Final = (
    Jar("62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c", 698_668, "org.apache.kafka:kafka-tools:4.3.1"),
    Jar("65ceb669d88f63306c680f8088bbf765bbca72d288a61a03703000076c3d3f56", 90_347,
        "net.sourceforge.argparse4j:argparse4j:0.7.0"),
)  # fmt: skip
"""what kafka-transactions.sh is made of, besides the broker's own jars"""


def blocks(alert: str, language: str, section: str = "") -> list[str]:
    """Of a runbook, in order. `section`: only those below this heading."""
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    if section:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in found]


def run(block: str, environment: Mapping[str, str]) -> str:
    """A block of shell commands as they stand; what they print. A command that fails ends it with an AssertionError."""
    said = subprocess.run(
        ["sh", "-e"], input=block, capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False,
        env=os.environ | environment,
    )  # fmt: skip
    assert said.returncode == 0, f"{block}\n{said.returncode}\n{said.stdout}\n{said.stderr}"
    return said.stdout


def exported(block: str) -> dict[str, str]:
    """What the `export` lines of a block set."""
    return dict(pair.split("=", 1) for line in block.splitlines() if line.startswith("export ") for pair in line.split()[1:])


def install_tools(folder: Path) -> str:
    """`segue` and `kafka-transactions.sh` in a folder; the PATH that finds them first."""
    kafka = ensure_kafka(lambda _line: None)
    jars = ensure_jars(cache_folder() / "kafka-tools", TRANSACTIONS, lambda _line: None)
    class_path = os.pathsep.join([kafka.class_path, *map(str, jars)])
    folder.mkdir()
    for name, command in {
        "segue": f"{sys.executable} -m segue_agents.cli",
        "kafka-transactions.sh": f"{kafka.java} -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp {class_path} "
                                 "org.apache.kafka.tools.TransactionsCommand",
    }.items():  # fmt: skip
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
