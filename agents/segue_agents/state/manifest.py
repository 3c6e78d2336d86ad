"""Whether a store's MANIFEST, RocksDB's list of its files, is as RocksDB wrote it: looked at before RocksDB does.

RocksDB does not answer every damaged MANIFEST with an error. A type byte that has become one of a recycled log's (5 to 8)
behind a record that is none is read again and again without end (`Reader::ReadPhysicalRecord` gives kBadRecord and stays
where it is), at 100 % CPU; and rocksdict holds the GIL in an open, so no thread of the process could end it.

The file is blocks of 32 kB; in a block follow records of

    crc32c, masked (4 bytes, LE) | length (2, LE) | type (1) | what it says

The crc is of all from the type on. Types: 1 whole, 2 first, 3 middle, 4 last piece of an entry. Fewer bytes at a block's
end than a header takes are zeros. An end in the midst of a record, or of an entry, is no damage: a crash leaves it, and
RocksDB goes on with what is before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

CHECKED_BYTES: Final = 4 << 20
"""of a MANIFEST from its beginning: 0.3 s. One of a store has some kB, as RocksDB writes a new one at each open; for what
is beyond, and for all that reads on for ever in other ways, an open has a deadline: `store`"""
BLOCK_BYTES: Final = 32 << 10
_HEADER: Final = 7
_MASK: Final = 0xA282EAD8
_WHOLE, _FIRST, _MIDDLE, _LAST = range(1, 5)


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901 (the register itself)
        rows.append(value)
    return tuple(rows)


_CRC: Final = _table()


def crc32c(data: bytes) -> int:
    """Castagnoli's; 70 ns a byte."""
    crc, table = 0xFFFF_FFFF, _CRC
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFF_FFFF


def masked(crc: int) -> int:
    """As RocksDB writes it, since a crc over what has its crc in it says little."""
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFF_FFFF


def damage(folder: Path) -> str:
    """What is wrong with the MANIFEST that CURRENT names; '' when nothing is, or when there is no store.

    Raises OSError.
    """
    current = folder / "CURRENT"
    if not current.exists():
        return ""
    name = current.read_bytes()
    if not (name.startswith(b"MANIFEST-") and name[9:-1].isdigit() and name.endswith(b"\n")):
        return "CURRENT names no MANIFEST"
    manifest = folder / name[:-1].decode("ascii")
    if not manifest.exists():
        return f"{manifest.name} is not there"
    with manifest.open("rb") as file:
        found = damage_of(file.read(CHECKED_BYTES))
    return found and f"{manifest.name} is damaged: {found}"


def damage_of(data: bytes) -> str:
    """The same of a MANIFEST's bytes from its beginning on."""
    if not data:
        return "it is empty"
    open_entry = False
    for block in range(0, len(data), BLOCK_BYTES):
        at, end = block, min(block + BLOCK_BYTES, len(data))
        while at + _HEADER <= end:
            length, kind = int.from_bytes(data[at + 4:at + 6], "little"), data[at + 6]
            after = at + _HEADER + length
            if not _WHOLE <= kind <= _LAST:
                return f"a record of the unknown type {kind} at byte {at}"
            if after > block + BLOCK_BYTES:
                return f"a record longer than its block at byte {at}"
            if after > end:
                return ""  # cut short
            if masked(crc32c(data[at + 6:after])) != int.from_bytes(data[at:at + 4], "little"):
                return f"a wrong checksum at byte {at}"
            if open_entry != (kind in (_MIDDLE, _LAST)):
                return f"a piece of no entry at byte {at}"
            open_entry = kind in (_FIRST, _MIDDLE)
            at = after
        if end < len(data) and any(data[at:end]):
            return f"more than a block's padding at byte {at}"
    return ""
