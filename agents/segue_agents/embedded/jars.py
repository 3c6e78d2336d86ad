"""Kafka's jars, from Maven Central into a cache, each checked against the list in `kafka.jars`.

The list is the truth: the class path is built from it, so a stray file in the cache is not run and a jar that differs
by a bit is fetched again. A jar is downloaded beside the cache and moved in when its sum is right, so an interrupted
download or two processes at once leave no half a jar.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext

from segue.errors import Unreachable

KAFKA_VERSION: Final = "4.3.1"
DOWNLOADS_AT_ONCE: Final = 4
"""46 files are mostly round trips; more at once is not polite to Maven Central"""
DOWNLOAD_TIMEOUT_S: Final = 60
SAY_EVERY_S: Final = 2.0

Progress = Callable[[str], None]
"""told one line a step, for a person"""


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the class path. `coordinate` is Maven's group:artifact:version."""

    sha256: str
    size_bytes: int
    coordinate: str

    @property
    def filename(self) -> str:
        """Flat in the cache folder; the artifact names of the set differ from each other."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


Fetch = Callable[[Jar, Path], Path]
"""downloads a jar somewhere below the folder given and returns where; any exception means it could not"""


def required_jars() -> tuple[Jar, ...]:
    """The list kept in the package."""
    text = files(__package__).joinpath("kafka.jars").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Jar(sha256, int(size), coordinate) for sha256, size, coordinate in rows)


def cache_folder() -> Path:
    """Where downloads are kept: SEGUE_CACHE, else ~/.cache/segue."""
    named = os.environ.get("SEGUE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "segue"


def fetch_from_maven_central(jar: Jar, below: Path) -> Path:
    """Downloads one jar with jgo into a Maven repository below this folder."""
    group, artifact, version = jar.coordinate.split(":")
    maven = MavenContext(repo_cache=below, timeout=DOWNLOAD_TIMEOUT_S)
    return Path(maven.project(group, artifact).at_version(version).artifact().resolve())


def ensure_jars(
    folder: Path, jars: Sequence[Jar], progress: Progress, fetch: Fetch = fetch_from_maven_central
) -> list[Path]:
    """The jars' paths in the folder, with whatever was missing or damaged fetched. Raises Unreachable if it cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = [jar for jar in jars if not _is_right(folder / jar.filename, jar)]
    if wrong:
        damaged = sum((folder / jar.filename).exists() for jar in wrong)
        megabytes = max(1, round(sum(jar.size_bytes for jar in wrong) / 1_000_000))
        why = f"{damaged} damaged in the cache" if damaged else "once"
        progress(f"downloading Kafka {KAFKA_VERSION} from Maven Central, {len(wrong)} jars, {megabytes} MB, {why}")
        _fetch_all(folder, wrong, fetch, progress)
    return [folder / jar.filename for jar in jars]


def _fetch_all(folder: Path, jars: Sequence[Jar], fetch: Fetch, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as below:

        def bring(jar: Jar) -> str | None:
            try:
                got = fetch(jar, Path(below) / jar.filename)
            except Exception as error:  # noqa: BLE001 (jgo lets through what requests, sockets and the disk raise)
                return f"{jar.coordinate}: {error}"
            if not _is_right(got, jar):
                return f"{jar.coordinate}: what was downloaded does not have the SHA-256 sum in the list"
            got.replace(folder / jar.filename)
            return None

        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            failed = [said for said in _counted(jars, pool.map(bring, jars), progress) if said]
    if failed:
        raise Unreachable(
            f"Kafka's jars could not be downloaded ({len(failed)} of {len(jars)}). The first: {failed[0]}",
            f"Check the way to Maven Central (https_proxy?), or copy the jars to {folder}, or name a broker.",
        )


def _counted(jars: Sequence[Jar], brought: Iterable[str | None], progress: Progress) -> Iterator[str | None]:
    """The same, and every few seconds how many are there."""
    last, size_bytes, whole = time.monotonic(), 0, sum(jar.size_bytes for jar in jars)
    for n, (jar, said) in enumerate(zip(jars, brought, strict=True), 1):
        size_bytes += jar.size_bytes
        if time.monotonic() - last >= SAY_EVERY_S:
            last = time.monotonic()
            progress(f"downloading: {n} of {len(jars)} jars, {size_bytes / 1e6:.0f} of {whole / 1e6:.0f} MB")
        yield said


def _is_right(path: Path, jar: Jar) -> bool:
    try:
        if path.stat().st_size != jar.size_bytes:
            return False
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False
