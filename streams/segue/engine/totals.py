"""Totals at work: events folded into a few numbers, in whatever order they come.

Sums are exact: a list of partial sums that do not overlap, after Shewchuk (Adaptive Precision Floating-Point
Arithmetic, 1997), as in Python's math.fsum. So a sum is a function of its numbers and not of their order, and two
sums merge into the sum of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from segue.plan.evidence import Total

Add = Callable[[list[Any], int, int, Any], None]
"""(what the slot holds, time, order of the source, value)"""


def adding(total: Total) -> Add:
    """How an event enters the total. Changes the list in place."""
    from_ms = total.from_ms
    add = _distinct(total.keep) if total.kind == "distinct" else _ADD[total.kind]
    if from_ms is None:
        return add

    def later(held: list[Any], t: int, order: int, value: Any) -> None:
        if t >= from_ms:
            add(held, t, order, value)

    return later


def merged(total: Total, a: list[Any], b: list[Any]) -> list[Any]:
    """The total of both histories. Of equal places (time and source) `b`'s counts as the later arrival."""
    if not a or not b:
        return list(a or b)
    match total.kind:
        case "sum":
            held = list(a)
            for part in b[1:]:
                _add_exactly(held, part)
            held[0] = a[0] + b[0]
            return held
        case "distinct":
            return list(dict.fromkeys([*a, *b]))[: total.keep]
        case "min" | "earliest":
            return [min(a[0], b[0])]
        case "max":
            return [max(a[0], b[0])]
        case "first":
            return list(b if b[:2] < a[:2] else a)
        case "last":
            return list(b if b[:2] >= a[:2] else a)


def exact_sum(values: Iterable[float]) -> float:
    """The sum, rounded once; beyond the largest number there is, infinity."""
    values = list(values)
    try:
        return math.fsum(values)
    except OverflowError:
        total = sum(map(Fraction, values), Fraction())
        try:
            return float(total)
        except OverflowError:
            return math.inf if total > 0 else -math.inf


def _sum(held: list[Any], _t: int, _order: int, value: Any) -> None:
    if value is not None:
        if not held:
            held.append(0)
        held[0] += 1
        _add_exactly(held, float(value))


def _add_exactly(held: list[Any], x: float) -> None:
    """held[1:] are the partial sums."""
    i = 1
    for part in held[1:]:
        x, y = (part, x) if abs(x) < abs(part) else (x, part)
        high = x + y
        if math.isinf(high):  # the two stay apart: what follows may bring their sum back
            held[i] = y
            i += 1
            continue
        low = y - (high - x)
        if low:
            held[i] = low
            i += 1
        x = high
    held[i:] = [x]


def _min(held: list[Any], _t: int, _order: int, value: Any) -> None:
    if value is not None and (not held or value < held[0]):
        held[:] = [value]


def _max(held: list[Any], _t: int, _order: int, value: Any) -> None:
    if value is not None and (not held or value > held[0]):
        held[:] = [value]


def _distinct(keep: int) -> Add:
    def add(held: list[Any], _t: int, _order: int, value: Any) -> None:
        if value is not None and len(held) < keep and value not in held:
            held.append(value)

    return add


def _first(held: list[Any], t: int, order: int, value: Any) -> None:
    if not held or (t, order) < (held[0], held[1]):
        held[:] = [t, order, value]


def _last(held: list[Any], t: int, order: int, value: Any) -> None:
    if not held or (t, order) >= (held[0], held[1]):
        held[:] = [t, order, value]


def _earliest(held: list[Any], t: int, _order: int, _value: Any) -> None:
    if not held or t < held[0]:
        held[:] = [t]


_ADD: dict[str, Add] = {
    "sum": _sum, "min": _min, "max": _max, "first": _first, "last": _last, "earliest": _earliest,
}  # fmt: skip
