"""The raw input log as columns, read by nothing of Segue's: an Avro walk of this suite's own.

Nearly all records have one of three layouts byte for byte, and are read as a matrix. What differs in any byte that
should be fixed is walked alone, field by field, and either read or told why not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, TopicPartition

EARLIEST_MS, LATEST_MS = 100_000_000_000, 100_000_000_000_000
"""what can be meant by a time in ms: docs/contracts.md"""
FUTURE_MS: Final = 5 * 60_000
STRING_BYTES, EVENT_BYTES = 32 * 1024, 256 * 1024
READ_AT_ONCE: Final = 20_000
_TIME, _TYPE = 5 + 17 + 9, 5 + 17 + 9 + 6

Int64s = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(slots=True)
class Log:
    """Records of one topic partition. Rows of `ok` columns are the records that can be used, in offset order."""

    keys: list[bytes]
    time_ms: Int64s
    stamp_ms: Int64s
    kind: Int64s
    """index in the enum"""
    offset: Int64s
    rejected: dict[int, str]
    """offset -> reason"""
    records: int
    next_offset: int
    """after the last record"""


def consumer(bootstrap: str, isolation: str = "read_committed") -> Any:
    """One that is told where to read."""
    return Consumer({
        "bootstrap.servers": bootstrap, "group.id": "chaos-checker", "enable.auto.commit": False,
        "isolation.level": isolation, "enable.partition.eof": True, "fetch.queue.backoff.ms": 5, "fetch.wait.max.ms": 20,
        "queued.min.messages": 200_000, "check.crcs": True, "log_level": 0, "fetch.message.max.bytes": 16 << 20,
    })  # fmt: skip


def read(
    bootstrap: str, topic: str, starts: dict[int, int], isolation: str = "read_committed"
) -> Iterator[tuple[int, list[Any]]]:
    """(partition, messages) from offsets to the ends there are now. Raises RuntimeError for errors of reading."""
    reader = consumer(bootstrap, isolation)
    reader.assign([TopicPartition(topic, p, o) for p, o in starts.items()])
    left = set(starts)
    try:
        while left:
            by: dict[int, list[Any]] = {}
            for message in reader.consume(READ_AT_ONCE, 0.2):
                error = message.error()
                if error is None:
                    by.setdefault(message.partition(), []).append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                elif not error.retriable() and error.code() not in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                    raise RuntimeError(f"reading {topic}: {error}")
            yield from by.items()
    finally:
        reader.close()


def read_inputs(bootstrap: str, topic: str, source: int, starts: dict[int, int]) -> dict[int, Log]:
    """Everything visible of an input from the offsets on."""
    found: dict[int, list[Any]] = {p: [] for p in starts}
    for partition, messages in read(bootstrap, topic, starts):
        found[partition] += messages
    return {p: columns(source, messages, starts[p]) for p, messages in found.items()}


def columns(source: int, messages: list[Any], start: int) -> Log:
    """Messages of one partition, in offset order."""
    values = [m.value() for m in messages]
    keys = [m.key() for m in messages]
    offsets = np.array([m.offset() for m in messages], np.int64)
    stamps = np.array([m.timestamp()[1] for m in messages], np.int64)
    n = len(values)
    time, kind = np.zeros(n, np.int64), np.zeros(n, np.int64)
    good = _read_alike(source, values, time, kind)
    rejected: dict[int, str] = {}
    for i in np.flatnonzero(~good).tolist():
        reason, at, which = _walk(source, values[i])
        if reason:
            rejected[i] = reason
        else:
            time[i], kind[i], good[i] = at, which, True
    for i, key in enumerate(keys):
        if (reason := _key_problem(key)) is not None:
            rejected.setdefault(i, reason)
    for i in np.flatnonzero(good & ((time < EARLIEST_MS) | (time >= LATEST_MS))).tolist():
        rejected.setdefault(i, "no_time" if time[i] <= 0 else "time_unit")
    for i in np.flatnonzero(good & (time > stamps + FUTURE_MS)).tolist():
        rejected.setdefault(i, "in_the_future")
    good[list(rejected)] = False
    kept = np.flatnonzero(good)
    return Log(
        [keys[i] for i in kept.tolist()], time[kept], stamps[kept], kind[kept], offsets[kept],
        {int(offsets[i]): reason for i, reason in rejected.items()}, n, int(offsets[-1]) + 1 if n else start,
    )  # fmt: skip


def _key_problem(key: bytes | None) -> str | None:
    if not key:
        return "no_person"
    if len(key) == 8 and key.isascii():
        return None
    if len(key) > STRING_BYTES:
        return "too_large"
    try:
        key.decode()
    except UnicodeDecodeError:
        return "no_person"
    return None


# --- alike

_WIDTHS: Final = (
    {_TYPE + 1 + 4 + 25: b"\0\0\0\0", _TYPE + 1 + 7 + 7 + 9 + 2 + 25: b"\x02\x0a"},
    {_TYPE + 1 + 5: b"\x08"},
)
"""source -> length of a record -> what follows the type"""
_KINDS: Final = (5, 4)


def _read_alike(source: int, values: list[bytes | None], time: Int64s, kind: Int64s) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Fills in what has a known layout; which rows."""
    lengths = np.array([-1 if v is None else len(v) for v in values], np.int64)
    good = np.zeros(len(values), np.bool_)
    head = np.frombuffer(b"\0\0\0\0" + bytes([source + 1]) + b"\x20", np.uint8)
    for width, follows in _WIDTHS[source].items():
        rows = np.flatnonzero(lengths == width)
        if not len(rows):
            continue
        m = np.frombuffer(b"".join(values[i] or b"" for i in rows.tolist()), np.uint8).reshape(-1, width)
        ok = (m[:, :6] == head).all(1) & (m[:, 22] == 16) & (m[:, 23:_TIME] < 128).all(1) & (m[:, 6:22] < 128).all(1)
        ok &= (m[:, _TIME : _TYPE - 1] >= 128).all(1) & (m[:, _TYPE - 1] < 128)
        ok &= (m[:, _TYPE] < 2 * _KINDS[source]) & (m[:, _TYPE] % 2 == 0)
        ok &= (m[:, _TYPE + 1 : _TYPE + 1 + len(follows)] == np.frombuffer(follows, np.uint8)).all(1)
        ok &= _fixed_tail(source, m)
        at = rows[ok]
        zigzag = np.zeros(len(at), np.int64)
        for byte in range(6):
            zigzag |= (m[ok, _TIME + byte].astype(np.int64) & 0x7F) << (7 * byte)
        time[at] = (zigzag >> 1) ^ -(zigzag & 1)
        kind[at] = m[ok, _TYPE] >> 1
        good[at] = True
    return good


