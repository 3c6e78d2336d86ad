"""Prometheus and promtool: those on PATH, else Debian's, fetched once into the cache.

Debian's package is an `ar` archive with a `data.tar.xz` in it, both of which the standard library can take apart, so that
nothing is installed and no right is needed. The package is checked against its sum before anything of it is kept.
"""

from __future__ import annotations

import hashlib
import io
import platform
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from segue_agents.embedded.jars import cache_folder

VERSION: Final = "2.42.0+ds-5+deb12u1"
POOL: Final = "http://deb.debian.org/debian/pool/main/p/prometheus"
SHA256: Final = {
    "amd64": "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
    "arm64": "ca131aa102390083398afbc80be9c8dd1dda78f9f92154fc00df8f7f1f4556e9",
}
MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
TIMEOUT_S: Final = 60
NAMES: Final = ("prometheus", "promtool")
_AR: Final = b"!<arch>\n"
_AR_HEADER: Final = 60
_AR_SIZE: Final = slice(48, 58)


class Tools(NamedTuple):
    """The two programs."""

    prometheus: Path
    promtool: Path


class NotToBeHadError(Exception):
    """Neither on PATH nor from Debian; says why."""


def download(url: str) -> bytes:
    """Raises OSError."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        return bytes(answer.read())


def find_tools(folder: Path | None = None, fetch: Callable[[str], bytes] = download) -> Tools:
    """On PATH, in the cache, or from Debian. `folder`: instead of the cache and PATH. Raises NotToBeHadError."""
    on_path = [shutil.which(name) for name in NAMES]
    if folder is None and all(on_path):
        return Tools(*(Path(str(found)) for found in on_path))
    folder = folder or cache_folder() / f"prometheus-{VERSION}"
    tools = Tools(*(folder / name for name in NAMES))
    if not all(tool.exists() for tool in tools):
        _unpack(_package(fetch), folder)
    return tools


def _package(fetch: Callable[[str], bytes]) -> bytes:
    """Debian's package for this machine, as its sum says it is."""
    machine = MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        raise NotToBeHadError(f"prometheus is not on PATH, and Debian has none for {sys.platform} {platform.machine()}")
    url = f"{POOL}/prometheus_{VERSION}_{machine}.deb"
    try:
        package = fetch(url)
    except OSError as error:
        raise NotToBeHadError(f"prometheus is not on PATH, and {url} cannot be fetched: {error}") from error
    if hashlib.sha256(package).hexdigest() != SHA256[machine]:
        raise NotToBeHadError(f"{url} does not have the SHA-256 sum that it should have")
    return package


def _unpack(package: bytes, folder: Path) -> None:
    """The two programs of a package. Moved in when whole, so that two at once or a cut leave no half a program."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as below,
        tarfile.open(fileobj=io.BytesIO(member(package, "data.tar.xz")), mode="r:xz") as tar,
    ):
        for name in NAMES:
            found = tar.extractfile(f"./usr/bin/{name}")
            assert found is not None, name
            unpacked = Path(below) / name
            with found, unpacked.open("wb") as out:
                shutil.copyfileobj(found, out)
            unpacked.chmod(0o755)
            unpacked.replace(folder / name)


def member(archive: bytes, name: str) -> bytes:
    """One file of an `ar` archive. Raises NotToBeHadError."""
    if not archive.startswith(_AR):
        raise NotToBeHadError("the package is no ar archive")
    at = len(_AR)
    while at + _AR_HEADER <= len(archive):
        header = archive[at : at + _AR_HEADER]
        size, at = int(header[_AR_SIZE]), at + _AR_HEADER
        if header[:16].rstrip(b" /").decode() == name:
            return archive[at : at + size]
        at += size + size % 2  # members begin at even offsets
    raise NotToBeHadError(f"the package has no {name}")
