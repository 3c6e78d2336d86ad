"""The load: the reference workload's shape, a round at a time, made with numpy and written as fast as librdkafka takes it.

Sessions of shoppers, a few of whom do most, in the order of time; and, where a round asks for it, what goes wrong at
producers: records out of order, late, much too late, twice, from the future, and bytes that are no record at all. A
round is a function of (seed, number). The person's partition is a hash of its number, the same in both topics.

Each (source, partition) begins a round with honest records: the place of a late one before them would depend on which
source was fetched first, and no oracle could say it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from confluent_kafka import Producer

T0_MS: Final = 1_780_000_000_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
BETWEEN_ROUNDS_MS: Final = 20 * MINUTE_MS
"""above the five minutes by which a record may move time ahead, so that a round begins on time"""
HONEST_SHARE: Final = 0.05
"""of a round, at its beginning"""
PARTITIONS: Final = 4
BATCH: Final = 20_000
SITE, EMAIL = 0, 1
_PAGE, _VIEW, _ADD, _REMOVE, _PURCHASE = range(5)

Int64s = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Mix:
    """What a round is made of. Shares are of its records."""

    events: int = 1_000_000
    persons: int = 50_000
    span_ms: int = 5 * DAY_MS
    bad: float = 0.0
    """poison of all kinds"""
    late: float = 0.0
    """by up to 20 hours, and a tenth of them by more than the 24 that are allowed"""
    reordered: float = 0.0
    """by some seconds"""
    doubled: float = 0.0
    future: float = 0.0
    """five minutes ahead, just above, two hours, the year 2099"""
    hot: float = 0.0
    """of one person"""
    idle: tuple[int, ...] = ()
    """partitions without a record"""


@dataclass(slots=True)
class Records:
    """What is to be written to one topic, in order."""

    source: int
    keys: list[bytes | None]
    values: list[bytes | None]
    partitions: list[int]
    stamps: list[int]


@dataclass(slots=True)
class Round:
    """A round's records, and where its time ends."""

    topics: list[Records] = field(default_factory=list)
    end_ms: int = 0


def make_round(seed: int, number: int, start_ms: int, mix: Mix) -> Round:
    """The records of a round that begins at `start_ms`."""
    chance = np.random.default_rng((seed, number))
    n_site = mix.events * 4 // 5
    site = _sessions(chance, n_site, start_ms, mix)
    email = _mails(chance, mix.events - n_site, start_ms, mix)
    end_ms = int(max(site[0].max(), email[0].max()))
    return Round([
        _records(chance, SITE, number, site, mix),
        _records(chance, EMAIL, number, email, mix),
    ], end_ms + 6 * MINUTE_MS)  # fmt: skip


Rows = tuple[Int64s, Int64s, Int64s]
"""times, persons, types"""


def _persons(chance: np.random.Generator, n: int, mix: Mix) -> Int64s:
    """Skewed: the square of an even chance; and the hot one, who is person 0."""
    out = (mix.persons * chance.random(n) ** 2).astype(np.int64)
    if mix.hot:
        out[chance.random(n) < mix.hot] = 0
    for partition in mix.idle:
        out[partition_of(out) == partition] += 1
        stuck = partition_of(out) == partition
        out[stuck] = next(p for p in range(mix.persons) if partition_of(np.array([p]))[0] not in mix.idle)
    return out


def _sessions(chance: np.random.Generator, n: int, start_ms: int, mix: Mix) -> Rows:
    """About eight events each, three quarters of a minute apart."""
    lengths = 1 + chance.exponential(7, n // 6 + 10).astype(np.int64)
    count = int(np.searchsorted(np.cumsum(lengths), n)) + 1
    lengths = lengths[:count]
    begin = start_ms + np.sort(chance.integers(0, mix.span_ms, count))
    person = np.repeat(_persons(chance, count, mix), lengths)[:n]
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)[:n]
    step = chance.exponential(45_000, len(person)).astype(np.int64) + 1
    passed = np.cumsum(step)
    time = np.repeat(begin, lengths)[:n] + passed - passed[first]
    kind = np.digitize(chance.random(len(person)), (0.25, 0.80, 0.92, 0.95)).astype(np.int64)
    if mix.hot:  # a history of orders as long as that would be the oracle's test, not the engine's
        kind[(person == 0) & (kind > _VIEW)] = _VIEW
    order = np.argsort(time, kind="stable")
    return time[order], person[order], kind[order]


