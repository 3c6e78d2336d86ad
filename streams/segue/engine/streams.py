"""Streams that a window needs whole: what has left it goes, and what is too much is said."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from segue.limits import WINDOW_VALUES
from segue.plan.evidence import Stream


def trimming(stream: Stream, tally: list[int]) -> Callable[[list[Any], int], None]:
    """`(state, t)`: entries older than the horizon go, but for the newest `keep`; of the others WINDOW_VALUES stay.

    `tally[0]` counts those that had to go though a window may still want them.
    """
    times, lists = stream.slot, range(stream.slot, stream.slot + 1 + len(stream.values))
    dropped, keep, horizon_ms = stream.dropped_slot, stream.keep, stream.horizon_ms
    most = max(WINDOW_VALUES, keep)

    def trim(s: list[Any], t: int) -> None:
        entries = s[times]
        outside = bisect_right(entries, t - horizon_ms)
        cut = min(outside, len(entries) - keep)
        if len(entries) - cut > most:
            cut = len(entries) - most
            if cut > outside:
                s[dropped] = max(s[dropped], entries[cut - 1])
                tally[0] += cut - outside
        if cut > 0:
            for slot in lists:
                del s[slot][:cut]

    return trim
