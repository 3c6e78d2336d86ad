"""Windows at work: which entries of a sorted list lie in one at t, and when that changes by time alone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import assert_never

from segue import calendars
from segue.records import NEVER
from segue.rules.tree import Ago, Calendar, Last, Session, SinceEvents, SinceTime, Window

Slice = Callable[[list[int], int], tuple[int, int, int]]
"""(sorted times, t) -> (first, past the last, when this changes by itself or NEVER)"""
Inside = Callable[[int, int], tuple[bool, int]]
"""(a time, t) -> (whether it lies in the window, when this changes by itself or NEVER)"""


def slicing(window: Window) -> Slice:
    """Of all entries. `since E` needs none: its evidence is emptied by E."""
    match window:
        case Last(ms):

            def last(times: list[int], t: int) -> tuple[int, int, int]:
                first = bisect_right(times, t - ms)
                return first, len(times), times[first] + ms if first < len(times) else NEVER

            return last
        case Ago(near_ms, far_ms):

            def ago(times: list[int], t: int) -> tuple[int, int, int]:
                first, stop = bisect_right(times, t - far_ms), bisect_right(times, t - near_ms)
                leaves = times[first] + far_ms if first < stop else NEVER
                return first, stop, min(leaves, times[stop] + near_ms) if stop < len(times) else leaves

            return ago
        case SinceTime(at_ms):
            return lambda times, _t: (bisect_left(times, at_ms), len(times), NEVER)
        case Calendar(unit, zone):

            def calendar(times: list[int], t: int) -> tuple[int, int, int]:
                first = bisect_left(times, calendars.start_ms(unit, zone, t))
                return first, len(times), calendars.end_ms(unit, zone, t) if first < len(times) else NEVER

            return calendar
        case Session(gap_ms):
            return lambda times, t: _session(times, t, gap_ms)
        case SinceEvents():
            raise AssertionError(window)
        case _:
            assert_never(window)


def _session(times: list[int], t: int, gap_ms: int) -> tuple[int, int, int]:
    stop = first = len(times)
    if not times or times[-1] <= t - gap_ms:
        return stop, stop, NEVER
    first -= 1
    while first and times[first] - times[first - 1] < gap_ms:
        first -= 1
    return first, stop, times[-1] + gap_ms


def holding(window: Window | None) -> Inside:
    """Of one time: the only one there is, or for a session the newest."""
    match window:
        case None | SinceEvents():
            return lambda _x, _t: (True, NEVER)
        case Last(ms) | Session(ms):
            return lambda x, t: (True, x + ms) if x > t - ms else (False, NEVER)
        case SinceTime(at_ms):
            return lambda x, _t: (x >= at_ms, NEVER)
        case Ago(near_ms, far_ms):

            def ago(x: int, t: int) -> tuple[bool, int]:
                if x > t - near_ms:
                    return False, x + near_ms
                return (True, x + far_ms) if x > t - far_ms else (False, NEVER)

            return ago
        case Calendar(unit, zone):

            def calendar(x: int, t: int) -> tuple[bool, int]:
                inside = x >= calendars.start_ms(unit, zone, t)
                return inside, calendars.end_ms(unit, zone, t) if inside else NEVER

            return calendar
        case _:
            assert_never(window)
