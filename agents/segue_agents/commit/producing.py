"""What both guarantees share: a producer that is made anew each time, and calls that are repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException

from segue_agents.backoff import Backoff
from segue_agents.commit.reactions import REACTIONS, Reaction, Refused, Stage, TooLarge, TransactionLost, classify, said
from segue_agents.logs.pseudonyms import pseudonym
from segue_agents.outside import Outside
from segue_agents.transport.refusals import is_refusal, missing_right

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]] | None]
"""key, value, headers"""
_log = structlog.get_logger(__name__)

CALL_WITHIN_S: Final = 10.0
REPEAT_FOR_S: Final = 60.0
"""a call that only ever asks to be repeated is given up after this"""
PAUSE_S: Final = (0.1, 2.0)
"""before a repeated call: at most, at first and later"""


_RAISED_HERE: Final = (KafkaException, SystemError)
"""by poll and flush once an error is fatal. SystemError: confluent_kafka calls back with that error already set, so that
whatever the callback does fails"""


class Producing:
    """Holds the producer. Configuration, then the clients to make it from."""

    markers: int = 0

    def __init__(self, config: Mapping[str, Any], outside: Outside) -> None:
        self._config = dict(config)
        self._outside = outside
        self._producer: Any = None
        self._repeated = False
        self._too_large = ""
        """the last record that the broker found so"""
        self._refused: Any = None
        """the last refusal of a record for want of a right, and its topic"""

    @property
    def is_open(self) -> bool:
        """There is a producer."""
        return self._producer is not None

    def produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None,
                headers: list[tuple[str, bytes]] | None = None) -> None:
        """Queues a record. Raises TransactionLost."""
        self.produce_all(topic, partition, ((key, value, headers),))

    def produce_all(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        """Queues records, (key, value, headers) each, in their order. Raises TransactionLost."""
        self._begin()
        produce = self._producer.produce
        for key, value, headers in records:
            try:
                # all by position: one argument by name and it takes half as long again, 0.2 us
                produce(topic, value, key, partition, None, None, 0, headers)
            except BufferError:
                self._wait_for_room(topic, partition, key, value, headers)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    self._too_large = _named(topic, partition, key, value)
                raise self._lost("produce", error) from error

    def _wait_for_room(self, topic: str, partition: int, key: bytes | None, value: bytes | None,
                       headers: list[tuple[str, bytes]] | None) -> None:
        until = self._outside.monotonic() + REPEAT_FOR_S
        while self._outside.monotonic() < until:
            self._hear(0.1)
            try:
                self._producer.produce(topic, value, key, partition, headers=headers)
                return
            except BufferError:
                continue
            except KafkaException as error:
                raise self._lost("produce", error) from error
        raise TransactionLost("produce", "the broker takes nothing from a full queue", Reaction.REPLACE)

    def serve(self) -> None:
        """Hears what the producer has to say, which otherwise would pile up in it. Does not wait."""
        producer = self._producer  # another thread may be in `open`
        if producer is not None:
            with suppress(*_RAISED_HERE):
                producer.poll(0)

    def _hear(self, within_s: float) -> None:
        # a fatal error is raised here too; the next call that means something says the same
        with suppress(*_RAISED_HERE):
            self._producer.poll(within_s)

    def _flush(self, within_s: float) -> None:
        """Until all is answered for or time is up. What has failed shows in the calls that follow."""
        until = self._outside.monotonic() + within_s
        with suppress(*_RAISED_HERE):
            while self._producer.flush(CALL_WITHIN_S) and self._outside.monotonic() < until:
                pass

    def _begin(self) -> None:
        raise NotImplementedError

    def _delivered(self, error: Any, message: Any) -> None:
        """Told of each record that the broker has not taken."""
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self._too_large = _named(message.topic(), message.partition(), message.key(), message.value())
        elif is_refusal(error):
            self._refused = error, message.topic()

    def _lost(self, stage: Stage, error: KafkaException) -> TransactionLost:
        return self._lost_by(stage, self._cause(error.args[0]), REACTIONS[stage, classify(error.args[0])])

    def _cause(self, error: Any) -> Any:
        """What is behind it."""
        return error

    def _lost_by(self, stage: Stage, cause: Any, reaction: Reaction) -> TransactionLost:
        if is_refusal(cause):
            self._hear(0)  # of which topic
        refused, topic = self._refused or (cause, "")
        if is_refusal(refused):
            of = self._config.get("transactional.id", "")
            return Refused(stage, cause, reaction, missing_right(refused, "Write", topic=topic, transactional_id=of))
        if not hasattr(cause, "code") or cause.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            return TransactionLost(stage, cause, reaction)
        self._hear(0)  # of which record
        return TooLarge(stage, cause, reaction, self._too_large)

    def _repeating(self, stage: Stage, call: Any, *arguments: Any) -> None:
        """Calls until it works, or an error says otherwise. Raises TransactionLost."""
        until = self._outside.monotonic() + self._repeat_for_s(stage)
        backoff = Backoff(*PAUSE_S, self._outside.chance)
        while True:
            try:
                call(*arguments, CALL_WITHIN_S)
                return
            except KafkaException as error:
                # no name for what is raised: a frame that its own traceback holds would keep the producer alive
                if REACTIONS[stage, classify(error.args[0])] is not Reaction.REPEAT:
                    raise self._lost(stage, error) from error
                if self._outside.monotonic() > until:
                    raise TransactionLost(stage, error.args[0], Reaction.REPLACE) from error
                self._repeated = True
                _log.warning("transaction_repeats", stage=stage, error=said(error.args[0]))
                self._outside.sleep(backoff.next_s())

    def _repeat_for_s(self, stage: Stage) -> float:
        del stage
        return REPEAT_FOR_S


def _named(topic: str, partition: int, key: bytes | None, value: bytes | None) -> str:
    """A record for people to read; whose it is as logs name persons."""
    return f"A record of {len(value or b'')} bytes for {topic} partition {partition}, of {pseudonym(key or b'')},"
