"""When the open transaction ends: soon when there is nothing else to do, seldom while there is.

It reads no clock: whoever asks says what time it is, in monotonic seconds.
"""

from __future__ import annotations

from typing import Final

CLOCK_ONLY_INTERVALS: Final = 10
"""when nothing but time has passed, only every so many intervals are committed"""
QUIET_MS: Final = 5
"""a commit waits until nothing has come for so long: what comes together is committed together, or the rest of it would
wait a whole interval more"""
GATHER_MS: Final = 25
"""at most, from the first event that waits; and as long when more of it was read and is held back until the end of another
source is known (fetch.wait.max.ms)"""


class Schedule:
    """Is told what happens, and says how long the commit may wait."""

    def __init__(self, interval_ms: int, idle_interval_ms: int, now_s: float) -> None:
        """`interval_ms`: between two commits under load; `idle_interval_ms`: when all that was read is worked off."""
        self._interval_s, self._idle_interval_s = interval_ms / 1000, idle_interval_ms / 1000
        self._began_s = self._ended_s = self._stepped_s = now_s
        self._urgent_s: float | None = None
        self._caught_up, self._holds = True, False

    @property
    def urgent(self) -> bool:
        """More than time has passed since the last commit."""
        return self._urgent_s is not None

    def stepped(self, now_s: float, urgent: bool, caught_up: bool, holds: bool) -> bool:
        """A batch was worked off. Whether a commit may be due sooner than before.

        `urgent`: there was something in it; `caught_up`: nothing more waits in Kafka; `holds`: more was read that waits.
        """
        sooner = (urgent and self._urgent_s is None) or (caught_up and not self._caught_up) or (self._holds and not holds)
        if urgent and self._urgent_s is None:
            self._urgent_s = now_s
        self._stepped_s, self._caught_up, self._holds = now_s, caught_up, holds
        return sooner

    def hurry(self, now_s: float) -> None:
        """There is something to commit that no batch has brought."""
        if self._urgent_s is None:
            self._urgent_s = now_s
        self._stepped_s = now_s

    def committed(self, began_s: float, ended_s: float) -> None:
        """All that was worked off."""
        self._began_s, self._ended_s, self._urgent_s = began_s, ended_s, None

    def left_s(self, now_s: float) -> float:
        """How long until a commit is due, 0 or less when it is. Given that there is something to commit.

        Intervals count from one commit's beginning to the next one's. But a commit that took long is followed by as long a
        time without one, or an interval, whatever is less.
        """
        if self._urgent_s is None:
            return self._began_s + self._interval_s * CLOCK_ONLY_INTERVALS - now_s
        interval_s, due_s = self._interval_s, self._began_s + self._interval_s
        idle_s = self._began_s + self._idle_interval_s
        if not self._caught_up:  # said by the last batch, long ago perhaps
            idle_s = max(idle_s, self._stepped_s + self._idle_interval_s)
        if idle_s < due_s:
            interval_s, due_s = self._idle_interval_s, idle_s
        gathered_s = self._urgent_s + GATHER_MS / 1000
        if not self._holds:
            gathered_s = min(gathered_s, self._stepped_s + QUIET_MS / 1000)
        free_s = self._ended_s + min(self._ended_s - self._began_s, interval_s)
        return max(due_s, gathered_s, free_s) - now_s
