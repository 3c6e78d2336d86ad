"""Which records of the changelog a restore may believe.

A transaction writes states and then a checkpoint that names the offsets before and after (the link) and how many
states there are. librdkafka speaks the transaction protocol from before KIP-890, in which a late end of one transaction
can make part of the next visible, so while restoring

    states without a checkpoint behind them    are torn off: left out, counted
    more states than the checkpoint says       when its link follows the one before, so that no checkpoint between has been
                                               compacted away: the first ones are torn off
    fewer states than the last checkpoint says doubt: the newest states cannot have been compacted away
    a link that does not follow                a gap, unless the checkpoint before is so old that those between may have
                                               been compacted away

A compacted changelog has millions of states and one checkpoint, so states are held back until their checkpoint only as
far as one transaction can reach.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from segue_agents.state.changelog import Mark, Piece
from segue_agents.state.checkpoint import Checkpoint
from segue_agents.topics import COMPACTION_LAG_MS

HELD_BACK: Final = 100_000
"""states; a transaction has fewer: one of a second has some 20,000"""


class Links:
    """Passed on are pieces, in order, as soon as they may be believed."""

    def __init__(self, found: Checkpoint | None, found_at_ms: int, now_ms: int, from_the_start: bool) -> None:
        """`found`: the store's checkpoint; `from_the_start`: the first transaction is seen whole."""
        self.found = found
        """the last checkpoint passed"""
        self.torn: list[int] = []
        """of each torn transaction, its states"""
        self.doubt = ""
        """why the result cannot be believed; '' when it can"""
        self.gap = ""
        """where a link does not follow though it is young: after a whole restore the count of persons says if it matters"""
        self._found_at_ms = found_at_ms
        self._now_ms = now_ms
        self._whole = from_the_start
        self._seen = False
        self._short = ""
        self._held: deque[Piece] = deque()
        self._held_records = 0
        self._passed_on = 0
        """records since the last checkpoint that were not held back to the next one"""

    def feed(self, piece: Piece) -> list[Piece]:
        """What may be written now."""
        self._held.append(piece)
        self._held_records += len(piece.records)
        if piece.mark is not None:
            return self._covered(piece.mark)
        ready = []
        while self._held_records - len(self._held[0].records) >= HELD_BACK:
            ready.append(self._held.popleft())
            self._held_records -= len(ready[-1].records)
            self._passed_on += len(ready[-1].records)
        return ready

    def end(self) -> None:
        """No more comes: what is still held back is torn off, and the last checkpoint must have all its states."""
        if self._held_records:
            self.torn.append(self._held_records)
        self.doubt = self.doubt or self._short

    def _covered(self, mark: Mark) -> list[Piece]:
        if not self._known_before(mark.checkpoint):
            self._check(mark.checkpoint)
            self.found, self._found_at_ms, self._seen = mark.checkpoint, mark.at_ms, True
        ready = list(self._held)
        self._held.clear()
        self._held_records = self._passed_on = 0
        self._whole = True
        return ready

    def _known_before(self, checkpoint: Checkpoint) -> bool:
        """The store has it: the changelog is read from a lower bound of where the store stands."""
        if self._seen or self.found is None:
            return False
        return all(offset <= self.found.offsets.get(topic, -1) for topic, offset in checkpoint.offsets.items())

    def _check(self, checkpoint: Checkpoint) -> None:
        self._short = ""
        follows = checkpoint.previous == (self.found.offsets if self.found is not None else {})
        if not follows and self.found is not None and self._now_ms - self._found_at_ms < COMPACTION_LAG_MS:
            self.gap = self.gap or f"{dict(self.found.offsets)} before {checkpoint.previous}"
        persons = self._passed_on + self._held_records
        if follows and persons > checkpoint.states:
            persons -= sum(key.startswith(b"\xff") for piece in self._held for key, _ in piece.records)
            self._tear_off(persons - checkpoint.states)
        elif persons < checkpoint.states and self._whole:
            self._short = f"its last checkpoint speaks of {checkpoint.states} states, of which {persons} are there"

    def _tear_off(self, states: int) -> None:
        """The first `states` of those held back: what was sent after them ends with the checkpoint."""
        if states <= 0:
            return
        self.torn.append(states)
        if self._passed_on:
            self.doubt = self.doubt or "a torn transaction is larger than what is held back"
        kept: deque[Piece] = deque()
        for piece in self._held:
            records = []
            for record in piece.records:
                if states and not record[0].startswith(b"\xff"):  # a layout stays: it says how to read, not what is
                    states -= 1
                else:
                    records.append(record)
            kept.append(piece._replace(records=records))
        self._held = kept
