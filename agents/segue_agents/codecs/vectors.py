"""Reading one Avro value of every record at once: cursors are an int64 array over one joined buffer.

Why no read checks that it stays inside its record: cursors only move forward, so a record that was overrun
ends beyond its end and fails the one test after the last field, `cursor == end`. The buffer is padded so that
an overrun reads bytes that exist (`padding`). Only what could carry a cursor far is checked before it is
believed: lengths, counts and the sizes of fixed. Only what is read from the *value* of a byte, an index, a boolean,
a 32-bit int, is checked where it is read. A failure marks the row and moves nothing else.

UTF-8: every read notes where bytes stand that are no text. Once these are blanked (`blank`), what is left is text
between ASCII zeros, so one C call over the whole buffer says whether all strings of all records are UTF-8: two
strings never touch, because a length stands before each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from segue.records import Int64s

UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

ROUNDS: Final = 64
"""array or map items read by columns; a longer one goes to the row decoder"""
ROUNDS_IN_ALL: Final = 20_000
"""values in arrays and maps read by columns, of the longest of a batch each: nested arrays multiply, and then the
records that made them long go to the row decoder too. Less than EVENT_VALUES, so columns take none that it would not"""

_HIGH = np.uint64(0x8080808080808080)
_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_LENGTHS = np.uint64(0x0102030405060708)
"""times 2**(8 i), its top byte is i + 1: the length of a varint from the place of its last byte"""
_MERGES = tuple(
    (np.uint64(low), np.uint64(high), np.uint64(shift))
    for low, high, shift in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


def padding(nodes: int) -> int:
    """Zero bytes needed behind the joined records: each of the schema's nodes can overrun by ten bytes at most, and
    up to 64 are read from where one begins: a key is compared that far (`checks.KEY_WORD_BYTES`)."""
    return 10 * nodes + 64


class Vectors:
    """The joined buffer of a batch, and what was found out about its rows while reading."""

    def __init__(self, data: bytearray, rows: int) -> None:
        self.data = data
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8)
        self.words: UInt64s = np.ndarray((len(data) - 7,), "<u8", buffer=data, strides=(1,))
        """eight bytes from every position"""
        self.bad: Bools = np.zeros(rows, np.bool_)
        self._rounds_left = ROUNDS_IN_ALL
        self._blanks: list[tuple[Int64s, Int64s, UInt64s | np.uint64]] = []
        self._ranges: list[tuple[Int64s, Int64s, Int64s]] = []

    def varint(self, cur: Int64s, rows: Int64s) -> tuple[Int64s, Int64s]:
        """A zigzag number of up to ten bytes; the cursor behind it."""
        first = self.bytes.take(cur)
        if first.max() < 0x80:
            small = first.astype(np.int64)
            return (small >> 1) ^ -(small & 1), cur + 1
        word = self.words[cur]
        stop = ~word & _HIGH
        last = stop & (~stop + _ONE)
        used = last ^ (last - _ONE)
        number = word & used & _LOW7
        for low, high, shift in _MERGES:
            number = (number & low) | ((number & high) >> shift)
        length = (((last >> np.uint64(7)) * _LENGTHS) >> np.uint64(56)).view(np.int64)
        self._blanks.append((rows, cur, ~used))
        if not stop.all():
            self._long_varint(cur, rows, number, length, np.flatnonzero(stop == 0))
        return ((number >> _ONE) ^ (~(number & _ONE) + _ONE)).view(np.int64), cur + length

    def _long_varint(self, cur: Int64s, rows: Int64s, number: UInt64s, length: Int64s, at: Int64s) -> None:
        """Nine and ten bytes, rare: fills in `number` and `length` at the rows `at`."""
        ninth = self.bytes[cur[at] + 8].astype(np.uint64)
        tenth = np.where(ninth < 0x80, _ZERO, self.bytes[cur[at] + 9].astype(np.uint64))
        number[at] |= ((ninth & np.uint64(0x7F)) << np.uint64(56)) | (tenth << np.uint64(63))
        length[at] = np.where(ninth < 0x80, 9, 10)
        self._mark(rows, at, tenth > 1)
        self._blanks.append((rows[at], cur[at] + length[at] - 8, _ZERO))

    def _mark(self, rows: Int64s, at: Int64s, wrong: Bools) -> None:
        if wrong.any():
            self.bad[rows[at[wrong]]] = True

    def int32(self, cur: Int64s, rows: Int64s) -> tuple[Int64s, Int64s]:
        """A number that must fit 32 bits."""
        number, cur = self.varint(cur, rows)
        wrong = number != number.astype(np.int32)
        if wrong.any():
            self.bad[rows[wrong]] = True
        return number, cur

    def index(self, cur: Int64s, rows: Int64s, n: int) -> tuple[Int64s, Int64s]:
        """A branch or symbol below n; 0 where it is none, and the row is bad."""
        i, cur = self.varint(cur, rows)
        wrong = i.view(np.uint64) >= n
        if wrong.any():
            self.bad[rows[wrong]] = True
            i = np.where(wrong, 0, i)
        return i, cur

    def boolean(self, cur: Int64s, rows: Int64s) -> tuple[Int64s, Int64s]:
        """0 or 1."""
        byte = self.bytes.take(cur)
        wrong = byte > 1
        if wrong.any():
            self.bad[rows[wrong]] = True
        return byte.astype(np.int64), cur + 1

    def text(self, cur: Int64s, end: Int64s, rows: Int64s) -> tuple[Int64s, Int64s]:
        """Where a string starts, and the cursor behind it."""
        length, start = self.varint(cur, rows)
        wrong = (length < 0) | (length > end - start)
        if wrong.any():
            self.bad[rows[wrong]] = True
            length = np.where(wrong, 0, length)
        return start, start + length

    def blob(self, cur: Int64s, end: Int64s, rows: Int64s) -> Int64s:
        """The cursor behind a bytes value."""
        start, cur = self.text(cur, end, rows)
        self._ranges.append((rows, start, cur))
        return cur

    def fixed(self, cur: Int64s, end: Int64s, rows: Int64s, size: int) -> Int64s:
        """The cursor behind a fixed of `size` bytes."""
        wrong = size > end - cur
        if wrong.any():
            self.bad[rows[wrong]] = True
            after = np.where(wrong, cur, cur + size)
        else:
            after = cur + size
        self._ranges.append((rows, cur, after))
        return after

    def double(self, cur: Int64s) -> Int64s:
        """The bits of a float64, as int64; the cursor is the caller's to move by 8."""
        return self.words[cur].view(np.int64)

    def float(self, cur: Int64s) -> Int64s:
        """The bits of a float32 widened to float64, as int64; the cursor is the caller's to move by 4."""
        with np.errstate(invalid="ignore"):  # a signalling NaN may be widened into a quiet one
            return self.words[cur].astype(np.uint32).view(np.float32).astype(np.float64).view(np.int64)

    def double_of(self, number: Int64s) -> Int64s:
        """The bits of whole numbers as float64, as int64."""
        return number.astype(np.float64).view(np.int64)

    def float_of(self, number: Int64s) -> Int64s:
        """The same by way of float32, which is what a reader's float would hold."""
        return number.astype(np.float32).astype(np.float64).view(np.int64)

    def no_text(self, cur: Int64s, rows: Int64s, size: int) -> None:
        """Notes that the next `size` bytes, 4 or 8, are no text."""
        self._blanks.append((rows, cur, _ZERO if size == 8 else np.uint64(0xFFFFFFFF00000000)))

    def items(self, cur: Int64s, end: Int64s, rows: Int64s,
              item: Callable[[Int64s, Int64s, Int64s], Int64s], values: int) -> Int64s:
        """The cursor behind an array or map, whose `item` reads the next item of some rows, `values` of them each."""
        cur = cur.copy()
        left = np.zeros(len(cur), np.int64)
        live = np.arange(len(cur))
        for _ in range(ROUNDS):
            at = live[left[live] == 0]
            if at.size:
                cur[at], left[at] = self._block(cur[at], end[at], rows[at])
                live = live[left[live] > 0]
            if not live.size:
                return cur
            self._rounds_left -= values
            if self._rounds_left < 0:
                break
            cur[live] = item(cur[live], end[live], rows[live])
            left[live] -= 1
            over = cur[live] > end[live]
            if over.any():
                lost = live[over]
                self.bad[rows[lost]] = True
                cur[lost] = end[lost]
                live = live[~over]
        self.bad[rows[live]] = True
        return cur

    def _block(self, cur: Int64s, end: Int64s, rows: Int64s) -> tuple[Int64s, Int64s]:
        """The cursor behind a block's head, and its number of items; 0 where it cannot be."""
        count, cur = self.varint(cur, rows)
        sized = np.flatnonzero(count < 0)
        if sized.size:
            count[sized] = -count[sized]
            cur[sized] = self.varint(cur[sized], rows[sized])[1]
        wrong = (count < 0) | (count > np.maximum(end - cur, 0))
        if wrong.any():
            self.bad[rows[wrong]] = True
            count[wrong] = 0
        return cur, count

    def blank(self) -> None:
        """Zero, in good rows, all bytes noted as no text. Bad rows are the caller's to zero whole."""
        any_bad = bool(self.bad.any())
        for rows, cur, keep in self._blanks:
            # eight bytes may reach into the next record; rows ascend, so what is written there is put right by it
            if any_bad:
                good = ~self.bad[rows]
                self.words[cur[good]] &= keep[good] if isinstance(keep, np.ndarray) else keep
            else:
                self.words[cur] &= keep
        for rows, start, end in self._ranges:
            good = ~self.bad[rows]
            for a, b in zip(start[good].tolist(), end[good].tolist(), strict=True):
                self.bytes[a:b] = 0
        self._blanks.clear()
        self._ranges.clear()
