"""What a store is good for, and what restoring makes of a changelog."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from segue.errors import StateError
from segue.plan import Layout
from segue_agents.outside import Outside
from segue_agents.state.changelog import Mark, Piece
from segue_agents.state.checkpoint import KEY, Checkpoint
from segue_agents.state.layouts import Known
from segue_agents.state.recovery import Recovery
from segue_agents.state.standing import CAUGHT_UP_WITHIN_MS, TABLE, Owner, Way
from segue_agents.state.store import Store

LAYOUT = Layout("4c" * 8, {}, [], [], [], [], [], {})
BEFORE = Layout("1d" * 8, {}, [], [], [], [], [], {})
HERE = {"site": 10, "clock": 4}
OWNER = Owner("app", 0, "kafka-1", "topic-1")
NOW_MS = 1_790_000_000_000


def checkpoint(
    offsets: dict[str, int], changelog_offset: int = 0, whole: bool = True, layout: str = LAYOUT.id,
    previous: dict[str, int] | None = None, states: int = 0, persons: int = -1,
) -> Checkpoint:
    return Checkpoint(layout, 160, 10, offsets, previous or {}, states=states, persons=persons,
                      changelog_offset=changelog_offset, whole=whole)


class Log:
    """A changelog in memory, with holes where compaction or markers would be."""

    topic = "log"

    def __init__(self, records: Mapping[int, tuple[bytes, bytes | None]], end: int, low: int = 0) -> None:
        self.records, self.end, self.low = records, end, low
        self.reads: list[tuple[int, int]] = []
        self.at_ms = NOW_MS

    def identity(self) -> tuple[str, str]:
        return OWNER.cluster, OWNER.topic

    def bounds(self, _partition: int) -> tuple[int, int]:
        return self.low, self.end

    def read(self, _partition: int, start: int, end: int) -> Iterator[Piece]:
        self.reads.append((start, end))
        for offset, (key, value) in sorted(self.records.items()):
            if start <= offset < end:
                if key == KEY:
                    assert value is not None
                    yield Piece([], offset + 1, Mark(msgspec.msgpack.decode(value, type=Checkpoint), self.at_ms))
                else:
                    yield Piece([(key, value)], offset + 1)
        yield Piece([], end)


class Timers:
    def __init__(self) -> None:
        self.seen: dict[bytes, bytes] = {}
        self.engine_time_ms = 0
        self.known: list[Layout] = []
        self.counted: int | None = None
        self.members: Sequence[int] | None = None

    def know(self, layout: Layout) -> None:
        self.known.append(layout)

    def restore(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        self.seen.update(stored)

    def count_members(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        self.counted = self.counted or 0
        self.counted += len(list(stored))

    def resume(self, engine_time_ms: int, member_counts: Sequence[int] | None) -> None:
        self.engine_time_ms = engine_time_ms
        self.members = member_counts


def recovery(log: Log, exactly_once: bool = True, layout: Layout = LAYOUT) -> Recovery:
    outside = Outside(wall_ms=lambda: NOW_MS, open_store=lambda folder: Store(folder, lambda: NOW_MS))
    return Recovery(
        log, layout, "app", exactly_once, lambda *_: None, threading.Event(), outside  # type: ignore[arg-type]
    )


def entry(
    offsets: dict[str, int], previous: dict[str, int] | None = None, states: int = 0, persons: int = -1,
    layout: str = LAYOUT.id,
) -> tuple[bytes, bytes]:
    return KEY, checkpoint(offsets, layout=layout, previous=previous, states=states, persons=persons).encode()


FULL = {
    0: (b"a", b"1"), 1: (b"b", b"1"), 2: entry({"site": 5}, states=2, persons=2),
    4: (b"a", b"2"), 5: entry(HERE, {"site": 5}, states=1, persons=2),
}  # fmt: skip


def test_nothing_anywhere_is_a_first_start(tmp_path: Path) -> None:
    """No store, no changelog, no offsets: an empty partition, and no checkpoint."""
    done = recovery(Log({}, 0)).recover(0, tmp_path / "s", {}, Timers)
    assert (done.checkpoint, done.persons, done.changelog_offset) == (None, 0, 0)
    done.store.close()


def test_whole_restore(tmp_path: Path) -> None:
    """Without a store everything comes from the changelog, up to its end, and the next start needs none of it."""
    log, timers = Log(FULL, 7), Timers()
    done = recovery(log).recover(0, tmp_path / "s", HERE, lambda: timers)
    assert timers.seen == {b"a": b"2", b"b": b"1"}
    assert timers.engine_time_ms == 10
    assert (done.persons, done.changelog_offset) == (2, 7)
    done.store.close()
    again = recovery(log).recover(0, tmp_path / "s", HERE, Timers)
    again.store.close()
    assert log.reads == [(0, 7)]


def test_a_store_behind_reads_the_tail_only(tmp_path: Path) -> None:
    """A store as of an earlier commit reads on from its own changelog offset; tombstones take persons away."""
    with Store(tmp_path / "s") as store:
        store.write([(b"a", b"1"), (b"b", b"1")], checkpoint({"site": 5}, changelog_offset=3))
    log = Log({**FULL, 3: (b"b", None), 5: entry(HERE, {"site": 5}, states=2, persons=1)}, 7)
    timers = Timers()
    done = recovery(log).recover(0, tmp_path / "s", HERE, lambda: timers)
    assert log.reads == [(3, 7)]
    assert timers.seen == {b"a": b"2"}
    done.store.close()


def test_a_store_ahead_is_thrown_away(tmp_path: Path) -> None:
    """States of offsets that were never committed do not survive."""
    with Store(tmp_path / "s") as store:
        store.write([(b"a", b"9"), (b"z", b"9")], checkpoint({"site": 12, "clock": 4}, changelog_offset=7))
    timers = Timers()
    recovery(Log(FULL, 7)).recover(0, tmp_path / "s", HERE, lambda: timers).store.close()
    assert timers.seen == {b"a": b"2", b"b": b"1"}


@pytest.mark.parametrize(("low", "end"), [(4, 7), (0, 2)])
def test_a_store_that_the_changelog_no_longer_reaches(tmp_path: Path, low: int, end: int) -> None:
    """A changelog that begins after the store's offset, or ends before it, is another one: wipe and restore whole."""
    with Store(tmp_path / "s") as store:
        store.write([(b"z", b"9")], checkpoint({"site": 5}, changelog_offset=3))
    records = {max(low, 0): (b"a", b"2"), max(low, 0) + 1: entry(HERE, states=1, persons=1)}
    timers = Timers()
    recovery(Log(records, end, low)).recover(0, tmp_path / "s", HERE, lambda: timers).store.close()
    assert timers.seen == {b"a": b"2"}


