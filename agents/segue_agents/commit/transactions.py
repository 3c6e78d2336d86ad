"""Exactly once: changes, changelog, dead letters and offsets are one Kafka transaction.

librdkafka still speaks the transaction protocol from before KIP-890: the broker cannot tell a request of one
transaction from a request of the producer's next. And librdkafka sends requests again by itself, after a timeout or a
disconnect. So the first EndTxn may still be on its way when the second has been answered, and end the *next*
transaction in its middle; a late TxnOffsetCommit would set its offsets back. Two rules keep both away:

- A transaction whose end is uncertain costs the producer. A new one with the same transactional.id has a new epoch, which
  fences whatever the old one has sent; the committed offsets alone decide what happened.
- A commit that held, but for which one of these requests was sent more than once, costs the producer as well, before
  anything of the next transaction is sent. What is in memory stays: the commit is certain.

Whether a request was sent twice shows in how long the call took. librdkafka waits 500 ms before it sends TxnOffsetCommit
again, and `retry.backoff.ms`, less a fifth, before EndTxn; a call that took less has sent it once. When the commit took
longer, librdkafka's statistics are waited for, which count the EndTxns sent. (They cannot be asked about
TxnOffsetCommit: it goes to an ordinary broker, whose count vanishes when librdkafka drops that broker.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from segue.errors import Unreachable
from segue_agents.commit.producing import CALL_WITHIN_S, REPEAT_FOR_S, Producing
from segue_agents.commit.reactions import Reaction, Refused, Stage, TransactionLost, said
from segue_agents.outside import Outside

_log = structlog.get_logger(__name__)

OFFSETS_ONCE_WITHIN_S: Final = 0.4
END_ONCE_SHARE: Final = 0.75
"""of retry.backoff.ms; librdkafka waits 80 to 120 % of it"""
STATISTICS_POLLS: Final = 20
"""in two intervals of the statistics, which is how long they are waited for"""

Doubt = Literal["repeated", "resent", "slow"]
"""we called again; librdkafka sent again; it may have, since it took long and nothing says otherwise"""


class Transactions(Producing):
    """Exactly once. `on_recycled`: called with the reason when a producer was replaced after a commit that held."""

    markers: int = 1

    def __init__(self, config: Mapping[str, Any], outside: Outside,
                 on_recycled: Callable[[Doubt], None] = lambda _: None) -> None:
        super().__init__(config, outside)
        self._on_recycled = on_recycled
        self._begun = False
        self._not_recycled: Any = None
        self._sent = _Sent(config)
        self._end_once_within_s = END_ONCE_SHARE * float(config.get("retry.backoff.ms", 100)) / 1000
        self._timeout_s = float(config.get("transaction.timeout.ms", 60_000)) / 1000

    def open(self) -> None:
        """Fences whatever had the transactional.id before, and ends its open transaction."""
        self.drop()
        self._not_recycled = self._refused = None
        self._sent = _Sent(self._config)
        self._producer = self._outside.producer({
            **self._config, "stats_cb": self._sent.hear, "on_delivery": self._delivered,
        })
        try:
            self._repeating("open", self._producer.init_transactions)
        except Refused as refused:
            raise refused.not_allowed from refused
        except TransactionLost as lost:
            if lost.error.retriable():
                raise Unreachable(
                    f"No transaction coordinator answers ({said(lost.error)}).", "See the broker's log."
                ) from lost
            raise

    def _begin(self) -> None:
        if not self._begun:
            if self._not_recycled is not None:
                raise TransactionLost("open", self._not_recycled, Reaction.REPLACE)
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                raise self._lost("produce", error) from error
            self._begun = True

    def checkpoint_follows(self) -> None:
        """Nothing: they become visible together."""

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """Offsets into the transaction, and its end; then a new producer if this one can no longer be trusted."""
        self._begin()
        self._repeated = False
        clock = self._outside.monotonic
        try:
            before_s = clock()
            self._repeating("send_offsets", self._producer.send_offsets_to_transaction, list(offsets), group)
            offsets_s = clock() - before_s
            self._flush(self._timeout_s)  # by itself, so that it does not count as the time of EndTxn
            before_s = clock()
            self._repeating("commit", self._producer.commit_transaction)
        except TransactionLost as lost:
            if lost.reaction is Reaction.ABORT:
                self._abort()
            self._begun = False  # or `drop` would touch it
            raise
        self._begun = False
        doubt = self._doubt(offsets_s, clock() - before_s)
        if doubt is not None:
            self._recycle(doubt)

    def _doubt(self, offsets_s: float, end_s: float) -> Doubt | None:
        """Whether a request of the transaction that was just committed may still be on its way."""
        self._sent.committed += 1
        self._hear(0)  # what was said before the commit ended
        if self._repeated:
            return "repeated"
        if offsets_s >= OFFSETS_ONCE_WITHIN_S:
            return "slow"
        return None if end_s < self._end_once_within_s else self._sent.doubt(self._hear)

    def _recycle(self, why: Doubt) -> None:
        """Same id, new epoch. The commit stands, so a failure is raised only when there is something new to send."""
        _log.warning("producer_recycled", why=why)
        self._on_recycled(why)
        try:
            self.open()
        except (TransactionLost, Unreachable) as error:
            self._not_recycled = str(error)

    def _cause(self, error: Any) -> Any:
        """_STATE may mean that the transaction failed a moment before: any call that it does not allow now says of what."""
        if error.code() == KafkaError._STATE:  # noqa: SLF001 (its public spelling)
            try:
                self._producer.begin_transaction()
            except KafkaException as again:
                return again.args[0]
        return error

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(CALL_WITHIN_S)
        except KafkaException as error:  # the next producer's init_transactions ends it instead
            _log.warning("transaction_not_aborted", error=said(error.args[0]))

    def _repeat_for_s(self, stage: Stage) -> float:
        # past its timeout the broker has ended the transaction: asking on could only learn that
        return REPEAT_FOR_S if stage == "open" else min(REPEAT_FOR_S, self._timeout_s)

    def drop(self) -> None:
        """An open transaction is left to the next `open`, or to its timeout."""
        if self._producer is not None and self._begun:
            self._abort()
        self._producer, self._begun = None, False


class _Broker(msgspec.Struct):
    req: dict[str, int] = {}


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}


_statistics: Final = msgspec.json.Decoder(type=_Statistics).decode  # made at the import, as in state/layouts


class _Sent:
    """How often one producer has sent EndTxn, and how often it should have."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.committed = 0
        self._wait_s = 2 * float(config.get("statistics.interval.ms", 0)) / 1000
        self._heard, self._newest = 0, "{}"

    def hear(self, statistics: str) -> None:
        """librdkafka's statistics, JSON. Read only when there is a doubt."""
        self._heard += 1
        self._newest = statistics

    def doubt(self, hear: Callable[[float], None]) -> Doubt | None:
        """Waits for statistics of now; those of before have been heard."""
        before = self._heard
        for _ in range(STATISTICS_POLLS if self._wait_s else 0):
            hear(self._wait_s / STATISTICS_POLLS)
            if self._heard > before:
                brokers = _statistics(self._newest).brokers.values()
                sent = sum(broker.req.get("EndTxn", 0) for broker in brokers)
                return "resent" if sent > self.committed else None
        return "slow"
