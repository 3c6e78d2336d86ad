"""Inputs that are gone before they were read: on a real Kafka a worker refuses, the gap is named, and accepted by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from tests.agents.worker.conftest import App, wait_until

from segue.errors import Unreachable
from segue_agents import gaps
from segue_agents.gaps import Gap, Why, describe, find_gaps, judge

EVENTS = 60
TIMEOUTS = {"SEGUE_SESSION_TIMEOUT_MS": "1000", "SEGUE_TRANSACTION_TIMEOUT_MS": "3000"}
QUICK = {"session_timeout_ms": 1_000}
"""a static member is in the group for so long after it has gone"""


@pytest.mark.parametrize(
    ("checkpoint", "committed", "bounds", "follows", "start", "end", "records", "why"),
    [
        (10, 10, (0, 20), False, 0, 0, 0, None),
        (10, 10, (10, 10), False, 0, 0, 0, None),  # trimmed up to where it was read
        (10, 10, (11, 20), False, 10, 11, 1, "trimmed by retention"),
        (10, 10, (0, 9), False, 10, 0, None, "topic recreated"),
        (10, 10, (0, 0), False, 10, 0, None, "topic recreated"),
        (10, None, (0, 20), False, 10, 10, 0, "offsets deleted"),
        (10, None, (15, 20), False, 10, 15, 5, "trimmed by retention"),
        (10, None, (0, 5), False, 10, 0, None, "topic recreated"),
        (10, 12, (0, 20), False, 12, 10, 0, "offsets set by hand"),
        (10, 8, (0, 20), False, 8, 10, 0, "offsets set by hand"),
        (10, 8, (0, 20), True, 0, 0, 0, None),  # without transactions they may lag
        (10, 12, (0, 20), True, 12, 10, 0, "offsets set by hand"),
        (10, 8, (9, 20), False, 8, 10, 0, "offsets set by hand"),  # the states have read it
        (None, 10, (12, 20), False, 10, 12, 2, "trimmed by retention"),
        (None, None, (12, 20), False, 0, 0, 0, None),  # a first start
    ],
)
def test_what_is_a_gap(checkpoint: int | None, committed: int | None, bounds: tuple[int, int], follows: bool, start: int,
                       end: int, records: int | None, why: Why | None) -> None:
    """The checkpoint decides where reading goes on; the group's offsets must be the same."""
    expected = None if why is None else Gap("t", 3, start, end, records, why)
    assert judge("t", 3, checkpoint, committed, bounds, follows) == expected
    if expected is not None:
        assert all("t partition 3" in what and "t:3" in to_do for what, to_do in [describe(expected)])


class Site:
    """An app whose worker has stopped with its offsets somewhere in the middle of its inputs."""

    def __init__(self, app: App) -> None:
        self.app, self.settings = app, app.settings
        self.topic = next(s.topic for s in app.catalog.sources if s.name == "site")
        self.admin = AdminClient({"bootstrap.servers": self.settings.bootstrap})

    def run(self, events: int = EVENTS) -> None:
        """A worker reads all there is, and stops."""
        self.app.publish(events)
        self.app.start(**QUICK)
        wait_until(lambda: self.next_offsets() == self.highs(), "all read")
        assert self.app.end() == 0
        wait_until(lambda: not self.members(), "the member gone", 20)

    def members(self) -> int:
        return len(self.admin.describe_consumer_groups([self.settings.app_id])[self.settings.app_id].result().members)

    def next_offsets(self) -> dict[int, int]:
        asked = ConsumerGroupTopicPartitions(self.settings.app_id)
        try:
            found = self.admin.list_consumer_group_offsets([asked])[self.settings.app_id].result().topic_partitions
        except Exception:  # noqa: BLE001 - its coordinator is at a commit: asked again
            return {}
        return {p.partition: p.offset for p in found if p.topic == self.topic and p.offset >= 0}

    def highs(self) -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self.settings.bootstrap, "group.id": "x"})
        found = {p: consumer.get_watermark_offsets(TopicPartition(self.topic, p), timeout=10)[1] for p in (0, 1)}
        consumer.close()
        return found

    def delete_records(self, before: dict[int, int]) -> None:
        asked = [TopicPartition(self.topic, p, offset) for p, offset in before.items()]
        for future in self.admin.delete_records(asked).values():
            future.result()

    def set_offsets(self, offsets: list[Any]) -> None:
        asked = ConsumerGroupTopicPartitions(self.settings.app_id, offsets)
        self.admin.alter_consumer_group_offsets([asked])[self.settings.app_id].result()

    def refuses(self) -> str:
        """A worker that is started now ends by itself."""
        self.app.start("9", **QUICK)
        assert self.app.exit_code("9") == 4
        wait_until(lambda: not self.members(), "the member gone", 20)
        return self.app.log("9").read_text()

    def goes_on(self) -> None:
        """A worker works off what is published now."""
        self.app.start(**QUICK)
        self.app.publish(10)
        wait_until(lambda: self.next_offsets() == self.highs(), "read on")
        assert self.app.end() == 0

    def segue(self, *arguments: str, plant: str = "") -> subprocess.CompletedProcess[str]:
        code = f"{plant}\nimport segue_agents.cli as cli; cli.main()"
        return subprocess.run(
            [sys.executable, "-c", code, "gaps", *arguments, "--broker", self.settings.bootstrap, "--app-id",
             self.settings.app_id, "--sources", str(self.settings.sources)],
            capture_output=True, text=True, check=False, timeout=60, env=os.environ | TIMEOUTS,
        )  # fmt: skip


