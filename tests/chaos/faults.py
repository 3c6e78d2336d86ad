"""The faults that are thrown, each with its recipe and its rank in the table of the reliability research.

Every one heals itself before it returns. What a round's records suffer (8, 11, 13, 16, 21, 23, 29) is in its mix.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from tests.chaos import proxy as kinds
from tests.chaos.brokers import ChaosBroker
from tests.chaos.plants import POINTS
from tests.chaos.proxy import Link, Proxy, Trap
from tests.chaos.workers import SESSION_MS, Workers

SESSION_S: Final = SESSION_MS / 1000
REFUSES_WITHIN_S: Final = 20.0
MEETS_WITHIN_S: Final = 5.0
"""a request of the kind that a trap waits for"""
STALE_S: Final = 2.2
"""above the 1.7 s after which a worker sends a request again that was not answered"""
BESIDE: Final = frozenset({"end_txn_held", "end_txn_reply_lost", "protocol_error", "request_lost", "request_held"})
"""thrown while others are: they touch the proxy alone, and single requests of it"""
END_TXN_CODES: Final = (7, 14, 15, 16, 51, 47, 48, 53, 90)
"""REQUEST_TIMED_OUT, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS,
INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, PRODUCER_FENCED"""
HEARTBEAT_CODES: Final = (22, 25, 27, 15, 16)
"""ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR"""


@dataclass(slots=True)
class Arena:
    """What faults are thrown at."""

    workers: Workers
    broker: ChaosBroker
    proxy: Proxy
    admin: AdminClient
    inputs: list[str]
    slots: list[str]
    chance: random.Random
    plans: dict[str, list[tuple[tuple[str, ...], str]]] = field(default_factory=dict)
    """slot -> what its next starts are planted with"""
    snapshots: dict[str, Path] = field(default_factory=dict)
    thrown: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    aside: bool = False
    """a thread beside the one that looks after the workers"""
    missed: bool = False
    """the fault at hand met nobody, or is not permitted"""
    forgotten: bool = False
    """the group's offsets were deleted: they are there again only where there was something new to commit"""

    def tend(self) -> None:
        """Starts what has died, with what is planned."""
        self.workers.tend(lambda slot: self.plans[slot].pop(0) if self.plans.get(slot) else ((), ""))

    def sleep(self, seconds: float) -> None:
        """While workers are looked after."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not self.aside:
                self.tend()
            time.sleep(min(0.1, left))

    def miss(self, why: str) -> None:
        """It does not count."""
        self.missed = True
        self.thrown[why] += 1

    def await_words(self, slot: str, words: str, after: Callable[[], None], within_s: float = 15) -> None:
        """Until the slot's log says so once more than before `after`, or has had its time."""
        before, until = self.workers.said(slot, words), time.monotonic() + within_s
        after()
        while self.workers.said(slot, words) == before and time.monotonic() < until:
            self.sleep(0.1)

    def victim(self) -> str:
        """A slot, by chance."""
        return self.chance.choice(self.slots)

    def restart(self, slot: str, *plants: str, armed: str = "") -> None:
        """kill -9, and a start with plants."""
        self.workers.kill(slot)
        self.plans.setdefault(slot, []).insert(0, (plants, armed))
        self.tend()


Throw = Callable[[Arena], None]
FAULTS: Final[dict[str, tuple[int, float, Throw]]] = {}
"""name -> rank in the table, how often among others, what is done"""


def fault(name: str, rank: int, weight: float) -> Callable[[Throw], Throw]:
    """Registers."""
    def register(throw: Throw) -> Throw:
        FAULTS[name] = (rank, weight, throw)
        return throw

    return register


# --- processes


@fault("kill", 1, 10)
def _kill(arena: Arena) -> None:
    arena.workers.kill(arena.victim())
    arena.tend()


@fault("kill_all", 1, 2)
def _kill_all(arena: Arena) -> None:
    for slot in arena.slots:
        arena.workers.kill(slot)
    arena.tend()


