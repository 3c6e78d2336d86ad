"""The simulated Consumer: confluent_kafka's interface over the simulated broker, callbacks inside poll and close."""

from __future__ import annotations

from heapq import merge
from operator import attrgetter
from typing import Any, Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, Message, TopicPartition
from tests.simulator.groups import Partition
from tests.simulator.log import Record

_PLACE: Final = attrgetter("place")
_AT_ONCE: Final = 40


class GroupMetadata(NamedTuple):
    """Opaque to whoever gets it."""

    group: str
    member: str
    instance: str
    generation: int


class Consumer:
    """Records of one partition index come in the order in which they were appended, whatever their topic."""

    def __init__(self, world: Any, process: Any, config: dict[str, Any]) -> None:
        self.process = process
        self.silent_since: float | None = None
        """seconds; None: it sends heartbeats"""
        self.session_timeout_s = config.get("session.timeout.ms", 3_000) / 1000
        self._world, self._cluster = world, world.cluster
        self._group_id, self._instance = config["group.id"], config.get("group.instance.id", "")
        self._protocol = config.get("group.protocol", "classic")
        self._group = None
        self._read_committed = config["isolation.level"] == "read_committed"
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._told_end: dict[Partition, int] = {}
        self._fetched: list[Message] = []
        self._member = ""
        self._generation = -1
        self._assigned: list[TopicPartition] | None = None
        self._topics: list[str] = []
        self._callbacks: dict[str, Any] = {}
        process.consumers.append(self)

    # --- the group

    def subscribe(self, topics: list[str], on_assign: Any = None, on_revoke: Any = None, on_lost: Any = None) -> None:
        self._topics = list(topics)
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}
        self._group = self._cluster.group(self._group_id, self._protocol)

    def consumer_group_metadata(self) -> GroupMetadata:
        return GroupMetadata(self._group_id, self._member, self._instance, self._generation)

    def _keep_up(self) -> None:
        """What the group wants of this member, told in callbacks."""
        group: Any = self._group
        if not self._member:
            self._member = group.join(self._instance, self)
        member = group.members.get(self._instance)
        if member is None or member.id != self._member:
            self._member, self._generation = "", -1
            self._give_up("lost")
        elif not member.joined:
            self._give_up("revoke")
            member.joined = True
            group.settle()
        elif not group.rebalancing and self._generation != group.generation:
            self._generation = group.generation
            indexes = group.assignment[self._instance]
            self._assigned = [TopicPartition(t, i) for i in indexes for t in self._topics]
            self._world.trace("assigned", self.process.name, indexes)
            self._callbacks["assign"](self, self._assigned)

    def _give_up(self, how: str) -> None:
        assigned, self._assigned = self._assigned, None
        if assigned is None:
            return
        self._world.trace(how, self.process.name)
        self._callbacks[how](self, assigned)
        self.unassign()

    def _reconcile(self) -> None:
        """The same by KIP-848: partitions come and go one by one."""
        group: Any = self._group
        if not self._member:
            self._member, self._assigned = group.join(self), []
        if self._member not in group.members:
            self._member, self._generation = "", -1
            self._give_up("lost")
            return
        gone = group.too_much(self._member)
        if gone:
            self._hand_back(gone)
            if self._member in group.held:  # it may have been expelled while it committed
                group.held[self._member] -= gone
            return
        self._generation = group.epochs[self._member]
        free = group.free(self._member)
        if free:
            group.held[self._member] |= free
            found = [TopicPartition(t, i) for i in sorted(free) for t in self._topics]
            self._assigned = [*(self._assigned or []), *found]
            self._world.trace("assigned", self.process.name, sorted(free))
            self._callbacks["assign"](self, found)

    def _hand_back(self, indexes: set[int]) -> None:
        going = [p for p in self._assigned or [] if p.partition in indexes]
        self._world.trace("revoke", self.process.name, sorted(indexes))
        self._callbacks["revoke"](self, going)
        self._assigned = [p for p in self._assigned or [] if p.partition not in indexes]
        for p in going:
            self._forget((p.topic, p.partition))

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """Waits until no transaction holds an offset of theirs."""
        self._world.at("committed", self.process)
        group = self._cluster.group(self._group_id, self._protocol)
        keys = [(p.topic, p.partition) for p in partitions]
        if not self._world.wait(self.process, timeout, lambda: not any(group.pending.get(k) for k in keys)):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "pending offsets", retriable=True))
        return [TopicPartition(t, p, group.offsets.get((t, p), -1001)) for t, p in keys]

    def commit(self, offsets: list[TopicPartition], **_: Any) -> None:
        group = self._cluster.group(self._group_id)
        group.offsets.update({(p.topic, p.partition): p.offset for p in offsets})

    # --- what is read

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.unassign()
        for p in partitions:
            self.seek(p)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for p in partitions:
            self.seek(p)

    def _forget(self, key: Partition) -> None:
        self._positions.pop(key, None)
        self._told_end.pop(key, None)
        self._paused.discard(key)
        self._fetched = [m for m in self._fetched if (m.topic(), m.partition()) != key]

    def unassign(self) -> None:
        self._positions.clear()
        self._paused.clear()
        self._told_end.clear()
        self._fetched.clear()

    def seek(self, partition: TopicPartition) -> None:
        key = (partition.topic, partition.partition)
        log = self._cluster.log(*key)
        places = {OFFSET_BEGINNING: log.low, OFFSET_END: log.high}
        self._positions[key] = places.get(partition.offset, partition.offset)
        self._told_end.pop(key, None)
        self._fetched = [m for m in self._fetched if (m.topic(), m.partition()) != key]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {(p.topic, p.partition) for p in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {(p.topic, p.partition) for p in partitions}

    def poll(self, timeout: float | None = None) -> Message | None:
        self._world.at("poll", self.process)
        if self._group is not None:
            if self._protocol == "consumer":
                self._reconcile()
            else:
                self._keep_up()
        found = self.consume(1, timeout or 0.0)
        return found[0] if found else None

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        if self._group is None:
            self._world.at("restore", self.process)
        self._world.alive(self.process)
        if not self._fetched:
            self._fetch()
        if not self._fetched and timeout > 0:
            self._world.wait(self.process, timeout, lambda: False)
        found, self._fetched = self._fetched[:num_messages], self._fetched[num_messages:]
        return found

    def _fetch(self) -> None:
        """Some of what there is; the end of a partition is told once, after its last record."""
        chance, cluster = self._world.chance, self._cluster
        most = chance.randrange(1, _AT_ONCE)
        sources: list[list[tuple[Record, Partition]]] = []
        reading = [key for key in self._positions if key not in self._paused]
        for key in reading:
            records, _ = cluster.log(*key).read(self._positions[key], most, self._read_committed)
            if records:
                sources.append([(r, key) for r in records])
        merged = list(merge(*sources, key=lambda pair: pair[0].place))[:most]
        for record, key in merged:
            self._fetched.append(_message(record, key))
            self._positions[key] = record.offset + 1
        for key in reading:
            self._tell_end(key)

    def _tell_end(self, key: Partition) -> None:
        log, position = self._cluster.log(*key), self._positions[key]
        records, after = log.read(position, 1, self._read_committed)
        if records:
            return
        self._positions[key] = after
        if self._told_end.get(key) != after:
            self._told_end[key] = after
            self._fetched.append(Message(
                topic=key[0], partition=key[1], offset=after, error=KafkaError(KafkaError._PARTITION_EOF, "end")
            ))

    def get_watermark_offsets(self, partition: TopicPartition, **_: Any) -> tuple[int, int]:
        """With read_committed the end is that of the last finished transaction."""
        log = self._cluster.log(partition.topic, partition.partition)
        return log.low, log.stable() if self._read_committed else log.high

    def offsets_for_times(self, partitions: list[TopicPartition], _timeout: float) -> list[TopicPartition]:
        """A question to the leaders."""
        self._world.alive(self.process)
        return partitions

    def list_topics(self, **_: Any) -> None:
        self._world.alive(self.process)

    def close(self) -> None:
        """Gives back what it has; a static member does not leave the group."""
        self._world.alive(self.process)
        group: Any = self._group
        if group is not None:
            self._give_up("revoke")
            if self._protocol == "consumer" and self._member in group.members:
                group.leave(self._member)
        if self.silent_since is None:
            self.silent_since = self._world.now_s


def _message(record: Record, key: Partition) -> Message:
    return Message(
        topic=key[0], partition=key[1], offset=record.offset, key=record.key, value=record.value,
        headers=record.headers, timestamp=(1, record.at_ms),
    )
