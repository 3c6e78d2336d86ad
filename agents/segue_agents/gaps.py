"""Records that are gone before they were read: found, named, and passed over only when somebody says so.

A worker goes on from its offsets or not at all. Where these point to nothing it stops with the gap named, since to skip
would be to be wrong without a word. What stands against each other here, per topic and partition:

    the changelog's newest checkpoint    up to where the states have read: this decides, as it is one with the states
    the group's committed offsets        the same, or they were deleted or set by hand
    the topic's first and next offset    what can be read

To accept a gap writes a new checkpoint with the offsets beyond it, the group's offsets and a note in the dead letters, all
in one transaction, as the only member of the group: so no worker can be at work meanwhile, and states, checkpoint and
offsets agree before and after.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import msgspec
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

from segue.errors import ConfigError, StateError, Unreachable
from segue_agents.commit.committer import TransactionLost, Transactions
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.state.changelog import Changelog
from segue_agents.state.checkpoint import KEY, Checkpoint
from segue_agents.topics import clock_topic, dead_letters_topic, input_topics, state_topic
from segue_agents.transport.asking import COMMITTED_WITHIN_S, bounds, committed_offsets, partition_counts
from segue_agents.transport.clients import changelog_config, common_config, source_config, transactional_config
from segue_agents.transport.opening import open_admin, open_consumer
from segue_agents.transport.refusals import raise_refusal
from segue_agents.worker.dead_letters import PREFIX, REASON

ALONE_WITHIN_S: Final = 30.0
TAIL_RECORDS: Final = 2_000
"""of the changelog, read for the newest checkpoint; each further look is ten times as long"""

Why = Literal[
    "trimmed by retention", "topic recreated", "offsets deleted", "offsets set by hand", "partition added", "topic missing",
    "passed over by hand",
]
LOSSLESS: Final[frozenset[Why]] = frozenset({"offsets deleted", "offsets set by hand"})
"""accepting sets the group's offsets back to the checkpoint's, and nothing is passed over"""
NOT_ACCEPTABLE: Final[frozenset[Why]] = frozenset({"partition added", "topic missing"})


@dataclass(frozen=True, slots=True)
class Gap:
    """Of one topic's partition: reading cannot go on at `start`, it can at `end`."""

    topic: str
    partition: int
    start: int
    end: int
    records: int | None
    """lost in between, at most; None: cannot be known"""
    why: Why
    ticks: bool = False
    """of the clock, not of events"""

    @property
    def name(self) -> str:
        """`site-events:3`."""
        return f"{self.topic}:{self.partition}"


def judge(topic: str, partition: int, checkpoint: int | None, committed: int | None, bounds: tuple[int, int],
          follows: bool) -> Gap | None:
    """`checkpoint`, `committed`: the next offset by either, None without one. `bounds`: of the topic, first and next.

    `follows`: the group's offsets may lag behind the checkpoint, as they do without transactions.
    """
    low, high = bounds
    at = committed if checkpoint is None else checkpoint
    if at is None:
        return None  # never read: a first start says where it begins
    if at < low:
        return Gap(topic, partition, at, low, low - at, "trimmed by retention")
    if at > high:
        return Gap(topic, partition, at, low, None, "topic recreated")
    if committed is None:
        return Gap(topic, partition, at, at, 0, "offsets deleted")
    if committed != at and not (follows and committed < at):
        return Gap(topic, partition, committed, at, 0, "offsets set by hand")
    return None


class _Said(NamedTuple):
    what: str
    to_do: str