@pytest.fixture
def site(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Site]:
    app = App(broker, topic_prefix, tmp_path)
    yield Site(app)
    for slot in list(app.workers):
        app.end(slot, signal.SIGKILL)


def test_records_deleted_before_they_were_read(site: Site) -> None:
    """A worker refuses; the gap is named to the record; accepted, it goes on behind it, and that is on record."""
    site.run()
    was = site.next_offsets()
    assert site.segue().returncode == 0
    site.app.publish(EVENTS)
    cut = {p: offset + 7 for p, offset in was.items()}
    site.delete_records(cut)
    assert find_gaps(site.settings) == [Gap(site.topic, p, was[p], cut[p], 7, "trimmed by retention") for p in (0, 1)]
    site.refuses()
    listed = site.segue("--json")
    assert (listed.returncode, [json.loads(line)["records"] for line in listed.stdout.splitlines()]) == (4, [7, 7])
    one = site.segue("accept", f"{site.topic}:1")
    assert (one.returncode, one.stdout) == (0, f"{site.topic}:1  goes on at {cut[1]}, 7 records lost at most\n"), one.stderr
    assert [g.partition for g in find_gaps(site.settings)] == [0]
    site.refuses()
    assert site.segue("accept").returncode == 0
    goes_on_at = site.next_offsets()
    assert goes_on_at[0] == cut[0]
    assert goes_on_at[1] >= cut[1]  # before it refused the other, the worker may have gone on with this one
    assert find_gaps(site.settings) == []
    site.goes_on()
    notes = {m.partition(): dict(m.headers()) for m in site.app.dead_letters()}
    assert notes.keys() == {0, 1}
    for p, note in notes.items():
        assert {n: note[f"segue.{n}"] for n in ("reason", "gap-from", "gap-to", "gap-records", "gap-why")} == {
            "reason": b"gap", "gap-from": b"%d" % was[p], "gap-to": b"%d" % cut[p], "gap-records": b"7",
            "gap-why": b"trimmed by retention"}
        assert b"@" in note["segue.accepted-by"]


def test_group_offsets_deleted(site: Site) -> None:
    """Of one partition: a worker refuses; accepting sets it back, and nothing is lost or read twice."""
    site.run()
    was = site.next_offsets()
    everything = [TopicPartition(site.topic, p, o) for p, o in was.items()]
    site.admin.delete_consumer_groups([site.settings.app_id])[site.settings.app_id].result()
    assert {g.why for g in find_gaps(site.settings)} == {"offsets deleted"}
    site.set_offsets(everything[:1])  # one back, the other not
    found = [g for g in find_gaps(site.settings) if g.topic == site.topic]
    assert found == [Gap(site.topic, 1, was[1], was[1], 0, "offsets deleted")]
    done = site.segue("accept")
    assert "nothing lost" in done.stdout, done.stderr
    assert site.next_offsets() == was
    site.goes_on()
    assert site.app.dead_letters() == []
    site.app.wait_for_all()


@pytest.mark.parametrize("by", [-3, 3])
def test_group_offsets_set_by_hand(site: Site, by: int) -> None:
    """Forward or backward: a worker refuses; accepting sets them back to what the states are of."""
    site.run()
    was = site.next_offsets()
    site.app.publish(20)
    site.set_offsets([TopicPartition(site.topic, 0, was[0] + by)])
    assert find_gaps(site.settings) == [Gap(site.topic, 0, was[0] + by, was[0], 0, "offsets set by hand")]
    assert "Were the group's offsets set by hand?" in site.refuses()
    assert site.segue("accept").returncode == 0
    site.goes_on()
    site.app.wait_for_all()


