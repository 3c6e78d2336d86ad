"""A whole worker on a real Kafka, and what goes wrong around it: every change once all the same."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.agents.worker.conftest import START_MS, wait_until

from segue_agents.outside import wall_ms
from segue_agents.topics import clock_topic
from segue_agents.worker.clock import encode_tick

if TYPE_CHECKING:
    App = Any

STEP_RAISES = """
from segue.engine import PartitionState
step, calls = PartitionState.step, []
def failing(self, batch):
    calls.append(1)
    if len(calls) == 3:
        raise RuntimeError("planted")
    return step(self, batch)
PartitionState.step = failing
"""
KILLED_BEFORE_THE_STORE = """
import os
from segue_agents.state.store import Store
write, calls = Store.write, []
def dying(self, states, checkpoint, gone=()):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), 9)
    write(self, states, checkpoint, gone)
Store.write = dying
"""
UNCERTAIN_COMMIT = """
from segue_agents.commit.committer import Reaction, TransactionLost, Transactions
repeating, calls = Transactions._repeating, []
def uncertain(self, stage, call, *arguments):
    if stage == "commit":
        calls.append(1)
    lost = stage == "commit" and len(calls) in (2, 4)
    if not lost or {committed}:
        repeating(self, stage, call, *arguments)
    if lost:
        raise TransactionLost(stage, "planted", Reaction.REPLACE)
