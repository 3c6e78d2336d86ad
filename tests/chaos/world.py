"""One app on the suite's broker: its contracts, its topics, its workers' folder; and a round of load over it."""

from __future__ import annotations

import random
import shutil
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.chaos.check import Checker, Finding, Witness, trim
from tests.chaos.faults import BESIDE, FAULTS, Arena, draw
from tests.chaos.generate import BETWEEN_ROUNDS_MS, PARTITIONS, T0_MS, Mix, make_round, publish
from tests.chaos.lasts import ACTS
from tests.chaos.rawlog import consumer
from tests.chaos.workers import ROOT, Workers

PATIENCE_S: Final = 2.0
"""without progress to the next fault's share, it is thrown all the same"""
CHECKPOINTS_EVERY_S: Final = 5.0
"""when the group's offsets say nothing, the checkpoints are asked"""
DRAINED_WITHIN_S: Final = 120.0
"""after the last fault everything must be committed; a lost transaction may hold it up for some seconds"""

FORESEEN: Final = frozenset({
    "killed", "crashed", "ended", "ended while it started", "code 75", "code 75 after SIGTERM", "code 3",
    "code 3 after SIGTERM", "code 4: another has its slot",
})  # fmt: skip
"""ends of workers: 75 asks to be started again, 3 is a Kafka that cannot be reached at the start"""


@dataclass(frozen=True, slots=True)
class Plan:
    """A round's schedule: a function of (seed, number)."""

    number: int
    mix: Mix
    faults: tuple[str, ...]
    foreign: bool
    """another's transaction is open at the end of an input, and aborted in the end"""


def plan_round(seed: int, number: int, events: int, faults: int, only: tuple[str, ...] = ()) -> Plan:
    """What is thrown in a round, and at what load."""
    chance = random.Random(f"{seed}/{number}")
    extras = chance.sample(["bad", "late", "reordered", "doubled", "future", "hot", "idle"], 4)
    shares = {"bad": 0.01, "late": 0.003, "reordered": 0.01, "doubled": 0.005, "future": 0.0001, "hot": 0.3}
    mix = Mix(events, persons=max(200, events // 20), idle=(chance.randrange(PARTITIONS),) if "idle" in extras else (),
              **{name: share for name, share in shares.items() if name in extras})  # fmt: skip
    return Plan(number, mix, tuple(draw(chance, faults, only)), foreign=chance.random() < 0.3)


@dataclass(slots=True)
class Result:
    """Of one round."""

    plan: Plan
    finding: Finding
    seconds: dict[str, float] = field(default_factory=dict)
    thrown: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    exits: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)


