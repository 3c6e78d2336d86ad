"""What must hold after every run, whatever went wrong in it: O1 to O5 and O7 of the reliability goals."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from tests.simulator.cluster import Cluster
from tests.simulator.log import Record
from tests.simulator.scene import APP, CLOCK_DELAY_MS, OUTPUT, PARTITIONS, Scene

from segue.engine import Merger, change_id
from segue_agents.codecs.changes import decode_change
from segue_agents.state.checkpoint import KEY, decode_checkpoint
from segue_agents.state.store import _OWNER as OWNER
from segue_agents.topics import clock_topic, dead_letters_topic, state_topic
from segue_agents.worker.balance import CHANGES, CONSUMED, difference
from segue_agents.worker.clock import decode_tick


class Expected(NamedTuple):
    """Of one partition, by one pass without any interruption."""

    changes: list[tuple[Any, ...]]
    rejected: Counter[tuple[str, int]]
    """(reason, offset)"""
    engine_time_ms: int


class Reader:
    """A read_committed consumer of the changes and the changelog that reads while things go on."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._positions: dict[tuple[str, int], int] = {}
        self.seen: list[list[int]] = [[] for _ in range(PARTITIONS)]
        """offsets of changes, per partition"""
        self.consumed, self.changes = [0] * PARTITIONS, [0] * PARTITIONS
        """what the checkpoints say, added up"""

    def read(self) -> None:
        """What is new; the changelog too, before it is compacted."""
        for i in range(PARTITIONS):
            self.seen[i] += [r.offset for r in self._new(OUTPUT, i)]
            for record in self._new(state_topic(APP), i):
                if record.key == KEY:
                    checkpoint = decode_checkpoint(record.value)
                    self.consumed[i] += checkpoint.consumed
                    self.changes[i] += checkpoint.changes

    def _new(self, topic: str, index: int) -> list[Record]:
        position = self._positions.get((topic, index), 0)
        records, self._positions[topic, index] = self._cluster.log(topic, index).read(position, 1 << 60, committed=True)
        return records


def expected(cluster: Cluster, scene: Scene, index: int) -> Expected:
    """One uninterrupted pass over the logs, in the order of their appends."""
    settings, clock = scene.settings, clock_topic(APP)
    merger = Merger(scene.plan.catalog, index, settings.clock, 0, clock_delay_ms=CLOCK_DELAY_MS)
    partition = scene.engine.partition(index)
    rows = sorted((r.place, topic, r) for topic in (*scene.topics, clock) for r in cluster.log(topic, index).visible())
    start = 0
    while start < len(rows):
        topic = rows[start][1]
        stop = start
        while stop < len(rows) and rows[stop][1] == topic:
            stop += 1
        run = [_Row(r) for _, _, r in rows[start:stop]]
        if topic == clock:
            for row in run:
                time_ms = decode_tick(row.value())
                assert time_ms is not None
                merger.tick(time_ms, row.offset())
        else:
            decoder = scene.decoders[topic]
            merger.feed(decoder.source_index, decoder.decode(run))
        start = stop
    for source in range(len(scene.topics)):
        merger.at_end(source)
    changes: list[tuple[Any, ...]] = []
    rejected: Counter[tuple[str, int]] = Counter()
    while (batch := merger.take(1_000_000)) is not None:
        for person in partition.missing(batch):
            partition.load(person, None)
        changes += [_change(scene, c, index) for c in partition.step(batch).changes]
        rejected.update((r.reason, r.offset) for r in batch.rejected)
    return Expected(changes, rejected, merger.engine_time_ms)


class _Row:
    """Message's interface over a record, for the decoder."""

    __slots__ = ("_record",)

    def __init__(self, record: Any) -> None:
        self._record = record

    def value(self) -> Any:
        return self._record.value

    def key(self) -> Any:
        return self._record.key

    def offset(self) -> int:
        return int(self._record.offset)

    def timestamp(self) -> tuple[int, int]:
        return 1, self._record.at_ms


def _change(scene: Scene, c: Any, index: int) -> tuple[Any, ...]:
    cause = None if c.cause_event is None else f"{scene.topics[c.cause_event[0]]}/{index}/{c.cause_event[1]}"
    return (change_id(c, scene.plan), c.person.decode(), scene.plan.segments[c.segment].name,
            "entered" if c.entered else "exited", c.at_ms, c.cause, cause, c.sequence, c.revokes)


