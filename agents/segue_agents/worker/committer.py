"""What goes out, and how it becomes final.

Exactly once: changes, changelog, dead letters and offsets are one Kafka transaction. Errors are sorted by a table, row
by row, into three reactions. librdkafka still speaks the transaction protocol from before KIP-890, in which a late end
of one transaction can touch the next of the same producer; so a transaction whose end is uncertain costs the producer:
it is thrown away, a new one fences it, and work goes on from the committed offsets, which alone decide what happened.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal, Protocol

import structlog
from confluent_kafka import KafkaException, Producer, TopicPartition

from segue.errors import SegueError, Unreachable

_log = structlog.get_logger(__name__)

CALL_WITHIN_S: Final = 10.0
REPEAT_FOR_S: Final = 60.0
"""a call that only ever asks to be repeated is given up after this"""
RESTART_EXIT_CODE: Final = 75
"""EX_TEMPFAIL: whoever supervises the process should start it again"""

Stage = Literal["open", "produce", "send_offsets", "commit"]
Class = Literal["retriable", "abortable", "fatal", "other"]


class Reaction(Enum):
    """What to do about an error."""

    REPEAT = "the same call again: nothing is decided yet"
    ABORT = "end the transaction, then go on from the committed offsets with a new producer"
    REPLACE = "touch this producer no more; go on from the committed offsets with a new one"


REACTIONS: Final[Mapping[tuple[Stage, Class], Reaction]] = {
    ("open", "retriable"): Reaction.REPEAT,
    ("open", "abortable"): Reaction.REPLACE,
    ("open", "fatal"): Reaction.REPLACE,
    ("open", "other"): Reaction.REPLACE,
    ("produce", "retriable"): Reaction.ABORT,
    ("produce", "abortable"): Reaction.ABORT,
    ("produce", "fatal"): Reaction.REPLACE,
    ("produce", "other"): Reaction.ABORT,
    ("send_offsets", "retriable"): Reaction.REPEAT,
    ("send_offsets", "abortable"): Reaction.ABORT,
    ("send_offsets", "fatal"): Reaction.REPLACE,
    ("send_offsets", "other"): Reaction.ABORT,
    # _TIMED_OUT: neither aborted nor begun anew can it be, only asked again
    ("commit", "retriable"): Reaction.REPEAT,
    # as after REQUEST_TIMED_OUT on EndTxn: it may have been committed all the same
    ("commit", "abortable"): Reaction.REPLACE,
    ("commit", "fatal"): Reaction.REPLACE,
    ("commit", "other"): Reaction.REPLACE,
}


class TransactionLost(SegueError):
    """The transaction in hand did not come to a certain end. What it held is read and worked off again."""

    exit_code = RESTART_EXIT_CODE

    def __init__(self, stage: Stage, error: Any, reaction: Reaction) -> None:
        super().__init__(f"The transaction was lost at {stage}: {_said(error)}.", "It is worked off again.")
        self.stage = stage
        self.error = error
        self.reaction = reaction


def classify(error: Any) -> Class:
    """The class of a KafkaError, from what librdkafka marks it with."""
    if error.fatal():
        return "fatal"
    if error.txn_requires_abort():
        return "abortable"
    return "retriable" if error.retriable() else "other"


class Committer(Protocol):
    """Where a worker's output goes. All calls but `open` come from whoever holds the worker's gate."""

    markers: int
    """records of its own that a commit adds to each partition"""

    def open(self) -> None:
        """A new producer, ready. Raises TransactionLost, Unreachable."""

    def produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None,
                headers: list[tuple[str, bytes]] | None = None) -> None:
        """A record of the commit to come. Raises TransactionLost."""

    def checkpoint_follows(self) -> None:
        """All that checkpoints speak of has been produced; they come next. Raises TransactionLost."""

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """Makes all of it final, together with the offsets. Blocks. Raises TransactionLost."""

    def drop(self) -> None:
        """Forgets what is not final."""


class _Producing:
    """A producer that is made anew each time."""

    markers: int = 0

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._producer: Any = None

    def produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None,
                headers: list[tuple[str, bytes]] | None = None) -> None:
        """Queues a record. Raises TransactionLost."""
        self._begin()
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers)
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise self._lost("produce", error) from error

    def _begin(self) -> None:
        raise NotImplementedError

    def _lost(self, stage: Stage, error: KafkaException) -> TransactionLost:
        cause = error.args[0]
        return TransactionLost(stage, cause, REACTIONS[stage, classify(cause)])

    def _repeating(self, stage: Stage, call: Any, *arguments: Any) -> None:
        """Calls until it works, or an error says otherwise. Raises TransactionLost."""
        until = time.monotonic() + REPEAT_FOR_S
        while True:
            try:
                call(*arguments, CALL_WITHIN_S)
                return
            except KafkaException as error:
                lost = self._lost(stage, error)
                if lost.reaction is not Reaction.REPEAT:
                    raise lost from error
                if time.monotonic() > until:
                    raise TransactionLost(stage, error.args[0], Reaction.REPLACE) from error
                _log.warning("transaction_repeats", stage=stage, error=_said(error.args[0]))
                time.sleep(0.1)


class Transactions(_Producing):
    """Exactly once."""

    markers: int = 1

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._begun = False

    def open(self) -> None:
        """Fences whatever had the transactional.id before, and ends its open transaction."""
        self.drop()
        self._producer = Producer(self._config)
        try:
            self._repeating("open", self._producer.init_transactions)
        except TransactionLost as lost:
            if lost.error.retriable():
                raise Unreachable(
                    f"No transaction coordinator answers ({_said(lost.error)}).", "See the broker's log."
                ) from lost
            raise

    def _begin(self) -> None:
        if not self._begun:
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                raise self._lost("produce", error) from error
            self._begun = True

    def checkpoint_follows(self) -> None:
        """Nothing: they become visible together."""

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """Offsets into the transaction, and its end."""
        self._begin()
        try:
            self._repeating("send_offsets", self._producer.send_offsets_to_transaction, list(offsets), group)
            self._repeating("commit", self._producer.commit_transaction)
        except TransactionLost as lost:
            if lost.reaction is Reaction.ABORT:
                self._abort()
            raise
        self._begun = False

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(CALL_WITHIN_S)
        except KafkaException as error:  # the next producer's init_transactions ends it instead
            _log.warning("transaction_not_aborted", error=_said(error.args[0]))

    def drop(self) -> None:
        """An open transaction is left to the next `open`, or to its timeout."""
        if self._producer is not None and self._begun:
            self._abort()
        self._producer, self._begun = None, False


class AtLeastOnce(_Producing):
    """Without transactions: what checkpoints speak of is acknowledged before they are written, then offsets follow."""

    def open(self) -> None:
        """Nothing to wait for."""
        self.drop()
        self._producer = Producer({**self._config, "on_delivery": self._delivered})
        self._failed: Any = None

    def _begin(self) -> None:
        pass

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failed = error

    def checkpoint_follows(self) -> None:
        """Waits until the broker has all of it."""
        self._flush()

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """The group's offsets are written by whoever owns the consumer."""
        del offsets, group
        self._flush()

    def _flush(self) -> None:
        until = time.monotonic() + REPEAT_FOR_S
        while self._producer.flush(CALL_WITHIN_S) and time.monotonic() < until:
            pass
        if self._failed is not None or len(self._producer):
            raise TransactionLost("commit", self._failed or "the broker acknowledges nothing", Reaction.REPLACE)

    def drop(self) -> None:
        """What is still queued is not sent."""
        if self._producer is not None:
            self._producer.purge()
        self._producer = None


def make_committer(config: Mapping[str, Any]) -> Transactions | AtLeastOnce:
    """By the producer's configuration."""
    return Transactions(config) if "transactional.id" in config else AtLeastOnce(config)


def _said(error: Any) -> str:
    return f"{error.name()} {error.str()}" if hasattr(error, "name") else str(error)
