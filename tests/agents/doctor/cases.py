"""What each check must find: a healthy app, and what is changed of it. A new finding needs a line here, or a test fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from segue.limits import STATE_BYTES
from segue_agents.doctor.checks import cluster, flow, machine, topics
from segue_agents.doctor.facts import (
    Cluster,
    Disk,
    Ends,
    Facts,
    Group,
    Look,
    LooksBack,
    Member,
    Rules,
    Sample,
    Source,
    Topic,
    Unknown,
    Versions,
)
from segue_agents.doctor.findings import UNKNOWN, Kind
from segue_agents.settings import Settings

DAY = 86_400_000
NOW = 1_795_510_800_000
SITE, EMAIL, PROFILE = "site-events", "email-events", "profile-updates"
OUTPUT, STATE, CLOCK, LETTERS = "segment-changes", "segue-segue-state", "segue-segue-clock", "segue-segue-dead-letters"
ALL = (SITE, EMAIL, PROFILE, OUTPUT, STATE, CLOCK, LETTERS)
RIGHTS = frozenset({"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS", "CREATE"})

TOPIC = Topic(partitions=2, replicas=3, operations=RIGHTS)
CONFIG = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "min.insync.replicas": "2",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
}
SAMPLE = Sample(records=20, murmur2=20, crc32=9, schema_ids=frozenset({1}), newest_ms=NOW - 5_000, looked_ms=NOW)
TICKS = Sample(records=6, without_key=6, newest_ms=NOW - 400, looked_ms=NOW)
ENDS = {(t, p): Ends(0, 100, 100) for t in ALL for p in (0, 1)}
COMMITTED = {(t, p): 100 for t in (SITE, EMAIL, PROFILE, CLOCK) for p in (0, 1)}
WORKER = Member("segue", "/10.0.0.7", "segue-0", 8)

HEALTHY = Facts(
    Settings(),
    versions=Versions("0.1.0", (3, 12, 1), "2.16.0", "2.16.1"),
    cluster=Cluster("id", 3, 4.0, RIGHTS),
    apis={22: 5, 26: 5, 28: 5, 68: 1, 76: 1, 78: 2},
    broker_config={"transaction.max.timeout.ms": "900000", "group.min.session.timeout.ms": "6000",
                   "group.max.session.timeout.ms": "1800000", "offsets.retention.minutes": "10080"},
    topics=dict.fromkeys(ALL, TOPIC),
    topic_configs=dict.fromkeys(ALL, CONFIG)
    | {STATE: CONFIG | {"cleanup.policy": "compact", "max.message.bytes": str(STATE_BYTES)}},
    group=Group("STABLE", (WORKER,), RIGHTS),
    first=Look(10.0, ENDS, COMMITTED),
    second=Look(12.0, ENDS, COMMITTED),
    samples={SITE: SAMPLE, EMAIL: SAMPLE, PROFILE: Sample(looked_ms=NOW), CLOCK: TICKS},
    open_since_ms={},
    disk=Disk("/var/lib/segue", True, True, 80 << 30, 100 << 30, "ext4", 5 << 30, {"0": 4711}),
    rules=Rules(6, {SITE: LooksBack(7 * DAY, "hot_lead", "count(page) >= 3 in the last 7 days")}, {}),
    sources={SITE: Source("site", 400 * DAY, DAY, "segue.SiteEvent"), EMAIL: Source("email", None, DAY, "segue.EmailEvent"),
             PROFILE: Source("profile", None, DAY, "segue.ProfileUpdate")},
    ids={"segue.SiteEvent": 1, "segue.EmailEvent": 2, "segue.ProfileUpdate": 3},
    schemas={(SITE, 1): "", (EMAIL, 1): ""},
)  # fmt: skip


class Case(NamedTuple):
    """`facts` are the healthy ones but for what a line changes."""

    name: str
    facts: Facts
    kind: Kind
    where: str


def settings(**given: Any) -> Facts:
    return replace(HEALTHY, settings=Settings(**given))


def topic(name: str, **given: Any) -> dict[str, Any]:
    return {"topics": dict(HEALTHY.topics) | {name: replace(TOPIC, **given)}}


def config(name: str, **given: str) -> dict[str, Any]:
    of = {key.replace("_", "."): value for key, value in given.items()}
    known: Mapping[str, Any] = HEALTHY.topic_configs
    return {"topic_configs": dict(known) | {name: known[name] | of}}


def sampled(name: str, **given: Any) -> dict[str, Any]:
    known: Mapping[str, Any] = HEALTHY.samples
    return {"samples": dict(known) | {name: replace(known[name], **given)}}


def site(ends: Ends, committed: int = 100, before: Ends | None = None) -> dict[str, Any]:
    """Partition 0 of site-events."""
    where = {(SITE, 0): ends}
    first = Look(10.0, ENDS | ({(SITE, 0): before} if before else where), COMMITTED | {(SITE, 0): committed})
    return {"first": first, "second": Look(12.0, ENDS | where, COMMITTED | {(SITE, 0): committed})}


def disk(**given: Any) -> dict[str, Any]:
    return {"disk": replace(HEALTHY.disk, **given)}


def case(name: str, kind: Kind, where: str, of: Facts = HEALTHY, **changes: Any) -> Case:
    return Case(name, replace(of, **changes), kind, where)


HELD = Ends(0, 90, 100)
OPEN = site(HELD) | {"open_since_ms": {(SITE, 0): NOW - 600_000}}
WHY = Unknown("it is away")
BACK = LooksBack(30 * DAY, "lapsed", "did page in the last 30 days")
SEVEN_DAYS = str(7 * DAY)

CASES = (
    case("nobody answers", cluster.AWAY, "127.0.0.1:9092", cluster=Unknown("refused", unreachable=True, told=True)),
    case("no address", cluster.NOT_ASKED, "", cluster=Unknown("No broker is named", "segue up", told=True)),
    case("Kafka 2.4", cluster.OLD, "127.0.0.1:9092", apis={22: 1, 28: 2, 60: 0}),
    case("KIP-848 wanted", cluster.NO_KIP_848, "127.0.0.1:9092", settings(group_protocol="consumer"), apis={28: 5}),
    case(
        "too long a transaction",
        cluster.TRANSACTION_LIMIT,
        "transaction.max.timeout.ms",
        settings(transaction_timeout_ms=900_001),
    ),
    case("too short a session", cluster.SESSION_LIMIT, "group.min.session.timeout.ms", settings(session_timeout_ms=5_999)),
    case(
        "offsets for an hour",
        cluster.OFFSETS_EXPIRE,
        "offsets.retention.minutes",
        broker_config={"offsets.retention.minutes": "60"},
    ),
    case("may not write", cluster.LACKING, OUTPUT, **topic(OUTPUT, operations=RIGHTS - {"WRITE"})),
    case("may not read the states", cluster.LACKING, STATE, **topic(STATE, operations=RIGHTS - {"READ"})),
    case("may not join", cluster.LACKING, "group segue", group=Group("STABLE", (WORKER,), frozenset({"DESCRIBE"}))),
    case(
        "may not create",
        cluster.LACKING,
        "cluster",
        cluster=Cluster("id", 3, 4.0, frozenset({"DESCRIBE"})),
        **topic(LETTERS, error="UNKNOWN_TOPIC_OR_PART"),
    ),
    case("may not see", cluster.HIDDEN, SITE, **topic(SITE, error="TOPIC_AUTHORIZATION_FAILED")),
    case("may not see its configuration", cluster.NOT_SEEN, SITE, **topic(SITE, operations=RIGHTS - {"DESCRIBE_CONFIGS"})),
    case("an old broker does not tell rights", cluster.NOT_TOLD, SITE, **topic(SITE, operations=None)),
    case(
        "a topic is missing",
        topics.ABSENT,
        EMAIL,
        settings(create_topics=False),
        **topic(EMAIL, error="UNKNOWN_TOPIC_OR_PART"),
    ),
    case("a topic is to come", topics.TO_COME, EMAIL, **topic(EMAIL, error="UNKNOWN_TOPIC_OR_PART")),
    case("another number of partitions", topics.UNEQUAL, EMAIL, **topic(EMAIL, partitions=3)),
    case("producers disagree", topics.MIXED, EMAIL, **sampled(EMAIL, murmur2=9, crc32=20)),
    case("keys all over", topics.MIXED, SITE, **sampled(SITE, murmur2=12, crc32=11)),
    case(
        "librdkafka's partitioner everywhere",
        topics.ALL_CRC32,
        SITE,
        samples={t: replace(SAMPLE, murmur2=9, crc32=20) for t in (SITE, EMAIL)},
    ),
    case("no key", topics.KEYLESS, SITE, **sampled(SITE, without_key=4, murmur2=16)),
    case("no leader", topics.LEADERLESS, SITE, **topic(SITE, leaderless=(1,))),
    case("a replica lags", topics.BEHIND, SITE, **topic(SITE, behind=(0,))),
    case("one copy on three brokers", topics.ONE_COPY, STATE, **topic(STATE, replicas=1)),
    case("more in sync than there are", topics.UNWRITABLE, STATE, **topic(STATE, replicas=1)),
    case("all must be in sync", topics.NONE_MAY_FAIL, STATE, **topic(STATE, replicas=2)),
    case("one in sync is enough", topics.MAY_BE_LOST, STATE, **config(STATE, min_insync_replicas="1")),
    case("a compacted input", topics.COMPACTED, SITE, **config(SITE, cleanup_policy="compact")),
    case("compacted changes", topics.COMPACTED, OUTPUT, **config(OUTPUT, cleanup_policy="compact,delete")),
    case("a changelog that forgets", topics.NOT_COMPACTED, STATE, **config(STATE, cleanup_policy="compact,delete")),
    case("tombstones for an hour", topics.TOMBSTONES, STATE, **config(STATE, delete_retention_ms="3600000")),
    case("states of 1 MB", topics.STATES_LIMITED, STATE, **config(STATE, max_message_bytes="1048588")),
    case("small dead letters", topics.LETTERS_LIMITED, LETTERS, **config(LETTERS, max_message_bytes="100000")),
    case("kept shorter than declared", topics.DECLARED_LONGER, SITE, **config(SITE, retention_ms=SEVEN_DAYS)),
    case(
        "kept shorter than a rule looks",
        topics.RULES_LOOK_FURTHER,
        EMAIL,
        rules=Rules(1, {EMAIL: BACK}, {}),
        **config(EMAIL, retention_ms=SEVEN_DAYS),
    ),
    case(
        "a rule looks back for ever",
        topics.FOR_EVER,
        EMAIL,
        rules=Rules(1, {EMAIL: replace(BACK, ms=None)}, {}),
        **config(EMAIL, retention_ms=SEVEN_DAYS),
    ),
    case("cut by size", topics.CUT_BY_SIZE, SITE, **config(SITE, retention_bytes="1000000")),
    case("events for an hour", topics.SHORT, EMAIL, **config(EMAIL, retention_ms="3600000")),
    case("dead letters for an hour", topics.SHORT, LETTERS, **config(LETTERS, retention_ms="3600000")),
    case("late events refused", topics.LATE_REFUSED, SITE, **config(SITE, message_timestamp_before_max_ms="3600000")),
    case("a transaction hangs", flow.HANGS, f"{SITE}:0", **OPEN),
    case("a transaction is open", flow.HOLDS_UP, f"{SITE}:0", **site(HELD)),
    case("nobody works", flow.NOBODY, "group segue", group=Group("EMPTY", (), RIGHTS), **site(Ends(0, 120, 120))),
    case("workers without partitions", flow.IDLE, "group segue", group=Group("STABLE", (WORKER,) * 3, RIGHTS)),
    case("joins and joins", flow.REBALANCING, "group segue", group=Group("PREPARING_REBALANCING", (WORKER,), RIGHTS)),
    case("nothing is committed", flow.STANDS, f"{SITE}:0", **site(Ends(0, 120, 120))),
    case("deleted unread", flow.GONE, f"{SITE}:0", **site(Ends(110, 120, 120))),
    case("made anew", flow.BEYOND, f"{SITE}:0", **site(Ends(0, 5, 5))),
    case("the changelog is gone", flow.NO_STATE, STATE, **topic(STATE, error="UNKNOWN_TOPIC_OR_PART")),
    case("the worker's clock is ahead", flow.AHEAD, CLOCK, **sampled(CLOCK, newest_ms=NOW + 3_000)),
    case("the broker's clock is ahead", flow.AHEAD, SITE, **sampled(SITE, newest_ms=NOW + 3_000, by_broker=True)),
    case("the broker's clock is behind", flow.BEHIND_US, "broker", skew_ms=-2_000.0),
    case("clocks far apart", flow.FAR, "broker", skew_ms=400_000.0),
    case("no right to measure", flow.UNMEASURED, "the broker's clock", skew_ms=Unknown("TOPIC_AUTHORIZATION_FAILED")),
    case("no ticks", flow.NO_TICKS, CLOCK, **sampled(CLOCK, newest_ms=NOW - 60_000)),
    case("no right to write", machine.NOT_WRITABLE, "/var/lib/segue", **disk(writable=False)),
    case("a full disk", machine.FULL, "/var/lib/segue", **disk(free_bytes=1 << 20)),
    case("little room", machine.LITTLE_ROOM, "/var/lib/segue", **disk(free_bytes=6 << 30)),
    case("no room to compact", machine.STATE_NEEDS_ROOM, "/var/lib/segue", **disk(state_bytes=90 << 30)),
    case("a network disk", machine.NETWORK, "/var/lib/segue", **disk(filesystem="nfs4")),
    case("in memory", machine.IN_MEMORY, "/var/lib/segue", **disk(filesystem="tmpfs")),
    case("a wrong rule", machine.RULES_WRONG, "rules", rules=Unknown("rules/x.yaml:2:11: unknown event")),
    case("too far for the log", machine.WAREHOUSE_ONLY, "far", rules=Rules(1, {}, {"far": "it looks back 730 days"})),
    case("a wrong declaration", machine.SOURCES_WRONG, "packaged sources", sources=Unknown("it lacks 'topic'")),
    case("no ids.yaml", machine.NO_IDS, "ids.yaml", ids=Unknown("there is none")),
    case("an id is missing", machine.NO_ID, "email", ids={"segue.SiteEvent": 1, "segue.ProfileUpdate": 3}),
    case(
        "no registry", machine.REGISTRY_AWAY, "http://registry:8081", settings(registry="http://registry:8081"), registry=WHY
    ),
    case("a schema nobody can read", machine.UNREADABLE, SITE, schemas={(SITE, 7): "it lacks the field 'timestamp'"}),
    case("no framing", machine.UNFRAMED, SITE, **sampled(SITE, unframed=3)),
    case("no right to describe the group", UNKNOWN, "group", group=Unknown("GROUP_AUTHORIZATION_FAILED")),
    case("offsets that do not come", UNKNOWN, "second", second=Unknown("no answer in time")),
)