_SAYS: Final[Mapping[Why, _Said]] = {
    "trimmed by retention": _Said(
        "{where}: the records from offset {start} up to {end}, {records} at most, were deleted before they were read.",
        "Bring them back, or start under a new app_id, which reads all that is there. Or accept it with `{accept}`: the "
        "segments then miss these events, for good.",
    ),
    "topic recreated": _Said(
        "{where}: it was read up to offset {start}, and ends before that: the topic was deleted and made anew, with records "
        "from offset {end}. What of the old one was not read cannot be known.",
        "Accept it with `{accept}`: the new topic is then read from its beginning, on top of the states there are. If its "
        "records are the old ones once more, start under a new app_id instead: they would count twice.",
    ),
    "offsets deleted": _Said(
        "{where}: the group has no committed offset. The changelog's checkpoint says {end}, and the records from there on "
        "are still there.",
        "`{accept}` sets the group's offset back to it: nothing is lost, or read twice.",
    ),
    "offsets set by hand": _Said(
        "{where}: the group's offset is {start}, and the changelog's checkpoint says {end}: somebody else than a worker has "
        "set it, and the states are not of it.",
        "`{accept}` sets the group's offset back to the checkpoint's: nothing is lost, or read twice.",
    ),
    "partition added": _Said(
        "{where}: the app has no such partition: its topics had fewer when it started.",
        "Persons' events may lie in other partitions than their states now, so it cannot be accepted. Give all topics the "
        "new number, and start under a new app_id.",
    ),
    "passed over by hand": _Said(
        "{where}: the records from offset {start} up to {end}, {records} at most, are there and cannot be read.",
        "`{accept} --to {end}` passes over them: the segments then miss these events, for good.",
    ),
    "topic missing": _Said(
        "{where}: it was read up to offset {start}, and there is no such partition any more.",
        "Create the topic as it was (a worker does, when it starts), then look again.",
    ),
}
_TICKS: Final = _Said(
    "{where}: the ticks from offset {start} on are gone.",
    "Accept it with `{accept}`: time goes on with the next tick, and nothing is lost.",
)


def describe(gap: Gap) -> tuple[str, str]:
    """What happened, and what to do about it."""
    lost = gap.why in ("trimmed by retention", "topic recreated")
    what, to_do = _TICKS if lost and gap.ticks else _SAYS[gap.why]
    records = "an unknown number" if gap.records is None else f"{gap.records:,}"
    where, accept = f"{gap.topic} partition {gap.partition}", f"segue gaps accept {gap.name}"
    return what.format(where=where, start=gap.start, end=gap.end, records=records), to_do.format(accept=accept, end=gap.end)


# --- finding


def find_gaps(settings: Settings) -> list[Gap]:
    """Of all inputs and the clock, in the order of topics and partitions. Raises Unreachable, StateError."""
    counts = partition_counts(open_admin(common_config(settings)), settings.bootstrap)
    topics = (*input_topics(settings), clock_topic(settings.app_id))
    indexes = counts.get(state_topic(settings.app_id), 0)
    if not indexes:
        return []  # it never started
    with closing(Changelog(settings, Outside())) as changelog:
        checkpoints = {i: newest_checkpoint(changelog, i) for i in range(indexes)}
    consumer = open_consumer(changelog_config(settings, "read_committed"))
    with closing(consumer):
        wanted = [(t, p) for t in topics for p in range(max(indexes, counts.get(t, 0)))]
        asked = [TopicPartition(t, p) for t, p in wanted]
        committed = {
            (p.topic, p.partition): p.offset for p in committed_offsets(consumer, settings.app_id, asked)
            if p.error is None and p.offset >= 0
        }
        return [g for t, p in wanted if (g := _look(consumer, settings, counts, t, p, checkpoints, committed)) is not None]


def _look(consumer: Any, settings: Settings, counts: Mapping[str, int], topic: str, partition: int,
          checkpoints: Mapping[int, Checkpoint | None], committed: Mapping[tuple[str, int], int]) -> Gap | None:
    if partition not in checkpoints:
        _, high = bounds(consumer, topic, partition)
        return Gap(topic, partition, 0, high, None, "partition added")
    of = checkpoints[partition]
    at, group_at = None if of is None else of.offsets.get(topic), committed.get((topic, partition))
    if of is not None and at is None:
        return None  # nothing of it has ever been committed
    if partition >= counts.get(topic, 0):
        start = at if at is not None else group_at
        return None if start is None else Gap(topic, partition, start, start, None, "topic missing")
    follows = settings.guarantee == "at_least_once"
    gap = judge(topic, partition, at, group_at, bounds(consumer, topic, partition), follows)
    return gap and replace(gap, ticks=topic == clock_topic(settings.app_id))