def _crash(point: str, arena: Arena) -> None:
    """The victim is killed, comes again, and dies at a named point."""
    slot = arena.victim()
    if point.startswith("restore") or (point == "scan" and arena.chance.random() < 0.5):
        arena.workers.kill(slot)
        arena.workers.wipe(slot)
    arena.restart(slot, f"arm({point!r}, {_count(arena, point)})", armed=point)


for _point in POINTS:
    FAULTS[f"crash:{_point}"] = (1, 1.0, partial(_crash, _point))


def _count(arena: Arena, point: str) -> int:
    area = point.split(".", maxsplit=1)[0]
    return arena.chance.randint(1, {"changes": 3_000, "states": 8_000, "scan": 3_000, "open": 1, "restore": 4}.get(area, 8))


@fault("zombie", 3, 3)
def _zombie(arena: Arena) -> None:
    """Stopped for longer than its session, then let go on."""
    slot = arena.victim()
    if arena.workers.pause(slot):
        arena.sleep(SESSION_S * arena.chance.uniform(1.2, 2.0))
        arena.workers.go_on(slot)
        arena.sleep(0.5)


@fault("killed_in_restore", 4, 2)
def _killed_in_restore(arena: Arena) -> None:
    """Its state is deleted, and it dies in the restore again and again."""
    slot = arena.victim()
    arena.workers.kill(slot)
    arena.workers.wipe(slot)
    times = arena.chance.randint(2, 4)
    for _ in range(times):
        point = arena.chance.choice(["restore.before", "restore.after"])
        arena.plans.setdefault(slot, []).append(((f"arm({point!r}, {arena.chance.randint(1, 3)})",), point))
    arena.tend()


@fault("storm", 6, 1.5)
def _storm(arena: Arena) -> None:
    """One more worker joins and leaves, and again."""
    extra = str(len(arena.slots))
    for _ in range(arena.chance.randint(2, 3)):
        arena.workers.start(extra)
        arena.sleep(arena.chance.uniform(1.5, 3.0))
        if arena.chance.random() < 0.5:
            arena.workers.kill(extra)
            arena.workers.wanted.discard(extra)
        else:
            arena.workers.end(extra)


@fault("stall", 12, 1)
def _stall(arena: Arena) -> None:
    """It stands still for longer than it may go without a poll, in the middle of a commit."""
    point = arena.chance.choice(["commit.before", "store.before", "offsets.before"])
    count = arena.chance.randint(1, 4)
    arena.restart(arena.victim(), f"short_poll({SESSION_MS + 500})", f"arm({point!r}, {count}, {SESSION_S * 2})")


@fault("clock_skew", 19, 1)
def _skew(arena: Arena) -> None:
    """Its wall clock is an hour off, and jumps while it runs."""
    hour = arena.chance.choice([-3_600_000, 3_600_000])
    arena.restart(arena.victim(), f"skew({hour}, {-2 * hour}, 3.0)")


# --- Kafka


@fault("broker_killed", 5, 0.7)
def _broker_killed(arena: Arena) -> None:
    arena.broker.kill()
    arena.proxy.cut()
    arena.broker.launch()
    arena.tend()
    arena.broker.wait()


@fault("broker_restarted", 5, 0.3)
def _broker_restarted(arena: Arena) -> None:
    arena.broker.stop()
    arena.broker.start()


@fault("end_txn_held", 2, 6)
def _end_txn_held(arena: Arena) -> None:
    """The end of a transaction travels for seconds; sometimes beyond the transaction's own time."""
    seconds = arena.chance.choice([0.3, 1.0, 2.5, 6.0])
    _sprung(arena, Trap(kinds.END_TXN, "hold", seconds=seconds), seconds)


@fault("end_txn_reply_lost", 2, 6)
def _end_txn_reply_lost(arena: Arena) -> None:
    act = arena.chance.choice(["drop_reply", "cut_before_reply", "delay_reply", "cut", "drop"])
    _sprung(arena, Trap(kinds.END_TXN, act, arena.chance.randint(1, 2), seconds=3.0), 1.0)


@fault("end_txn_stale", 2, 2)
def _end_txn_stale(arena: Arena) -> None:
    """The end of a transaction arrives long after its repetition, within the next one, and its worker dies at once."""
    if not _sprung(arena, Trap(kinds.END_TXN, "hold", seconds=STALE_S), STALE_S + 0.02):
        for slot in arena.slots:
            arena.workers.kill(slot)
        arena.tend()


