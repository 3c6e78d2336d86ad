"""Where the tests' Prometheus comes from: a package that stands for Debian's, made here."""

from __future__ import annotations

import hashlib
import io
import platform
import sys
import tarfile
from pathlib import Path

import pytest
from tests.monitoring import debian
from tests.monitoring.debian import MACHINES, NAMES, NotToBeHadError, find_tools, member

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES, reason="Debian has no package for this machine"
)


def archive(**files: bytes) -> bytes:
    """An `ar` archive; names have `_` for `.`."""
    out = b"!<arch>\n"
    for name, content in files.items():
        header = f"{name.replace('_', '.'):<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        out += header.encode() + content + b"\n" * (len(content) % 2)
    return out


def package() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for name in NAMES:
            info = tarfile.TarInfo(f"./usr/bin/{name}")
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return archive(debian_binary=b"2.0", control_tar_xz=b"odd", data_tar_xz=packed.getvalue())


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A package whose sum is the expected one."""
    made = package()
    monkeypatch.setitem(debian.SHA256, MACHINES[platform.machine()], hashlib.sha256(made).hexdigest())
    return made


def test_fetched_once(named: bytes, tmp_path: Path) -> None:
    """Both programs are there and can be run; a second time nothing is asked."""
    asked = list[str]()

    def fetch(url: str) -> bytes:
        asked.append(url)
        return named

    first = find_tools(tmp_path / "cache", fetch)
    assert first == find_tools(tmp_path / "cache", fetch)
    assert [tool.read_text() for tool in first] == list(NAMES)
    assert all(tool.stat().st_mode & 0o100 for tool in first)
    assert [url.rpartition("_")[2] for url in asked] == [f"{MACHINES[platform.machine()]}.deb"]
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == list(NAMES)


def test_another_sum_is_not_unpacked(tmp_path: Path) -> None:
    """A package that is not the one we know leaves nothing behind."""
    with pytest.raises(NotToBeHadError, match="SHA-256"):
        find_tools(tmp_path / "cache", lambda _url: package())
    assert not (tmp_path / "cache").exists()


def test_a_network_that_is_away_is_a_reason(tmp_path: Path) -> None:
    """... for which the tests are skipped."""

    def fetch(_url: str) -> bytes:
        raise OSError("no route to host")

    with pytest.raises(NotToBeHadError, match="no route to host"):
        find_tools(tmp_path / "cache", fetch)


def test_members_of_an_archive() -> None:
    """Behind one of an odd length too; one that is not there is said."""
    made = archive(one=b"odd", two=b"even", three=b"")
    assert [member(made, name) for name in ("one", "two", "three")] == [b"odd", b"even", b""]
    for wrong, why in ((made, "no four"), (b"junk", "no ar archive")):
        with pytest.raises(NotToBeHadError, match=why):
            member(wrong, "four")
