"""`A then B` and `A then no B` where one number is not enough: a field both share, a window over the matches.

The evidence is two maps by the value of the shared field ("" where there is none): what is open, and the newest match
that nothing has taken back. Of A then B an open one is [the newest A, the newest A before that time]: at the very time of a
further A, a B still follows the one before. Of A then no B it is the time at which the pattern will have matched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segue.engine.windows import holding
from segue.limits import PATTERN_KEYS
from segue.plan.leaves import Follow
from segue.records import NEVER

Feed = Callable[[list[Any], int, Any], None]
"""(evidence, time, value of the shared field): an event that concerns the leaf"""


class Follower:
    """One such leaf, as functions over its evidence."""

    def __init__(self, leaf: Follow) -> None:
        self._absent = leaf.absent
        self._within_ms = leaf.within_ms
        self._inside = holding(leaf.window)
        self.first: Feed = self._opened if leaf.absent else self._begun
        self.second: Feed = self._closed if leaf.absent else self._followed
        self.again: Feed = self._restarted

    def evaluate(self, held: list[Any], t: int) -> tuple[bool, int]:
        """(whether it is true at t, when to ask again). Matches that have become due are noted, old ones forgotten."""
        opened, matches = held
        due, truth = NEVER, False
        if self._absent:
            for key in [k for k, at in opened.items() if at <= t]:
                self._match(matches, key, opened.pop(key))
            due = min(opened.values(), default=NEVER)
        if matches:
            truth, changes = self._inside(max(matches.values()), t)
            due = min(due, changes)
            if not truth and changes == NEVER:
                matches.clear()  # the newest has passed the window, and so have all others
        return truth, due

    # --- A then B

    def _begun(self, held: list[Any], t: int, key: Any) -> None:
        opened = held[0]
        before = opened.pop(key, None)
        if before is None:
            opened[key] = [t, None]
            self._bound(opened, t)
        else:
            opened[key] = before if before[0] == t else [t, before[0]]

    def _followed(self, held: list[Any], t: int, key: Any) -> None:
        opened, matches = held
        before = opened.get(key)
        if before is not None:
            at = before[0] if before[0] < t else before[1]
            if at is not None and at > t - self._within_ms:
                self._match(matches, "", t)

    def _bound(self, opened: dict[Any, list[Any]], t: int) -> None:
        if len(opened) > PATTERN_KEYS:
            for key in [k for k, a in opened.items() if a[0] <= t - self._within_ms]:
                del opened[key]
        if len(opened) > PATTERN_KEYS:
            del opened[next(iter(opened))]

    # --- A then no B

    def _opened(self, held: list[Any], t: int, key: Any) -> None:
        opened = held[0]
        opened.pop(key, None)
        opened[key] = t + self._within_ms
        if len(opened) > PATTERN_KEYS:
            del opened[next(iter(opened))]

    def _restarted(self, held: list[Any], t: int, key: Any) -> None:
        if key in held[0]:
            self._opened(held, t, key)

    def _closed(self, held: list[Any], _t: int, key: Any) -> None:
        held[0].pop(key, None)
        held[1].pop(key, None)

    def _match(self, matches: dict[Any, int], key: Any, at: int) -> None:
        matches.pop(key, None)
        matches[key] = at
        if len(matches) > PATTERN_KEYS:
            del matches[next(iter(matches))]