@fault("protocol_error", 7, 6)
def _protocol_error(arena: Arena) -> None:
    """A request is done and its reply says an error, or the other way round: nothing can be concluded from it."""
    api, codes = arena.chance.choice([(kinds.END_TXN, END_TXN_CODES), (kinds.ADD_OFFSETS, END_TXN_CODES),
                                      (kinds.HEARTBEAT, HEARTBEAT_CODES)])  # fmt: skip
    _sprung(arena, Trap(api, "error", arena.chance.randint(1, 3), code=arena.chance.choice(codes)), 0.5)


@fault("request_lost", 18, 5)
def _request_lost(arena: Arena) -> None:
    """One request of a kind vanishes, its connection is reset within its frame, or its reply does not come."""
    api = arena.chance.choice([kinds.PRODUCE, kinds.FETCH, kinds.TXN_OFFSET_COMMIT, kinds.ADD_OFFSETS,
                               kinds.ADD_PARTITIONS, kinds.HEARTBEAT, kinds.END_TXN])  # fmt: skip
    _sprung(arena, Trap(api, arena.chance.choice(["cut", "cut_in_frame", "cut_before_reply"])), 0.3)


@fault("request_held", 18, 3)
def _request_held(arena: Arena) -> None:
    api = arena.chance.choice([kinds.PRODUCE, kinds.FETCH, kinds.TXN_OFFSET_COMMIT, kinds.HEARTBEAT])
    _sprung(arena, Trap(api, "hold", seconds=SESSION_S * 1.5), SESSION_S * 1.5)


def _sprung(arena: Arena, trap: Trap, then_s: float) -> bool:
    """Sets a trap, waits until it was stepped into, and lets it act. One that nobody meets is not counted.

    Returns whether nobody met it.
    """
    arena.proxy.trap(trap)
    until = time.monotonic() + MEETS_WITHIN_S
    while not trap.sprung and time.monotonic() < until:
        arena.sleep(0.01)
    arena.sleep(then_s)
    if not trap.sprung:
        arena.miss("not met")
    arena.proxy.traps = [t for t in arena.proxy.traps if t is not trap]
    return not trap.sprung


@fault("connections_reset", 18, 4)
def _cut(arena: Arena) -> None:
    arena.proxy.cut()


@fault("half_open", 18, 2)
def _half_open(arena: Arena) -> None:
    """Connections stay and carry nothing, one way or both."""
    _linked(arena, Link(deaf=arena.chance.choice(["up", "down", "both"])), arena.chance.uniform(1.0, SESSION_S * 1.5))


@fault("slow_link", 18, 1)
def _slow(arena: Arena) -> None:
    """500 ms a frame, or 64 kbit/s."""
    _linked(arena, arena.chance.choice([Link(latency_s=0.5), Link(bytes_per_s=8_000)]), 3.0)


@fault("refused", 18, 1)
def _refused(arena: Arena) -> None:
    arena.proxy.link = Link(refused=True)
    arena.proxy.cut()
    arena.sleep(1.5)
    arena.proxy.mend()


def _linked(arena: Arena, link: Link, seconds: float) -> None:
    arena.proxy.link = link
    arena.sleep(seconds)
    arena.proxy.mend()


# --- disks


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(f for f in folder.glob("partition-*/*") if f.name.startswith(endings) or f.suffix in endings)


@fault("store_damaged", 9, 4)
def _damaged(arena: Arena) -> None:
    """After a kill a file of the store is cut, deleted, or has a byte flipped."""
    slot = arena.victim()
    arena.workers.kill(slot)
    files = _files(arena.workers.slot_folder(slot), (".sst", "MANIFEST", "CURRENT"))
    if files:
        file = arena.chance.choice(files)
        content = bytearray(file.read_bytes())
        how = arena.chance.choice(["flip", "truncate", "delete"])
        if how == "delete":
            file.unlink()
        elif how == "truncate":
            file.write_bytes(content[: arena.chance.randrange(len(content) + 1)])
        elif content:
            content[arena.chance.randrange(len(content))] ^= 1 << arena.chance.randrange(8)
            file.write_bytes(content)
    arena.tend()


