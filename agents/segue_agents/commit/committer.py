"""What goes out, and how it becomes final: what the worker's loop knows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import TopicPartition

from segue_agents.commit.at_least_once import AtLeastOnce
from segue_agents.commit.producing import Record
from segue_agents.commit.reactions import RESTART_EXIT_CODE, Reaction, TransactionLost
from segue_agents.commit.transactions import Doubt, Transactions
from segue_agents.outside import Outside

__all__ = ["RESTART_EXIT_CODE", "AtLeastOnce", "Committer", "Reaction", "TransactionLost", "Transactions",
           "make_committer"]


class Committer(Protocol):
    """Where a worker's output goes. All calls but `open` come from whoever holds the worker's gate."""

    markers: int
    """records of its own that a commit adds to each partition"""

    @property
    def is_open(self) -> bool:
        """There is a producer: from `open` on, until `drop`."""

    def open(self) -> None:
        """A new producer, ready. Raises TransactionLost, Unreachable."""

    def produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None,
                headers: list[tuple[str, bytes]] | None = None) -> None:
        """A record of the commit to come. Raises TransactionLost."""

    def produce_all(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        """Many, (key, value, headers) each, in their order. Raises TransactionLost."""

    def checkpoint_follows(self) -> None:
        """All that checkpoints speak of has been produced; they come next. Raises TransactionLost."""

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """Makes all of it final, together with the offsets. Blocks. Raises TransactionLost."""

    def serve(self) -> None:
        """Once a second or so when nothing is committed: what the producer says of itself would pile up. Returns at once."""

    def drop(self) -> None:
        """Forgets what is not final."""


def make_committer(config: Mapping[str, Any], outside: Outside,
                   on_recycled: Callable[[Doubt], None] = lambda _: None) -> Transactions | AtLeastOnce:
    """By the producer's configuration."""
    if "transactional.id" in config:
        return Transactions(config, outside, on_recycled)
    return AtLeastOnce(config, outside)