def check(world: Any) -> None:
    """Raises AssertionError that says what is wrong."""
    cluster, scene = world.cluster, world.scene
    group = cluster.group(APP)
    for index in range(PARTITIONS):
        want = expected(cluster, scene, index)
        _check_changes(world, index, want)
        letters = Counter(
            (h["segue.reason"].decode(), int(h["__streams.errors.offset"]))
            for h in (dict(r.headers) for r in cluster.log(dead_letters_topic(APP), index).visible())
        )
        assert letters == want.rejected, f"partition {index}: dead letters {letters} instead of {want.rejected}"
        records = sum(cluster.log(topic, index).high for topic in scene.topics)
        assert world.reader.consumed[index] == records, \
            f"O7 partition {index}: {world.reader.consumed[index]} records consumed of {records}"
        assert world.reader.changes[index] == len(want.changes)
        _check_state(world, index, {t: o for (t, i), o in group.offsets.items() if i == index}, want)
    twice = sum(fault.startswith("store_") and fault.endswith(("broken", "full")) for fault in world.met) > 1
    for process in world.dead:
        _check_failure(process.failure, twice)


def _check_changes(world: Any, index: int, want: Expected) -> None:
    records = world.cluster.log(OUTPUT, index).visible()
    assert [r.offset for r in records] == world.reader.seen[index], "a reader that went along saw something else"
    got = []
    for record in records:
        c = decode_change(record.value)
        assert record.key.decode() == c["person_id"]
        got.append((c["change_id"], c["person_id"], c["segment"], c["change"], c["at"], c["cause"], c["cause_event"],
                    c["sequence"], c["revokes"]))
    lost, more = Counter(want.changes) - Counter(got), Counter(got) - Counter(want.changes)
    assert not lost and not more, f"O1 partition {index}: lost {sorted(lost.elements())}, too much {sorted(more.elements())}"
    last: dict[tuple[str, str], tuple[int, str]] = {}
    for _, person, segment, change, _, _, _, sequence, _ in got:
        number, before = last.get((person, segment), (0, "exited"))
        assert sequence == number + 1, f"O2 {person} {segment}: {sequence} after {number}"
        assert change != before, f"O2 {person} {segment}: {change} twice"
        last[person, segment] = sequence, change


def _check_state(world: Any, index: int, committed: dict[str, int], want: Expected) -> None:
    held: dict[bytes, bytes] = {}
    for record in world.cluster.log(state_topic(APP), index).visible():
        held[record.key] = record.value
    checkpoint = decode_checkpoint(held.pop(KEY))
    assert checkpoint.offsets == committed, f"O3 partition {index}: checkpoint {checkpoint.offsets}, committed {committed}"
    totals, records = checkpoint.totals, sum(world.cluster.log(topic, index).high for topic in world.scene.topics)
    assert difference(totals) == 0, f"O7 partition {index}: {totals}"
    assert (totals[CONSUMED], totals[CHANGES]) == (records, len(want.changes)), f"O7 partition {index}: {totals}, {records}"
    assert totals["future"] + totals["dead_letter"] == want.rejected.total(), f"O7 partition {index}: {totals}"
    assert checkpoint.engine_time_ms == want.engine_time_ms or world.scene.settings.clock == "ticks"
    owners = [p.worker.owned[index] for p in world.processes.values() if index in p.worker.owned]
    assert len(owners) == 1, f"partition {index} has {len(owners)} owners"
    owned = owners[0]
    rows = {k: v for k, v in owned.store._db.table.rows.items() if k != OWNER}
    stored = decode_checkpoint(rows.pop(KEY))
    assert stored.offsets == checkpoint.offsets, f"O4 partition {index}: the store is of {stored.offsets}"
    assert rows == held, f"O4 partition {index}: store and changelog differ at {_differing(rows, held)}"
    counted = world.scene.engine.partition(index)
    counted.know(owned.known.layout)
    counted.count_members(row for row in rows.items() if row[0] != owned.known.key)
    assert owned.members == checkpoint.members == counted.member_counts, \
        f"partition {index}: members {owned.members}, {checkpoint.members} in its checkpoint, {counted.member_counts} are"
    for person in owned.state.states:
        assert owned.state.encode(person) == rows.get(person), f"O4 partition {index}: memory and store differ at {person!r}"


def _differing(a: dict[bytes, bytes], b: dict[bytes, bytes]) -> list[bytes]:
    return sorted(k for k in {*a, *b} if a.get(k) != b.get(k))


def _check_failure(failure: BaseException | None, store_failed_twice: bool) -> None:
    """A worker may give up and be started again; it may not refuse or break, unless a new store broke as well."""
    allowed = failure is None or type(failure).__name__ in {"GaveUp", "Unreachable"}
    assert allowed or (store_failed_twice and "cannot be used" in str(failure)), f"a worker failed: {failure!r}"
