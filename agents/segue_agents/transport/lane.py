"""One partition index across all sources: decode, merge, and who is too far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from segue.engine import Merger
from segue.records import Batch
from segue_agents.codecs.learner import Learner
from segue_agents.transport.waiting import Waiting
from segue_agents.worker.clock import decode_tick

AHEAD_ROWS: Final = 20_000
"""a source with this many rows waiting for the others is not read on"""
BEHIND_ROWS: Final = 5_000
"""until so few are left; far apart, since a pause throws away what was fetched ahead"""


@dataclass(frozen=True, slots=True)
class Signal:
    """What the agent gets: a batch, and what it needs to commit it."""

    batch: Batch
    epoch: int
    """of the assignment it was read under; an older one is skipped"""
    caught_up: bool
    """nothing more was waiting in Kafka"""
    holds: bool
    """rows have been read that wait for other sources, of whatever partition of this worker"""
    heartbeat_ms: int
    """when the newest tick the batch takes was written; without ticks, when its newest event was; 0: it takes none"""


@dataclass(slots=True)
class Lane:
    """The reading end of one owned partition index."""

    index: int
    epoch: int
    merger: Merger
    decoders: Mapping[str, Learner]
    """by topic"""
    clock_topic: str
    has_ticks: bool = True
    """or time passes by events alone"""
    paused: set[str] = field(default_factory=set)
    heartbeat_ms: int = 0
    """when the newest tick read was written; without ticks, the newest event"""
    ticks: deque[tuple[int, int]] = field(default_factory=deque)
    """(offset, when it was written) of those that are in no batch yet"""
    fed: bool = False
    """something came since the last look"""
    holds: bool = False
    """rows are left that wait for other sources, or have not been looked at since"""
    waiting_for_schemas: Waiting = field(init=False)

    def __post_init__(self) -> None:
        self.waiting_for_schemas = Waiting(self.decoders)

    def feed(self, topic: str, messages: list[Any]) -> None:
        """Messages of one of this index's partitions."""
        self.fed = True
        if topic == self.clock_topic:
            for message in messages:
                time_ms = decode_tick(message.value())
                if time_ms is not None:
                    self.merger.tick(time_ms, message.offset())
                    self.ticks.append((message.offset(), message.timestamp()[1]))
                    self.heartbeat_ms = max(self.heartbeat_ms, self.ticks[-1][1])
            return
        source = self.decoders[topic].source_index
        if not self.has_ticks:
            self.heartbeat_ms = max(self.heartbeat_ms, messages[-1].timestamp()[1])
        columns = self.waiting_for_schemas.feed(topic, messages)
        if columns is not None:
            self.merger.feed(source, columns)
        if self.waiting_for_schemas.holds(topic):
            self.merger.hold(source)

    def signal(self, batch: Batch, caught_up: bool, holds: bool) -> Signal:
        """A batch of this lane's merger on its way."""
        heartbeat_ms = 0 if self.has_ticks else batch.arrived_ms
        while batch.clock_offset is not None and self.ticks and self.ticks[0][0] < batch.clock_offset:
            heartbeat_ms = max(heartbeat_ms, self.ticks.popleft()[1])
        return Signal(batch, self.epoch, caught_up, holds, heartbeat_ms)

    def release(self) -> None:
        """What waited for a schema that has become known."""
        for topic, columns, end in self.waiting_for_schemas.release():
            self.fed = True
            self.merger.feed(self.decoders[topic].source_index, columns)
            if end is not None:
                self.merger.at_end(self.decoders[topic].source_index)

    def at_end(self, topic: str, offset: int) -> None:
        """The end of a partition."""
        self.fed = True
        if topic != self.clock_topic and self.waiting_for_schemas.at_end(topic, offset):
            self.merger.at_end(self.decoders[topic].source_index)

    def waiting(self) -> int:
        """Rows of the source that has the most."""
        return max(self.merger.buffered(d.source_index) for d in self.decoders.values())

    def balance(self) -> tuple[list[str], list[str]]:
        """Topics to pause and topics to resume, now."""
        pause, resume = [], []
        for topic, decoder in self.decoders.items():
            rows, held = self.merger.buffered(decoder.source_index), self.waiting_for_schemas.holds(topic)
            if topic in self.paused:
                if rows < BEHIND_ROWS and not held:
                    resume.append(topic)
                    self.paused.discard(topic)
            elif rows > AHEAD_ROWS or held:
                pause.append(topic)
                self.paused.add(topic)
        return pause, resume
