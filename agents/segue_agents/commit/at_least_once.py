"""Without transactions: what checkpoints speak of is acknowledged before they are written, then offsets follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import TopicPartition

from segue_agents.commit.producing import REPEAT_FOR_S, Producing
from segue_agents.commit.reactions import Reaction
from segue_agents.outside import Outside


class AtLeastOnce(Producing):
    """For those without transactions."""

    def __init__(self, config: Mapping[str, Any], outside: Outside) -> None:
        super().__init__(config, outside)
        self._failed: Any = None

    def open(self) -> None:
        """Nothing to wait for."""
        self.drop()
        self._failed = self._refused = None
        self._producer = self._outside.producer({**self._config, "on_delivery": self._delivered})

    def _begin(self) -> None:
        pass

    def _delivered(self, error: Any, message: Any) -> None:
        super()._delivered(error, message)
        if error is not None:
            self._failed = error

    def checkpoint_follows(self) -> None:
        """Waits until the broker has all of it."""
        self._flush_all()

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """The group's offsets are written by whoever owns the consumer."""
        del offsets, group
        self._flush_all()

    def _flush_all(self) -> None:
        self._flush(REPEAT_FOR_S)
        if self._failed is not None or len(self._producer):
            raise self._lost_by("commit", self._failed or "the broker acknowledges nothing", Reaction.REPLACE)

    def drop(self) -> None:
        """What is still queued is not sent."""
        if self._producer is not None:
            self._producer.purge()
        self._producer = None
