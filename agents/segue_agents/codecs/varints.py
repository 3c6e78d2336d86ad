"""Avro's numbers and strings, written: a number is zigzag, then seven bits a byte, the lowest first.

Fourteen bits at a time from two tables, which fill with what is asked for: a time of today takes three steps, not six.
"""

from __future__ import annotations

from typing import Final

_PAIR: Final = (1 << 14) - 1


class _Last(dict[int, bytes]):
    """Up to 14 bits, after which nothing follows."""

    def __missing__(self, bits: int) -> bytes:
        encoded = self[bits] = bytes([bits]) if bits < 128 else bytes([bits & 127 | 128, bits >> 7])
        return encoded


class _Before(dict[int, bytes]):
    """14 bits that others follow."""

    def __missing__(self, bits: int) -> bytes:
        encoded = self[bits] = bytes([bits & 127 | 128, bits >> 7 | 128])
        return encoded


class _Small(dict[int, bytes]):
    """Numbers, of which those from 0 to 8191 are remembered."""

    def __missing__(self, number: int) -> bytes:
        encoded = long(number)
        if 0 <= number <= _PAIR >> 1:
            self[number] = encoded
        return encoded


_LAST, _BEFORE = _Last(), _Before()
SMALL: Final = _Small()
"""SMALL[number] is long(number), a fifth of its cost where the number has been asked for before and is small"""


def long(number: int) -> bytes:
    """Of a number of at most 64 bits, 1 to 10 bytes."""
    bits = (number << 1) ^ (number >> 63)
    if 1 << 28 <= bits < 1 << 42:  # times from 1974 to 2039, in ms
        return _BEFORE[bits & _PAIR] + _BEFORE[bits >> 14 & _PAIR] + _LAST[bits >> 28]
    encoded = b""
    while bits > _PAIR:
        encoded += _BEFORE[bits & _PAIR]
        bits >>= 14
    return encoded + _LAST[bits]


def string(text: str) -> bytes:
    """Its length in bytes, then UTF-8."""
    raw = text.encode()
    return SMALL[len(raw)] + raw


def strings(texts: tuple[str, ...] | list[str]) -> bytes:
    """An array of strings, in one block."""
    if not texts:
        return b"\0"
    small = SMALL
    return small[len(texts)] + b"".join([small[len(raw)] + raw for raw in map(str.encode, texts)]) + b"\0"