Transactions._repeating = uncertain
"""


def ready(app: App, slot: str = "0", times: int = 2) -> None:
    until = time.monotonic() + 30
    while app.said("partition_ready", slot) < times:
        assert time.monotonic() < until, app.log(slot).read_text()
        time.sleep(0.05)


def test_first_start_stop_and_restart(app: App) -> None:
    """All changes once; a stop commits and exits 0; the next start goes on from its store without a restore."""
    app.publish(300)
    app.start()
    app.wait_for_all()
    assert f'segue_events_consumed_total{{topic="{app.prefix}site-events"}} 300.0' in app.metrics()
    assert app.end() == 0
    app.publish(300)
    app.start()
    app.wait_for_all()
    assert app.said("how=go") == 2
    assert app.end() == 0


def test_a_fenced_worker_goes_on_with_a_new_producer(app: App) -> None:
    """When another producer takes the transactional id, what is uncommitted is dropped and worked off again."""
    app.start()
    ready(app)
    app.publish(200)
    app.wait_for_all()
    Producer({
        "bootstrap.servers": app.settings.bootstrap, "transactional.id": f"{app.settings.app_id}-0",
    }).init_transactions(20)  # fmt: skip
    app.publish(200)
    app.wait_for_all()
    assert app.said("rebuild") >= 1


def test_a_paused_worker_has_lost_its_partitions(app: App) -> None:
    """A worker stopped for longer than its session wakes up to find its work done by another, and adds nothing."""
    app.start("0", session_timeout_ms=6000)
    ready(app, "0")
    app.publish(300)
    app.workers["0"].send_signal(signal.SIGSTOP)
    app.start("1", session_timeout_ms=6000)
    ready(app, "1", times=2)
    app.publish(300)
    app.wait_for_all()
    app.workers["0"].send_signal(signal.SIGCONT)
    app.publish(300)
    app.wait_for_all()
    time.sleep(1)
    app.wait_for_all()


def test_a_bug_ends_the_process_and_commits_nothing(app: App) -> None:
    """An exception in the step ends the worker with exit code 1; its batch is worked off by the next start."""
    app.publish(300)
    app.start(plant=STEP_RAISES, batch_rows=20)
    assert app.exit_code() == 1
    app.start()
    app.wait_for_all()


def test_killed_between_the_transaction_and_the_store(app: App) -> None:
    """The store is behind what was committed, and the next start brings it up from the changelog."""
    app.publish(300)
    app.start(plant=KILLED_BEFORE_THE_STORE, batch_rows=20)
    until = time.monotonic() + 30
    while app.workers["0"].poll() is None and time.monotonic() < until:  # how many commits 300 events take is not said
        app.publish(20)
        time.sleep(0.2)
    assert app.exit_code() == -signal.SIGKILL
    app.start()
    app.wait_for_all()


@pytest.mark.parametrize("committed", [True, False])
def test_an_uncertain_commit_is_decided_by_the_committed_offsets(app: App, committed: bool) -> None:
    """Whether the transaction whose end is unknown was committed or not, nothing is lost and nothing doubled."""
    app.start(plant=UNCERTAIN_COMMIT.format(committed=committed), batch_rows=20)
    ready(app)
    for _ in range(4):
        app.publish(150)
        time.sleep(0.5)
    app.wait_for_all()
    assert app.said("rebuild") == 2


def test_at_least_once(app: App) -> None:
    """Without transactions a graceful restart loses and doubles nothing either."""
    app.publish(300)
    app.start(guarantee="at_least_once")
    app.wait_for_all()
    assert app.end() == 0
    app.publish(300)
    app.start(guarantee="at_least_once")
    app.wait_for_all()


def test_dead_letters(app: App) -> None:
    """A record that is no event goes to the dead letters as it was, and its neighbours are not harmed."""
    producer = Producer({"bootstrap.servers": app.settings.bootstrap})
    producer.produce(f"{app.prefix}site-events", b"rubbish", b"p1", partition=0, headers={"trace": b"7"})
    producer.flush(10)
    app.publish(300)
    app.start()
    app.wait_for_all()
    (letter,) = app.dead_letters()
    assert (letter.key(), letter.value(), letter.partition()) == (b"p1", b"rubbish", 0)
    headers = dict(letter.headers())
    assert headers["trace"] == b"7"
    assert headers["segue.reason"] == b"undecodable"
    assert headers["__streams.errors.topic"].decode() == f"{app.prefix}site-events"


def test_a_partition_full_of_rubbish_is_stopped(app: App) -> None:
    """Its records stay where they are and the other partition goes on; when it is told to, a worker puts them aside."""
    producer = Producer({"bootstrap.servers": app.settings.bootstrap})
    for _ in range(500):
        producer.produce(f"{app.prefix}site-events", b"rubbish", b"p1", partition=0)
    producer.flush(10)
    app.publish(300)
    app.start(breaker_consecutive=100)
    wait_until(lambda: app.said("partition_stopped"), "the breaker")
    wait_until(app.changes, "changes of the other partition")
    assert 'segue_partition_stopped{partition="0",reason="undecodable"} 1.0' in app.metrics()
    assert app.dead_letters() == []
    assert app.end() == 0
    app.start(breaker_consecutive=0, breaker_ratio=0)
    app.wait_for_all()
    assert len(app.dead_letters()) == 500
    assert 'segue_records_total{outcome="dead_letter",partition="0"} 500.0' in app.metrics()


def test_a_batch_that_cannot_be_unpacked_is_named(app: App) -> None:
    """Kilobytes that are 120 MB: nothing behind it can be read, so the worker ends and says where and how to go on."""
    bomb = Producer({"bootstrap.servers": app.settings.bootstrap, "compression.type": "zstd",
                     "message.max.bytes": 200_000_000, "queue.buffering.max.kbytes": 400_000})  # fmt: skip
    bomb.produce(f"{app.prefix}site-events", bytes(120_000_000), b"p1", partition=0)
    assert bomb.flush(30) == 0
    app.start()
    assert app.exit_code() == 4
    assert app.said(f"The batch at offset 0 of {app.prefix}site-events partition 0 cannot be read")
    assert app.said(f"segue gaps accept {app.prefix}site-events:0 --to OFFSET")


def test_an_open_transaction_on_an_input_is_told_and_nothing_is_skipped(app: App) -> None:
    """While a producer leaves its transaction open the metric grows; when it has ended, what was behind it is read."""
    hanging = Producer({"bootstrap.servers": app.settings.bootstrap, "transactional.id": f"{app.prefix}hanging"})
    hanging.init_transactions(10)
    hanging.begin_transaction()
    hanging.produce(f"{app.prefix}site-events", b"rubbish", b"p1", partition=0)
    hanging.flush(10)
    app.publish(300)
    app.start()
    ready(app)
    where = f'segue_open_transaction_seconds{{partition="0",topic="{app.prefix}site-events"}}'
    until = time.monotonic() + 30
    while not any(float(line.split()[1]) > 4 for line in app.metrics().splitlines() if line.startswith(where)):
        assert time.monotonic() < until, app.metrics()
        time.sleep(0.2)
    hanging.abort_transaction(10)
    app.wait_for_all()
    assert app.dead_letters() == []


def test_a_rule_changed_under_its_version_is_refused(app: App) -> None:
    """A rule changed under its old version ends the process with exit code 4 and both forms, before anything is written."""
    app.publish(100)
    app.start()
    app.wait_for_all()
    app.end()
    app.settings.rules.write_text(app.settings.rules.read_text().replace("10 minutes", "11 minutes"))
    app.start()
    assert app.exit_code() == 4
    assert app.said("has changed, its version has not") == 1


def test_latest_is_the_end_of_the_topics_at_the_first_start(app: App) -> None:
    """What comes while a worker that began at the end is away is not skipped by its second start."""
    app.publish(50)
    app.start(start_at="latest")
    ready(app)
    wait_until(lambda: "segue_commits_total 0.0" not in app.metrics(), "the first commit")
    time.sleep(1)  # the other partition's may be another
    app.end(how=signal.SIGKILL)
    at_ms = START_MS + 10**9
    for i in range(3):
        app.send("Product Viewed", "zoe", at_ms + i)
    app.publisher.close()
    app.start(start_at="latest")
    wait_until(app.changes, "a change")
    assert list(app.changes()) == [("zoe", "behavior_keen", "entered", at_ms + 2, 1)]


def test_a_sleep_longer_than_ticks_are_kept(app: App) -> None:
    """Ticks that are gone are no gap: time goes on with those there are."""
    ticks = clock_topic(app.settings.app_id)
    app.start(clock="ticks", clock_interval_ms=50)
    wait_until(lambda: "segue_commits_total 2.0" in app.metrics() if app.said("partition_ready") else False, "commits")
    app.end()
    producer = Producer({"bootstrap.servers": app.settings.bootstrap})
    for partition in (0, 1, 0, 1):
        producer.produce(ticks, encode_tick(wall_ms()), partition=partition)
    producer.flush(10)
    admin = AdminClient({"bootstrap.servers": app.settings.bootstrap})
    for done in admin.delete_records([TopicPartition(ticks, p, OFFSET_END) for p in range(2)]).values():
        done.result(10)
    app.start(clock="ticks", clock_interval_ms=50)
    ready(app, times=4)
    wait_until(lambda: "segue_commits_total 2.0" in app.metrics(), "commits")
    assert app.end() == 0


def test_a_slot_is_for_one(app: App) -> None:
    """A second process on a slot's state directory refuses with exit code 4."""
    app.start("0")
    ready(app, "0")
    app.start("1", slot="0", web_port=0)
    assert app.exit_code("1") == 4


def test_ticks_fire_timers_on_idle_partitions(app: App) -> None:
    """With the clock on, time alone makes a change, although no event follows."""
    app.settings.rules.write_text(
        "segment: behavior_left\n"
        "enter: product_added then no order_completed within 2 seconds\n"
        "exit: order_completed, or 1 day after entering\n"
    )
    app.start(clock="ticks", clock_interval_ms=100, clock_delay_ms=0)
    ready(app)
    now_ms = time.time_ns() // 1_000_000
    app.send("Product Added", "ada", now_ms)
    app.publisher.close()
    until = time.monotonic() + 20
    while not (found := app.changes()):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert list(found) == [("ada", "behavior_left", "entered", now_ms + 2_000, 1)]
