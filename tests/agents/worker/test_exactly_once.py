"""Workers killed, wiped, joined and stopped in the middle of a backlog: a read_committed reader sees each change once."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pytest
from tests.agents.worker.floor import Floor, open_floor
from tests.streams.engine.oracle import Event, Oracle

from segue.catalog import snake_case
from segue.rules import parse_rules
from segue_agents.rule_files import read_rules

EVENTS, PERSONS = 12_000, 300
# small batches and frequent commits, so that a kill finds work half done
SLOWLY = ("--clock", "none", "--batch-rows", "4", "--commit-interval-ms", "30", "--idle-commit-interval-ms", "30")


@pytest.fixture
def floor(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Floor]:
    with open_floor(broker, topic_prefix, tmp_path) as opened:
        opened.publish_backlog(EVENTS, PERSONS, seed=7)
        yield opened


def test_a_killed_worker_goes_on_where_it_was(floor: Floor) -> None:
    """kill -9 twice in the middle, the local state kept: nothing lost, nothing doubled."""
    worker, done = floor.start(0, *SLOWLY), []
    for share in (0.2, 0.5):
        done.append(floor.wait_for(int(share * EVENTS)))
        floor.kill(worker)
        worker = floor.start(0, *SLOWLY)
    floor.wait_for(EVENTS)
    assert min(done) < EVENTS, "no kill found work half done"
    worker.stop()
    floor.assert_exact()


def test_a_lost_disk_comes_back_from_the_changelog(floor: Floor) -> None:
    """kill -9 and the state folder deleted: the state is restored, the changes are the same."""
    worker = floor.start(0, *SLOWLY)
    assert floor.wait_for(EVENTS // 3) < EVENTS
    floor.kill(worker)
    shutil.rmtree(floor.folder / "data")
    worker = floor.start(0, *SLOWLY)
    floor.wait_for(EVENTS)
    worker.stop()
    floor.assert_exact()
    assert "how=wipe" in (floor.folder / "worker-0.log").read_text()


def test_a_second_worker_takes_its_share_half_way(floor: Floor) -> None:
    """Partitions move to a worker that joins, and back when it is killed."""
    first = floor.start(0, *SLOWLY)
    assert floor.wait_for(EVENTS // 5) < EVENTS
    second = floor.start(1, *SLOWLY)
    assert floor.wait_for(EVENTS // 2) < EVENTS
    floor.kill(second)
    floor.wait_for(EVENTS)
    first.stop()
    floor.assert_exact()


def test_a_worker_that_is_asked_to_stop_ends_in_order(floor: Floor) -> None:
    """SIGTERM: exit 0, what was done is committed; a restart finds its state as it left it."""
    worker = floor.start(0, *SLOWLY)
    assert floor.wait_for(EVENTS // 4) < EVENTS
    worker.stop()
    worker = floor.start(0, *SLOWLY)
    floor.wait_for(EVENTS)
    worker.stop()
    assert "how=go" in (floor.folder / "worker-0.log").read_text()
    floor.assert_exact()


@pytest.mark.parametrize("cache", [("--max-persons", "5"), ("--max-state-bytes", "500")])
def test_a_cache_far_smaller_than_its_persons_changes_nothing(floor: Floor, cache: tuple[str, str]) -> None:
    """States leave memory after a commit and come back from the disk for an event or a timer."""
    worker = floor.start(0, *SLOWLY, *cache)
    floor.wait_for(EVENTS)
    worker.stop()
    floor.assert_exact()


def test_at_least_once_loses_nothing(floor: Floor) -> None:
    """Without transactions, kill -9 three times: every change is there; one that is there twice has the same id."""
    slowly = (*SLOWLY, "--guarantee", "at_least_once")
    floor.publish_backlog(3 * EVENTS, PERSONS, seed=8)  # offsets follow once a second: there must be work for several
    events = 4 * EVENTS
    worker, done = floor.start(0, *slowly), []
    for share in (0.1, 0.3, 0.6):
        done.append(floor.wait_for(int(share * events)))
        floor.kill(worker)
        worker = floor.start(0, *slowly)
    floor.wait_for(events)
    assert min(done) < events, "no kill found work half done"
    worker.stop()
    got = {(c["change_id"], c["person_id"], c["segment"], c["change"], str(c["at"])) for c in floor.changes()}
    expected, _ = floor.expected()
    assert got == expected
    assert len({c[0] for c in got}) == len(got)


def test_the_changes_are_the_naive_oracles(floor: Floor) -> None:
    """Persons picked at random: every change and its time as a re-reading of their whole history gives it."""
    worker = floor.start(0, "--clock", "none")
    floor.wait_for(EVENTS)
    worker.stop()
    got = floor.assert_exact()
    oracle = Oracle(parse_rules(read_rules(floor.rules), floor.catalog))
    _, reached = floor.expected()
    histories, where = read_histories(floor)
    for person in ("p290", "p270", "p250", "p230", "p200"):
        mine = [(c["segment"], c["change"] == "entered", c["at"]) for c in got if c["person_id"] == person]
        expected = oracle.changes(histories[person], reached[where[person]])
        assert sorted(mine, key=lambda c: (c[2], c[0])) == sorted(expected, key=lambda c: (c[2], c[0]))


def read_histories(floor: Floor) -> tuple[dict[str, list[Event]], dict[str, int]]:
    """Each person's events, decoded by fastavro alone, and the partition they lie in."""
    by_topic = {s.topic: s for s in floor.catalog.sources}
    histories: dict[str, list[Event]] = {}
    where: dict[str, int] = {}
    for m in floor.read(floor.inputs):
        source = by_topic[m.topic()]
        record = fastavro.schemaless_reader(io.BytesIO(m.value()[5:]), dict(source.schema), None)
        time = record[source.time]
        time_ms = time if isinstance(time, int) else round(time.timestamp() * 1000)
        fields = tuple((k, record.get(k)) for k in ("product_id", "category", "price"))
        event = Event(time_ms, source.order, m.offset(), snake_case(record[source.event]), fields)
        histories.setdefault(m.key().decode(), []).append(event)
        where[m.key().decode()] = m.partition()
    return histories, where
