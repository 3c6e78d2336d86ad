"""What must hold after a round: read from Kafka and the disks by nothing of Segue's, compared with the oracle.

    O1, O5  every change the log makes, at its time, once; no other
    O2      sequences gapless per person and segment, entered and exited in turn
    O3      each checkpoint goes on where the one before ended; the last one is the committed offsets
    O4      a store that was closed in order holds what the changelog says, row by row
    O7      consumed = applied + late + refused, each refused record in the dead letters once, with its reason; the balance
            in the last checkpoint is exactly what the topics say
    seen    a read_committed reader of the whole round saw what a late one sees
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from rocksdict import AccessType, Options, Rdict
from tests.chaos.generate import PARTITIONS
from tests.chaos.oracle import Partition, Told
from tests.chaos.rawlog import Log, consumer, read, read_inputs

CHECKPOINT: Final = b"\xffsegue"
LOCAL: Final = frozenset({b"\xffsegue-owner"})
"""rows of a store that the changelog does not have"""
ACCOUNTED: Final = ("applied", "late", "ignored", "duplicate", "future", "dead_letter")
"""all that can become of a record"""
SHOWN: Final = 5
"""examples of what differs"""
_HEADERS: Final = ("__streams.errors.topic", "__streams.errors.partition", "__streams.errors.offset", "segue.reason")


class Change(msgspec.Struct):
    """The fields of a change that are compared."""

    person_id: str
    segment: str
    change: str
    at: int
    sequence: int


_change: Final = msgspec.json.Decoder(Change)


@dataclass(slots=True)
class Finding:
    """What a round has shown."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def differ(self, what: str, missing: Counter[Any], extra: Counter[Any]) -> None:
        """Noted if either has something."""
        for name, found in (("missing", missing), ("too many", extra)):
            if found:
                some = ", ".join(map(str, list(found)[:SHOWN]))
                self.problems.append(f"{what}: {sum(found.values())} {name}, as {some}")


class Witness:
    """A read_committed reader of the output from a round's beginning to its end."""

    def __init__(self, bootstrap: str, topic: str, starts: dict[int, int]) -> None:
        self._reader = consumer(bootstrap)
        self._reader.assign([TopicPartition(topic, p, o) for p, o in starts.items()])
        self.seen: dict[int, list[tuple[int, int]]] = {p: [] for p in starts}
        self._ends: dict[int, int] | None = None
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._read, name="chaos-witness", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self._ends is None or (not self._there(self._ends) and time.monotonic() < self._deadline):
            for message in self._reader.consume(5_000, 0.2):
                if message.error() is None:
                    self.seen[message.partition()].append((message.offset(), hash(message.value())))
        self._reader.close()

    def _there(self, ends: dict[int, int]) -> bool:
        return all(self.seen[p] and self.seen[p][-1][0] + 1 >= end for p, end in ends.items())

    def end(self, ends: dict[int, int], within_s: float = 15) -> dict[int, list[tuple[int, int]]]:
        """Everything it has seen when it has come to the ends (after the last record, of partitions that have one)."""
        self._deadline, self._ends = time.monotonic() + within_s, ends
        self._thread.join()
        return self.seen


