"""When a segment ends by itself: the cases that need no simulation of the timers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from segue.plan.expression import Expression, leaves_of, segments_of
from segue.plan.layout import Plan
from segue.plan.leaves import Pattern, Threshold


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


def least(windows: list[tuple[int, int, int | None]]) -> Callable[[list[Any], bool, str], int | None]:
    """When the first of several windows lets go: (slot of a list of times, which of them, the window) each."""
    ends = [(slot, nth, window_ms) for slot, nth, window_ms in windows if window_ms is not None]
    if not ends:
        return lambda _s, _entered, _cause: None
    if len(ends) > 1:
        return lambda s, entered, _cause: min([s[i][nth] + w for i, nth, w in ends]) if entered else None
    ((slot, nth, window_ms),) = ends
    return lambda s, entered, _cause: s[slot][nth] + window_ms if entered else None


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