class World:
    """Topics, contracts, workers and their checker, alone under a prefix."""

    def __init__(self, broker: Any, proxy: Any, folder: Path, name: str, slots: int, mutant: str = "",
                 drained_within_s: float = DRAINED_WITHIN_S, patience_s: float = PATIENCE_S) -> None:
        self.folder, self.name, self.broker, self.proxy = folder, name, broker, proxy
        folder.mkdir(parents=True)
        contracts = folder / "contracts"
        shutil.copytree(ROOT / "bench" / "reference" / "sources", contracts / "sources")
        shutil.copytree(ROOT / "bench" / "reference" / "avro", contracts / "avro")
        shutil.copy(ROOT / "bench" / "reference" / "ids.yaml", contracts)
        for file in (contracts / "sources").glob("*.yaml"):
            file.write_text(file.read_text().replace("topic: ", f"topic: {name}-"))
        self.inputs = [f"{name}-site-events", f"{name}-email-events"]
        self.output = f"{name}-changes"
        self.admin = AdminClient({"bootstrap.servers": broker.direct, "log_level": 0})
        self.workers = Workers(broker.proxied, name, folder, contracts / "sources", self.output, mutant)
        self.slots = [str(i) for i in range(slots)]
        self.checker = Checker(broker.direct, name, self.inputs, self.output, self.workers.data / name)
        self.start_ms = T0_MS
        self._drained_within_s, self._patience_s = drained_within_s, patience_s
        self._create()

    @property
    def topics(self) -> list[str]:
        """All of the app's."""
        return [*self.inputs, self.output, *(f"segue-{self.name}-{x}" for x in ("state", "dead-letters", "clock"))]

    def _create(self) -> None:
        # the links are read once a round: until then no checkpoint may be compacted away
        compact = {"cleanup.policy": "compact", "min.compaction.lag.ms": "600000"}
        made = self.admin.create_topics([
            NewTopic(t, PARTITIONS, 1, config=compact if t.endswith("-state") else {}) for t in self.topics
        ])  # fmt: skip
        for future in made.values():
            future.result(30)

    def drop(self) -> None:
        """Its topics and folders, gone."""
        self.workers.kill_all()
        self.checker.close()
        for future in self.admin.delete_topics(self.topics).values():
            future.result(30)
        shutil.rmtree(self.workers.data, ignore_errors=True)

    # --- a last act

    def last_act(self, name: str, seed: int) -> list[str]:
        """One of lasts.ACTS; its problems. Nothing goes on after it."""
        return [f"last act {name}: {problem}" for problem in ACTS[name](self, random.Random(f"{seed}/{self.name}"))]

    def load(self, events: int) -> dict[tuple[str, int], int]:
        """A small round of honest records; where they end."""
        made = make_round(1, 999_999, self.start_ms, Mix(events, persons=max(200, events // 20)))
        publish(self.broker.direct, self.inputs, made)
        self.start_ms = made.end_ms + BETWEEN_ROUNDS_MS
        return self._target({(self.inputs[r.source], p) for r in made.topics for p in set(r.partitions)})

    def calm(self) -> list[str]:
        """Works off what is there without a fault, and checks."""
        target = self._target({(t, p) for t in self.inputs for p in range(PARTITIONS)})
        arena = Arena(self.workers, self.broker, self.proxy, self.admin, self.inputs, self.slots, random.Random(0))
        for slot in self.slots:
            self.workers.start(slot)
        problems = self._drain(arena, {(t, p): end for (t, p), end in target.items() if end > self.checker.at[t][p]})
        self.workers.end_all()
        return problems + self.checker.round(None, closed_in_order=not problems).problems

    # --- a round

    def round(self, seed: int, plan: Plan) -> Result:
        """Load, faults, drain, check."""
        result = Result(plan, Finding())
        marks = [time.monotonic()]

        def mark(name: str) -> None:
            marks.append(time.monotonic())
            result.seconds[name] = round(marks[-1] - marks[-2], 2)

        made = make_round(seed, plan.number, self.start_ms, plan.mix)
        mark("made")
        publish(self.broker.direct, self.inputs, made)
        self.start_ms = made.end_ms + BETWEEN_ROUNDS_MS
        target = self._target({(self.inputs[r.source], p) for r in made.topics for p in set(r.partitions)})
        foreign = self._foreign() if plan.foreign else None
        del made
        mark("published")
        witness = Witness(self.broker.direct, self.output, self.checker.at[self.output])
        arena = Arena(self.workers, self.broker, self.proxy, self.admin, self.inputs, self.slots, random.Random(0))
        before = self.workers.exits.copy(), self.workers.crashes.copy()
        for slot in self.slots:
            self.workers.start(slot)
        self._throw(arena, plan, target, seed)
        mark("thrown")
        self.proxy.heal()
        arena.plans.clear()
        drained = self._drain(arena, target)
        running = len(self.workers.running)
        ended = self.workers.exits["ended"]
        self.workers.end_all()
        in_order = self.workers.exits["ended"] - ended == running == len(self.slots)
        mark("drained")
        if foreign is not None:
            foreign.abort_transaction(10)
            arena.thrown["foreign_transaction"] += 1
        exits, crashes = self.workers.exits - before[0], self.workers.crashes - before[1]
        result.finding = self.checker.round(witness, in_order, arena.forgotten)
        result.finding.problems[:0] = drained + arena.problems + self._odd(exits)
        trim(self.admin, [*self.inputs, self.output, self.checker._own[2]], self.checker.at)
        mark("checked")
        self._count(result, arena, exits, crashes)
        return result

    def _count(self, result: Result, arena: Arena, exits: Any, crashes: Any) -> None:
        thrown = arena.thrown
        for name in ("bad", "late", "reordered", "doubled", "future", "hot", "idle"):
            if getattr(result.plan.mix, name):
                thrown[f"load: {name}"] += 1
        result.thrown, result.exits, result.crashes = dict(thrown), dict(exits), dict(crashes)
        result.kills = exits["killed"] + crashes.total() + thrown["broker_killed"]

    def _target(self, written: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
        reader = consumer(self.broker.direct)
        try:
            return {(t, p): reader.get_watermark_offsets(TopicPartition(t, p), timeout=10)[1] for t, p in written}
        finally:
            reader.close()

    def _foreign(self) -> Any:
        producer = Producer({"bootstrap.servers": self.broker.direct, "transactional.id": f"{self.name}-foreign",
                             "transaction.timeout.ms": 600_000, "log_level": 0})  # fmt: skip
        producer.init_transactions(30)
        producer.begin_transaction()
        for topic in self.inputs:
            producer.produce(topic, b"never committed", b"u0000001", partition=1)
        producer.flush(10)
        return producer

    def _throw(self, arena: Arena, plan: Plan, target: dict[tuple[str, int], int], seed: int) -> None:
        """Each fault at its share of the work, or after some patience, until the work is done."""
        first, beside = time.monotonic(), []
        for i, name in enumerate(plan.faults):
            until = time.monotonic() + self._patience_s
            share = (i + 0.5) / len(plan.faults)
            while (done := self._done(target)) < share and time.monotonic() < until:
                arena.sleep(0.1)
            if done >= 1 and time.monotonic() - first > 1:
                arena.thrown["too late"] += len(plan.faults) - i
                break
            arena.chance, arena.missed = random.Random(f"{seed}/{plan.number}/throw/{i}"), False
            if name in BESIDE:
                beside.append(threading.Thread(target=_one, args=(replace(arena, aside=True), name)))
                beside[-1].start()
            else:
                _one(arena, name)
        for thread in beside:
            while thread.is_alive():
                arena.sleep(0.1)

    def _done(self, target: dict[tuple[str, int], int]) -> float:
        """The share of the round that is committed."""
        try:
            committed = self.checker.committed()
        except (KafkaException, TimeoutError):  # at a commit, or its coordinator is away
            return 0.0
        begin = {(t, p): self.checker.at[t][p] for t, p in target}
        missing = sum(max(0, end - committed.get(where, begin[where])) for where, end in target.items())
        whole = sum(end - begin[where] for where, end in target.items())
        return 1 - missing / max(1, whole)

    def _drain(self, arena: Arena, target: dict[tuple[str, int], int]) -> list[str]:
        until = time.monotonic() + self._drained_within_s
        look = time.monotonic() + CHECKPOINTS_EVERY_S
        while (done := self._done(target)) < 1:
            if time.monotonic() > until:
                for s in self.slots:
                    self.workers.tell_stacks(s)
                return [self._stuck(f"{done:.1%} committed", "the last fault")]
            arena.sleep(0.1)
            if arena.forgotten and time.monotonic() > look:
                if self._reached(target):
                    break
                look = time.monotonic() + CHECKPOINTS_EVERY_S
        return self._settle(arena)

    def _settle(self, arena: Arena) -> list[str]:
        """Waits until every partition is at a worker again: the work may be done before the last fault is mended, and a
        worker that ends amid a restore leaves no store to compare."""
        until = time.monotonic() + self._drained_within_s
        while missing := set(range(PARTITIONS)) - self.workers.ready():
            if time.monotonic() > until:
                return [self._stuck(f"partitions {sorted(missing)} not restored", "the work")]
            arena.sleep(0.1)
        return []

    def _stuck(self, where: str, since: str) -> str:
        words = "\n".join(f"worker {s}:\n{self.workers.last_words(s)}" for s in self.slots)
        return f"stuck: {where} {self._drained_within_s:.0f} s after {since}\n{words}"

    def _reached(self, target: dict[tuple[str, int], int]) -> bool:
        checkpoints = self.checker.checkpoints()
        return all(checkpoints.get(where, self.checker.at[where[0]][where[1]]) >= end for where, end in target.items())

    def _odd(self, exits: Any) -> list[str]:
        """Ends of workers that nobody meant."""
        return [f"ends: {n} workers ended with {how}: {self.workers.odd.get(how)}" for how, n in exits.items()
                if how not in FORESEEN]  # fmt: skip


def _one(arena: Arena, name: str) -> None:
    FAULTS[name][2](arena)
    if not arena.missed:
        arena.thrown[name] += 1
