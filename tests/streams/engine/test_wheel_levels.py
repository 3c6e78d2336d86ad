"""The wheel of timers against a dict of sets: near and far buckets, time that jumps, repeats."""

from __future__ import annotations

import tracemalloc
from random import Random

import numpy as np
import pytest

from segue.engine.wheel import Wheel
from segue.limits import WHEEL_NEAR_ENTRIES, WHEEL_NEAR_SPANS, WHEEL_SPAN_SHIFT

SPAN = 1 << WHEEL_SPAN_SHIFT
NOW = 1_790_000_000_000 >> 14


@pytest.mark.parametrize("seed", range(12))
def test_every_person_comes_in_its_bucket(seed: int) -> None:
    """However far ahead it was scheduled, whatever its length, and whether time creeps or jumps."""
    chance, wheel, model = Random(seed), Wheel(), dict[int, set[bytes]]()
    now = NOW
    for _ in range(300):
        together: dict[bytes, int] = {}
        for _ in range(chance.randrange(30)):
            person = (
                chance.randbytes(chance.choice((0, 1, 8, 300))) if chance.random() < 0.3 else b"p%d" % chance.randrange(50)
            )
            bucket = now + chance.choice((-3, 0, 1, 5, SPAN, 3 * SPAN, 50 * SPAN, 500 * SPAN)) + chance.randrange(SPAN)
            if chance.random() < 0.5 or person in together:
                wheel.schedule(person, bucket)
            else:
                together[person] = bucket
            model.setdefault(bucket, set()).add(person)
        wheel.schedule_all(list(together), np.array(list(together.values()), np.int64))
        now += chance.choice((0, 0, 1, 2, SPAN - 1, SPAN, 7 * SPAN, 100 * SPAN))
        due = wheel.until(now)
        assert due == sorted(b for b in model if b <= now)
        for bucket in due:
            assert set(wheel.of(bucket)) == model[bucket]
            assert set(wheel.take(bucket)) == model.pop(bucket)
        wheel.tidy()
    assert len(wheel) >= sum(map(len, model.values()))
    rest = wheel.until(now + 1_000 * SPAN)
    assert {b: set(wheel.take(b)) for b in rest} == model
    wheel.tidy()
    assert len(wheel) == 0


def test_one_person_over_and_over_takes_little() -> None:
    """A state that is loaded again and again leaves an entry each time, and they are found out."""
    wheel = Wheel()
    wheel.until(NOW)
    far = NOW + 100 * SPAN
    for _ in range(50_000):
        wheel.schedule(b"somebody", far)
    assert len(wheel) < 10_000
    assert far in wheel.until(far)
    assert list(wheel.take(far)) == [b"somebody"]


def test_a_far_timer_takes_few_bytes_more_than_its_person() -> None:
    """Ten million of them are to fit into a few hundred megabytes."""
    tracemalloc.start()
    try:
        wheel = Wheel()
        wheel.until(NOW)
        before = tracemalloc.get_traced_memory()[0]
        for n in range(100_000):
            wheel.schedule(b"person-%015d" % n, NOW + (WHEEL_NEAR_SPANS + 2) * SPAN + n % (80 * SPAN))
        assert tracemalloc.get_traced_memory()[0] - before < 40 * 100_000
        assert len(wheel) == 100_000
    finally:
        tracemalloc.stop()


def test_near_is_nearer_when_there_are_many() -> None:
    """A span of many persons does not bring the ones after it near too."""
    wheel, many = Wheel(), range(3 * WHEEL_NEAR_ENTRIES)
    wheel.schedule_all([b"%d" % n for n in many], np.array([NOW + n % (3 * SPAN) for n in many]))
    wheel.until(NOW)
    assert sum(map(len, wheel._persons.values())) < 2.5 * WHEEL_NEAR_ENTRIES
    assert len(wheel) == 3 * WHEEL_NEAR_ENTRIES
    due = wheel.until(NOW + 3 * SPAN)
    assert sum(len(wheel.take(bucket)) for bucket in due) == 3 * WHEEL_NEAR_ENTRIES
