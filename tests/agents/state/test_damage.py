"""A store whose files were damaged, deleted or cut on a disk: found, or harmless; never a wrong or a short state."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.agents.state.test_recovery import HERE, NOW_MS, OWNER, Log, Timers, checkpoint, entry, recovery

from segue_agents.state import recovery as module
from segue_agents.state.checkpoint import Checkpoint
from segue_agents.state.store import Store

DAMAGES = 60
PERSONS = 1_200
COMMITS = 12


def fingerprint(rows: Iterable[tuple[bytes, bytes]]) -> int:
    """Of states in any order: equal for equal contents. 64 bits."""
    total = 0
    for key, value in rows:
        digest = hashlib.blake2b(len(key).to_bytes(4, "big") + key + value, digest_size=8).digest()
        total += int.from_bytes(digest, "big")
    return total & 0xFFFF_FFFF_FFFF_FFFF


def _truth() -> dict[bytes, bytes]:
    chance = random.Random(7)
    return {b"person-%05d" % n: chance.randbytes(chance.randrange(60, 200)) for n in range(PERSONS)}


TRUTH = _truth()


def _commits() -> list[tuple[dict[bytes, bytes], Checkpoint]]:
    """States and checkpoints of transactions, the last of which has everybody as they are in the end."""
    chance, persons, before, commits = random.Random(3), list(TRUTH), dict[str, int](), []
    there: set[bytes] = set()
    at = 0
    for n in range(COMMITS):
        last = n == COMMITS - 1
        states = TRUTH if last else {p: TRUTH[p][::-1] for p in chance.sample(persons, 300)}
        after = HERE if last else {"site": n // 2, "clock": n // 3}
        there |= states.keys()
        at += len(states) + 2
        commits.append((states, checkpoint(after, at, previous=before, states=len(states), persons=len(there))))
        before = after
    return commits


def _log() -> Log:
    records: dict[int, tuple[bytes, bytes | None]] = {}
    end = 0
    for states, made in _commits():
        records |= dict(enumerate(states.items(), end))
        records[end + len(states)] = entry(made.offsets, made.previous, made.states, made.persons)
        end = made.changelog_offset
    return Log(records, end)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of several tables, with states written more than once, as of the committed offsets."""
    folder = tmp_path_factory.mktemp("sound") / "partition-0"
    with Store(folder, lambda: NOW_MS) as store:
        store.claim(OWNER)
        for n, (states, made) in enumerate(_commits()):
            store.write(states.items(), made)
            if n % 3 == 0:
                store._db.flush()
    return folder


def _flip(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 1, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def _cut(file: Path, chance: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: chance.randrange(len(data))])


def _zero(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data))
    data[at : at + 512] = bytes(len(data[at : at + 512]))
    file.write_bytes(data)


def _delete(file: Path, chance: random.Random) -> None:
    del chance
    file.unlink()


def _damage(folder: Path, chance: random.Random) -> str:
    """One file of any kind, the tables' more often; what was done."""
    files = sorted(file for file in folder.iterdir() if file.stat().st_size)
    tables = [file for file in files if file.suffix == ".sst"]
    file = chance.choice(chance.choice((files, tables)))
    how: Callable[[Path, random.Random], None] = chance.choice((_flip, _flip, _flip, _cut, _zero, _delete))
    how(file, chance)
    return f"{how.__name__} {file.name}"


