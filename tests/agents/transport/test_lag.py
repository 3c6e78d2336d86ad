"""How far the commits are behind: of what is read and not committed, of what is not read, of what no fetch tells."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from segue_agents.transport.lag import ENDS_ASKED_AT_ONCE, ENDS_ASKED_EVERY_S, Lag

NOW_MS = 1_790_000_000_000
SITE = ("site", 0)


class Ends:
    """A consumer's interface: what fetches have told of the ends, and what Kafka says when it is asked."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, int], int] = {}
        self.real: dict[tuple[str, int], int] = {}
        self.asked: list[tuple[str, int]] = []
        self.away = False

    def get_watermark_offsets(self, where: Any, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        key = where.topic, where.partition
        if cached:
            return 0, self.told.get(key, -1001)
        assert 0 < timeout <= 1
        self.asked.append(key)
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return 0, self.real[key]


class World:
    """A lag, its consumer, and a clock."""

    def __init__(self, committed: int = 100) -> None:
        self.lag, self.ends, self.now_s = Lag(), Ends(), 0.0
        self.lag.assigned([TopicPartition(*SITE, committed)])

    def read(self, first: int, last: int, came_ms: int) -> None:
        self.lag.read(*SITE, [Message(topic="site", partition=0, offset=o, timestamp=(1, came_ms + o - first))
                              for o in range(first, last + 1)])  # fmt: skip

    def waiting(self, committed: int | None = None, fetched: bool = True) -> tuple[int, int | None]:
        said = {} if committed is None else {0: {"site": committed}}
        self.lag.look(self.ends, said, {SITE} if fetched else set(), self.now_s, NOW_MS + int(self.now_s * 1000))
        return self.lag.waiting[SITE]


def test_what_is_read_waits_until_it_is_committed() -> None:
    """The records up to the end, and when the oldest that is not committed came; run by run."""
    world = World()
    world.ends.told[SITE] = 130
    world.read(100, 109, NOW_MS - 5_000)
    world.read(110, 119, NOW_MS - 3_000)
    assert world.waiting() == (30, NOW_MS - 5_000)
    assert world.waiting(committed=105) == (25, NOW_MS - 5_000)
    assert world.waiting(committed=110) == (20, NOW_MS - 3_000)
    world.read(120, 129, NOW_MS - 1_000)
    assert world.waiting(committed=130) == (0, None)


def test_the_marker_of_a_transaction_does_not_wait() -> None:
    """Behind the last record of a producer's transaction stands an offset that is no record."""
    world = World()
    world.ends.told[SITE] = 111
    world.read(100, 109, NOW_MS)
    world.lag.at_end(*SITE, 111)
    assert world.waiting(committed=105) == (6, NOW_MS)
    assert world.waiting(committed=110) == (0, None)


def test_what_is_not_read_waits_at_least_since_it_is_known() -> None:
    """As while a partition is restored: the age grows from when the end was first seen to be further."""
    world = World()
    world.ends.real[SITE] = 150
    assert world.waiting(fetched=False) == (50, NOW_MS)
    world.now_s = 7.0
    assert world.waiting(fetched=False) == (50, NOW_MS)
    world.read(100, 149, NOW_MS - 60_000)
    assert world.waiting() == (50, NOW_MS - 60_000)
    assert world.waiting(committed=150) == (0, None)


def test_the_end_of_a_paused_partition_is_asked_for_now_and_then() -> None:
    """No fetch tells it; a Kafka that does not answer costs nothing but the news."""
    world = World()
    world.ends.real[SITE] = 120
    assert [world.waiting(fetched=False)[0] for _ in range(3)] == [20, 20, 20]
    assert world.ends.asked == [SITE]
    world.now_s, world.ends.real[SITE] = ENDS_ASKED_EVERY_S, 170
    assert world.waiting(fetched=False)[0] == 70
    world.now_s, world.ends.away = 2 * ENDS_ASKED_EVERY_S, True
    assert world.waiting(fetched=False)[0] == 70
    assert len(world.ends.asked) == 3


def test_few_are_asked_at_once() -> None:
    """The thread that asks is the one that polls."""
    lag, ends = Lag(), Ends()
    lag.assigned([TopicPartition("site", i, 0) for i in range(3 * ENDS_ASKED_AT_ONCE)])
    ends.real = {("site", i): 5 for i in range(3 * ENDS_ASKED_AT_ONCE)}
    for second in range(3):
        lag.look(ends, {}, set(), float(second), NOW_MS)
        assert len(ends.asked) == len(set(ends.asked)) == (second + 1) * ENDS_ASKED_AT_ONCE
    assert all(records == 5 for records, _ in lag.waiting.values())


@pytest.mark.parametrize("index", [0, 1])
def test_what_has_gone_waits_for_nobody(index: int) -> None:
    """Of the other partition it goes on."""
    world = World()
    world.ends.told[SITE] = 110
    world.waiting()
    world.lag.gone([index])
    assert (SITE in world.lag.waiting) == (index == 1)
    world.read(100, 101, NOW_MS)  # a read that was under way