def _mails(chance: np.random.Generator, n: int, start_ms: int, mix: Mix) -> Rows:
    time = start_ms + np.sort(chance.integers(0, mix.span_ms, n))
    kind = np.digitize(chance.random(n), (0.60, 0.88, 0.99)).astype(np.int64)
    return time, _persons(chance, n, mix), kind


def partition_of(persons: Int64s) -> Int64s:
    """A multiplicative hash, its upper bits."""
    return ((persons * 2_654_435_761) >> 13) % PARTITIONS


# --- what goes wrong at producers


def _records(chance: np.random.Generator, source: int, number: int, rows: Rows, mix: Mix) -> Records:
    time, person, kind = rows
    n = len(time)
    stamp = time.copy()  # when the producer sent it: the future is told from that
    ids = np.arange(n)
    honest = int(n * HONEST_SHARE)

    def some(share: float) -> Int64s:
        picked: Int64s = honest + np.flatnonzero(chance.random(n - honest) < share)
        return picked

    if mix.doubled:
        again = some(mix.doubled)
        of = again - chance.integers(1, min(2_000, honest), len(again))
        time[again], person[again], kind[again], ids[again] = time[of], person[of], kind[of], ids[of]
    if mix.reordered:
        at = some(mix.reordered)
        time[at] -= chance.integers(1, 5_000, len(at))
    if mix.late:
        at = some(mix.late)
        by = chance.integers(1_000, 20 * HOUR_MS, len(at))
        far = chance.random(len(at)) < 0.1
        by[far] = chance.integers(24 * HOUR_MS, 48 * HOUR_MS, int(far.sum()))
        time[at] -= by
    if mix.future:
        at = some(mix.future)
        ahead = np.array([5 * MINUTE_MS, 5 * MINUTE_MS + 1, 2 * HOUR_MS, 73 * 366 * DAY_MS])
        time[at] = stamp[at] + ahead[chance.integers(0, 4, len(at))]
    values: list[Any] = _encode(source, number, ids, person, time, kind)
    keys: list[Any] = _rows_of(_digits(person, 8, b"u"))
    if mix.bad:
        _poison(chance, source, some(mix.bad).tolist(), keys, values)
    return Records(source, keys, values, partition_of(person).tolist(), stamp.tolist())


def _poison(chance: np.random.Generator, source: int, at: list[int], keys: list[Any], values: list[Any]) -> None:
    for i, which in zip(at, chance.integers(0, len(POISON), len(at)).tolist(), strict=True):
        keys[i], values[i] = POISON[which](keys[i], values[i], source)


def _varint(number: int) -> bytes:
    zigzag, out = (number << 1) ^ (number >> 63), bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


_ID_END: Final = 5 + 1 + 16
_TIME: Final = _ID_END + 1 + 8
_TYPE: Final = _TIME + 6


def _timed(time_ms: int) -> Any:
    return lambda k, v, _s: (k, v[:_TIME] + _varint(time_ms) + v[_TYPE:])


POISON: Final[tuple[Any, ...]] = (
    lambda k, _v, _s: (k, None),
    lambda k, _v, _s: (k, b""),
    lambda k, v, _s: (k, b"\x01" + v[1:]),
    lambda k, v, _s: (k, v[:4]),
    lambda k, v, _s: (k, v[:5]),
    lambda k, v, _s: (k, v[:-3]),
    lambda k, v, _s: (k, v + b"\x00"),
    lambda k, v, _s: (k, v[:_TIME] + b"\xff" * 11 + v[_TYPE:]),
    lambda k, v, _s: (k, v[:5] + b"\x01" + v[6:]),  # a string of length -1
    lambda k, v, _s: (k, v[:5] + _varint(1 << 31) + b"abc"),
    lambda k, v, _s: (k, v[:_TYPE] + b"\x01" + v[_TYPE + 1 :]),  # the enum's index -1
    lambda k, v, _s: (k, v[:_TYPE] + _varint(9) + v[_TYPE + 1 :]),
    lambda k, v, s: (k, v[: _TYPE + 1] + (b"\x01" if s == SITE else b"\x03") + v[_TYPE + 2 :]),  # a union's, a string's
    lambda k, v, _s: (k, v[:6] + b"\xff\xfe" + v[8:]),  # no UTF-8
    lambda k, v, _s: (k, v[:1] + b"\x00\x00\x03\xe7" + v[5:]),  # a schema nobody knows
    lambda _k, v, _s: (None, v),
    lambda _k, v, _s: (b"", v),
    lambda _k, v, _s: (b"\xff\xfe", v),
    lambda _k, v, _s: (b"k" * 40_000, v),
    _timed(0), _timed(-1), _timed(1_790_000_000), _timed(1_790_000_000_000_000), _timed((1 << 63) - 1), _timed(-(1 << 63)),
)  # fmt: skip


