"""Acts after which an app cannot go on, or could only by luck: it must refuse and say why, or be exact all the same.

They end a world: the one before them was checked, its workers are not running.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, ResourceType
from tests.chaos.generate import PARTITIONS

if TYPE_CHECKING:
    from tests.chaos.world import World

REFUSES_WITHIN_S: Final = 60.0
BOMB_BYTES: Final = 6 << 20
"""of zeros: some kilobytes in the log, above what a producer of ours may send"""

Act = Callable[["World", random.Random], list[str]]


def refuses(world: World, *words: str) -> list[str]:
    """Problems, if a worker does not end by itself with a code of its own and these words."""
    slot = world.slots[0]
    log = world.workers.log(slot)
    before = len(log.read_text(errors="replace"))
    process = world.workers.start(slot).process
    world.workers.wanted.discard(slot)
    try:
        code = process.wait(REFUSES_WITHIN_S)
    except subprocess.TimeoutExpired:
        world.workers.kill(slot)
        return [f"it should refuse, and runs: {world.workers.last_words(slot)}"]
    world.workers.running.pop(slot)
    assert process.stdin is not None
    process.stdin.close()
    said = log.read_text(errors="replace")[before:]
    missing = [word for word in words if word not in said]
    if code in (0, 1) or missing:
        return [f"it ended with {code} and does not say {missing}: {said[-1500:]}"]
    return []


def _recreate(world: World, topic: str) -> None:
    world.admin.delete_topics([topic])[topic].result(30)
    time.sleep(1.5)
    world.admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    time.sleep(0.5)


def input_trimmed(world: World, chance: random.Random) -> list[str]:
    """15: retention ate records that were not read."""
    ends = world.load(20_000)
    topic, p = chance.choice(sorted(ends))
    at = world.checker.at[topic][p]
    gone = TopicPartition(topic, p, at + max(1, (ends[topic, p] - at) // 2))
    world.admin.delete_records([gone])[gone].result(30)
    return refuses(world, "gone", topic)


def input_recreated(world: World, chance: random.Random) -> list[str]:
    """14: an input was deleted and made anew."""
    topic = chance.choice(world.inputs)
    _recreate(world, topic)
    return refuses(world, topic)


def changelog_recreated(world: World, _chance: random.Random) -> list[str]:
    """14: the changelog was deleted and made anew, and the disks are gone too."""
    topic = f"segue-{world.name}-state"
    _recreate(world, topic)
    for slot in world.slots:
        world.workers.wipe(slot)
    return refuses(world, topic)


def changelog_trimmed(world: World, _chance: random.Random) -> list[str]:
    """14: somebody set the changelog to be deleted from, its beginning went, and so did the disks: states are lost."""
    topic = f"segue-{world.name}-state"
    policy = ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
    for done in world.admin.incremental_alter_configs([
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[policy])
    ]).values():
        done.result(30)
    half = [TopicPartition(topic, p, o // 2) for p, o in world.checker.at[topic].items() if o > 1]
    for done in world.admin.delete_records(half).values():
        done.result(30)
    for slot in (*world.slots, str(len(world.slots))):
        world.workers.wipe(slot)
    return refuses(world, topic)


def partitions_added(world: World, chance: random.Random) -> list[str]:
    """29: an input has more partitions than before, so persons would be in two places."""
    topic = chance.choice(world.inputs)
    world.admin.create_partitions([NewPartitions(topic, PARTITIONS + 1)])[topic].result(30)
    time.sleep(0.5)
    return refuses(world, topic, "partitions")


def bomb(world: World, _chance: random.Random) -> list[str]:
    """23: a record of a few kilobytes that is megabytes of zeros: a dead letter as any, and its neighbours count."""
    producer = Producer({"bootstrap.servers": world.broker.direct, "compression.type": "gzip",
                         "message.max.bytes": 2 * BOMB_BYTES, "log_level": 0})  # fmt: skip
    world.load(20_000)
    producer.produce(world.inputs[0], b"\0\0\0\0\x01" + bytes(BOMB_BYTES), b"u0000001", 0)
    if producer.flush(30):
        return ["the bomb was not written"]
    return world.calm()


ACTS: Final[dict[str, Act]] = {
    "input_trimmed": input_trimmed, "input_recreated": input_recreated, "changelog_recreated": changelog_recreated,
    "changelog_trimmed": changelog_trimmed, "partitions_added": partitions_added, "bomb": bomb,
}  # fmt: skip
