"""One run: a scheduler with a clock, everything that happens chosen by one random number generator.

The actors are the producers of events, two workers' processes, the broker's own delayed doings, and whoever supervises
the processes. A worker's step is one of: a turn of its session's thread, a batch taken by its agent, a commit that is
due, a tick, a restore. While one waits for the broker, or is paused like a process under SIGSTOP, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.simulator.check import Reader
from tests.simulator.cluster import Cluster
from tests.simulator.decoder import BROKEN, encode
from tests.simulator.faults import plan_faults
from tests.simulator.process import Crash, Process
from tests.simulator.scene import APP, EVENTS, PARTITIONS, START_MS, Scene, scene
from tests.simulator.seams import COMPACTION_LAG_MS
from tests.simulator.store import Disk, Folder

from segue_agents.topics import clock_topic, state_topic
from segue_agents.worker.clock import encode_tick

EVENTS_OF_A_RUN: Final = 50
FAULTS_AT_MOST: Final = 5
STEPS_AT_MOST: Final = 3_000
SLOTS: Final = ("0", "1")
_DAY_MS: Final = 86_400_000


class World:
    """Everything of one run."""

    def __init__(self, seed: int, also: tuple[str, str] | None = None) -> None:
        """`also`: a fault, point and kind, that this run has besides."""
        chance = self.chance = Random(seed)
        self.seed, self.now_s, self.steps = seed, 0.0, 0
        self.scene: Scene = scene(
            chance.choice((("site",), ("site", "email"))), chance.choice(("ticks", "none")),
            chance.choice(("classic", "classic", "consumer")),
        )
        self.cluster = Cluster(lambda: self.now_s, START_MS, chance, PARTITIONS)
        self.disk = Folder.disk = Disk()
        self.faults = plan_faults(chance, FAULTS_AT_MOST, also)
        self.met: list[str] = []
        """the faults that have come to pass"""
        self.log: list[tuple[Any, ...]] | None = None
        """what happened, if it is to be kept"""
        self.running: list[Process] = []
        """processes inside a step, the innermost last"""
        self.processes: dict[str, Process] = {}
        self.dead: list[Process] = []
        self.reader = Reader(self.cluster)
        self._passed: dict[str, int] = {}
        self._start_at: dict[str, float] = {"0": 0.0, "1": chance.choice((0.0, chance.random() * 20))}
        self._events_left = EVENTS_OF_A_RUN
        self._event_at = 0.0
        self._last_ms = START_MS
        self._healing = False
        self._state_topic, self._clock_topic = state_topic(APP), clock_topic(APP)

    # --- the clock

    def spend(self, seconds: float) -> None:
        """Time passes, and what is due by then happens."""
        self.now_s += seconds
        self.cluster.catch_up()
        for group in self.cluster.groups.values():
            for name, member in list(group.members.items()):
                silent = member.client.silent_since
                if silent is not None and self.now_s - silent > member.client.session_timeout_s:
                    self.trace("expelled", name)
                    group.leave(name)

    def wait(self, process: Process, seconds: float, ready: Callable[[], bool]) -> bool:
        """A call that waits for something, up to so long; the others go on. Whether it came."""
        until = self.now_s + seconds
        while True:
            self.alive(process)
            if ready():
                return True
            left = until - self.now_s
            if left <= 0:
                return False
            if left > 0.5:
                self.step()
            self.spend(min(left, 0.5))

    # --- faults

    def alive(self, process: Process) -> None:
        """Nothing more comes from a process that was killed."""
        if process.dead:
            raise Crash

    def at(self, point: str, process: Process) -> str | None:
        """A named point is passed: killed or paused here, or the kind of failure that is to happen."""
        self.alive(process)
        if self._healing:
            return None
        n = self._passed[point] = self._passed.get(point, 0) + 1
        kind = self.faults.get((point, n))
        if kind is None:
            return None
        self.met.append(f"{point}/{kind}")
        self.trace("fault", process.name, point, kind)
        if kind == "crash":
            process.dead = True
            raise Crash
        if kind == "pause":
            self._pause(process)
        return kind

    def _pause(self, process: Process) -> None:
        """SIGSTOP; the group may go on without it."""
        awake = [c for c in process.consumers if c.silent_since is None]
        for consumer in awake:
            consumer.silent_since = self.now_s
        until = self.now_s + self.chance.choice((1.0, 4.0, 12.0))
        while self.now_s < until:
            self.step()
            self.spend(0.3)
        for consumer in awake:
            consumer.silent_since = None
        self.trace("resumed", process.name)

    def bury(self, process: Process) -> None:
        """It was killed: what it had not flushed is gone, and it is started again after a while."""
        process.dead = True
        for consumer in process.consumers:
            if consumer.silent_since is None:
                consumer.silent_since = self.now_s
        self.disk.crash(process.name, self.chance)
        if self.chance.random() < 0.15:
            for name in [name for name in self.disk.tables if f"/{process.name}/" in name]:
                del self.disk.tables[name]
        self._gone(process)

    def _gone(self, process: Process) -> None:
        self.trace("gone", process.name)
        del self.processes[process.name]
        self.dead.append(process)
        self._start_at[process.name] = self.now_s + self.chance.choice((0.3, 1.0, 8.0))

    # --- what happens next

    def step(self) -> None:
        """One actor does one thing. Called again from within a step that waits."""
        self.steps += 1
        if self.steps > STEPS_AT_MOST:
            raise LiveLock(self)
        self.spend(self.chance.random() * (0.6 if self.steps < STEPS_AT_MOST // 3 else 3.0))
        if self._events_left and self.now_s >= self._event_at:
            self._append_events()
        for name in SLOTS:
            if name not in self.processes and self.now_s >= self._start_at[name]:
                self.processes[name] = Process(self, name, self.scene)
        free = [p for p in self.processes.values() if not p.busy]
        if free:
            self._run(self.chance.choice(free))
        if self.chance.random() < 0.1:
            self._aside()

    def _run(self, process: Process) -> None:
        self.running.append(process)
        try:
            process.step()
        finally:
            self.running.pop()
        if process.ended and not process.dead and process.name in self.processes:
            self._gone(process)

    def _aside(self) -> None:
        """Compaction, a look at the output, an operator who restarts a worker."""
        what = self.chance.randrange(10)
        if what < 8:
            self.reader.read()
        if 4 <= what < 8:
            log = self.cluster.log(self._state_topic, self.chance.randrange(PARTITIONS))
            log.compact(self.chance, self.cluster.now_ms() - COMPACTION_LAG_MS)
        if what == 8 and not self._healing and self.processes:
            self.chance.choice(list(self.processes.values())).stop()

    def trace(self, *what: Any) -> None:
        """Kept for whoever replays a seed."""
        if self.log is not None:
            self.log.append((round(self.now_s, 3), *what))

    # --- inputs

    def _append_events(self) -> None:
        """A few, of times that never go back but for those that are late on purpose."""
        chance = self.chance
        self._event_at = self.now_s + chance.random() * 3
        for _ in range(min(self._events_left, chance.randrange(1, 6))):
            self._events_left -= 1
            self._last_ms = max(self._last_ms + 1, self.cluster.now_ms())
            at_ms, index = self._last_ms, chance.randrange(PARTITIONS)
            source = chance.choice(self.scene.plan.catalog.sources)
            person = b"%c%d" % (b"ab"[index], chance.randrange(5))
            self._append(source, index, person, at_ms)
            kind = chance.random()
            if kind < 0.06:  # late, or too late, by a time that its own source has passed
                self._append(source, index, person, at_ms - chance.choice((2_000, 9_000, 40_000, 2 * _DAY_MS)))
            elif kind < 0.08:  # so far ahead that no tick of the run comes near
                self._append(source, index, person, at_ms + 30 * _DAY_MS)
            elif kind < 0.1:
                self.cluster.append(source.topic, index, person, BROKEN)

    def _append(self, source: Any, index: int, person: bytes, time_ms: int) -> None:
        event = self.chance.choice(EVENTS[source.name])
        self.cluster.append(source.topic, index, person, encode(event, time_ms))

    def tick(self, topic: str, partition: int, value: bytes) -> None:
        """A tick on its way: it may come twice, late, behind others, or never."""
        chance = self.chance.random()
        if chance > 0.05:
            self.cluster.append(topic, partition, None, value)
        if chance > 0.85:
            self.cluster.later(self.chance.random() * 5, lambda: self.cluster.append(topic, partition, None, value))

    # --- from the start to the end

    def run(self) -> None:
        """All events, all faults; then everything heals and is worked off."""
        while self._events_left:
            self.step()
        self._healing = True
        self.trace("healing")
        if self.scene.settings.clock == "ticks":
            for index in range(PARTITIONS):
                self.cluster.append(self._clock_topic, index, None, encode_tick(self.cluster.now_ms() + _DAY_MS))
        while not self.done():
            self.step()
        self.reader.read()

    def done(self) -> bool:
        """All inputs are committed, and nothing is in hand."""
        owned = [o for p in self.processes.values() for o in p.worker.owned.values()]
        if sorted(o.index for o in owned) != list(range(PARTITIONS)) or any(o.batches or o.store.pending for o in owned):
            return False  # no owner yet, or two
        members = [p.worker.group for p in self.processes.values() if p.worker.owned]
        if any(self.cluster.group(APP).refusal(m) is not None for m in members):
            return False  # one that has not heard yet that it is none
        return not self.unread() and self.cluster.at_rest()

    def commits(self) -> int:
        """Of all processes so far."""
        everybody = [*self.dead, *self.processes.values()]
        return sum(int(p.metrics.totals.get("commits_total", 0)) for p in everybody)

    def unread(self) -> list[tuple[str, int]]:
        """Inputs that are not committed to their end, the clock to its final tick."""
        cluster, offsets = self.cluster, self.cluster.group(APP).offsets
        ends = {(t, i): cluster.log(t, i).high for t in self.scene.topics for i in range(PARTITIONS)}
        if self.scene.settings.clock == "ticks":
            for index in range(PARTITIONS):
                final = max(cluster.log(self._clock_topic, index).records, key=lambda r: r.value)
                ends[self._clock_topic, index] = final.offset + 1
        return [key for key, end in ends.items() if offsets.get(key, 0) < end]


class LiveLock(AssertionError):
    """It does not come to an end."""

    def __init__(self, world: World) -> None:
        super().__init__(f"not done after {world.steps} steps, {world.now_s:.0f} s; not committed: {world.unread()}; "
                         f"failures: {[repr(p.failure) for p in world.dead if p.failure]}")
