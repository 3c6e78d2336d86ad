"""Shop time: a clock that can run faster than the wall's, so that half an hour of absence takes seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShopClock:
    """Shop time equals wall time at `origin_ms` and is `speed` times as fast from there, as the worker's ticks are."""

    origin_ms: int
    speed: float

    def shop_ms(self, wall_ms: int) -> int:
        """What the shop's clock shows when the wall's shows this."""
        return self.origin_ms + round((wall_ms - self.origin_ms) * self.speed)

    def wall_ms(self, shop_ms: int) -> int:
        """When the shop's clock shows this."""
        return self.origin_ms + round((shop_ms - self.origin_ms) / self.speed)