def test_a_topic_deleted_and_made_anew(site: Site) -> None:
    """With fewer records than were read; while it is missing, and once it is there."""
    site.run()
    was = site.next_offsets()
    site.admin.delete_topics([site.topic])[site.topic].result()
    wait_until(lambda: site.topic not in site.admin.list_topics(timeout=10).topics, "deleted")
    assert {(g.partition, g.why) for g in find_gaps(site.settings)} == {(0, "topic missing"), (1, "topic missing")}
    assert "cannot" not in site.segue("accept").stdout
    assert site.segue("accept").returncode == 4
    made = site.admin.create_topics([NewTopic(site.topic, 2, 1)])[site.topic]
    made.result()
    wait_until(lambda: site.topic in site.admin.list_topics(timeout=10).topics, "made")
    site.app.publisher = type(site.app.publisher)(site.settings.bootstrap, site.app.catalog, site.settings.sources)
    site.app.publish(8)
    assert find_gaps(site.settings) == [Gap(site.topic, p, was[p], 0, None, "topic recreated") for p in (0, 1)]
    site.refuses()
    accepted = site.segue("accept")
    assert accepted.stdout.count("an unknown number of records lost") == 2, accepted.stderr
    site.goes_on()


def test_a_partition_added(site: Site) -> None:
    """Persons would lie elsewhere: it is named, and not accepted."""
    site.run()
    site.admin.create_partitions([NewPartitions(site.topic, 3)])[site.topic].result()
    wait_until(lambda: len(site.admin.list_topics(site.topic, timeout=10).topics[site.topic].partitions) == 3, "added")
    assert find_gaps(site.settings) == [Gap(site.topic, 2, 0, 0, None, "partition added")]
    refused = site.segue("accept")
    assert (refused.returncode, "new app_id" in refused.stderr) == (4, True)


def test_not_while_a_worker_is_at_work(site: Site) -> None:
    """Whoever is in the group has to stop first."""
    site.app.publish(EVENTS)
    site.app.start(**QUICK)
    wait_until(site.members, "a member")
    refused = site.segue("accept")
    assert (refused.returncode, "at work" in refused.stderr) == (4, True), refused.stderr
    assert site.app.end() == 0


def test_a_worker_that_joins_meanwhile_fences_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the group has another generation nothing of the transaction becomes visible."""
    site.run()
    was = site.next_offsets()
    site.app.publish(EVENTS)
    site.delete_records({0: was[0] + 1})
    found = find_gaps(site.settings)
    made: list[Any] = []
    monkeypatch.setattr(gaps, "open_consumer", lambda config: made.append(Consumer(config)) or made[-1])
    with gaps._alone(site.settings) as group:
        other = Consumer({"bootstrap.servers": site.settings.bootstrap, "group.id": site.settings.app_id,
                          "partition.assignment.strategy": "range"})
        other.subscribe([site.topic])
        until = time.monotonic() + 40
        while not other.assignment() and time.monotonic() < until:
            other.poll(0.1)
            made[0].poll(0.1)
        assert other.assignment()
        with pytest.raises(Unreachable, match="may not have been accepted"):
            gaps._write(site.settings, found, group, "me", 0)
        other.close()
    assert find_gaps(site.settings) == found
    assert site.next_offsets() == was
    assert site.app.dead_letters() == []


DIE = """
import os
from segue_agents.commit.committer import Transactions as T
commit = T.commit
def dying(self, offsets, group):
    self._begin()
    self._producer.send_offsets_to_transaction(offsets, group, 10)
    self._producer.flush()
    os._exit(9)
T.commit = dying
"""


def test_records_that_cannot_be_read_are_passed_over_by_hand(site: Site) -> None:
    """Up to the offset named, with a note; an offset behind or beyond the records is refused."""
    site.run()
    was = site.next_offsets()
    site.app.publish(EVENTS)
    for wrong in (was[0], 10**9):
        done = site.segue("accept", f"{site.topic}:0", "--to", str(wrong))
        assert (done.returncode, "cannot go on at" in done.stderr) == (2, True), done.stderr
    done = site.segue("accept", f"{site.topic}:0", "--to", str(was[0] + 3))
    assert "3 records lost at most" in done.stdout, done.stderr
    assert site.next_offsets()[0] == was[0] + 3
    site.goes_on()
    (note,) = [m for m in site.app.dead_letters() if dict(m.headers())["segue.reason"] == b"gap"]
    assert dict(note.headers())["segue.gap-why"] == b"passed over by hand"


def test_killed_before_the_end(site: Site) -> None:
    """With everything at the broker and no end: the gap still holds, and accepting it again works."""
    site.run()
    was = site.next_offsets()
    site.app.publish(EVENTS)
    site.delete_records({0: was[0] + 5})
    assert site.segue("accept", plant=DIE).returncode == 9
    wait_until(lambda: not site.members(), "the member gone", 60)
    assert [g.records for g in find_gaps(site.settings)] == [5]  # waits for the transaction's timeout
    assert site.segue("accept").returncode == 0
    assert find_gaps(site.settings) == []
    assert len(site.app.dead_letters()) == 1
    site.goes_on()