def test_a_restore_cut_short_goes_on(tmp_path: Path) -> None:
    """A restore that stopped half way goes on from what it had written."""
    with Store(tmp_path / "s") as store:
        store.write([(b"a", b"1"), (b"b", b"1")], checkpoint({"site": 5}, changelog_offset=3, whole=False))
    log, timers = Log(FULL, 7), Timers()
    recovery(log).recover(0, tmp_path / "s", HERE, lambda: timers).store.close()
    assert (log.reads, timers.seen) == ([(3, 7)], {b"a": b"2", b"b": b"1"})


@pytest.mark.parametrize("committed", [{"site": 11, "clock": 4}, {"site": 9, "clock": 4}, {"site": 10}])
def test_torn_offsets_are_an_error(tmp_path: Path, committed: dict[str, int]) -> None:
    """When the last checkpoint is not of the committed offsets the state cannot be trusted, and nothing starts."""
    with pytest.raises(StateError, match="other offsets"):
        recovery(Log(FULL, 7)).recover(0, tmp_path / "s", committed, Timers)


def test_a_lost_changelog_is_an_error(tmp_path: Path) -> None:
    """Committed offsets without any checkpoint mean that the state is lost."""
    with pytest.raises(StateError, match="lost"):
        recovery(Log({}, 0)).recover(0, tmp_path / "s", HERE, Timers)


