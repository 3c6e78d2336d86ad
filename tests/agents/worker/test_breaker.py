"""When the breaker stops a partition: a table of what passes, batch by batch."""

from __future__ import annotations

import pytest

from segue.limits import BREAKER_WINDOW_RECORDS
from segue.records import Batch, Rejected
from segue_agents.worker.breaker import Breaker, Trip

TOPICS = ("site", "email")
WORDS = {"x": "undecodable", "s": "unknown_schema", "l": "too_late", "f": "in_the_future"}


class Log:
    """Batches of one partition from letters: `.` a good record, `_` an offset without a record, others refused ones."""

    def __init__(self, partition: int = 0, source: int = 0) -> None:
        self.partition, self.source, self.offset = partition, source, 100

    def batch(self, text: str) -> Batch:
        rejected = [
            Rejected(self.source, self.offset + i, WORDS[c], f"Detail of {c}.", None)  # type: ignore[arg-type]
            for i, c in enumerate(text) if c in WORDS
        ]
        self.offset += len(text)
        return Batch(
            self.partition, [], [], [], [], [], [], [], [], 0, 0, {self.source: self.offset}, None, rejected,
            {self.source: len(text) - text.count("_")},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("batches", "trips_at"),
    [
        ([".....", "....."], None),
        (["xxx", "..."], None),  # as many as allowed
        (["xxxx"], 0),
        (["....xxxx...."], 0),  # within a batch
        (["xx", "xx"], 1),  # across batches
        (["x", "x", "x", "x"], 3),
        (["..xx", "xx.."], 1),  # from the end of one into the next
        (["xx.", "xx"], None),  # a good one between
        (["xx", ".xx"], None),
        (["x_x_x_x"], 0),  # only markers between: all of the batch's records are refused
        ([".x_x_x_x"], None),  # a hole in a mixed batch: what stood there is not known
        (["xxsx"], 0),
        (["ffff"], 0),
        (["llll", "llll"], None),
        (["xxllxx"], None),
    ],
)
def test_a_run(batches: list[str], trips_at: int | None) -> None:
    """More than three in a row stop the partition, at the batch that shows it."""
    log, breaker = Log(), Breaker(TOPICS, consecutive=3, ratio=0)
    trips = [i for i, text in enumerate(batches) if breaker.check(log.batch(text)) is not None]
    assert (trips[0] if trips else None) == trips_at


@pytest.mark.parametrize(
    ("shares", "trips_at"),
    [
        ([0.5] * 30, None),  # as much as allowed
        ([0.51] * 30, 9),  # only with a full window
        ([1.0] * 9, None),
        ([0.0] * 10 + [1.0] * 6, 15),
        ([1.0] * 4 + [0.0] * 20, None),
        ([1.0, 0.0] * 10, None),
    ],
)
def test_a_share(shares: list[float], trips_at: int | None) -> None:
    """More than half of the newest records stop it, in batches of a tenth of the window."""
    size = BREAKER_WINDOW_RECORDS // 10
    log, breaker = Log(), Breaker(TOPICS, consecutive=0, ratio=0.5)
    for i, share in enumerate(shares):
        bad = round(share * size)
        tripped = breaker.check(log.batch("x" * bad + "." * (size - bad)))
        assert (tripped is not None) == (i == trips_at)
        if tripped is not None:
            return
    assert trips_at is None


def test_what_it_says() -> None:
    """Topic, partition, offset, how many, the commonest reason with a detail, and what to do."""
    log, breaker = Log(partition=7, source=1), Breaker(TOPICS, consecutive=3, ratio=0)
    tripped = breaker.check(log.batch("..sxxx"))
    assert tripped == Trip(7, "email", 102, "in a row", 4, 4, "undecodable", "Detail of x.")
    assert tripped.what == ("email partition 7 is stopped at offset 102: 4 records in a row were refused, mostly as "
                            "undecodable (Detail of x).")
    assert "breaker_consecutive" in tripped.to_do


def test_one_partition_and_source_are_not_another() -> None:
    """Runs of different partitions and sources do not add up, and the others go on when one has stopped."""
    breaker = Breaker(TOPICS, consecutive=3, ratio=0)
    logs = [Log(0, 0), Log(0, 1), Log(1, 0)]
    assert not any(breaker.check(log.batch("xxx")) for log in logs)
    assert breaker.check(logs[0].batch("x")) is not None
    assert breaker.check(logs[1].batch("...")) is not None  # of the stopped partition, whatever it holds
    assert breaker.check(logs[2].batch(".")) is None


def test_what_is_forgotten_begins_anew() -> None:
    """A partition that has gone and comes back is counted from nothing."""
    log, breaker = Log(), Breaker(TOPICS, consecutive=3, ratio=0)
    tripped = breaker.check(log.batch("xxxx"))
    assert breaker.forget([0, 1]) == [tripped]
    assert breaker.check(log.batch("xxx")) is None


def test_off_stops_nothing() -> None:
    """Both settings 0."""
    breaker = Breaker(TOPICS, consecutive=0, ratio=0)
    assert not breaker.on
    assert breaker.check(Log().batch("x" * 3 * BREAKER_WINDOW_RECORDS)) is None
