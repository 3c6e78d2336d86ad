"""No damage of a store's files makes its open hang: it is an error, or it is harmless."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segue_agents.state.checkpoint import Checkpoint
from segue_agents.state.manifest import BLOCK_BYTES, crc32c, damage, damage_of, masked
from segue_agents.state.store import Store, StoreBroken

FLIPS = 400
OTHER_DAMAGES = 150
ALL_WITHIN_S = 90
OPENER = """
import shutil, sys
from pathlib import Path
from segue_agents.state.store import Store, StoreBroken
sound, tried = Path(sys.argv[1]), Path(sys.argv[2])
for line in sys.stdin:
    name, how, at, bit = line.split()
    print(line.strip(), end=" ", flush=True)
    shutil.copytree(sound, tried)
    data = bytearray((tried / name).read_bytes())
    if how == "flip":
        data[int(at)] ^= 1 << int(bit)
    else:
        del data[int(at):]
    (tried / name).write_bytes(data)
    try:
        Store(tried).close()
        print("opened", flush=True)
    except StoreBroken as error:
        print("broken", flush=True)
    shutil.rmtree(tried)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with some tables, whose MANIFEST has an entry for each."""
    folder = tmp_path_factory.mktemp("sound") / "partition-0"
    with Store(folder) as store:
        for n in range(3):
            store.write([(b"%06d" % i, os.urandom(40)) for i in range(n, 300)], Checkpoint("l", n, 0, {"t": n}, {}))
            store._db.flush()
    return folder


def _manifest(folder: Path) -> Path:
    return next(folder.glob("MANIFEST-*"))


def _open_all(sound: Path, folder: Path, damages: list[str]) -> list[str]:
    """In a process of its own, as an open that hangs holds the GIL. A line for each, with what came of it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", OPENER, str(sound), str(folder)], input="\n".join(damages), text=True, check=True,
            env=os.environ, timeout=ALL_WITHIN_S, stdout=subprocess.PIPE,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"hangs after {(late.stdout or b'')[-80:]!r}")
    return done.stdout.splitlines()


def test_no_flip_and_no_cut_of_a_manifest_hangs(sound: Path, tmp_path: Path) -> None:
    """Every byte of it, at least once; most of them are errors, and none is a hang."""
    manifest, chance = _manifest(sound), random.Random(5)
    size = manifest.stat().st_size
    flips = [f"{manifest.name} flip {n % size} {chance.randrange(8)}" for n in range(max(FLIPS, size))]
    types = [f"{manifest.name} flip {at + 6} 2" for at in _records(manifest.read_bytes())]
    cuts = [f"{manifest.name} cut {at} 0" for at in range(0, size, 7)]
    lines = _open_all(sound, tmp_path / "s", flips + types + cuts)
    assert len(lines) == len(flips) + len(types) + len(cuts)
    harmless = [line for line in lines if " flip " in line and line.endswith("opened")]
    # a length that reaches beyond the end looks like a crash: the store is as of an earlier write, which a start finds
    lengths = {at + n for at in _records(manifest.read_bytes()) for n in (4, 5)}
    assert {int(line.split()[2]) for line in harmless} <= lengths, harmless


def test_no_damage_elsewhere_hangs(sound: Path, tmp_path: Path) -> None:
    """CURRENT, OPTIONS, the log that is off, tables and their footers, and the rest: flipped and cut."""
    chance, damages = random.Random(6), []
    files = sorted(f for f in sound.iterdir() if f.stat().st_size and not f.name.startswith("MANIFEST"))
    for n in range(OTHER_DAMAGES):
        file = files[n % len(files)]
        size = file.stat().st_size
        at = size - 1 - chance.randrange(min(53, size)) if n % 2 else chance.randrange(size)  # 53: a table's footer
        damages.append(f"{file.name} {chance.choice(('flip', 'flip', 'cut'))} {at} {chance.randrange(8)}")
    assert len(_open_all(sound, tmp_path / "s", damages)) == OTHER_DAMAGES


