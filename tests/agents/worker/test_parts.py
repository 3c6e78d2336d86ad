"""The small parts: runs of messages, ticks, dead letters."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from segue.limits import DEAD_LETTER_BYTES
from segue.records import Rejected
from segue_agents.outside import wall_ms
from segue_agents.transport.split import runs
from segue_agents.worker.clock import Clock, decode_tick, encode_tick
from segue_agents.worker.dead_letters import dead_letter, dead_letter_headers, original


def message(topic: str, partition: int, error: KafkaError | None = None) -> Message:
    return Message(topic=topic, partition=partition, key=b"k", value=b"v", error=error, headers=[("h", b"1")])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.booleans())))
def test_runs_keep_every_message_in_order(spec: list[tuple[str, int, bool]]) -> None:
    """Runs, put together again, are the messages; each is of one topic partition, an error message is alone."""
    end = KafkaError(KafkaError._PARTITION_EOF)
    messages = [message(t, p, end if failed else None) for t, p, failed in spec]
    cut = list(runs(messages))
    assert [m for run in cut for m in run.messages] == messages
    for run in cut:
        assert {(m.topic(), m.partition()) for m in run.messages} == {(run.topic, run.partition)}
        assert (run.error is None) == all(m.error() is None for m in run.messages)
        assert run.error is None or len(run.messages) == 1


@given(st.integers(-(1 << 62), 1 << 62))
def test_ticks_come_back(time_ms: int) -> None:
    """A tick's value gives its time."""
    assert decode_tick(encode_tick(time_ms)) == time_ms


def test_no_tick() -> None:
    """What is no tick has no time."""
    assert decode_tick(None) is decode_tick(b"123") is None


def test_a_faster_clock() -> None:
    """A clock of speed 60 is a minute on after a second, and equal to the wall's at its origin."""
    wall = Clock(1.0, 0, wall_ms).now_ms()
    fast = Clock(60.0, wall - 1_000, wall_ms).now_ms()
    assert 59_000 <= fast - wall <= 59_000 + 60 * 500


def test_dead_letters_keep_the_record() -> None:
    """The original key, value and headers, and where and why, for whoever looks at it."""
    record = message("site-events", 3)
    rejected = Rejected(0, 17, "undecodable", "byte 9 is no length", record)
    headers = dict(dead_letter_headers(rejected, "site-events", 3))
    assert original(record) == (b"k", b"v")
    assert headers["h"] == b"1"
    assert headers["segue.reason"] == b"undecodable"
    assert headers["__streams.errors.offset"] == b"17"
    assert headers["__streams.errors.partition"] == b"3"
    assert headers["__streams.errors.topic"] == b"site-events"
    assert headers["__streams.errors.message"] == b"byte 9 is no length"
    assert {"__streams.errors.exception", "__streams.errors.stacktrace"} < headers.keys()


@pytest.mark.parametrize("size", [0, DEAD_LETTER_BYTES, DEAD_LETTER_BYTES + 1, 30 << 20])
def test_a_dead_letter_is_never_too_large_to_be_written(size: int) -> None:
    """A value that no topic would take is cut, its length said; others stay whole. So with a key, and with headers."""
    record = Message(topic="t", partition=0, key=b"k" * size, value=b"v" * size, headers=[("h", b"x" * size)])
    key, value, headers = dead_letter(Rejected(0, 1, "too_large", "It is long.", record), "t", 0)
    assert key is not None and value is not None
    whole = len(key) + len(value) + sum(len(n) + len(v) for n, v in headers)
    assert whole < 1_000_000
    assert (len(value) == size) == (dict(headers).get("segue.cut-from-bytes") is None)
    assert value == b"v" * len(value)
    assert ("segue.cut-from-bytes", str(size).encode()) in headers or size <= DEAD_LETTER_BYTES
