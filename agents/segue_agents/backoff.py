"""How long to wait before something is tried again."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Pauses that double up to a cap, each a random share of that ("full jitter").

    Those who failed together, as all workers do when a broker falls, would come back together for ever with equal
    pauses; so the whole pause is left to chance and not a part of it.
    """

    def __init__(self, first_s: float, most_s: float, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 to 1, evenly."""
        self._first_s, self._most_s, self._chance = first_s, most_s, chance
        self._bound_s = first_s

    def next_s(self) -> float:
        """The pause before the next attempt, seconds."""
        bound_s = self._bound_s
        self._bound_s = min(self._most_s, bound_s * 2)
        return bound_s * self._chance()

    def reset(self) -> None:
        """It has worked: the next pause is a first one."""
        self._bound_s = self._first_s
