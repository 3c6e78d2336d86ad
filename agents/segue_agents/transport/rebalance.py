"""How often the group moves partitions, and how long a worker is not whole for it."""

from __future__ import annotations

from typing import Literal

from segue_agents.metrics import Metrics
from segue_agents.outside import Outside


class Rebalance:
    """Told by the session."""

    def __init__(self, metrics: Metrics, outside: Outside) -> None:
        self._metrics, self._outside = metrics, outside
        self._since_s: float | None = None
        self._half = False

    def begins(self, kind: Literal["assigned", "revoked", "lost"], half: bool = False) -> None:
        """The group has said so; of several the first counts. `half`: an assignment follows, an empty one if need be."""
        self._metrics.add("rebalances_total", 1, kind)
        self._half = half
        if self._since_s is None:
            self._since_s = self._outside.monotonic()

    def ends(self) -> None:
        """Everything assigned is read again. May be said again and again."""
        if self._since_s is not None and not self._half:
            self._metrics.observe("rebalance_duration_seconds", self._outside.monotonic() - self._since_s)
            self._since_s = None

    def over(self) -> None:
        """The session is."""
        self._since_s = None
