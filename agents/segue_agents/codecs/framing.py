"""Confluent's framing of a batch: byte 0, the schema id as four big-endian bytes, the body.

A `Frame` is the joined buffer of a batch with what is known of each row; every later stage strikes rows off with
`reject`, and the first reason counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from segue.limits import EVENT_BYTES
from segue.records import Int64s, RejectReason
from segue_agents.codecs.vectors import Bools, Vectors

HEADER: Final = 5
SHORT: Final = 16
"""bytes of a string, on average, up to which strings are packed before they are cut"""
_HEADER_BITS: Final = np.uint64((1 << 40) - 1)
_HIGH_ID_BITS: Final = np.uint64(0x8080808000)


class Frame:
    """The values of a batch, joined."""

    def __init__(self, values: Sequence[bytes | None], pad: int) -> None:
        self.rejected: dict[int, tuple[RejectReason, str]] = {}
        self._ascii = False
        self._text = ""
        present: list[bytes]
        try:
            present = list(values)  # type: ignore[arg-type]
            lengths = np.fromiter(map(len, present), np.int64, len(present))
        except TypeError:  # a null value has no length; asking each record first would cost a tenth of the whole
            present = self._present(values)
            lengths = np.fromiter(map(len, present), np.int64, len(present))
        if lengths.max() > EVENT_BYTES:
            for row in np.flatnonzero(lengths > EVENT_BYTES).tolist():
                self.reject(row, "too_large", f"The event has {lengths[row]} bytes; {EVENT_BYTES} are allowed.")
                present[row] = b""
                lengths[row] = 0
        self.data = bytearray().join([*present, bytes(pad)])
        self.end: Int64s = np.cumsum(lengths)
        self.start: Int64s = self.end - lengths
        self.vectors = Vectors(self.data, len(present))
        self.ids = self._ids(lengths)

    def _present(self, values: Sequence[bytes | None]) -> list[bytes]:
        for row, value in enumerate(values):
            if value is None:
                self.reject(row, "undecodable", "The record has no value.")
        return [b"" if value is None else value for value in values]

    def _ids(self, lengths: Int64s) -> Int64s:
        """[n] schema ids; -1 for rows without a header."""
        head = self.vectors.words[self.start] & _HEADER_BITS
        self._blank_ids = bool((head & _HIGH_ID_BITS).any())
        ids = (head >> np.uint64(8)).astype(np.uint32).byteswap().astype(np.int64)
        wrong = (lengths < HEADER) | ((head & np.uint64(0xFF)) != 0)
        if wrong.any():
            ids[wrong] = -1
            for row in np.flatnonzero(wrong).tolist():
                size = int(lengths[row])
                if size == 0:
                    detail = "The value is empty."
                elif size < HEADER:
                    detail = f"The value has {size} bytes, fewer than its header of {HEADER}."
                else:
                    detail = f"The first byte is {self.data[self.start[row]]}, not 0: no Avro in Confluent's framing."
                self.reject(row, "undecodable", detail)
        return ids

    def groups(self) -> Iterator[tuple[int, Int64s]]:
        """(schema id, its rows ascending)."""
        if (self.ids == self.ids[0]).all():
            ids: Iterable[int] = [int(self.ids[0])]
        else:
            ids = np.unique(self.ids).tolist()
        for schema_id in ids:
            if schema_id >= 0:
                yield schema_id, np.flatnonzero(self.ids == schema_id)

    def reject(self, row: int, reason: RejectReason, detail: str) -> None:
        """Strike a row off, unless it is already."""
        self.rejected.setdefault(row, (reason, detail))

    def good(self) -> Bools:
        """[n] rows not struck off."""
        good: npt.NDArray[np.bool_] = np.ones(len(self.start), np.bool_)
        if self.rejected:
            good[list(self.rejected)] = False
        return good

    def check_text(self, apart: Iterable[int]) -> None:
        """Reject rows with a string that is not UTF-8.

        `apart`: rows that were decoded alone and take no part. Nothing but text is left in the buffer afterwards.
        """
        vectors = self.vectors
        vectors.bad[list(self.rejected)] = True
        vectors.bad[list(apart)] = True
        vectors.blank()
        for row in np.flatnonzero(vectors.bad).tolist():
            vectors.bytes[self.start[row] : self.end[row]] = 0
        if self._blank_ids:
            vectors.words[self.start] &= ~_HEADER_BITS
        self._ascii = self.data.isascii()
        if not self._ascii:
            try:
                self.data.decode()
            except UnicodeDecodeError:
                self._check_each()

    def strings(self, start: Int64s, end: Int64s) -> list[str]:
        """Strings of good rows, at least one; after `check_text`."""
        if not self._ascii:
            data = self.data
            return [data[a:b].decode() for a, b in zip(start.tolist(), end.tolist(), strict=True)]
        length = end - start
        after = np.cumsum(length)
        total = int(after[-1])
        if total <= SHORT * len(start):
            # short strings are packed first: a str of the whole buffer costs more in page faults than they in all
            at = np.repeat(start - (after - length), length) + np.arange(total)
            text = self.vectors.bytes.take(at).tobytes().decode("ascii")
            start, end = after - length, after
        else:
            self._text = text = self._text or self.data.decode("ascii")
        return [text[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True)]

    def _check_each(self) -> None:
        for row, (start, end) in enumerate(zip(self.start.tolist(), self.end.tolist(), strict=True)):
            try:
                self.data[start:end].decode()
            except UnicodeDecodeError:
                self.reject(row, "undecodable", "A string is not UTF-8.")
