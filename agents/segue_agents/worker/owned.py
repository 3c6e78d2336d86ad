"""A partition index this worker has: its states, its store, and what has happened since the last commit."""

from __future__ import annotations

from dataclasses import dataclass, field

from segue.engine import PartitionState
from segue.records import Batch, Step
from segue_agents.state.checkpoint import Checkpoint
from segue_agents.state.layouts import Known
from segue_agents.state.store import Store
from segue_agents.worker import balance


@dataclass(slots=True)
class Owned:
    """Touched by whoever holds the worker's gate."""

    index: int
    epoch: int
    state: PartitionState
    store: Store
    changelog_offset: int
    """a lower bound of the changelog's next record; all before it is in the store"""
    persons: int
    """with a stored state"""
    offsets: dict[str, int]
    """topic -> next offset, as of the last step"""
    known: Known
    """the layout its states are written under"""
    known_is_new: bool
    """its record goes out with the next commit"""
    clock_key: int = 0
    previous: dict[str, int] = field(default_factory=dict)
    """as of the last commit"""
    totals: dict[str, int] = field(default_factory=dict)
    """the balance, as of the last step"""
    told: dict[str, int] = field(default_factory=dict)
    """the balance, as of the last commit"""
    members: list[int] = field(default_factory=list)
    """per segment, as of the last commit"""
    newest_ms: dict[str, int] = field(default_factory=dict)
    """topic -> the time of the newest event, as of the last step"""
    heartbeat_ms: int = 0
    """when the newest tick was written, as of the last step; without ticks, the newest event"""
    committed_heartbeat_ms: int = 0
    """likewise, as of the last commit"""
    touched: set[bytes] = field(default_factory=set)
    new_persons: int = 0
    committed_ms: int | None = None
    """when it was in a commit last, by the wall's clock"""
    batches: int = 0
    """steps since the last commit, and 1 for a first start's offsets; 0: nothing to commit"""

    def read(self, batch: Batch) -> None:
        """Brings the states the step will need into memory."""
        missing = self.state.missing(batch)
        if not missing:
            return
        load = self.state.load
        encoded = self.store.get(missing)
        for person, state in zip(missing, encoded, strict=True):
            load(person, state)
        self.new_persons += encoded.count(None)

    def note(self, batch: Batch, step: Step, topics: tuple[str, ...], clock_topic: str, heartbeat_ms: int) -> None:
        """After a step: what the next commit has to take along."""
        self.batches += 1
        self.touched |= step.touched
        self.totals = balance.added(self.totals, balance.of_step(batch, step))
        self.clock_key = batch.clock_key
        self.heartbeat_ms = max(self.heartbeat_ms, heartbeat_ms)
        for source, time_ms in batch.newest_ms.items():
            self.newest_ms[topics[source]] = max(self.newest_ms.get(topics[source], 0), time_ms)
        for source, offset in batch.next_offsets.items():
            self.offsets[topics[source]] = offset
        if batch.clock_offset is not None:
            self.offsets[clock_topic] = batch.clock_offset

    def encoded(self) -> list[tuple[bytes, bytes]]:
        """Touched persons and their states; before them the layout's record, if it is new."""
        records = [(self.known.key, self.known.encode())] if self.known_is_new else []
        return records + self.state.encoded(self.touched)

    def since_commit(self, what: str) -> int:
        """Of the balance, what the commit to come adds."""
        return self.totals.get(what, 0) - self.told.get(what, 0)

    def moved(self) -> dict[str, int]:
        """Offsets that are not those of the last commit."""
        return {t: o for t, o in self.offsets.items() if self.previous.get(t) != o}

    def checkpoint(self) -> Checkpoint:
        """As the changelog gets it."""
        return Checkpoint(
            self.known.layout.id, self.clock_key, self.state.engine_time_ms, dict(self.offsets), dict(self.previous),
            consumed=self.since_commit(balance.CONSUMED), changes=self.since_commit(balance.CHANGES),
            states=len(self.touched), totals=self.totals, persons=self.persons + self.new_persons,
            members=self.state.member_counts, newest_ms=self.newest_ms, heartbeat_ms=self.heartbeat_ms,
        )

    def committed(self, max_persons: int, max_bytes: int) -> None:
        """After a commit: nothing is pending."""
        self.state.evict(max_persons, max_bytes, self.touched)
        self.previous = dict(self.offsets)
        self.persons += self.new_persons
        self.members = list(self.state.member_counts)
        self.committed_heartbeat_ms = self.heartbeat_ms
        self.touched = set()
        self.known_is_new = False
        self.batches = self.new_persons = 0
