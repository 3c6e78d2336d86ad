"""Events of a shop, made by the million: Avro records of the sources in reference/sources, as columns of bytes.

Strings have fixed widths, so that all records of a kind have one length: a kind is a matrix of bytes, filled column by
column. The same shape gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

START_MS: Final = 1_790_000_000_000
DAY_MS: Final = 86_400_000
SITE, EMAIL = 0, 1
TOPICS: Final = ("site-events", "email-events")
SYMBOLS: Final = (
    ("page_view", "product_view", "add_to_cart", "remove_from_cart", "purchase"),
    ("sent", "open", "click", "unsubscribe"),
)
_SHARES: Final = ((0.25, 0.55, 0.12, 0.03, 0.05), (0.60, 0.28, 0.11, 0.01))
_SCHEMA_IDS: Final = (1, 2)
_PAUSE_MS: Final = 45_000
"""mean time between two events of a session"""
_TIME_BYTES: Final = 6
"""of a zigzag number of ms from 1987 to 2039"""


@dataclass(frozen=True)
class Shape:
    """What the events look like. Shares are of all events, 0 to 1."""

    events: int = 500_000
    persons: int = 20_000
    skew: float = 2.0
    """1: all persons alike; 2: the first tenth of them makes a third of the events"""
    session: int = 8
    """events of a person in a row"""
    email: float = 0.2
    late: float = 0.0
    """that arrive up to `late_ms` after others of later times"""
    late_ms: int = 6 * 3_600_000
    duplicates: float = 0.0
    """that come twice, byte for byte"""
    days: int = 10
    start_ms: int = START_MS
    seed: int = 7

    def later(self, part: int) -> Shape:
        """The same shape after `part` times its days, with other chance: a long backlog is made of such parts."""
        return replace(self, start_ms=self.start_ms + part * (self.days + 1) * DAY_MS, seed=self.seed + part)


@dataclass(frozen=True)
class Events:
    """Rows in the order of their arrival."""

    source: Numbers
    """SITE or EMAIL"""
    time_ms: Numbers
    person: list[bytes]
    """the record's key"""
    value: list[bytes]
    """Avro in Confluent's framing"""

    def messages(self) -> list[list[Message]]:
        """A list a source, as a consumer would have them if all were of one partition."""
        out: list[list[Message]] = [[], []]
        rows = zip(self.source.tolist(), self.time_ms.tolist(), self.person, self.value, strict=True)
        for source, time_ms, person, value in rows:
            out[source].append(Message("t", 0, len(out[source]), person, value, None, None, (1, time_ms)))
        return out


def generate(shape: Shape) -> Events:
    """All events of a shape."""
    chance = np.random.default_rng(shape.seed)
    n = shape.events
    sessions = -(-n // shape.session)
    begin = np.repeat(chance.uniform(0, shape.days * DAY_MS, sessions), shape.session)[:n]
    pauses = chance.exponential(_PAUSE_MS, (sessions, shape.session)).cumsum(1).ravel()[:n]
    time = shape.start_ms + (begin + pauses).astype(np.int64)
    person = np.repeat(_persons(chance, shape, sessions), shape.session)[:n]
    source = (chance.random(n) < shape.email).astype(np.int64)
    mailed = source == EMAIL
    person[mailed] = _persons(chance, shape, int(mailed.sum()))
    arrival = time + np.where(chance.random(n) < shape.late, chance.uniform(0, shape.late_ms, n), 0).astype(np.int64)
    again = np.flatnonzero(chance.random(n) < shape.duplicates)
    rows = np.concatenate((np.arange(n), again))
    arrival = np.concatenate((arrival, arrival[again] + chance.integers(0, _PAUSE_MS, len(again))))
    rows = rows[np.argsort(arrival, kind="stable")]
    keys, values = _texts(_key(person)), _values(chance, source, time, person)
    return Events(source[rows], time[rows], [keys[i] for i in rows.tolist()], [values[i] for i in rows.tolist()])


def _persons(chance: np.random.Generator, shape: Shape, n: int) -> Numbers:
    return (shape.persons * chance.random(n) ** shape.skew).astype(np.int64)


def _values(chance: np.random.Generator, source: Numbers, time: Numbers, person: Numbers) -> list[bytes]:
    values: list[bytes] = [b""] * len(source)
    for which in (SITE, EMAIL):
        kind = chance.choice(len(_SHARES[which]), len(source), p=_SHARES[which])
        for symbol in range(len(_SHARES[which])):
            rows = np.flatnonzero((source == which) & (kind == symbol))
            record = _record(chance, which, symbol, rows, time[rows], person[rows])
            for row, value in zip(rows.tolist(), _texts(record), strict=True):
                values[row] = value
    return values


def _record(chance: np.random.Generator, which: int, symbol: int, rows: Numbers, time: Numbers, person: Numbers) -> Bytes:
    """The records of one kind of event: (n, length) bytes."""
    n = len(rows)
    parts: list[Bytes | bytes] = [
        b"\0" + _SCHEMA_IDS[which].to_bytes(4, "big"),
        *_string(b"e", _digits(rows, 23)),
        *_string(_key(person)),
        _times(time),
        bytes([symbol * 2]),
    ]
    if which == EMAIL:
        parts += _string(b"c", _digits(chance.integers(0, 50, n), 2))
        return _joined(n, parts)
    category = _digits(chance.integers(0, 40, n), 2)
    if symbol == 0:
        parts.append(bytes(4))
    else:
        price = np.round(chance.uniform(0, 200, n), 2).astype("<f8").view(np.uint8).reshape(n, 8)
        parts += [
            b"\x02",
            *_string(b"p", _digits(chance.integers(0, 5_000, n), 4)),
            b"\x02",
            *_string(b"cat", category),
            b"\x02",
            price,
            b"\0" if symbol == 1 else b"\x02\x02",
        ]
    parts += _string(b"https://shop.example/cat", category, b"/", _digits(rows % 9_973, 4))
    return _joined(n, parts)


def _key(person: Numbers) -> Bytes:
    return _joined(len(person), [b"u", _digits(person, 8)])


def _string(*parts: Bytes | bytes) -> list[Bytes | bytes]:
    """An Avro string below 64 bytes: its length as a zigzag number, then its bytes."""
    return [bytes([2 * sum(map(_width, parts))]), *parts]


def _width(part: Bytes | bytes) -> int:
    return len(part) if isinstance(part, bytes) else int(part.shape[1])


def _joined(n: int, parts: list[Any]) -> Bytes:
    whole = np.empty((n, sum(map(_width, parts))), np.uint8)
    at = 0
    for part in parts:
        width = _width(part)
        whole[:, at : at + width] = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        at += width
    return whole


def _digits(numbers: Numbers, width: int) -> Bytes:
    """Decimal, zeros in front."""
    out = np.full((len(numbers), width), ord("0"), np.uint8)
    left = numbers.copy()
    for column in range(width - 1, max(-1, width - 19), -1):
        left, digit = np.divmod(left, 10)
        out[:, column] += digit.astype(np.uint8)
    return out


def _times(time: Numbers) -> Bytes:
    """Zigzag numbers, all of one length."""
    shifts = 7 * np.arange(_TIME_BYTES)
    out = ((time[:, None] << 1) >> shifts & 0x7F).astype(np.uint8)
    out[:, :-1] |= 0x80
    return out


def _texts(rows: Bytes) -> list[bytes]:
    raw, width = rows.tobytes(), rows.shape[1]
    return [raw[i : i + width] for i in range(0, len(raw), width)]