@fault("store_wiped", 9, 2)
def _wiped(arena: Arena) -> None:
    slot = arena.victim()
    arena.workers.kill(slot)
    arena.workers.wipe(slot)
    arena.tend()


@fault("store_older", 28, 3)
def _older(arena: Arena) -> None:
    """As after power loss: the store is what it was a while ago."""
    slot = arena.victim()
    arena.workers.kill(slot)
    folder = arena.workers.slot_folder(slot)
    old, new = arena.snapshots.get(slot), arena.workers.folder / f"snapshot-{slot}-{arena.chance.randrange(1 << 30)}"
    if folder.exists():
        shutil.copytree(folder, new, ignore=shutil.ignore_patterns("lock", "faust"))
        arena.snapshots[slot] = new
    if old is not None:
        arena.workers.wipe(slot)
        old.rename(folder)
    arena.tend()


@fault("disk_full", 10, 0.7)
def _disk_full(arena: Arena) -> None:
    """The slot's folder lies on a small disk that fills up, and is freed after a while."""
    slot = arena.victim()
    arena.workers.kill(slot)
    arena.workers.wipe(slot)
    folder = arena.workers.slot_folder(slot)
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "chaos", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        arena.miss("not permitted")
        arena.tend()
        return
    try:
        arena.await_words(slot, "partition_ready", arena.tend)
        arena.sleep(arena.chance.uniform(0.0, 1.0))
        filler = folder / "filler"
        try:
            with filler.open("wb") as file:
                while True:
                    file.write(b"\0" * (1 << 20))
                    file.flush()
        except OSError:
            pass
        arena.sleep(4.0)
        filler.unlink()
        arena.sleep(2.0)
    finally:
        arena.workers.kill(slot)
        subprocess.run(["umount", "-l", str(folder)], check=True)
        arena.tend()


# --- people


@fault("offsets_deleted", 15, 0.7)
def _offsets_deleted(arena: Arena) -> None:
    """The group and its offsets are gone: what was done is known from the checkpoints alone."""
    for slot in arena.slots:
        arena.workers.kill(slot)
    until = time.monotonic() + SESSION_S * 4
    while time.monotonic() < until:
        try:
            arena.admin.delete_consumer_groups([arena.workers.app])[arena.workers.app].result(5)
            arena.forgotten = True
            break
        except (KafkaException, TimeoutError):  # not empty yet
            time.sleep(0.2)
    else:
        arena.miss("not met")
    arena.tend()


@fault("same_slot", 27, 0.7)
def _same_slot(arena: Arena) -> None:
    """A second worker over the same folder has to refuse."""
    slot = arena.victim()
    arena.workers.kill(slot)
    arena.await_words(slot, "worker_starts", arena.tend)
    second = arena.workers.start(slot, name=f"second-{slot}").process
    try:
        code = second.wait(REFUSES_WITHIN_S)
    except subprocess.TimeoutExpired:
        second.kill()
        code = second.wait()
    assert second.stdin is not None
    second.stdin.close()
    if arena.workers.running[slot].process.poll() is None and code in (0, -9):
        arena.problems.append(f"27: a second worker of slot {slot} over the same folder ended with {code}, it should refuse")


@fault("same_transactional_id", 27, 0.7)
def _same_id(arena: Arena) -> None:
    """A worker of the same slot on another machine: it, or ours, is fenced."""
    slot = arena.victim()
    elsewhere = arena.workers.folder / f"elsewhere-{arena.chance.randrange(1 << 30)}"
    second = arena.workers.start(slot, name=f"elsewhere-{slot}", data=elsewhere).process
    arena.sleep(arena.chance.uniform(2.0, 4.0))
    second.kill()
    second.wait()
    assert second.stdin is not None
    second.stdin.close()
    shutil.rmtree(elsewhere, ignore_errors=True)


def draw(chance: random.Random, number: int, only: tuple[str, ...] = ()) -> list[str]:
    """So many faults by their weights."""
    names = list(only or FAULTS)
    return chance.choices(names, [FAULTS[n][1] for n in names], k=number)
