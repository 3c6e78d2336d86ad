"""When a worker that gets nothing done is begun anew, and when it is ended."""

from __future__ import annotations

import time

from tests.agents.worker.conftest import App, wait_until

from segue_agents.commit.committer import RESTART_EXIT_CODE
from segue_agents.worker.watchdog import Verdict, Watchdog

WELL, RECYCLE, LEAVE, EXIT = Verdict.WELL, Verdict.RECYCLE, Verdict.LEAVE, Verdict.EXIT
LIMIT_S, POLL_LIMIT_S = 30.0, 150.0


def watchdog() -> Watchdog:
    return Watchdog(commit_interval_ms=1_000, transaction_timeout_ms=15_000, max_poll_interval_ms=300_000)


def test_the_limits() -> None:
    """Three intervals, but not before a transaction's own limits; half of the poll interval."""
    assert (watchdog().limit_s, watchdog().poll_limit_s) == (LIMIT_S, POLL_LIMIT_S)
    assert Watchdog(60_000, 15_000, 300_000).limit_s == 180


def test_a_worker_with_nothing_to_commit_is_well() -> None:
    """However long."""
    dog = watchdog()
    assert dog.verdict(1e9) is WELL
    dog.waits(5)
    dog.committed()
    assert dog.verdict(1e9) is WELL


def test_too_long_without_a_commit_and_all_begins_anew_once() -> None:
    """From the first thing that waited, not the last; a commit makes everything right."""
    dog = watchdog()
    dog.waits(100)
    dog.waits(129)
    assert [dog.verdict(100 + LIMIT_S - 0.1), dog.verdict(100 + LIMIT_S), dog.verdict(101 + LIMIT_S)] == [
        WELL, RECYCLE, WELL
    ]  # fmt: skip
    dog.committed()
    dog.waits(200)
    assert [dog.verdict(229), dog.verdict(230)] == [WELL, RECYCLE]


def test_a_new_session_that_commits_nothing_either_ends_the_process() -> None:
    """Its time counts from what waits in it: a long restore is no fault."""
    dog = watchdog()
    dog.waits(0)
    assert dog.verdict(30) is RECYCLE
    dog.dropped()
    assert dog.verdict(1_000) is WELL
    dog.waits(1_000)
    assert [dog.verdict(1_029), dog.verdict(1_030)] == [WELL, EXIT]


def test_a_session_that_cannot_even_be_ended_ends_the_process() -> None:
    """A call that never returns keeps what waits from being dropped."""
    dog = watchdog()
    dog.waits(0)
    assert [dog.verdict(30), dog.verdict(59), dog.verdict(60)] == [RECYCLE, WELL, EXIT]


def test_a_thread_that_does_not_poll_leaves_the_group_before_it_is_expelled() -> None:
    """At half of max.poll.interval; and when that changes nothing, the process ends."""
    dog = watchdog()
    dog.polled(0)
    assert [dog.verdict(149), dog.verdict(150), dog.verdict(151), dog.verdict(300)] == [WELL, LEAVE, WELL, EXIT]


def test_a_thread_that_polls_again_and_a_commit_make_it_well() -> None:
    """Between sessions nobody polls, and nobody has to."""
    dog = watchdog()
    dog.polled(0)
    assert dog.verdict(150) is LEAVE
    dog.rests()
    assert dog.verdict(1_000) is WELL
    dog.polled(1_000)
    dog.waits(1_001)
    dog.committed()
    assert [dog.verdict(1_149), dog.verdict(1_150)] == [WELL, LEAVE]


def test_a_call_that_never_returns_does_not_outlive_the_signal(app: App) -> None:
    """librdkafka's, after a connection that was half open: SIGTERM waits for the commit, and the watchdog for no one."""
    plant = (
        "import time\n"
        "from segue_agents.commit.transactions import Transactions\n"
        "Transactions.commit = lambda self, *_: time.sleep(1_000)\n"
    )
    app.publish(5, persons=1)
    app.start(plant=plant, transaction_timeout_ms=1_000)
    wait_until(lambda: app.said("partition_ready") == 2, "ready")
    time.sleep(1)  # now it hangs in its first commit
    assert app.end() == RESTART_EXIT_CODE