@dataclass(slots=True)
class Checker:
    """Of one app, round after round."""

    bootstrap: str
    app: str
    inputs: list[str]
    output: str
    folder: Path
    """of the workers' state"""
    oracle: list[Partition] = field(default_factory=lambda: [Partition() for _ in range(PARTITIONS)])
    at: dict[str, dict[int, int]] = field(default_factory=dict)
    """topic -> partition -> how far it has been checked"""
    states: list[dict[bytes, int]] = field(default_factory=lambda: [{} for _ in range(PARTITIONS)])
    """what the changelog says: key -> hash of the value, the checkpoint not among them"""
    last: list[dict[str, Any]] = field(default_factory=lambda: [{} for _ in range(PARTITIONS)])
    """the last checkpoint"""
    sequences: dict[tuple[str, str], int] = field(default_factory=dict)
    sums: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in range(PARTITIONS)])
    """what the last checkpoint's balance has to say: since the first record, as the topics have it"""

    forgotten: bool = False
    """the group's offsets were deleted: those of a partition are there again when it has something new to commit"""
    _group: Any = None

    def __post_init__(self) -> None:
        self._group = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.app, "enable.auto.commit": False,
                                "log_level": 0})  # fmt: skip
        for topic in (*self.inputs, *self._own):
            self.at[topic] = dict.fromkeys(range(PARTITIONS), 0)

    @property
    def _own(self) -> tuple[str, str, str]:
        return self.output, f"segue-{self.app}-state", f"segue-{self.app}-dead-letters"

    def committed(self) -> dict[tuple[str, int], int]:
        """Of the inputs. Raises what the broker answers.

        By a consumer that is no member: an AdminClient of librdkafka 2.16 that is answered by no coordinator any more
        looks for its consumer group, has none, and takes the process with it.
        """
        found = self._group.committed([TopicPartition(t, p) for t in self.inputs for p in range(PARTITIONS)], timeout=3)
        return {(t.topic, t.partition): t.offset for t in found if t.error is None and t.offset >= 0}

    def checkpoints(self) -> dict[tuple[str, int], int]:
        """How far the changelog says it is."""
        found = {}
        for p, messages in read(self.bootstrap, self._own[1], self.at[self._own[1]]):
            for message in messages:
                if message.key() == CHECKPOINT:
                    found.update({(t, p): o for t, o in msgspec.msgpack.decode(message.value())["offsets"].items()})
        return found

    def _known(self) -> dict[tuple[str, int], int]:
        """Of the last checkpoints there were: a partition without a record since then has no later one."""
        return {(t, p): o for p, last in enumerate(self.last) for t, o in last.get("offsets", {}).items()}

    def close(self) -> None:
        """Lets go of the broker."""
        self._group.close()

    def round(self, witness: Witness | None, closed_in_order: bool, forgotten: bool = False) -> Finding:
        """Everything since the last round. The workers are not running. `forgotten`: the group's offsets were deleted."""
        finding = Finding()
        logs = [read_inputs(self.bootstrap, t, source, self.at[t]) for source, t in enumerate(self.inputs)]
        told = [self.oracle[p].round([logs[s][p] for s in range(len(logs))]) for p in range(PARTITIONS)]
        output = self._read(self.output)
        self._changes(output, told, finding)
        self._dead_letters(told, finding)
        committed = self.committed()
        self.forgotten = self.forgotten or forgotten
        if self.forgotten:
            committed = self._known() | self.checkpoints() | committed
        self._changelog(logs, output, committed, finding)
        if witness is not None:
            seen = witness.end({p: m[-1].offset() + 1 for p, m in output.items() if m})
            for p, messages in output.items():
                if seen[p] != [(m.offset(), hash(m.value())) for m in messages]:
                    finding.problems.append(f"seen: the concurrent reader saw {len(seen[p])} changes of partition {p}, "
                                            f"a late one {len(messages)}, or other ones")
        if closed_in_order:
            self._stores(finding)
        for source, topic in enumerate(self.inputs):
            self.at[topic] = {p: log.next_offset for p, log in logs[source].items()}
        self._balance(logs, told, output, finding)
        return finding

    def _read(self, topic: str) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {p: [] for p in range(PARTITIONS)}
        for partition, messages in read(self.bootstrap, topic, self.at[topic]):
            found[partition] += messages
        self.at[topic] = {p: m[-1].offset() + 1 if m else self.at[topic][p] for p, m in found.items()}
        return found

    def _changes(self, output: dict[int, list[Any]], told: list[Told], finding: Finding) -> None:
        sequences, broken = self.sequences, Counter[str]()
        for p, messages in output.items():
            got: Counter[Any] = Counter()
            for message in messages:
                c = _change.decode(message.value())
                entered = c.change == "entered"
                got[c.person_id.encode(), c.segment, entered, c.at] += 1
                key = (c.person_id, c.segment)
                before = sequences.get(key, 0)
                sequences[key] = c.sequence
                # the first is an entry, so odd ones are entries
                if c.sequence != before + 1 or (c.sequence % 2 == 1) is not entered:
                    broken[f"{key} {before} -> {c.sequence} {c.change}"] += 1
            finding.differ(f"O1 partition {p}: changes", told[p].jumps - got, got - told[p].jumps)
            finding.counts["changes"] += len(messages)
        finding.differ("O2: sequences out of order", Counter(), broken)

    def _dead_letters(self, told: list[Told], finding: Finding) -> None:
        for p, messages in self._read(self._own[2]).items():
            got: Counter[Any] = Counter()
            for message in messages:
                headers = dict(message.headers() or ())
                topic, partition, offset, reason = (headers[h].decode() for h in _HEADERS)
                assert int(partition) == p
                got[self.inputs.index(topic), int(offset), reason] += 1
            finding.differ(f"O7 partition {p}: dead letters", told[p].rejected - got, got - told[p].rejected)
            finding.counts["dead letters"] += len(messages)

    def _changelog(self, logs: list[dict[int, Log]], output: dict[int, list[Any]], committed: Any, finding: Finding) -> None:
        for p, messages in self._read(self._own[1]).items():
            consumed = changes = 0
            for message in messages:
                key, value = message.key(), message.value()
                if key != CHECKPOINT:
                    self.states[p][key] = hash(value)
                    continue
                checkpoint = msgspec.msgpack.decode(value)
                if self.last[p].get("offsets", {}) != checkpoint["previous"]:
                    finding.problems.append(f"O3 partition {p}: a checkpoint follows on {checkpoint['previous']}, the one "
                                            f"before it ended at {self.last[p].get('offsets')}")
                self.last[p] = checkpoint
                consumed += checkpoint["consumed"]
                changes += checkpoint["changes"]
                finding.counts["commits"] += 1
            self._ends(p, logs, committed, finding)
            records = sum(log[p].records for log in logs)
            if consumed != records:
                finding.problems.append(f"O7 partition {p}: checkpoints count {consumed} records, the inputs have {records}")
            if changes != len(output[p]):
                finding.problems.append(f"O7 partition {p}: checkpoints count {changes} changes, {len(output[p])} are there")

    def _ends(self, p: int, logs: list[dict[int, Log]], committed: Any, finding: Finding) -> None:
        offsets = self.last[p].get("offsets", {})
        for source, topic in enumerate(self.inputs):
            end = logs[source][p].next_offset
            there = committed.get((topic, p), 0)
            if (offsets.get(topic, 0), there) != (end, end):
                finding.problems.append(f"O3 {topic} partition {p} ends at {end}: committed {there}, the last checkpoint "
                                        f"says {offsets.get(topic)}")

    def _balance(self, logs: list[dict[int, Log]], told: list[Told], output: dict[int, list[Any]], finding: Finding) -> None:
        for p, t in enumerate(told):
            records, refused = sum(log[p].records for log in logs), sum(t.rejected.values())
            if records != t.applied + t.late + refused:
                finding.problems.append(
                    f"O7 partition {p}: {records} records, {t.applied} applied, {t.late} late, {refused} refused"
                )
            finding.counts.update({"events": records, "late": t.late, "refused": refused})
            future = sum(n for (_, _, reason), n in t.rejected.items() if reason == "in_the_future")
            self.sums[p].update({
                "consumed": records, "changes": len(output[p]), "future": future, "dead_letter": refused - future,
                "used": t.applied + t.late,
            })  # fmt: skip
            self._totals(p, finding)

    def _totals(self, p: int, finding: Finding) -> None:
        """The balance of the last checkpoint. Events told twice are events, as no source asks for them to be left out."""
        totals = self.last[p].get("totals", {})
        got = {name: totals.get(name, 0) for name in ("consumed", "changes", "future", "dead_letter")}
        got["used"] = sum(totals.get(name, 0) for name in ("applied", "late", "ignored"))
        if got != {name: self.sums[p][name] for name in got} or totals.get("duplicate", 0):
            finding.problems.append(f"O7 partition {p}: the balance says {totals}, the topics {dict(self.sums[p])}")
        if (left := got["consumed"] - sum(totals.get(name, 0) for name in ACCOUNTED)) != 0:
            finding.problems.append(f"O7 partition {p}: {left} records of the balance are not accounted for: {totals}")

    def _stores(self, finding: Finding) -> None:
        for p in range(PARTITIONS):
            newest = self.last[p].get("offsets")
            if newest is None:
                continue
            same = 0
            for folder in sorted(self.folder.glob(f"*/partition-{p}")):
                try:
                    rows = _rows(folder)
                except Exception:  # noqa: BLE001 (rocksdict's only one)
                    continue  # damaged by a fault, and its slot has not had the partition since: as if it were not there
                checkpoint = msgspec.msgpack.decode(rows.pop(CHECKPOINT, b"\x80"))
                if checkpoint.get("offsets") != newest or not checkpoint.get("whole"):
                    continue
                same += 1
                got = {k: hash(v) for k, v in rows.items() if k not in LOCAL}
                if got != self.states[p]:
                    wrong = [k for k in got.keys() | self.states[p].keys() if got.get(k) != self.states[p].get(k)]
                    finding.problems.append(f"O4 {folder}: {len(wrong)} rows are not the changelog's, as {wrong[:SHOWN]}")
                finding.counts["stores compared"] += 1
            if not same:
                finding.problems.append(f"O4 partition {p}: workers closed in order, and no store is of the last checkpoint")


def _rows(folder: Path) -> dict[bytes, bytes]:
    """Raises what RocksDB says of damage."""
    db = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_only())
    try:
        rows, out = db.iter(), {}
        rows.seek_to_first()
        while rows.valid():
            out[rows.key()] = rows.value()
            rows.next()
        rows.status()
        del rows
        return out
    finally:
        db.close()


def trim(admin: AdminClient, topics: Iterable[str], at: dict[str, dict[int, int]]) -> None:
    """Deletes what has been checked."""
    upto = [TopicPartition(t, p, o) for t in topics for p, o in at[t].items() if o > 0]
    for done in admin.delete_records(upto).values():
        done.result(30)
