"""Says when a worker is alive and yet gets nothing done.

Errors have their reactions and calls their limits; this is the net below them, for what librdkafka does not return from
and for what nobody has thought of. It reads no clock: whoever asks says what time it is, in monotonic seconds.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

INTERVALS: Final = 3
"""so many commit intervals without a commit are too many"""


class Verdict(Enum):
    """What to do."""

    WELL = "nothing"
    RECYCLE = "drop all that is not committed and begin a new session: nothing has been committed for too long"
    LEAVE = "the same, since the thread that polls is not back and the group is about to expel us"
    EXIT = "end the process, code 75: a new session has not helped"


class Signs(NamedTuple):
    """What it goes by, in seconds; None: nothing waits, nobody polls, nobody has asked yet."""

    waiting_s: float | None
    """how long the oldest uncommitted batch has been waiting"""
    polled_s: float | None
    """since the consumer was last polled"""
    asked_s: float | None
    """since the watchdog was last asked for its verdict"""


class Watchdog:
    """Is told what happens, and asked about once a second by a thread that neither polls nor commits."""

    def __init__(self, commit_interval_ms: int, transaction_timeout_ms: int, max_poll_interval_ms: int) -> None:
        # not before a transaction's own limits have had their turn: a repeated commit ends at the transaction's
        # timeout, after which the broker has ended it, and one call more
        self.limit_s = max(INTERVALS * commit_interval_ms, 2 * transaction_timeout_ms) / 1000
        self.poll_limit_s = max_poll_interval_ms / 2000
        self._waiting_at: float | None = None
        self._recycled_at: float | None = None
        self._polled_at: float | None = None
        self._left_at: float | None = None
        self._asked_at: float | None = None

    def waits(self, now_s: float) -> None:
        """There is something to commit. May be said again and again: the first time counts."""
        if self._waiting_at is None:
            self._waiting_at = now_s

    def committed(self) -> None:
        """All that waited is committed: whatever was wrong is right again."""
        self._waiting_at = self._recycled_at = None

    def dropped(self) -> None:
        """What waited was dropped and is worked off anew; that alone makes nothing right."""
        self._waiting_at = None

    def polled(self, now_s: float) -> None:
        """The thread that owns the consumer is about to poll."""
        self._polled_at, self._left_at = now_s, None

    def rests(self) -> None:
        """No consumer is there to be polled: between two sessions, and at the end."""
        self._polled_at = self._left_at = None

    def verdict(self, now_s: float) -> Verdict:
        """What to do now. RECYCLE and LEAVE are said once; EXIT follows when they have led to no commit, or no poll."""
        self._asked_at = now_s
        since = self._waiting_at
        if since is not None and self._recycled_at is not None:
            since = max(since, self._recycled_at)
        if since is not None and now_s - since >= self.limit_s:
            if self._recycled_at is not None:
                return Verdict.EXIT
            self._recycled_at = now_s
            return Verdict.RECYCLE
        if self._polled_at is not None and now_s - max(self._polled_at, self._left_at or 0.0) >= self.poll_limit_s:
            if self._left_at is not None:
                return Verdict.EXIT
            self._left_at = now_s
            return Verdict.LEAVE
        return Verdict.WELL

    def signs(self, now_s: float) -> Signs:
        """For whoever shows them. From any thread."""
        return Signs(*(None if at is None else max(0.0, now_s - at)
                       for at in (self._waiting_at, self._polled_at, self._asked_at)))
