"""What each class of error does to a transaction."""

from __future__ import annotations

import time
import typing
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from segue_agents.commit.at_least_once import AtLeastOnce
from segue_agents.commit.producing import REPEAT_FOR_S
from segue_agents.commit.reactions import REACTIONS, Class, Reaction, Stage, TransactionLost, classify
from segue_agents.commit.transactions import Doubt, Transactions
from segue_agents.outside import Outside


def error(code: int, **marks: bool) -> KafkaError:
    return KafkaError(code, "said so", **{"fatal": False, "retriable": False, "txn_requires_abort": False, **marks})


TIMED_OUT = error(KafkaError._TIMED_OUT, retriable=True)
ABORTABLE = error(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True)
FENCED = error(KafkaError._FENCED, fatal=True)
CONFLICT = error(KafkaError._CONFLICT)


class Clock:
    """Stands still but for the pauses of the committer, and what the producer's calls take."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, pause_s: float) -> None:
        self.now_s += pause_s


class Producer:
    """Raises what it is told to, call by call; calls take as long as they are told to."""

    def __init__(self, takes_s: dict[str, float] | None = None, ends_sent: int | None = None,
                 **raises: list[KafkaError]) -> None:
        self.raises = raises
        self.takes_s = takes_s or {}
        self.ends_sent = ends_sent
        self.calls: list[str] = []
        self.polls: list[float] = []
        self.clock, self.hear = Clock(), lambda _: None

    def made(self, config: dict[str, Any]) -> Producer:
        self.hear = config["stats_cb"]
        return self

    def flush(self, _within_s: float) -> int:
        return 0

    def poll(self, within_s: float) -> int:
        self.polls.append(within_s)
        self.clock.now_s += within_s
        if within_s and self.ends_sent is not None:
            self.hear(f'{{"brokers": {{"TxnCoordinator": {{"req": {{"EndTxn": {self.ends_sent}}}}}, "b/1": {{}}}}}}')
        return 0

    def __getattr__(self, name: str) -> Any:
        def call(*_arguments: Any, **_named: Any) -> None:
            self.calls.append(name)
            self.clock.now_s += self.takes_s.get(name, 0)
            if self.raises.get(name):
                raise KafkaException(self.raises[name].pop(0))

        return call


CONFIG = {"transactional.id": "app-0", "retry.backoff.ms": 200, "statistics.interval.ms": 500,
          "transaction.timeout.ms": 15_000}  # fmt: skip


def transactions(producer: Producer, doubts: list[Doubt] | None = None, config: dict[str, Any] = CONFIG) -> Transactions:
    outside = Outside(producer=producer.made, monotonic=lambda: producer.clock.now_s, sleep=producer.clock.sleep,
                      chance=lambda: 1.0)
    committer = Transactions(config, outside, (doubts if doubts is not None else []).append)
    committer.open()
    return committer


def test_every_stage_has_a_reaction_to_every_class() -> None:
    """The table has no hole."""
    assert set(REACTIONS) == {(s, c) for s in typing.get_args(Stage) for c in typing.get_args(Class)}


@pytest.mark.parametrize(
    ("cause", "kind"), [(TIMED_OUT, "retriable"), (ABORTABLE, "abortable"), (FENCED, "fatal"), (CONFLICT, "other")]
)
def test_classes_are_librdkafkas_marks(cause: KafkaError, kind: Class) -> None:
    """An error is of the class that librdkafka marks it with."""
    assert classify(cause) == kind


def test_a_commit_that_times_out_is_asked_again() -> None:
    """A timed-out commit is neither aborted nor given up: the same call decides it."""
    producer = Producer(commit_transaction=[TIMED_OUT, TIMED_OUT])
    transactions(producer).commit([], None)
    assert producer.calls.count("commit_transaction") == 3
    assert "abort_transaction" not in producer.calls


def test_an_abortable_error_at_the_commit_is_an_unknown_end() -> None:
    """It may have been committed all the same, so the producer is not touched again."""
    producer = Producer(commit_transaction=[ABORTABLE])
    with pytest.raises(TransactionLost) as caught:
        transactions(producer).commit([], None)
    assert caught.value.reaction is Reaction.REPLACE
    assert "abort_transaction" not in producer.calls


@pytest.mark.parametrize(
    ("call", "cause", "aborts"),
    [
        ("send_offsets_to_transaction", ABORTABLE, True),
        ("send_offsets_to_transaction", FENCED, False),
        ("send_offsets_to_transaction", TIMED_OUT, False),
        ("commit_transaction", FENCED, False),
        ("commit_transaction", CONFLICT, False),
    ],
)
def test_what_is_aborted(call: str, cause: KafkaError, aborts: bool) -> None:
    """Before the commit an abortable error aborts; a fatal one, or any at the commit, leaves the producer alone."""
    producer = Producer(**{call: [cause]})
    with pytest.raises(TransactionLost):
        transactions(producer).commit([], None)
    assert ("abort_transaction" in producer.calls) is aborts


def test_a_record_that_cannot_be_produced_loses_the_transaction() -> None:
    """An error of produce() never passes silently."""
    with pytest.raises(TransactionLost) as caught:
        transactions(Producer(produce=[error(KafkaError.MSG_SIZE_TOO_LARGE)])).produce("t", 0, b"k", b"v")
    assert caught.value.stage == "produce"


def test_a_fenced_producer_is_left_alone_whatever_its_mark() -> None:
    """librdkafka does not mark it when offsets are answered so."""
    producer = Producer(send_offsets_to_transaction=[error(KafkaError._FENCED)])
    with pytest.raises(TransactionLost):
        transactions(producer).commit([], None)
    assert "abort_transaction" not in producer.calls


def test_a_lost_transaction_is_not_touched_by_drop() -> None:
    """After an uncertain end `drop` aborts nothing; after an abort it does not abort again."""
    for raises, aborts in (({"commit_transaction": [CONFLICT]}, 0), ({"send_offsets_to_transaction": [ABORTABLE]}, 1)):
        producer = Producer(**raises)
        committer = transactions(producer)
        with pytest.raises(TransactionLost):
            committer.commit([], None)
        committer.drop()
        assert producer.calls.count("abort_transaction") == aborts


def test_repeats_end_with_the_transactions_timeout() -> None:
    """The broker has ended it by then. What was repeated so long is an unknown end."""
    producer = Producer(takes_s={"commit_transaction": 1.0}, commit_transaction=[TIMED_OUT] * 99)
    with pytest.raises(TransactionLost) as caught:
        transactions(producer).commit([], None)
    assert caught.value.reaction is Reaction.REPLACE
    assert 15 < producer.clock.now_s < 20


@pytest.mark.parametrize(
    ("takes_s", "ends_sent", "raises", "doubts"),
    [
        ({}, 2, {}, []),  # answered at once: whatever is counted is not looked at
        ({"commit_transaction": 0.14}, 2, {}, []),
        ({"commit_transaction": 0.16}, 2, {}, ["resent"]),
        ({"commit_transaction": 0.16}, 1, {}, []),
        ({"commit_transaction": 0.16}, None, {}, ["slow"]),
        ({"send_offsets_to_transaction": 0.39}, 1, {}, []),
        ({"send_offsets_to_transaction": 0.41}, 1, {}, ["slow"]),
        ({}, 1, {"commit_transaction": [TIMED_OUT]}, ["repeated"]),
    ],
)
def test_when_a_commit_that_held_costs_the_producer(
    takes_s: dict[str, float], ends_sent: int | None, raises: dict[str, list[KafkaError]], doubts: list[Doubt]
) -> None:
    """When a request of it may still be on its way, and only then; before the next transaction begins."""
    producer, got = Producer(takes_s, ends_sent, **raises), list[Doubt]()
    committer = transactions(producer, got)
    committer.commit([], None)
    assert got == doubts
    assert producer.calls.count("init_transactions") == 1 + len(doubts)
    committer.produce("t", 0, b"k", b"v")
    assert producer.calls[-2:] == ["begin_transaction", "produce"]


def test_a_producer_that_cannot_be_replaced_is_said_with_the_next_record() -> None:
    """The commit stands; what comes next is lost, and nothing is sent by the old producer."""
    producer = Producer(init_transactions=[], commit_transaction=[TIMED_OUT])
    committer = transactions(producer)
    producer.raises["init_transactions"] = [FENCED]
    committer.commit([], None)
    before = list(producer.calls)
    with pytest.raises(TransactionLost) as caught:
        committer.produce("t", 0, b"k", b"v")
    assert caught.value.stage == "open"
    assert producer.calls == before
    committer.open()
    committer.produce("t", 0, b"k", b"v")


def test_a_producer_is_heard_when_nothing_is_committed() -> None:
    """Its statistics would pile up in it; before `open` and after `drop` there is none to hear."""
    producer = Producer()
    committer = transactions(producer)
    before = len(producer.polls)
    committer.serve()
    assert producer.polls[before:] == [0]
    committer.drop()
    committer.serve()
    Transactions({}, Outside()).serve()
    assert producer.polls[before:] == [0]


class Full(Producer):
    """Its queue never has room."""

    def produce(self, *_arguments: Any, **_named: Any) -> None:
        raise BufferError


def test_a_queue_that_stays_full_loses_the_transaction() -> None:
    """Not for ever does the worker wait for room."""
    producer = Full()
    with pytest.raises(TransactionLost):
        transactions(producer).produce("t", 0, b"k", b"v")
    assert producer.clock.now_s == pytest.approx(REPEAT_FOR_S, abs=1)


NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 300, "log_level": 0}


def test_at_least_once_says_what_is_not_acknowledged() -> None:
    """A record that was not delivered loses the commit, before its checkpoint is written; a new producer may go on."""
    committer = AtLeastOnce(NOWHERE, Outside())
    committer.open()
    committer.produce("t", 0, b"k", b"v")
    with pytest.raises(TransactionLost) as caught:
        committer.checkpoint_follows()
    assert caught.value.reaction is Reaction.REPLACE
    committer.open()
    committer.checkpoint_follows()
    committer.drop()


def test_at_least_once_drops_without_waiting() -> None:
    """What is queued for a broker that is not there is purged, and is not waited for."""
    committer = AtLeastOnce({**NOWHERE, "message.timeout.ms": 60_000}, Outside())
    committer.open()
    for _ in range(1_000):
        committer.produce("t", 0, b"k", b"v")
    before_s = time.monotonic()
    committer.drop()
    assert time.monotonic() - before_s < 5