def _fixed_tail(source: int, m: Any) -> Any:
    width = m.shape[1]
    if source == 1:
        return (m[:, _TYPE + 2 :] < 128).all(1)
    ok = (m[:, width - 25] == 48) & (m[:, width - 24 :] < 128).all(1)
    if width > 70:
        at = _TYPE + 1
        ok &= (m[:, at + 2 : at + 7] < 128).all(1) & (m[:, at + 7] == 2) & (m[:, at + 8] == 10)
        ok &= (m[:, at + 9 : at + 14] < 128).all(1)
        ok &= (m[:, at + 14] == 2) & (m[:, at + 23] == 2) & (m[:, at + 24] < 128)
    return ok


# --- one alone


class _Bad(Exception):
    pass


def _walk(source: int, value: bytes | None) -> tuple[str | None, int, int]:
    """(why not, time, kind) of one record, strictly: every byte is looked at."""
    if value is not None and len(value) > EVENT_BYTES:
        return "too_large", 0, 0
    if not value or len(value) < 5 or value[0] != 0:
        return "undecodable", 0, 0
    if struct.unpack(">I", value[1:5])[0] != source + 1:
        return "unknown_schema", 0, 0
    walk = _Walk(value, 5)
    try:
        walk.string()
        walk.string()
        time = walk.long()
        kind = walk.index(_KINDS[source])
        if source == 1:
            walk.string()
        else:
            for branch in (walk.string, walk.string, walk.double, walk.integer):
                if walk.index(2):
                    branch()
            walk.string()
        if walk.at != len(value):
            raise _Bad
    except (_Bad, IndexError):
        return "undecodable", 0, 0
    return None, time, kind


@dataclass(slots=True)
class _Walk:
    value: bytes
    at: int

    def long(self, bits: int = 64) -> int:
        shift = out = 0
        while True:
            byte = self.value[self.at]
            self.at += 1
            out |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 63:
                raise _Bad
        if out >= 1 << bits:
            raise _Bad
        return (out >> 1) ^ -(out & 1)

    def integer(self) -> None:
        self.long(32)

    def double(self) -> None:
        self._skip(8)

    def index(self, n: int) -> int:
        found = self.long()
        if not 0 <= found < n:
            raise _Bad
        return found

    def string(self) -> None:
        length = self.long()
        self._skip(length)
        try:
            self.value[self.at - length : self.at].decode()
        except UnicodeDecodeError:
            raise _Bad from None

    def _skip(self, n: int) -> None:
        if n < 0 or self.at + n > len(self.value):
            raise _Bad
        self.at += n