def test_damage_is_found_or_harmless(sound: Path, tmp_path: Path) -> None:
    """Random flips, cuts, zeroes and deletions of all its files: after a start every state is as it was, each time."""
    ways: Counter[str] = Counter()
    for seed in range(DAMAGES):
        folder, chance = tmp_path / str(seed) / "partition-0", random.Random(seed)
        shutil.copytree(sound, folder)
        done_what = _damage(folder, chance)
        timers: list[Timers] = []

        def made(timers: list[Timers] = timers) -> Timers:
            timers.append(Timers())
            return timers[-1]

        with capture_logs() as logged:
            done = recovery(_log()).recover(0, folder, HERE, made)
        assert done.persons == PERSONS, (seed, done_what)
        assert fingerprint(timers[-1].seen.items()) == fingerprint(TRUTH.items()), (seed, done_what)
        assert dict(zip(TRUTH, done.store.get(list(TRUTH)), strict=True)) == TRUTH, (seed, done_what)
        assert done.store.get([b"nobody"]) == [None]
        done.store.close()
        ways[next(line["how"] for line in logged if line["event"] == "partition_ready")] += 1
        shutil.rmtree(folder.parent)
    assert ways["set_aside"] >= DAMAGES // 4, ways  # it does damage
    assert ways["go"] >= 1, ways


def test_fingerprint_does_not_depend_on_the_order() -> None:
    """It is of the contents: one byte moved from key to value, or a row less, is another."""
    rows = list(TRUTH.items())
    assert fingerprint(rows) == fingerprint(reversed(rows)) != fingerprint(rows[1:])
    assert fingerprint([(b"ab", b"c")]) != fingerprint([(b"a", b"bc")])
    assert fingerprint([]) == 0


def test_a_row_lost_from_a_store_is_seen(tmp_path: Path) -> None:
    """A person who is not there any more, with no block damaged: the count says so, and the store is built anew."""
    folder = tmp_path / "partition-0"
    with Store(folder, lambda: NOW_MS) as store:
        store.write(list(TRUTH.items())[1:], _commits()[-1][1])
    timers = Timers()
    done = recovery(_log()).recover(0, folder, HERE, lambda: timers)
    assert timers.seen == TRUTH
    done.store.close()


def test_a_restore_killed_again_and_again_comes_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time it goes on from the progress it had written, which only grows."""
    monkeypatch.setattr(module, "WRITE_AT_ONCE", 5 * _LongLog.STATES)
    folder, log = tmp_path / "partition-0", _LongLog()
    log.breaks_after = 5
    for _ in range(10):
        with pytest.raises(ConnectionError):
            recovery(log).recover(0, folder, HERE, Timers)
    starts = [start for start, _ in log.reads]
    assert starts == sorted(set(starts))
    log.breaks_after = None
    done = recovery(log).recover(0, folder, HERE, Timers)
    assert done.persons == _LongLog.TRANSACTIONS * _LongLog.STATES
    assert done.checkpoint is not None
    assert done.checkpoint.offsets == HERE
    done.store.close()


class _LongLog(Log):
    """Five transactions are what a restore writes at once; reading breaks off."""

    TRANSACTIONS, STATES = 54, 100

    def __init__(self) -> None:
        records: dict[int, tuple[bytes, bytes | None]] = {}
        before: dict[str, int] = {}
        at = 0
        for n in range(self.TRANSACTIONS):
            for state in range(self.STATES):
                records[at] = (b"%d-%d" % (n, state), b"1")
                at += 1
            after = HERE if n == self.TRANSACTIONS - 1 else {"site": n}
            records[at] = entry(after, before, states=self.STATES, persons=(n + 1) * self.STATES)
            before, at = after, at + 2
        super().__init__(records, at)
        self.breaks_after: int | None = None

    def read(self, partition: int, start: int, end: int):  # type: ignore[no-untyped-def]
        marks = 0
        for piece in super().read(partition, start, end):
            marks += piece.mark is not None
            if self.breaks_after is not None and marks > self.breaks_after:
                raise ConnectionError
            yield piece


def test_the_store_keeps_who_it_is_of(tmp_path: Path) -> None:
    """An owner, once claimed, is there after a restart, and is no person."""
    with Store(tmp_path / "s") as store:
        assert store.owner() is None
        store.claim(OWNER)
        store.write([(b"a", b"1")], Checkpoint("l", 0, 0, {}, {}))
    with Store(tmp_path / "s") as store:
        assert store.owner() == OWNER
        assert dict(store.scan()) == {b"a": b"1"}
