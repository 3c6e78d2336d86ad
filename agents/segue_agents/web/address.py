"""Where a worker's web port is: a file in its slot's folder, for commands on the same machine.

It is there from the start to the stop; one that a killed worker has left behind is told by nobody's answering.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

NAME: Final = "web.json"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Of one worker."""

    url: str
    """`http://127.0.0.1:6066`"""
    pid: int
    certificate: str | None
    """the file of what it shows, which a command on this machine may trust; None: plain HTTP"""


_decode: Final = msgspec.json.Decoder(type=Address).decode


def write_address(folder: Path, address: Address) -> None:
    """Replaces what is there, whole or not at all. A full disk is no reason not to start."""
    new = folder / f".{NAME}"
    try:
        new.write_bytes(msgspec.json.encode(address) + b"\n")
        new.replace(folder / NAME)
    except OSError as error:
        _log.warning("web_address_not_written", file=str(folder / NAME), error=os.strerror(error.errno or 0),
                     do="`segue status` needs --url meanwhile")


def forget_address(folder: Path) -> None:
    """At the stop."""
    with suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)


def read_addresses(data_dir: Path, app_id: str) -> dict[str, Address]:
    """Slot -> address, of the app's workers on this machine; files that cannot be read are left out."""
    found = {}
    for file in sorted((data_dir / app_id).glob(f"*/{NAME}")):
        with suppress(OSError, msgspec.MsgspecError):
            found[file.parent.name] = _decode(file.read_bytes())
    return found
