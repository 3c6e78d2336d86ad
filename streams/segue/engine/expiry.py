"""When a segment ends by itself: the cases that need no simulation of the timers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from segue.engine.truths import truth_of
from segue.plan.expression import Expression, leaves_of, segments_of
from segue.plan.layout import BITS, Plan
from segue.plan.leaves import Pattern, Threshold
from segue.records import NEVER

_NODES = 100
"""of a condition with those of the segments it names, beyond which time is simulated"""
State = list[Any]


def expires_by_windows(plan: Plan, segment: int) -> list[Threshold] | None:
    """Its thresholds, if the segment is nothing but windowed thresholds all of which must hold; else None.

    Then the time it ends by itself is the least of theirs, and no simulation of the timers is needed.
    """
    flat: list[Threshold] = []
    todo = [plan.conditions[segment]] if plan.segments[segment].enter is None else []
    if not todo:
        return None
    while todo:
        e = todo.pop()
        match e:
            case ("leaf", i):
                leaf = plan.leaves[i]
                if not isinstance(leaf, Threshold):
                    return None
                flat.append(leaf)
            case ("and", items):
                todo += items
            case ("segment", i) if plan.segments[i].enter is None:
                todo.append(plan.conditions[i])
            case _:
                return None
    return flat


def least(windows: list[tuple[int, int, int | None]]) -> Callable[[State, bool, str], int | None]:
    """When the first of several windows lets go: (slot of a list of times, which of them, the window) each."""
    ends = [(slot, nth, window_ms) for slot, nth, window_ms in windows if window_ms is not None]
    if not ends:
        return lambda _s, _entered, _cause: None
    if len(ends) > 1:
        return lambda s, entered, _cause: min([s[i][nth] + w for i, nth, w in ends]) if entered else None
    ((slot, nth, window_ms),) = ends
    return lambda s, entered, _cause: s[slot][nth] + window_ms if entered else None


def flips_by_time(plan: Plan, segment: int) -> Callable[[State], int | None] | None:
    """A function that says when the segment flips if nothing happens; None if that takes a simulation of the timers.

    It needs none if all its leaves change at most once by time: a threshold whose window runs out, an open pattern that
    comes true. Then the condition is asked at each of these times, on the bits alone.
    """
    e = _spelled_out(plan, segment)
    if e is None or plan.segments[segment].enter is not None:
        return None
    leaves = [(i, plan.leaves[i]) for i in leaves_of(e)]
    if any(i in plan.due_slots for i, _ in leaves):
        return None
    windows = [
        (plan.leaf_bit(i), plan.streams[leaf.stream].slot, leaf.n, leaf.window_ms)
        for i, leaf in leaves
        if isinstance(leaf, Threshold) and leaf.window_ms is not None
    ]
    patterns = [(plan.leaf_bit(i), plan.own_slots[i]) for i, leaf in leaves if isinstance(leaf, Pattern)]
    test = truth_of(plan, e)

    def flips(s: State) -> int | None:
        bits: int = s[BITS]
        ends = [(s[slot][-n] + window_ms, bit) for bit, slot, n, window_ms in windows if bits & bit]
        ends += [(s[slot], bit) for bit, slot in patterns if s[slot] < NEVER]
        if not ends:
            return None
        times: dict[int, int] = {}
        for end, bit in ends:
            times[end] = times.get(end, 0) | bit
        now = test(bits)
        for t in sorted(times):
            bits ^= times[t]
            if test(bits) != now:
                return t
        return None

    return flips


def _spelled_out(plan: Plan, segment: int) -> Expression | None:
    """Its condition over leaves alone; None if it is too long, or one with `enter` is named."""
    left = _NODES

    def spelled(e: Expression) -> Expression | None:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        match e:
            case ("segment", i):
                return None if plan.segments[i].enter is not None else spelled(plan.conditions[i])
            case ("not", x):
                inner = spelled(x)
                return None if inner is None else ("not", inner)
            case (("and" | "or") as op, items):
                found = [spelled(x) for x in items]
                return None if None in found else (op, tuple(x for x in found if x is not None))
        return e

    return spelled(plan.conditions[segment])


def exits_by_clock_only(plan: Plan, segment: int) -> bool:
    """An enter/exit segment whose `enter` reads only its own leaves: after an exit nothing comes back by time alone."""
    return (
        plan.segments[segment].enter is not None
        and not segments_of(plan.conditions[segment])
        and not any(e == "not" for e in _words(plan.conditions[segment]))
        and bool(leaves_of(plan.conditions[segment]))
        and all(isinstance(plan.leaves[i], Threshold | Pattern) for i in leaves_of(plan.conditions[segment]))
    )


def _words(e: Expression) -> Iterator[str]:
    yield e[0]
    if e[0] == "not":
        yield from _words(e[1])
    elif e[0] in ("and", "or"):
        for item in e[1]:
            yield from _words(item)