def newest_checkpoint(changelog: Changelog, partition: int) -> Checkpoint | None:
    """The last one that is committed; None: there is none. Raises StateError, Unreachable."""
    low, high = changelog.bounds(partition)
    reach = TAIL_RECORDS
    while True:
        start, found = max(low, high - reach), None
        for piece in changelog.read(partition, start, high):
            found = piece.mark or found
        if found is not None or start <= low:
            return None if found is None else found.checkpoint
        reach *= 10


# --- accepting


def accept_gaps(settings: Settings, names: Iterable[str], who: str, now_ms: int, to: int | None = None) -> list[Gap]:
    """Passes over the gaps of these names (`TOPIC:PARTITION`), or over all; returns them.

    `to`: over all records of the one named up to this offset, though they are there: a batch that cannot be unpacked, say.

    Raises ConfigError for a name without a gap; StateError when a worker of the app is at work, for a gap that cannot be
    accepted, and without a checkpoint; Unreachable, after which `find_gaps` says what holds.
    """
    wanted = set(names)
    refuse_workers(settings)
    with _alone(settings) as group:
        gaps = [g for g in find_gaps(settings) if not wanted or g.name in wanted]
        if to is not None:
            gaps = [_by_hand(settings, wanted, gaps, to)]
        if missing := wanted - {g.name for g in gaps}:
            raise ConfigError(f"There is no gap at {', '.join(sorted(missing))}.", "`segue gaps` lists those there are.")
        for gap in gaps:
            if gap.why in NOT_ACCEPTABLE:
                raise StateError(*describe(gap))
        if gaps:
            _write(settings, gaps, group, who, now_ms)
    return gaps


def _by_hand(settings: Settings, names: set[str], gaps: list[Gap], to: int) -> Gap:
    """Raises ConfigError when it is not one partition with an offset to go on to."""
    if len(names) != 1 or gaps:
        raise ConfigError("--to passes over records of one TOPIC:PARTITION, which has no gap of another kind.",
                          "Name one; accept other gaps before, without --to.")
    (name,) = names
    topic, _, index = name.rpartition(":")
    if topic not in input_topics(settings) or not index.isdigit():
        raise ConfigError(f"{name!r} is no partition of an input.", f"Inputs: {', '.join(input_topics(settings))}.")
    with closing(Changelog(settings, Outside())) as changelog:
        checkpoint = newest_checkpoint(changelog, int(index))
    at = 0 if checkpoint is None else checkpoint.offsets.get(topic, 0)
    with closing(open_consumer(changelog_config(settings, "read_committed"))) as consumer:
        _, high = bounds(consumer, topic, int(index))
    if not at < to <= high:
        raise ConfigError(f"{name} stands at offset {at} and ends before {high}; it cannot go on at {to}.",
                          f"Name an offset from {at + 1} to {high}.")
    return Gap(topic, int(index), at, to, to - at, "passed over by hand")


def refuse_workers(settings: Settings) -> None:
    """Raises StateError while the group has members."""
    admin = open_admin(common_config(settings))  # kept: without it nothing would ever be answered
    try:
        described = admin.describe_consumer_groups([settings.app_id])[settings.app_id]
        members = described.result(timeout=COMMITTED_WITHIN_S).members
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.INVALID_GROUP_ID):
            return
        raise_refusal(error.args[0], "Read", "operator", group=settings.app_id)
        raise Unreachable(f"The members of group {settings.app_id!r} cannot be learnt: {error.args[0].str()}.",
                          "See the broker's log.") from error
    if members:
        raise StateError(
            f"{len(members)} workers of app {settings.app_id!r} are at work, or were a moment ago.",
            "Stop them all, wait for their session to end (session_timeout_ms, 6 s by default), and say it again.",
        )


