"""Pauses before the next attempt."""

from __future__ import annotations

import random

from segue_agents.backoff import Backoff


def test_bounds_double_up_to_the_cap_and_begin_again() -> None:
    """The longest pauses; after a success the first bound holds."""
    backoff = Backoff(0.5, 3.0, lambda: 1.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_all_of_a_pause_is_left_to_chance() -> None:
    """Two that failed together do not come back together: full jitter, from nothing to the bound."""
    assert Backoff(1.0, 8.0, lambda: 0.0).next_s() == 0.0
    mine, theirs = (Backoff(1.0, 8.0, random.Random(seed).random) for seed in (1, 2))
    assert all(mine.next_s() != theirs.next_s() for _ in range(10))