def test_expired_offsets_come_from_the_checkpoint(tmp_path: Path) -> None:
    """Without committed offsets the checkpoint says where to go on, since it was committed with them."""
    done = recovery(Log(FULL, 7)).recover(0, tmp_path / "s", {}, Timers)
    assert done.checkpoint is not None
    assert done.checkpoint.offsets == HERE
    done.store.close()


def test_at_least_once_follows_the_checkpoint(tmp_path: Path) -> None:
    """Without transactions the group's offsets may lag, and the checkpoint still holds."""
    done = recovery(Log(FULL, 7), exactly_once=False).recover(0, tmp_path / "s", {"site": 2}, Timers)
    assert done.checkpoint is not None
    assert done.checkpoint.offsets == HERE
    done.store.close()


@pytest.mark.parametrize("in_store", [True, False])
def test_other_rules_are_refused(tmp_path: Path, in_store: bool) -> None:
    """States of another layout are an error that says what to do."""
    if in_store:
        with Store(tmp_path / "s") as store:
            store.write([], checkpoint(HERE, layout="0d" * 8))
    log = Log({} if in_store else {0: entry(HERE, layout="0d" * 8)}, 1)
    with pytest.raises(StateError, match="of which nothing is known"):
        recovery(log).recover(0, tmp_path / "s", HERE, Timers)


@pytest.mark.parametrize("restored", [True, False])
@pytest.mark.parametrize(("said", "under", "counted"), [([1, 2], LAYOUT, None), (None, LAYOUT, 2), ([1, 2], BEFORE, 2)])
def test_members_are_counted_when_the_checkpoint_does_not_say(
    tmp_path: Path, restored: bool, said: list[int] | None, under: Layout, counted: int | None
) -> None:
    """Of an earlier version, or of other rules, whose segments are others. Else what it says holds."""
    at = msgspec.structs.replace(checkpoint(HERE, layout=under.id, states=2, persons=2, changelog_offset=4), members=said)
    known = Known(under, {})
    rows = [(known.key, known.encode()), (b"a", b"1"), (b"b", b"1")]
    log = Log(dict(enumerate([*rows, (KEY, at.encode())])), 4)
    if not restored:
        with Store(tmp_path / "s", lambda: NOW_MS) as store:
            store.claim(OWNER)
            store.write(rows, at)
    timers = Timers()
    recovery(log).recover(0, tmp_path / "s", HERE, lambda: timers).store.close()
    assert timers.seen == {b"a": b"1", b"b": b"1"}
    assert timers.counted == counted
    assert timers.members == (None if counted else said)


