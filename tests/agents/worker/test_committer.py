"""What each class of error does to a transaction."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from segue_agents.worker.committer import REACTIONS, Class, Reaction, Stage, TransactionLost, Transactions, classify


def error(code: int, **marks: bool) -> KafkaError:
    return KafkaError(code, "said so", **{"fatal": False, "retriable": False, "txn_requires_abort": False, **marks})


TIMED_OUT = error(KafkaError._TIMED_OUT, retriable=True)
ABORTABLE = error(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True)
FENCED = error(KafkaError._FENCED, fatal=True)
CONFLICT = error(KafkaError._CONFLICT)


class Producer:
    """Raises what it is told to, call by call."""

    def __init__(self, **raises: list[KafkaError]) -> None:
        self.raises = raises
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*_arguments: Any, **_named: Any) -> None:
            self.calls.append(name)
            if self.raises.get(name):
                raise KafkaException(self.raises[name].pop(0))

        return call


def transactions(producer: Producer) -> Transactions:
    committer = Transactions({})
    committer._producer = producer
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
