"""Which of the changelog's records a restore believes: torn transactions, links, counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.agents.state.test_recovery import BEFORE, FULL, HERE, NOW_MS, Log, Timers, checkpoint, entry, recovery

from segue.errors import StateError
from segue_agents.state import links
from segue_agents.state.changelog import Mark, Piece
from segue_agents.state.links import Links
from segue_agents.state.store import Store, wipe
from segue_agents.topics import COMPACTION_LAG_MS


def test_states_without_a_checkpoint_are_left_out(tmp_path: Path) -> None:
    """What became visible of a transaction without its end is not applied, and said; the older states stand."""
    torn = {**FULL, 7: (b"a", b"torn"), 8: (b"c", b"torn")}
    for stored in (None, checkpoint(BEFORE, 3)):
        wipe(tmp_path / "s")
        if stored is not None:
            with Store(tmp_path / "s") as store:
                store.write([(b"a", b"1"), (b"b", b"1")], stored)
        timers = Timers()
        with capture_logs() as logged:
            done = recovery(Log(torn, 10)).recover(0, tmp_path / "s", HERE, lambda made=timers: made)
        assert timers.seen == {b"a": b"2", b"b": b"1"}
        assert (done.torn, done.changelog_offset) == (1, 10)
        assert [line["records"] for line in logged if line["event"] == "transaction_torn"] == [2]
        done.store.close()


def test_states_torn_off_before_another_transaction_are_left_out(tmp_path: Path) -> None:
    """More states than the checkpoint behind them speaks of: the first ones were torn off a transaction before it."""
    records = {
        0: (b"a", b"1"), 1: (b"b", b"1"), 2: entry(BEFORE, states=2, persons=2), 4: (b"b", b"torn"), 5: (b"c", b"torn"),
        7: (b"a", b"2"), 8: entry(HERE, BEFORE, states=1, persons=2),
    }  # fmt: skip
    timers = Timers()
    done = recovery(Log(records, 10)).recover(0, tmp_path / "s", HERE, lambda: timers)
    assert (timers.seen, done.torn) == ({b"a": b"2", b"b": b"1"}, 1)
    done.store.close()


def test_a_compacted_changelog_is_not_torn(tmp_path: Path) -> None:
    """Many states and one checkpoint, which does not follow the one before: compaction leaves that, and it is whole."""
    records: dict[int, tuple[bytes, bytes | None]] = {n * 3: (b"%d" % n, b"1") for n in range(50)}
    records |= {200: entry(HERE, {"site": 9, "clock": 4}, states=1, persons=50)}
    done = recovery(Log(records, 202)).recover(0, tmp_path / "s", HERE, Timers)
    assert (done.persons, done.torn) == (50, 0)
    done.store.close()


def test_a_link_that_does_not_follow_after_long_is_compaction(tmp_path: Path) -> None:
    """Behind by more than the compaction lag the checkpoints between may be gone: the tail is believed."""
    with Store(tmp_path / "s", lambda: NOW_MS - COMPACTION_LAG_MS) as store:
        store.write([(b"a", b"1"), (b"b", b"1")], checkpoint({"site": 4}, 3))
    log, timers = Log(FULL, 7), Timers()
    recovery(log).recover(0, tmp_path / "s", HERE, lambda: timers).store.close()
    assert (log.reads, timers.seen) == ([(3, 7)], {b"a": b"2", b"b": b"1"})


def test_a_tail_that_begins_inside_what_the_store_has(tmp_path: Path) -> None:
    """The store's changelog offset is a lower bound: records it has come again, and their checkpoints are no gap."""
    with Store(tmp_path / "s") as store:
        store.write([(b"a", b"1"), (b"b", b"1")], checkpoint(BEFORE, 1))
    log, timers = Log(FULL, 7), Timers()
    recovery(log).recover(0, tmp_path / "s", HERE, lambda: timers).store.close()
    assert (log.reads, timers.seen) == ([(1, 7)], {b"a": b"2", b"b": b"1"})


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({5: entry(HERE, BEFORE, states=1, persons=2), 0: (b"b", b"1")}, "2"),
        ({0: (b"b", b"1"), 4: (b"a", b"2"), 5: entry(HERE, BEFORE, states=3, persons=2)}, "speaks of 3 states, of which 2"),
        ({4: (b"a", b"2"), 5: entry(HERE, BEFORE, states=1, persons=2)}, "1 persons are there, where its checkpoint says 2"),
    ],
)
def test_a_changelog_that_was_cut_is_refused(
    tmp_path: Path, records: dict[int, tuple[bytes, bytes | None]], words: str
) -> None:
    """A whole restore with states missing is an error that says so, never a short state."""
    with pytest.raises(StateError, match=words):
        recovery(Log(records, 7)).recover(0, tmp_path / "s", HERE, Timers)


def test_without_transactions_states_wait_for_their_checkpoint(tmp_path: Path) -> None:
    """At least once: states behind the last checkpoint are left out, as their events are read again."""
    timers = Timers()
    log = Log({**FULL, 6: (b"a", b"later")}, 7)
    recovery(log, exactly_once=False).recover(0, tmp_path / "s", {}, lambda: timers).store.close()
    assert timers.seen == {b"a": b"2", b"b": b"1"}


# --- what is held back


def piece(first: int, n: int, mark: Mark | None = None) -> Piece:
    return Piece([(b"%04d" % i, b"1") for i in range(first, first + n)], first + n, mark)


def test_only_the_newest_states_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a transaction can have wait for a checkpoint; what is older goes on, so memory is bounded."""
    monkeypatch.setattr(links, "HELD_BACK", 10)
    restored = Links(None, 0, NOW_MS, from_the_start=True)
    passed = [restored.feed(piece(4 * i, 4)) for i in range(10)]
    assert [sum(len(p.records) for p in each) for each in passed] == [0, 0, 0, 4, 4, 4, 4, 4, 4, 4]
    last = restored.feed(piece(40, 1, Mark(checkpoint(HERE, previous=BEFORE, states=5), NOW_MS)))
    assert [p.next_offset for p in last] == [32, 36, 40, 41]
    restored.end()
    assert (restored.torn, restored.doubt, restored.gap) == ([], "", "")


def test_a_torn_transaction_larger_than_what_is_held_back_is_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of its states have been passed on already: what came of it is not believed."""
    monkeypatch.setattr(links, "HELD_BACK", 10)
    restored = Links(checkpoint(BEFORE), NOW_MS, NOW_MS, from_the_start=False)
    for i in range(10):
        restored.feed(piece(4 * i, 4))
    restored.feed(piece(40, 1, Mark(checkpoint(HERE, previous=BEFORE, states=1), NOW_MS)))
    assert restored.doubt


def test_layouts_are_never_torn_off() -> None:
    """They say how to read states, and are no states."""
    restored = Links(checkpoint(BEFORE), NOW_MS, NOW_MS, from_the_start=False)
    layout = (b"\xffsegue-layout-0000", b"layout")
    mark = Mark(checkpoint(HERE, previous=BEFORE, states=1), NOW_MS)
    (passed,) = restored.feed(Piece([layout, (b"a", b"torn"), layout, (b"a", b"2")], 5, mark))
    assert passed.records == [layout, layout, (b"a", b"2")]
    assert restored.torn == [1]
