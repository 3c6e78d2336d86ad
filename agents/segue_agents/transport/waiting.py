"""Messages of one partition index whose schemas cannot be known now: kept in their order, and let go when they can.

Nothing here waits or asks. While a topic has messages here, everything behind them queues up, its end of partition too,
so that no record overtakes another and nobody takes the source for read to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from segue.records import Columns
from segue_agents.codecs.learner import Decoded


class Decodes(Protocol):
    """A source's decoder that may not know a schema yet."""

    def decode(self, messages: Sequence[Any]) -> Decoded:
        """As many of the messages, at least one, as can be decoded now."""

    def check(self) -> None:
        """Raises what has come to light meanwhile and must end the worker."""

    def waits(self, ids: Iterable[int]) -> bool:
        """Whether all of these schemas are still unknown."""


class Released(NamedTuple):
    """What can go on."""

    topic: str
    columns: Columns
    end: int | None
    """the offset at which the partition ended behind them"""


@dataclass(slots=True)
class _Held:
    messages: list[Any]
    waits_for: frozenset[int]
    end: int | None = None


class Waiting:
    """What one partition index holds back, by topic."""

    def __init__(self, decoders: Mapping[str, Decodes]) -> None:
        self._decoders = decoders
        self._held: dict[str, _Held] = {}

    @property
    def topics(self) -> frozenset[str]:
        """Those with messages here."""
        return frozenset(self._held)

    def holds(self, topic: str) -> bool:
        """Whether it has messages here: it is to be paused, or all it has would come."""
        return topic in self._held

    def messages(self, topic: str) -> int:
        """How many wait."""
        held = self._held.get(topic)
        return 0 if held is None else len(held.messages)

    def feed(self, topic: str, messages: Sequence[Any]) -> Columns | None:
        """Messages just read. What of them can go on; None: nothing."""
        held = self._held.get(topic)
        if held is not None:
            held.messages += messages
            held.end = None
            return None
        decoded = self._decoders[topic].decode(messages)
        if decoded.n < len(messages):
            self._held[topic] = _Held(list(messages[decoded.n :]), decoded.waits_for)
        return decoded.columns

    def at_end(self, topic: str, offset: int) -> bool:
        """The end of the partition. Whether it counts now; if not, it comes with what is before it."""
        held = self._held.get(topic)
        if held is None:
            return True
        held.end = offset
        return False

    def release(self) -> Iterator[Released]:
        """What has become known since, topic by topic; cheap when nothing waits. Raises what `check` of a decoder does."""
        for decoder in self._decoders.values():
            decoder.check()
        for topic, held in list(self._held.items()):
            decoder = self._decoders[topic]
            if decoder.waits(held.waits_for):
                continue
            decoded = decoder.decode(held.messages)
            del held.messages[: decoded.n]
            held.waits_for = decoded.waits_for
            if not held.messages:
                del self._held[topic]
            if decoded.columns is not None:
                yield Released(topic, decoded.columns, None if held.messages else held.end)