def test_an_open_without_end_ends_the_process_and_the_store_is_set_aside(sound: Path, tmp_path: Path) -> None:
    """The net below the check: were it to miss something, the deadline ends the process, and the next start knows."""
    folder = tmp_path / "s"
    shutil.copytree(sound, folder)
    manifest = _manifest(folder)
    data = bytearray(manifest.read_bytes())
    data[_records(data)[2] + 6] ^= 4
    manifest.write_bytes(data)
    child = (
        "import sys; from pathlib import Path; from segue_agents.state import store, manifest\n"
        "store.OPENS_WITHIN_S = 1.0; manifest.damage = lambda _: ''\n"
        "store.Store(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", child, str(folder)], check=False, env=os.environ, timeout=30,
                          capture_output=True)
    assert done.returncode == 1, done.stderr
    assert b"Timeout" in done.stderr
    with pytest.raises(StoreBroken, match="did not end"):
        Store(folder)


def test_an_open_leaves_no_marker(sound: Path, tmp_path: Path) -> None:
    """Neither one that worked nor one that failed."""
    folder = tmp_path / "s"
    shutil.copytree(sound, folder)
    Store(folder).close()
    next(folder.glob("*.sst")).unlink()
    for _ in range(2):
        with pytest.raises(StoreBroken, match=r"\.sst"):
            Store(folder)


def test_checksum() -> None:
    """The check value of crc32c, and RocksDB's mask of it."""
    assert crc32c(b"123456789") == 0xE3069283
    assert masked(0) == 0xA282EAD8


def _record(kind: int, says: bytes) -> bytes:
    body = bytes([kind]) + says
    return masked(crc32c(body)).to_bytes(4, "little") + len(says).to_bytes(2, "little") + body


def _records(data: bytes) -> list[int]:
    """Where they begin, in a MANIFEST of one block."""
    starts, at = [], 0
    while at + 7 <= len(data):
        starts.append(at)
        at += 7 + int.from_bytes(data[at + 4 : at + 6], "little")
    return starts


FULL_BLOCK = _record(1, bytes(BLOCK_BYTES - 10))


@pytest.mark.parametrize(("data", "said"), [
    (_record(1, b"a") + _record(1, b""), ""),
    (_record(2, b"a") + _record(3, b"b") + _record(4, b"c"), ""),
    (_record(2, b"a"), ""),  # a crash before the rest
    (_record(1, b"abc")[:-1], ""),
    (_record(1, b"a") + b"\1\2", ""),
    (FULL_BLOCK + bytes(3) + _record(1, b"a"), ""),
    (FULL_BLOCK + b"\0\0\1" + _record(1, b"a"), "padding"),
    (b"", "empty"),
    (_record(3, b"a"), "no entry"),
    (_record(2, b"a") + _record(1, b"b"), "no entry"),
    (_record(1, b"a") + _record(5, b"12345"), "unknown type 5"),
    (bytes(20), "unknown type 0"),
    (_record(1, b"a")[:-1] + b"b", "checksum"),
    (_record(1, b"a")[:4] + b"\xff\xff\1" + bytes(BLOCK_BYTES), "longer than its block"),
])  # fmt: skip
def test_formats(data: bytes, said: str) -> None:
    """What a crash leaves is no damage; what RocksDB never writes is."""
    assert said in damage_of(data) if said else damage_of(data) == ""


def test_files(tmp_path: Path, sound: Path) -> None:
    """No store is no damage; a CURRENT that names nothing is; 100 kB take no time."""
    assert damage(tmp_path) == "" == damage(sound)
    (tmp_path / "CURRENT").write_text("MANIFEST-000009\n")
    assert "not there" in damage(tmp_path)
    (tmp_path / "CURRENT").write_text("../MANIFEST-000009\n")
    assert "no MANIFEST" in damage(tmp_path)
    started = time.process_time()
    crc32c(bytes(100_000))
    assert time.process_time() - started < 0.05