# --- bytes


def _digits(numbers: Int64s, width: int, prefix: bytes) -> Bytes:
    """`prefix` and the number in decimal, `width` bytes in all, a row each."""
    out = np.empty((len(numbers), width), np.uint8)
    out[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    left = numbers.copy()
    for column in range(width - 1, len(prefix) - 1, -1):
        left, digit = np.divmod(left, 10)
        out[:, column] = digit + 48
    return out


def _long(numbers: Int64s, width: int) -> Bytes:
    """Zigzag varints that all have `width` bytes, or zeros that make them longer."""
    zigzag = numbers << 1 ^ numbers >> 63
    out = np.empty((len(numbers), width), np.uint8)
    for column in range(width):
        out[:, column] = (zigzag & 0x7F) | (0x80 if column < width - 1 else 0)
        zigzag = zigzag >> 7
    return out


def _constant(n: int, content: bytes) -> Bytes:
    return np.broadcast_to(np.frombuffer(content, np.uint8), (n, len(content)))


def _string(content: Bytes) -> Bytes:
    return np.hstack([_constant(len(content), _varint(content.shape[1])), content])


def _rows_of(matrix: Bytes) -> list[bytes]:
    n, width = matrix.shape
    joined = matrix.tobytes()
    return [joined[i : i + width] for i in range(0, n * width, width)]


def _encode(source: int, number: int, ids: Int64s, person: Int64s, time: Int64s, kind: Int64s) -> list[bytes]:
    n = len(ids)
    head = np.hstack([
        _constant(n, b"\0\0\0\0" + bytes([source + 1])),
        _string(_digits(number * 100_000_000 + ids, 16, b"se"[source : source + 1])),
        _string(_digits(person, 8, b"u")), _long(time, 6), _long(kind, 1),
    ])  # fmt: skip
    if source == EMAIL:
        return _rows_of(np.hstack([head, _string(_digits(ids % 50, 4, b"c"))]))
    url = _string(_digits(ids % 9973, 24, b"https://shop.example/"))
    price = (ids % 20_000 / 100.0).astype("<f8").view(np.uint8).reshape(n, 8)
    with_product = np.hstack([
        head, _constant(n, b"\x02"), _string(_digits(ids * 7919 % 5000, 5, b"p")),
        _constant(n, b"\x02"), _string(_digits(ids % 40, 5, b"cat")), _constant(n, b"\x02"), price,
        _constant(n, b"\x02\x02"), url,
    ])  # fmt: skip
    without = np.hstack([head, _constant(n, b"\0\0\0\0"), url])
    page = kind == _PAGE
    out: list[Any] = [None] * n
    for which, matrix in ((page, without), (~page, with_product)):
        for i, value in zip(np.flatnonzero(which).tolist(), _rows_of(matrix[which]), strict=True):
            out[i] = value
    return out


# --- to Kafka


def publish(bootstrap: str, topics: list[str], made: Round) -> int:
    """Writes a round and waits for its acknowledgement; the number of records. Raises RuntimeError when any is lost."""
    producer = Producer({
        "bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 20, "enable.idempotence": True,
        "queue.buffering.max.messages": 4_000_000, "queue.buffering.max.kbytes": 2_000_000, "batch.num.messages": 20_000,
        "delivery.report.only.error": True, "log_level": 0,
    })  # fmt: skip
    produce = producer.produce
    for records in made.topics:
        topic = topics[records.source]
        for i, (k, v, p, t) in enumerate(zip(records.keys, records.values, records.partitions, records.stamps, strict=True)):
            produce(topic, v, k, p, None, None, t)
            if not i % BATCH:
                producer.poll(0)
    if left := producer.flush(120):
        raise RuntimeError(f"{left} records of a round were not written")
    return sum(len(r.values) for r in made.topics)
