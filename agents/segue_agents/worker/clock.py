"""Time as input: a tick a second on the clock topic for each partition owned.

A tick's value is the time, ms since the epoch, as 8 big-endian bytes; it has no key. Ticks are read back like any
other record and committed with them, so that a replay sees the time that was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import mode
import structlog
from confluent_kafka import KafkaException

from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.topics import clock_topic
from segue_agents.transport.clients import clock_config
from segue_agents.transport.refusals import is_refusal, raise_refusal

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Clock:
    """Equal to the wall's clock at `origin_ms`, and `speed` times as fast from there."""

    speed: float
    origin_ms: int
    wall_ms: Callable[[], int]

    @classmethod
    def of(cls, settings: Settings, outside: Outside) -> Clock:
        """A clock that starts now, unless the settings say otherwise."""
        origin = settings.clock_origin_ms
        return cls(settings.clock_speed, outside.wall_ms() if origin is None else origin, outside.wall_ms)

    def now_ms(self) -> int:
        """What it shows."""
        wall = self.wall_ms()
        return wall if self.speed == 1.0 else self.origin_ms + round((wall - self.origin_ms) * self.speed)


def encode_tick(time_ms: int) -> bytes:
    """The value of a tick."""
    return time_ms.to_bytes(8, "big", signed=True)


def decode_tick(value: bytes | None) -> int | None:
    """The time of a tick; None for a record that is none."""
    return int.from_bytes(value, "big", signed=True) if value is not None and len(value) == 8 else None


class Ticker(mode.Service):
    """Writes the ticks."""

    def __init__(
        self, settings: Settings, clock: Clock, outside: Outside, owned: Callable[[], Iterable[int]],
        on_written: Callable[[int, int], None] = lambda _partition, _ms: None, **kwargs: Any
    ) -> None:
        """`on_written`: told of each tick that Kafka has, its partition and when it was written."""
        super().__init__(**kwargs)
        self._topic = clock_topic(settings.app_id)
        self._interval_s = settings.clock_interval_ms / 1000
        self._clock = clock
        self._owned = owned
        self._on_written = on_written
        self._producer = outside.producer(clock_config(settings))
        self._refused: Any = None

    @mode.Service.task
    async def _tick(self) -> None:
        before = None
        while not self.should_stop:
            self.tick(self._owned())
            if before is not None:  # twice: without ticks time would stand still, and nobody would see it
                raise_refusal(self._refused, "Write", topic=self._topic)
            before, self._refused = self._refused, None
            await self.sleep(self._interval_s)

    def tick(self, partitions: Iterable[int]) -> None:
        """Now, for these partitions. A tick that cannot be written is left out: the next one says more."""
        value = encode_tick(self._clock.now_ms())
        for partition in partitions:
            try:
                self._producer.produce(self._topic, value, partition=partition, on_delivery=self._delivered)
            except (BufferError, KafkaException) as error:
                _log.warning("tick_not_written", partition=partition, error=str(error))
        self._producer.poll(0)

    def _delivered(self, error: Any, message: Any) -> None:
        if is_refusal(error):
            self._refused = error
        elif error is None and message.partition() in self._owned():
            self._on_written(message.partition(), message.timestamp()[1])
