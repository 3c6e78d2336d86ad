"""Many thresholds: only those that can be next are looked at.

Of `count(E) >= n in the last D` with one E, the truth of a larger n or a shorter D implies that of the others: it ends
before theirs, and comes after theirs. So of any set of thresholds few are looked at, those that no other comes before;
which, is remembered by the set's bits, as the same sets come again and again.

The generated step uses, for the thresholds that end, a dozen at a time: ends0, from bits to the (slot, n, window) that
can be next to end, and ended0, for when one of them has. For those over one stream in slot 9: begins9, to the
(n, window) that can be next to begin, and begun9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from segue.limits import GROUP_INPUTS, SETS_REMEMBERED
from segue.plan.evidence import Stream
from segue.plan.layout import Plan
from segue.plan.leaves import Threshold
from segue.records import NEVER

FEW = 5
"""so many thresholds are as fast one by one"""
Timed = tuple[int, int, int, int]
"""bit, slot, n, window in ms; NEVER without a window"""


class Frontier(dict[int, tuple[tuple[int, ...], ...]]):
    """From the bits of some thresholds to those among them that no other comes before, without their bits."""

    def __init__(self, thresholds: Sequence[Timed], ending: bool) -> None:
        """`ending`: those that end first, as (slot, n, window); else those of a stream that begin first, as (n, window)."""
        super().__init__()
        self._ending = ending
        self._thresholds = sorted(thresholds, key=lambda x: (-x[2], x[3]) if ending else (x[2], -x[3]))

    def __missing__(self, bits: int) -> tuple[tuple[int, ...], ...]:
        found: list[tuple[int, ...]] = []
        for bit, slot, n, window_ms in self._thresholds:
            if bits & bit and self._is_next(slot, window_ms, found):
                found.append((slot, n, window_ms) if self._ending else (n, window_ms))
        if len(self) >= SETS_REMEMBERED:
            self.clear()
        self[bits] = tuple(found)
        return self[bits]

    def _is_next(self, slot: int, window_ms: int, before: list[tuple[int, ...]]) -> bool:
        """Given those with a larger n, of those that end; with a smaller one, of those that begin."""
        if self._ending:
            return all(s != slot or window_ms < w for s, _, w in before)
        return all(window_ms > w for _, w in before)


def thresholds_of(plan: Plan, stream: Stream) -> list[Timed]:
    """Those that read the stream."""
    found = []
    for i in plan.readers[stream.slot]:
        leaf = plan.leaves[i]
        if isinstance(leaf, Threshold):
            found.append((plan.leaf_bit(i), stream.slot, leaf.n, NEVER if leaf.window_ms is None else leaf.window_ms))
    return found


def ending(plan: Plan) -> list[list[Timed]]:
    """Those that end, some dozen at a time, those of one stream together."""
    chunks: list[list[Timed]] = [[]]
    for stream in plan.streams:
        mine = [x for x in thresholds_of(plan, stream) if x[3] < NEVER]
        if chunks[-1] and len(chunks[-1]) + len(mine) > GROUP_INPUTS:
            chunks.append([])
        chunks[-1] += mine
    return [chunk for chunk in chunks if chunk]


def beginning(plan: Plan, stream: Stream) -> list[Timed]:
    """All thresholds of the stream, if they are many; else none."""
    found = thresholds_of(plan, stream)
    return found if len(found) > FEW else []


def bits_of(thresholds: Iterable[Timed]) -> int:
    """Their bits."""
    return sum(x[0] for x in thresholds)


def names(plan: Plan) -> dict[str, Any]:
    """What the generated step calls, by name."""
    out: dict[str, Any] = {}
    for i, ends in enumerate(ending(plan)):
        out |= {f"ends{i}": Frontier(ends, True), f"ended{i}": _ended(ends)}
    for stream in plan.streams:
        if begins := beginning(plan, stream):
            out |= {f"begins{stream.slot}": Frontier(begins, False), f"begun{stream.slot}": _begun(begins)}
    return out


def _ended(thresholds: Sequence[Timed]) -> Callable[[list[Any], int, int], int]:
    def ended(s: list[Any], bits: int, t: int) -> int:
        """Those of the true ones that have ended by t."""
        return sum(bit for bit, slot, n, window_ms in thresholds if bits & bit and s[slot][-n] + window_ms <= t)

    return ended


def _begun(thresholds: Sequence[Timed]) -> Callable[[list[int], int, int], tuple[int, int]]:
    def begun(times: list[int], bits: int, t: int) -> tuple[int, int]:
        """(those not yet true that have begun by t, when the first of them ends)."""
        found, due, known = 0, NEVER, len(times)
        for bit, _, n, window_ms in thresholds:
            if n <= known and not bits & bit and times[-n] + window_ms > t:
                found |= bit
                due = min(due, times[-n] + window_ms)
        return found, due

    return begun
