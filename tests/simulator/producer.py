"""The simulated Producer: confluent_kafka's interface, with what librdkafka does by itself when requests go astray."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from tests.simulator.cluster import Transaction
from tests.simulator.log import Log

_FENCED = {int(KafkaError.INVALID_PRODUCER_EPOCH), int(KafkaError.PRODUCER_FENCED)}


def failure(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> KafkaException:
    """As librdkafka marks it."""
    return KafkaException(KafkaError(code, "simulated", fatal=fatal, retriable=retriable, txn_requires_abort=abort))


class Producer:
    """With a transactional.id, or plain."""

    def __init__(self, world: Any, process: Any, config: dict[str, Any]) -> None:
        self._world, self._cluster, self._process = world, world.cluster, process
        self._name = config.get("transactional.id")
        self._timeout_s = config.get("transaction.timeout.ms", 60_000) / 1000
        self._resend_s = config.get("retry.backoff.ms", 100) / 1000
        self._stats, self._stats_s = config.get("stats_cb"), config.get("statistics.interval.ms", 0) / 1000
        self._stats_at = world.now_s
        self._sent = {"EndTxn": 0, "TxnOffsetCommit": 0}
        self._transaction: Transaction
        self._epoch = -1
        self._state = "new"
        """new, ready, open, failed (to be aborted), ending (commit is to be asked again), fatal"""
        self._queue: list[tuple[Log, tuple[Any, Any, Any]]] = []
        self._added: set[int] = set()

    # --- transactions

    def init_transactions(self, timeout: float) -> None:
        kind = self._world.at("open", self._process)
        if kind == "lost":
            self._world.wait(self._process, timeout, lambda: False)
            raise failure(KafkaError._TIMED_OUT, retriable=True)
        found: list[Transaction] = []

        def asked() -> bool:
            transaction = self._cluster.init(self._name, self._timeout_s)
            if transaction is not None:
                found.append(transaction)
            return transaction is not None

        if not self._world.wait(self._process, timeout, asked):
            raise failure(KafkaError._TIMED_OUT, retriable=True)
        self._transaction, self._epoch, self._state = found[0], found[0].epoch, "ready"
        self._world.at("opened", self._process)

    def begin_transaction(self) -> None:
        self._world.alive(self._process)
        self._must_be("ready")
        self._state = "open"
        self._added = set()

    def produce(self, topic: str, value: Any = None, key: Any = None, partition: int = -1, callback: Any = None,
                on_delivery: Any = None, timestamp: int = 0, headers: Any = None) -> None:
        """Queued; sent now or later."""
        del callback, on_delivery, timestamp
        if self._name is None:
            self._world.alive(self._process)
            self._world.tick(topic, partition, value)
            return
        kind = self._world.at("produce", self._process)
        if kind == "full":
            raise BufferError("Local: Queue full")
        if kind == "fatal":
            self._state = "fatal"
        if self._state != "open":
            raise self._refusal()
        self._queue.append((self._cluster.log(topic, partition), (key, value, headers)))
        if self._world.chance.random() < 0.4:
            self._send()

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], metadata: Any, timeout: float) -> None:
        self._must_be("open")
        kind = self._world.at("send_offsets", self._process)
        if kind == "timed_out":
            self._world.wait(self._process, timeout, lambda: False)
            raise failure(KafkaError._TIMED_OUT, retriable=True)
        if kind == "refused":
            raise self._failed(int(KafkaError.OFFSET_METADATA_TOO_LARGE))  # abortable, and may be else the next time
        self._sent["TxnOffsetCommit"] += bool(offsets)
        if offsets:
            self._request(lambda: self._cluster.add(self._transaction, self._epoch, None))
            taken = {(p.topic, p.partition): p.offset for p in offsets}
            self._request(lambda: self._cluster.take_offsets(self._transaction, self._epoch, taken, metadata))
        self._world.at("offsets_sent", self._process)

    def commit_transaction(self, timeout: float) -> None:
        if self._state != "ending":
            self._must_be("open")
            self._send()
        if self._state not in {"open", "ending"}:
            raise self._refusal()
        kind = self._world.at("end_txn", self._process)
        if self._state == "open" and not self._added and self._transaction.state != "ongoing":
            self._state = "ready"  # nothing was in it
            return
        self._state = "ending"
        self._sent["EndTxn"] += 1
        self._end(kind, timeout)
        self._state = "ready"
        self._world.at("ended", self._process)

    def _end(self, kind: str | None, timeout: float) -> None:
        transaction, epoch, cluster = self._transaction, self._epoch, self._cluster

        def end() -> int | None:
            return cluster.end(transaction, epoch, commit=True)

        delay_s = self._world.chance.random() * 3
        if kind in ("lost", "reply_lost", "delayed"):
            if kind == "reply_lost":
                end()
            elif kind == "delayed":
                cluster.later(timeout + delay_s, end)
            self._world.wait(self._process, timeout, lambda: False)
            raise failure(KafkaError._TIMED_OUT, retriable=True)
        if kind == "resent":  # a connection broke: librdkafka asks again by itself, the first request is still on its way
            cluster.later(self._resend_s + delay_s, end)
            self._world.wait(self._process, self._resend_s, lambda: False)
            self._sent["EndTxn"] += 1
        if kind in ("unknown", "unknown_done"):
            if kind == "unknown_done":
                end()
            raise self._failed(int(KafkaError.REQUEST_TIMED_OUT))
        self._request(end)

    def abort_transaction(self, timeout: float) -> None:
        kind = self._world.at("abort", self._process)
        self._queue.clear()
        if self._state == "ready":
            return
        if self._state == "ending":
            raise failure(KafkaError._CONFLICT)
        if self._state == "fatal":
            raise self._refusal()
        transaction, epoch, cluster = self._transaction, self._epoch, self._cluster
        if kind == "delayed":
            cluster.later(timeout + self._world.chance.random() * 4, lambda: cluster.end(transaction, epoch, commit=False))
        if kind in ("lost", "delayed"):
            self._world.wait(self._process, timeout, lambda: False)
            raise failure(KafkaError._TIMED_OUT, retriable=True)
        if transaction.state == "ongoing":
            self._request(lambda: cluster.end(transaction, epoch, commit=False))
        self._state = "ready"

    # --- requests, as librdkafka makes them

    def _send(self) -> None:
        queue, self._queue = self._queue, []
        for log, record in queue:
            if id(log) not in self._added:
                self._request(lambda log=log: self._cluster.add(self._transaction, self._epoch, log))  # type: ignore[misc]
                self._added.add(id(log))
            self._request(lambda log=log, record=record:  # type: ignore[misc]
                          self._cluster.produce(self._transaction, self._epoch, log, [record]))

    def _request(self, ask: Any) -> None:
        """Repeated by itself while the coordinator is at an earlier end; other errors change the producer's state."""
        answer: list[int | None] = [None]

        def asked() -> bool:
            answer[0] = ask()
            return answer[0] != KafkaError.CONCURRENT_TRANSACTIONS

        self._world.spend(0.004)
        if not asked():
            self._world.wait(self._process, 60.0, asked)
        if answer[0] is not None:
            raise self._failed(answer[0])

    def _failed(self, code: int) -> KafkaException:
        if code in _FENCED or code == KafkaError.INVALID_TXN_STATE:
            self._state = "fatal"
            self._fatal_code = code
            return self._refusal()
        self._state = "failed"
        return failure(code, abort=True)

    def _must_be(self, state: str) -> None:
        if self._state != state:
            raise self._refusal()

    def _refusal(self) -> KafkaException:
        if self._state == "fatal":
            return failure(getattr(self, "_fatal_code", int(KafkaError._FATAL)), fatal=True)
        if self._state == "failed":
            return failure(KafkaError._STATE, abort=True)
        return failure(KafkaError._CONFLICT if self._state == "ending" else KafkaError._STATE)

    # --- the rest

    def poll(self, timeout: float | None = None) -> int:
        self._world.alive(self._process)
        if timeout:
            self._world.wait(self._process, timeout, lambda: False)
        if self._stats is not None and self._stats_s and self._world.now_s - self._stats_at >= self._stats_s:
            self._stats_at = self._world.now_s
            self._stats(msgspec.json.encode({"brokers": {"simulated": {"req": self._sent}}}).decode())
        return 0

    def flush(self, *_: Any) -> int:
        self._world.alive(self._process)
        if self._state == "open":
            with suppress(KafkaException):  # told by the next call
                self._send()
        return 0

    def purge(self, **_: Any) -> None:
        self._queue.clear()

    def __len__(self) -> int:
        return len(self._queue)
