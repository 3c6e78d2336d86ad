"""When a commit is due: a table. Times in ms, an interval of 1,000 under load and of 100 when all is worked off."""

from __future__ import annotations

from typing import Any

import pytest

from segue_agents.worker.schedule import GATHER_MS, QUIET_MS, Schedule

Steps = list[tuple[Any, ...]]
"""at, urgent, caught up; a fourth: rows are held back"""


@pytest.mark.parametrize(
    ("steps", "commit_took", "now", "left"),
    [
        pytest.param([(500, True, True)], 0, 500, QUIET_MS, id="after a lull: as soon as nothing more comes"),
        pytest.param([(500, True, True), (504, True, True)], 0, 506, 3, id="... which may go on"),
        pytest.param([(500, True, True), (524, True, True)], 0, 524, GATHER_MS - 24, id="... not for ever"),
        pytest.param([(500, True, True, "held")], 0, 500, GATHER_MS, id="some of it waits for another source"),
        pytest.param([(500, True, True, "held"), (509, True, True)], 0, 514, 0, id="... no longer"),
        pytest.param([(500, True, True)], 0, 500 + QUIET_MS, 0, id="due"),
        pytest.param([(20, True, True)], 0, 20, 80, id="soon after a commit: an interval from its beginning"),
        pytest.param([(20, True, True)], 10, 20, 80, id="... however long that one took"),
        pytest.param([(90, True, True)], 80, 90, 70, id="... unless it took nearly the interval: as long a time without"),
        pytest.param([(400, True, True)], 390, 400, 90, id="... or longer: an interval without"),
        pytest.param([(20, True, False)], 0, 20, 100, id="more is waiting: when nothing comes of it for an idle interval"),
        pytest.param([(20, True, False), (90, True, False)], 0, 95, 95, id="... which each batch puts off"),
        pytest.param([(20, True, False), (950, True, False)], 0, 960, 40, id="... until the interval under load is over"),
        pytest.param([(20, True, False), (300, True, True)], 0, 300, -200, id="all is worked off at last"),
        pytest.param([(20, False, True)], 0, 20, 9_980, id="time alone"),
        pytest.param([(20, False, True), (3_000, True, True)], 0, 3_000, QUIET_MS, id="time, then an event"),
        pytest.param([(20, True, True), (150, False, True)], 0, 150, -50, id="an event, then time"),
    ],
)
def test_due(steps: Steps, commit_took: int, now: int, left: int) -> None:
    """The last commit began at 0."""
    schedule = Schedule(1_000, 100, -5.0)
    schedule.committed(0.0, commit_took / 1000)
    for at, urgent, caught_up, *holds in steps:
        schedule.stepped(at / 1000, urgent, caught_up, bool(holds))
    assert round(schedule.left_s(now / 1000) * 1000, 6) == left


def test_whoever_waits_is_told_when_it_may_be_sooner() -> None:
    """At the first event, and when what came is worked off or no longer held back; not at each batch."""
    schedule = Schedule(1_000, 100, 0.0)
    said = [schedule.stepped(0.1 * n, *step) for n, step in enumerate([
        (False, True, False), (True, True, False), (True, True, True), (True, False, True), (True, False, False),
        (True, False, False), (True, True, False),
    ])]  # fmt: skip
    assert said == [False, True, False, False, True, False, True]
    schedule.committed(0.7, 0.7)
    assert schedule.stepped(0.8, True, True, False)
    assert schedule.urgent


def test_what_no_batch_has_brought_is_committed_too() -> None:
    """First offsets of a partition."""
    schedule = Schedule(1_000, 100, 0.0)
    schedule.hurry(0.5)
    assert round(schedule.left_s(0.5) * 1000) == QUIET_MS
