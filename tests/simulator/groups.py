"""The simulated group coordinators: the classic protocol with static members, and KIP-848."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError

Partition = tuple[str, int]


def shares(partitions: int, names: list[str]) -> dict[str, list[int]]:
    """By range: all topics have the same partitions."""
    found, start = {}, 0
    for i, name in enumerate(names):
        share = partitions // len(names) + (i < partitions % len(names))
        found[name] = list(range(start, start + share))
        start += share
    return found


@dataclass(slots=True)
class Member:
    """A static member of a group."""

    id: str
    client: Any
    joined: bool = True
    """has asked for the generation to come, or is in the present one"""


class Group:
    """Members, generation, assignment by range, committed offsets. All topics have the same partitions."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.members: dict[str, Member] = {}
        self.generation = 0
        self.assignment: dict[str, list[int]] = {}
        self.rebalancing = False
        self.offsets: dict[Partition, int] = {}
        self.pending: dict[Partition, int] = {}
        """how many transactions hold offsets of it that are not final"""
        self._joins = 0

    def join(self, instance: str, client: Any) -> str:
        """A new member id. A static member that comes back takes its place without a rebalance."""
        self._joins += 1
        name = f"{instance}#{self._joins}"
        known = self.members.get(instance)
        self.members[instance] = Member(name, client)
        if known is None or self.rebalancing:
            self.begin_rebalance()
            self.members[instance].joined = True
            self.settle()
        return name

    def leave(self, instance: str) -> None:
        """Expelled."""
        del self.members[instance]
        self.assignment.pop(instance, None)
        self.begin_rebalance()
        self.settle()

    def begin_rebalance(self) -> None:
        """Everybody has to join anew."""
        if not self.rebalancing:
            self.rebalancing = True
            for member in self.members.values():
                member.joined = False

    def settle(self) -> None:
        """The next generation begins once all have joined."""
        if not self.rebalancing or not all(m.joined for m in self.members.values()):
            return
        self.rebalancing = False
        self.generation += 1
        self.assignment = shares(self.partitions, sorted(self.members))

    def refusal(self, metadata: Any) -> int | None:
        """Why offsets of a transaction are not taken; None: they are. Who names no generation is not asked."""
        if metadata.generation < 0:
            return None
        member = self.members.get(metadata.instance)
        if member is None:
            return int(KafkaError.UNKNOWN_MEMBER_ID)
        if member.id != metadata.member:
            return int(KafkaError.FENCED_INSTANCE_ID)
        return None if metadata.generation == self.generation else int(KafkaError.ILLEGAL_GENERATION)


class NewGroup:
    """KIP-848: the broker names each member's target; a member first gives up what is not in it, then gets what is free."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.members: dict[str, Member] = {}
        self.epoch = 0
        self.targets: dict[str, list[int]] = {}
        self.held: dict[str, set[int]] = {}
        self.epochs: dict[str, int] = {}
        """member -> the epoch it is in: the group's, once it has given up what it should"""
        self.offsets: dict[Partition, int] = {}
        self.pending: dict[Partition, int] = {}
        self._joins = 0

    def join(self, client: Any) -> str:
        """A new member id."""
        self._joins += 1
        name = f"member-{self._joins}"
        self.members[name] = Member(name, client)
        self.held[name], self.epochs[name] = set(), 0
        self._retarget()
        return name

    def leave(self, name: str) -> None:
        """By itself, or expelled."""
        for kept in (self.members, self.held, self.epochs):
            kept.pop(name, None)
        self._retarget()

    def _retarget(self) -> None:
        self.epoch += 1
        self.targets = shares(self.partitions, sorted(self.members))

    def too_much(self, name: str) -> set[int]:
        """What the member has to give up; when nothing, it is in the group's epoch."""
        gone = self.held[name] - set(self.targets[name])
        if not gone:
            self.epochs[name] = self.epoch
        return gone

    def free(self, name: str) -> set[int]:
        """What the member gets now."""
        taken = set().union(*self.held.values())
        return set(self.targets[name]) - taken

    def refusal(self, metadata: Any) -> int | None:
        """Why offsets of a transaction are not taken; None: they are. Who names no generation is not asked."""
        if metadata.generation < 0:
            return None
        if metadata.member not in self.members:
            return int(KafkaError.UNKNOWN_MEMBER_ID)
        return None if metadata.generation == self.epochs[metadata.member] else int(KafkaError.STALE_MEMBER_EPOCH)
