"""Many thresholds over one stream: only those that can be next are looked at.

Of `count(E) >= n in the last D` with one E, the truth of a larger n or a shorter D implies that of the others: it ends
before theirs, and comes after theirs. So of any set of thresholds few are looked at, those that no other comes before;
which, is remembered by the set's bits, as the same sets come again and again.

The generated step uses, per stream in slot 9: ends9 and begins9, from bits to the (n, window) that can be next to end
or to begin; ended9 and begun9, for when one of these is found to have done so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from segue.limits import SETS_REMEMBERED
from segue.plan.evidence import Stream
from segue.plan.layout import Plan
from segue.plan.leaves import Threshold
from segue.records import NEVER

_FEW = 3
"""so many thresholds are as fast one by one"""
Pairs = tuple[tuple[int, int], ...]


class Frontier(dict[int, Pairs]):
    """From the bits of some thresholds to the (n, window in ms) of those that no other comes before."""

    def __init__(self, thresholds: Sequence[tuple[int, int, int]], ending: bool) -> None:
        """`thresholds`: (bit, n, window in ms). `ending`: those that end first, else those that begin first."""
        super().__init__()
        self._thresholds = sorted(thresholds, key=lambda x: (-x[1], x[2]) if ending else (x[1], -x[2]))
        self._ending = ending

    def __missing__(self, bits: int) -> Pairs:
        found: list[tuple[int, int]] = []
        for bit, n, window_ms in self._thresholds:
            if bits & bit and all(window_ms < w if self._ending else window_ms > w for _, w in found):
                found.append((n, window_ms))
        if len(self) >= SETS_REMEMBERED:
            self.clear()
        self[bits] = tuple(found)
        return self[bits]


def thresholds_of(plan: Plan, stream: Stream) -> list[tuple[int, int, int]]:
    """(bit, n, window in ms) of the thresholds that read the stream; without a window it is NEVER."""
    found = []
    for i in plan.readers[stream.slot]:
        leaf = plan.leaves[i]
        if isinstance(leaf, Threshold):
            found.append((plan.leaf_bit(i), leaf.n, NEVER if leaf.window_ms is None else leaf.window_ms))
    return found


def ending(plan: Plan, stream: Stream) -> list[tuple[int, int, int]]:
    """Of those the ones that end, if they are many; else none."""
    found = [x for x in thresholds_of(plan, stream) if x[2] < NEVER]
    return found if len(found) > _FEW else []


def beginning(plan: Plan, stream: Stream) -> list[tuple[int, int, int]]:
    """All thresholds of the stream, if they are many; else none."""
    found = thresholds_of(plan, stream)
    return found if len(found) > _FEW else []


def bits_of(thresholds: Iterable[tuple[int, int, int]]) -> int:
    """Their bits."""
    return sum(bit for bit, _, _ in thresholds)


def names(plan: Plan) -> dict[str, Any]:
    """What the generated step calls, by name."""
    out: dict[str, Any] = {}
    for stream in plan.streams:
        if ends := ending(plan, stream):
            out |= {f"ends{stream.slot}": Frontier(ends, True), f"ended{stream.slot}": _ended(ends)}
        if begins := beginning(plan, stream):
            out |= {f"begins{stream.slot}": Frontier(begins, False), f"begun{stream.slot}": _begun(begins)}
    return out


def _ended(thresholds: Sequence[tuple[int, int, int]]) -> Callable[[list[int], int, int], int]:
    def ended(times: list[int], bits: int, t: int) -> int:
        """Those of the true ones that have ended by t."""
        return sum(bit for bit, n, window_ms in thresholds if bits & bit and times[-n] + window_ms <= t)

    return ended


def _begun(thresholds: Sequence[tuple[int, int, int]]) -> Callable[[list[int], int, int], tuple[int, int]]:
    def begun(times: list[int], bits: int, t: int) -> tuple[int, int]:
        """(those not yet true that have begun by t, when the first of them ends)."""
        found, due, known = 0, NEVER, len(times)
        for bit, n, window_ms in thresholds:
            if n <= known and not bits & bit and times[-n] + window_ms > t:
                found |= bit
                due = min(due, times[-n] + window_ms)
        return found, due

    return begun