def test_a_broken_store_is_replaced(tmp_path: Path) -> None:
    """A store that cannot be opened is wiped and restored, not crashed over."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "CURRENT").write_text("")
    timers = Timers()
    recovery(Log(FULL, 7)).recover(0, tmp_path / "s", HERE, lambda: timers).store.close()
    assert timers.seen == {b"a": b"2", b"b": b"1"}


def test_a_store_that_breaks_while_it_is_read_is_replaced(tmp_path: Path) -> None:
    """A damaged block is found by the scan only, when the store is open: it is wiped and restored all the same."""
    folder, timers = tmp_path / "s", Timers()
    with Store(folder) as store:
        store.write([(b"%06d" % i, os.urandom(100)) for i in range(20_000)], checkpoint(HERE, changelog_offset=7))
    table = max(folder.glob("*.sst"), key=lambda f: f.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    done = recovery(Log(FULL, 7)).recover(0, folder, HERE, lambda: timers)
    assert dict(done.store.scan()) == {b"a": b"2", b"b": b"1"}
    done.store.close()


@pytest.mark.parametrize("exactly_once", [True, False])
@pytest.mark.parametrize("persons", [2, -1])
@pytest.mark.parametrize("found", ["nothing", "half", "ahead"])
def test_a_changelog_without_its_beginning_is_not_believed(
    tmp_path: Path, exactly_once: bool, persons: int, found: str
) -> None:
    """Records were deleted and the disk is gone: an error, at the next start too, under each guarantee, however counted."""
    folder = tmp_path / "partition-0"
    if found == "half":
        with Store(folder, lambda: NOW_MS) as store:
            store.write([], checkpoint({}, changelog_offset=4, whole=False))
    elif found == "ahead" and exactly_once:
        with Store(folder, lambda: NOW_MS) as store:
            store.write([(b"z", b"1")], checkpoint({"site": 99}, changelog_offset=4))
    log = Log({4: (b"a", b"2"), 5: entry(HERE, BEFORE, states=1, persons=persons)}, 7, low=4)
    for _ in range(2):
        with pytest.raises(StateError, match="DeleteRecords"):
            recovery(log, exactly_once).recover(0, folder, HERE, Timers)
    assert len(list(tmp_path.glob("*.damaged-*"))) == folder_was_there(found, exactly_once)


def folder_was_there(found: str, exactly_once: bool) -> bool:
    """It may be the last copy, and is kept."""
    return found == "half" or (found == "ahead" and exactly_once)


def test_a_changelog_emptied_together_with_its_group_is_a_first_start(tmp_path: Path) -> None:
    """Nothing there and nothing committed: an app that was set back on purpose."""
    done = recovery(Log({}, 9, low=9)).recover(0, tmp_path / "s", {}, Timers)
    assert done.checkpoint is None
    done.store.close()


# --- the table


class Case:
    """A store at a start: what it is made of, what the changelog has, the row it falls under, what is in the end."""

    def __init__(
        self, event: str, stored: Checkpoint | None = None, owner: Owner = OWNER, age_ms: int = 0, low: int = 0,
        reads: tuple[tuple[int, int], ...] = ((0, 7),), damage: str = "",
        log: dict[int, tuple[bytes, bytes | None]] | None = None, short: bool = False,
    ) -> None:
        self.short = short
        self.event, self.stored, self.owner, self.age_ms, self.low = event, stored, owner, age_ms, low
        self.reads, self.damage, self.log = reads, damage, log or FULL


BEFORE = {"site": 5}
CASES = {
    "equal": Case("store_current", checkpoint(HERE, 7, persons=2), reads=()),
    "equal, and old": Case("store_current", checkpoint(HERE, 7, persons=2), age_ms=CAUGHT_UP_WITHIN_MS * 9, reads=()),
    "behind": Case("store_behind", checkpoint(BEFORE, 3), reads=((3, 7),)),
    "half restored": Case("store_half_restored", checkpoint(BEFORE, 3, whole=False), reads=((3, 7),)),
    "missing": Case("store_missing"),
    "ahead": Case("store_ahead", checkpoint({"site": 12, "clock": 4}, 7)),
    "of other topics": Case("store_of_other_topics", checkpoint({**HERE, "gone": 1}, 7)),
    "below the changelog": Case("store_unreached", checkpoint(BEFORE, 3), low=4, reads=((4, 7),), log={
        4: (b"a", b"2"), 5: (b"b", b"1"), 6: entry(HERE, BEFORE, states=2, persons=2)}),
    "beyond the changelog": Case("store_beyond_changelog", checkpoint(HERE, 8)),
    "of another app": Case("store_foreign", checkpoint(HERE, 7), Owner("other", 0)),
    "of another partition": Case("store_foreign", checkpoint(HERE, 7), Owner("app", 1, "kafka-1", "topic-1")),
    "of another Kafka": Case("store_foreign", checkpoint(HERE, 7), Owner("app", 0, "kafka-2", "topic-1")),
    "of a changelog made anew": Case("store_foreign", checkpoint(HERE, 7), Owner("app", 0, "kafka-1", "topic-0")),
    "behind, too old": Case("store_too_old", checkpoint(BEFORE, 3), age_ms=CAUGHT_UP_WITHIN_MS + 1),
    "half restored, too old": Case("store_too_old", checkpoint(BEFORE, 3, whole=False), age_ms=CAUGHT_UP_WITHIN_MS + 1),
    "a person short": Case("store_damaged", checkpoint(HERE, 7, persons=3)),
    "a person over": Case("store_damaged", checkpoint(HERE, 7, persons=1)),
    "checkpoint unreadable": Case("store_damaged", checkpoint(HERE, 7), damage="checkpoint"),
    "owner unreadable": Case("store_damaged", checkpoint(HERE, 7), damage="owner"),
    "cannot be opened": Case("store_damaged", checkpoint(HERE, 7), damage="CURRENT"),
    "the tail's link does not follow": Case("store_doubtful", checkpoint({"site": 4}, 3), reads=((3, 7), (0, 7))),
    "the tail ends elsewhere": Case("store_doubtful", checkpoint({"site": 5, "clock": 3}, 7), reads=((7, 7), (0, 7))),
    "a person short with the tail": Case("store_doubtful", checkpoint(BEFORE, 3), reads=((3, 8), (0, 8)), short=True, log={
        **FULL, 1: (b"b", b"1"), 5: (b"c", b"1"), 6: entry(HERE, BEFORE, states=2, persons=3)}),
}  # fmt: skip


def make_store(folder: Path, case: Case) -> None:
    """As the case says, with a state that is right where the store may be believed, and else not."""
    if case.stored is None:
        return
    with Store(folder, lambda: NOW_MS - case.age_ms) as store:
        store.claim(case.owner)
        states = [(b"a", b"2" if case.stored.offsets == HERE else b"1")]
        if case.event in ("store_current", "store_behind", "store_half_restored"):
            states.append((b"b", b"1"))
        elif not case.short:
            states.append((b"z" if case.event == "store_damaged" else b"b", b"wrong"))
        store.write(states, case.stored)
    if case.damage in ("checkpoint", "owner"):
        store = Store(folder)
        key = KEY if case.damage == "checkpoint" else KEY + b"-owner"
        store._db.put(key, b"rubbish")
        store.close()
    elif case.damage:
        (folder / case.damage).write_text("")


@pytest.mark.parametrize("name", CASES)
def test_table(tmp_path: Path, name: str) -> None:
    """Each row on a real store: its log line, what is read of the changelog, and the state of the committed offsets."""
    case, folder, timers = CASES[name], tmp_path / "partition-0", list[Timers]()
    make_store(folder, case)
    log = Log(case.log, max(case.log) + 1 + (name != "below the changelog"), case.low)
    standing = next(row for row in TABLE if row.event == case.event)

    def made() -> Timers:
        timers.append(Timers())
        return timers[-1]

    with capture_logs() as logged:
        done = recovery(log).recover(0, folder, HERE, made)
    expected = {b"a": b"2", b"b": b"1"} | ({b"c": b"1"} if "with the tail" in name else {})
    assert dict(done.store.scan()) == timers[-1].seen == expected
    assert done.persons == len(expected)
    assert done.checkpoint is not None
    assert done.checkpoint.offsets == HERE
    assert done.store.owner() == OWNER
    assert tuple(log.reads) == case.reads
    assert [line["event"] for line in logged].count(case.event) == 1
    kept = list(tmp_path.glob("partition-0.damaged-*"))
    assert len(kept) == (standing.way is Way.SET_ASIDE)
    assert all(line["set_aside"] == str(kept[0]) for line in logged if kept and line["event"] == case.event)
    done.store.close()
    again = recovery(log).recover(0, folder, HERE, Timers)  # and the next start takes it as it is
    assert dict(again.store.scan()) == expected
    again.store.close()
    assert tuple(log.reads) == case.reads


def test_every_row_has_a_case() -> None:
    """Of the table; and each says when, in the docs too."""
    without_offsets = {"store_without_offsets"}  # test_expired_offsets_come_from_the_checkpoint
    assert {row.event for row in TABLE} == {case.event for case in CASES.values()} | without_offsets
    page = (Path(__file__).parents[3] / "docs" / "operate" / "state.md").read_text()
    for row in TABLE:
        assert f"| `{row.event}` | {row.when} | {row.way.value} |" in page


def test_only_the_newest_of_those_set_aside_is_kept(tmp_path: Path) -> None:
    """A store that is damaged again and again does not fill the disk."""
    for _ in range(3):
        (tmp_path / "s").mkdir(exist_ok=True)
        (tmp_path / "s" / "CURRENT").write_text("")
        recovery(Log(FULL, 7)).recover(0, tmp_path / "s", HERE, Timers).store.close()
    assert len(list(tmp_path.glob("s.damaged-*"))) == 1
