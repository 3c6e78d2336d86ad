"""Event names of a whole batch at once: bytes -> the plan's kind.

A name is compared as a few 64-bit words: a hash of them finds the only known name it can be, then the words and the
length decide. Measured: 0.02 us a name, against 0.14 for slicing it and asking a dict.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from segue.records import IRRELEVANT, Int32s, Int64s
from segue_agents.codecs.vectors import UInt64s

_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
_BITS = (1 << 64) - 1


class Names:
    """Known names and their kinds."""

    def __init__(self, kinds: Mapping[str, int]) -> None:
        known = {name.encode(): kind for name, kind in kinds.items()}
        self.words = max((len(name) + 7) // 8 for name in known) if known else 0
        """64-bit words of the longest name"""
        hashed = sorted((self._hash(name), name) for name in known)
        assert len({h for h, _ in hashed}) == len(hashed), "two names of one hash"
        names = [name for _, name in hashed]
        self._hashes = np.array([h for h, _ in hashed], np.uint64)
        self._lengths = np.array([len(n) for n in names], np.int64)
        self._kinds = np.array([known[n] for n in names], np.int32)
        self._words = [np.array([self._word(n, j) for n in names], np.uint64) for j in range(self.words)]

    def kinds(self, words: UInt64s, start: Int64s, end: Int64s) -> Int32s:
        """[n] kinds of the names from start to end; IRRELEVANT for others."""
        if not self.words:
            return np.full(len(start), IRRELEVANT, np.int32)
        length = end - start
        found = []
        mixed = length.astype(np.uint64)
        for j in range(self.words):
            word = words[start + 8 * j] & _MASKS.take(length - 8 * j, mode="clip")
            found.append(word)
            mixed = (mixed ^ word) * np.uint64(_FACTORS[j % 2])
            mixed ^= mixed >> np.uint64(32)
        at = np.minimum(np.searchsorted(self._hashes, mixed), len(self._hashes) - 1)
        same = self._lengths[at] == length
        for word, known in zip(found, self._words, strict=True):
            same &= known[at] == word
        return np.where(same, self._kinds[at], np.int32(IRRELEVANT))

    def _word(self, name: bytes, j: int) -> int:
        return int.from_bytes(name[8 * j : 8 * j + 8], "little")

    def _hash(self, name: bytes) -> int:
        mixed = len(name)
        for j in range(self.words):
            mixed = ((mixed ^ self._word(name, j)) * _FACTORS[j % 2]) & _BITS
            mixed ^= mixed >> 32
        return mixed
