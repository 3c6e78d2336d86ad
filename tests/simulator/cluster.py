"""The simulated broker: logs, the transaction coordinator; the groups have a file of their own.

Transactions end by the protocol from before KIP-890, which librdkafka speaks: EndTxn names a producer and its epoch and
no transaction, so one that comes late ends whatever this epoch has open by then. Markers are written after the answer,
one partition after the other; until then the records are open, and so are the offsets.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from confluent_kafka import KafkaError
from tests.simulator.groups import Group, NewGroup, Partition
from tests.simulator.log import Log


@dataclass(slots=True)
class Transaction:
    """What the coordinator keeps of one transactional.id."""

    producer: int
    """its number"""
    timeout_s: float
    epoch: int = -1
    state: str = "empty"
    """empty, ongoing, ending, committed, aborted"""
    logs: list[Log] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    group: Group | NewGroup | None = None
    since_s: float = 0.0
    commits: bool = False
    markers_left: int = 0


class Cluster:
    """One broker. `clock` gives seconds, `chance` is the run's."""

    def __init__(self, clock: Callable[[], float], start_ms: int, chance: Random, partitions: int) -> None:
        self.clock, self.chance, self.partitions = clock, chance, partitions
        self._start_ms = start_ms
        self.logs: dict[Partition, Log] = {}
        self.transactions: dict[str, Transaction] = {}
        self.groups: dict[str, Group | NewGroup] = {}
        self.appends = 0
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._later_count = 0

    # --- logs

    def log(self, topic: str, partition: int) -> Log:
        """Made when first asked for."""
        found = self.logs.get((topic, partition))
        if found is None:
            found = self.logs[topic, partition] = Log(topic, partition)
        return found

    def now_ms(self) -> int:
        """The wall's clock."""
        return self._start_ms + int(self.clock() * 1000)

    def append(self, topic: str, partition: int, key: Any, value: Any, headers: Any = None,
               producer: int | None = None, at_ms: int | None = None) -> None:
        """A record, with or without a transaction."""
        self.appends += 1
        self.log(topic, partition).append(
            key, value, headers, self.now_ms() if at_ms is None else at_ms, self.appends, producer
        )

    def group(self, name: str, protocol: str = "classic") -> Group | NewGroup:
        """Made when first asked for."""
        if name not in self.groups:
            self.groups[name] = (NewGroup if protocol == "consumer" else Group)(self.partitions)
        return self.groups[name]

    # --- things that happen by themselves

    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Runs it when the clock is there."""
        self._later_count += 1
        heapq.heappush(self._later, (self.clock() + delay_s, self._later_count, function))

    def catch_up(self) -> None:
        """Does what is due: delayed requests, markers, timeouts of transactions."""
        now = self.clock()
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()
        for transaction in self.transactions.values():
            if transaction.state == "ongoing" and now - transaction.since_s > transaction.timeout_s:
                transaction.epoch += 1  # its producer is fenced
                self._end(transaction, commit=False)

    # --- the transaction coordinator

    def init(self, name: str, timeout_s: float) -> Transaction | None:
        """A new epoch; None: ask again, an earlier transaction is being ended."""
        transaction = self.transactions.get(name)
        if transaction is None:
            transaction = self.transactions[name] = Transaction(len(self.transactions) + 1, timeout_s)
        if transaction.state == "ongoing":
            transaction.epoch += 1
            self._end(transaction, commit=False)
        if transaction.state == "ending":
            return None
        transaction.epoch += 1
        transaction.state = "empty"
        return transaction

    def add(self, transaction: Transaction, epoch: int, log: Log | None) -> int | None:
        """AddPartitionsToTxn (AddOffsetsToTxn for None): an error's code, or None. Begins a transaction."""
        if epoch != transaction.epoch:
            return int(KafkaError.INVALID_PRODUCER_EPOCH)
        if transaction.state == "ending":
            return int(KafkaError.CONCURRENT_TRANSACTIONS)
        if transaction.state != "ongoing":
            transaction.state, transaction.since_s = "ongoing", self.clock()
            transaction.logs, transaction.offsets, transaction.group = [], {}, None
        if log is not None and log not in transaction.logs:
            transaction.logs.append(log)
        return None

    def produce(self, transaction: Transaction, epoch: int, log: Log, records: list[tuple[Any, Any, Any]]) -> int | None:
        """Records of the transaction; refused when it does not hold the partition (brokers from 3.6 on look)."""
        if epoch != transaction.epoch:
            return int(KafkaError.INVALID_PRODUCER_EPOCH)
        if transaction.state != "ongoing" or log not in transaction.logs:
            return int(KafkaError.INVALID_TXN_STATE)
        for key, value, headers in records:
            self.append(log.topic, log.partition, key, value, headers, transaction.producer)
        return None

    def take_offsets(self, transaction: Transaction, epoch: int, offsets: dict[Partition, int], metadata: Any) -> int | None:
        """TxnOffsetCommit: pending until the transaction ends."""
        group = self.group(metadata.group)
        if epoch != transaction.epoch:
            return int(KafkaError.INVALID_PRODUCER_EPOCH)
        refused = group.refusal(metadata)
        if refused is not None:
            return refused
        for partition in offsets:
            if partition not in transaction.offsets:
                group.pending[partition] = group.pending.get(partition, 0) + 1
        transaction.offsets.update(offsets)
        transaction.group = group
        return None

    def end(self, transaction: Transaction, epoch: int, commit: bool) -> int | None:
        """EndTxn: an error's code, or None."""
        if epoch != transaction.epoch:
            return int(KafkaError.INVALID_PRODUCER_EPOCH)
        if transaction.state == "ongoing":
            self._end(transaction, commit)
            return None
        if transaction.state == "ending":
            same = transaction.commits == commit
            return int(KafkaError.CONCURRENT_TRANSACTIONS if same else KafkaError.INVALID_TXN_STATE)
        same = transaction.state == ("committed" if commit else "aborted")
        return None if same else int(KafkaError.INVALID_TXN_STATE)

    def _end(self, transaction: Transaction, commit: bool) -> None:
        """Decided; the markers follow, in any order."""
        transaction.state, transaction.commits = "ending", commit
        work: list[Callable[[], None]] = [self._marking(transaction, log) for log in transaction.logs]
        work.append(lambda: self._settle_offsets(transaction))
        transaction.markers_left = len(work)
        slow = self.chance.random() < 0.25
        for write in work:
            if slow:
                self.later(self.chance.random() * 2, write)
            else:
                write()

    def _marking(self, transaction: Transaction, log: Log) -> Callable[[], None]:
        def write() -> None:
            self.appends += 1
            log.mark(transaction.producer, transaction.commits, self.now_ms(), self.appends)
            self._marked(transaction)

        return write

    def _settle_offsets(self, transaction: Transaction) -> None:
        group = transaction.group
        if group is not None:
            for partition, offset in transaction.offsets.items():
                group.pending[partition] -= 1
                if transaction.commits:
                    group.offsets[partition] = offset
        self._marked(transaction)

    def _marked(self, transaction: Transaction) -> None:
        transaction.markers_left -= 1
        if transaction.markers_left == 0:
            transaction.state = "committed" if transaction.commits else "aborted"

    def at_rest(self) -> bool:
        """No transaction is open or being ended, and no request is on its way."""
        return not self._later and all(t.state not in ("ongoing", "ending") for t in self.transactions.values())