@contextmanager
def _alone(settings: Settings) -> Iterator[Any]:
    """As the only member of the group; gives its metadata, under which a commit fails once anybody else has joined."""
    config = source_config(settings, "gaps")
    config.pop("group.instance.id", None)  # a static member would be waited for after it has gone
    counts = partition_counts(open_admin(common_config(settings)), settings.bootstrap)
    topics = [t for t in (*input_topics(settings), clock_topic(settings.app_id)) if t in counts]
    everything = {(t, p) for t in topics for p in range(counts[t])}
    has: set[tuple[str, int]] = set()

    def on_assign(consumer: Any, assigned: list[Any]) -> None:
        has.update((p.topic, p.partition) for p in assigned)
        ends = [TopicPartition(p.topic, p.partition, OFFSET_END) for p in assigned]  # nothing is read from them
        if settings.group_protocol == "consumer":
            consumer.incremental_assign(ends)
        else:
            consumer.assign(ends)
        consumer.pause(ends)

    with closing(open_consumer(config)) as consumer:
        consumer.subscribe(topics, on_assign=on_assign)
        until = time.monotonic() + ALONE_WITHIN_S
        while has != everything:
            consumer.poll(0.1)
            if time.monotonic() > until:
                raise StateError(f"Not all partitions of group {settings.app_id!r} can be had: a worker has joined it.",
                                 "Stop it, and say it again.")
        yield consumer.consumer_group_metadata()


def _write(settings: Settings, gaps: list[Gap], group: Any, who: str, now_ms: int) -> None:
    transactions = Transactions(transactional_config(settings, "gaps"), Outside())
    try:
        transactions.open()
        for index, checkpoint in _moved(settings, gaps).items():
            transactions.produce(state_topic(settings.app_id), index, KEY, checkpoint.encode())
        for gap in gaps:
            if gap.why not in LOSSLESS:
                transactions.produce(dead_letters_topic(settings.app_id), gap.partition, None, None,
                                     audit_headers(gap, who, now_ms))
        transactions.commit([TopicPartition(g.topic, g.partition, g.end) for g in gaps], group)
    except TransactionLost as lost:
        raise Unreachable(f"The gaps may not have been accepted: {lost.what}",
                          "Look again with `segue gaps`: what it lists still holds.") from lost
    finally:
        transactions.drop()


def _moved(settings: Settings, gaps: list[Gap]) -> dict[int, Checkpoint]:
    """Index -> its newest checkpoint, with the offsets beyond the gaps; of indexes whose offsets move."""
    moved: dict[int, Checkpoint] = {}
    with closing(Changelog(settings, Outside())) as changelog:
        for index in sorted({g.partition for g in gaps}):
            found = newest_checkpoint(changelog, index)
            if found is None:
                raise StateError(f"{changelog.topic} holds no checkpoint of partition {index}: the state is lost.",
                                 "Bring the topic back, or start under a new app_id, which reads all inputs again.")
            offsets = found.offsets | {g.topic: g.end for g in gaps if g.partition == index}
            if offsets != found.offsets:
                moved[index] = msgspec.structs.replace(found, offsets=offsets, previous=dict(found.offsets),
                                                       consumed=0, changes=0, states=0)
    return moved


def audit_headers(gap: Gap, who: str, now_ms: int) -> list[tuple[str, bytes]]:
    """Of the note in the dead letters that the gap was accepted."""
    said = {
        REASON: "gap", f"{PREFIX}message": f"{describe(gap)[0]} Accepted by {who}.", f"{PREFIX}topic": gap.topic,
        f"{PREFIX}partition": gap.partition, f"{PREFIX}offset": gap.start, "segue.gap-from": gap.start,
        "segue.gap-to": gap.end, "segue.gap-records": "unknown" if gap.records is None else gap.records,
        "segue.gap-why": gap.why, "segue.accepted-by": who, "segue.accepted-at-ms": now_ms,
    }
    return [(name, str(value).encode()) for name, value in said.items()]
