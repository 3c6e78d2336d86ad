"""Of what is going on: open transactions, the group, its lag, records that are gone, the clocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from segue.limits import MAX_FUTURE_MS
from segue_agents.doctor.facts import Facts, Group, Look, Partition, Sample, Unknown
from segue_agents.doctor.findings import INCOMPATIBLE, Check, Finding, Kind, fine
from segue_agents.topics import clock_topic, state_topic, topic_configs

# --- transactions

HANGS = Kind(
    "problem",
    "a transaction has been open for {age}: nothing behind offset {offset} can be read",
    "kafka-transactions.sh find-hanging --broker-id ... names its producer; kafka-transactions.sh abort --topic "
    "{topic} --partition {partition} --start-offset {offset} ends it.",
)
HOLDS_UP = Kind(
    "warning",
    "a transaction has been open for {age}: nothing behind offset {offset} can be read until it ends",
    "If it stays, see its producer: kafka-transactions.sh describe-producers --topic {topic} --partition {partition}",
)


def held_up(first: Look, second: Look) -> dict[Partition, int]:
    """Partition -> the last stable offset, where the same transaction was open at both looks."""
    return {
        p: e.stable
        for p, e in second.ends.items()
        if e.stable < e.high and p in first.ends and first.ends[p].stable == e.stable < first.ends[p].high
    }


def _transactions(facts: Facts) -> Iterator[Finding]:
    first, second = cast("Look", facts.first), cast("Look", facts.second)
    since_ms = facts.open_since_ms if isinstance(facts.open_since_ms, Mapping) else {}
    read = {*facts.inputs, *topic_configs(facts.settings)}
    for (topic, index), offset in held_up(first, second).items():
        if topic not in read:
            continue
        least_s = second.at_s - first.at_s
        age_s = max(least_s, (_now_ms(facts) - since_ms.get((topic, index), _now_ms(facts))) / 1_000)
        kind = HANGS if age_s >= facts.thresholds.transaction_open_s else HOLDS_UP
        yield kind.at(f"{topic}:{index}", age=seconds(age_s), offset=offset, topic=topic, partition=index)


def _now_ms(facts: Facts) -> int:
    samples = facts.samples if isinstance(facts.samples, Mapping) else {}
    return max((s.looked_ms for s in samples.values()), default=0)


def seconds(s: float) -> str:
    """`3 s`, `12 min`, `5 h`."""
    return f"{s:.0f} s" if s < 120 else f"{s / 60:.0f} min" if s < 7_200 else f"{s / 3_600:.0f} h"


# --- the group

NOBODY = Kind(
    "warning", "no worker is there, and {lag:,} records wait", "segue run, or see why it ended: its log, segue gaps"
)
IDLE = Kind(
    "warning",
    "{workers} workers share {partitions} partitions: {idle} have none",
    "Stop those; more workers need more partitions, and that a new app_id.",
)
REBALANCING = Kind(
    "warning",
    "the group is sharing out partitions ({state})",
    "Look again. If it stays so a worker joins again and again: see the logs for max.poll.interval, and session_timeout_ms.",
)


def _group(facts: Facts) -> Iterator[Finding]:
    group, settings = cast("Group", facts.group), facts.settings
    where = f"group {settings.app_id}"
    lag = sum(_lags(facts, cast("Look", facts.second)).values())
    if not group.members and lag:
        yield NOBODY.at(where, lag=lag)
    indexes = {p for t, p in cast("Look", facts.second).ends if t in facts.inputs}
    if indexes and len(group.members) > len(indexes):
        yield IDLE.at(where, workers=len(group.members), partitions=len(indexes), idle=len(group.members) - len(indexes))
    if group.members and "REBALANC" in group.state:
        yield REBALANCING.at(where, state=group.state)
    hosts = ", ".join(sorted({f"{m.instance or m.client_id} on {m.host.lstrip('/')}" for m in group.members}))
    n = len(group.members)
    yield fine(f"{n} worker{'s' if n != 1 else ''}{f': {hosts}' if hosts else ''}", where)


STANDS = Kind(
    "warning",
    "{lag:,} records wait, and nothing was committed for {seconds}",
    "See the worker that has the partition: its /readyz, its log; it may restore, or a record may stop it.",
)


def _lags(facts: Facts, look: Look) -> dict[Partition, int]:
    """Of inputs: what a read_committed reader could read and has not."""
    read = set(facts.inputs)
    lags = {}
    for where, ends in look.ends.items():
        if where[0] in read:
            at = look.committed.get(where)
            start = (ends.low if facts.settings.start_at == "earliest" else ends.stable) if at is None else at
            lags[where] = max(0, ends.stable - start)
    return lags


def _lag(facts: Facts) -> Iterator[Finding]:
    first, second, group = cast("Look", facts.first), cast("Look", facts.second), cast("Group", facts.group)
    before, now = _lags(facts, first), _lags(facts, second)
    for (topic, index), lag in now.items():
        where = (topic, index)
        stands = first.committed.get(where) == second.committed.get(where)
        if group.members and lag and stands and before.get(where, 0):
            yield STANDS.at(f"{topic}:{index}", lag=lag, seconds=seconds(second.at_s - first.at_s))
    yield fine(f"{sum(now.values()):,} records wait")


# --- gone

GONE = Kind(
    "problem",
    "{records:,} records were deleted before the group read them",
    "segue gaps names them all, and what may be done.",
    INCOMPATIBLE,
)
BEYOND = Kind(
    "problem",
    "the group's offset {at} lies behind the topic's end {high}: the topic was made anew",
    "segue gaps says what may be done.",
    INCOMPATIBLE,
)
NO_STATE = Kind(
    "problem",
    "the group has committed offsets, and there is no changelog: the state is lost",
    "Bring the topic back, or start under a new app_id, which reads all inputs again.",
    INCOMPATIBLE,
)


def _gaps(facts: Facts) -> Iterator[Finding]:
    look = cast("Look", facts.second)
    for (topic, index), at in look.committed.items():
        ends = look.ends.get((topic, index))
        if ends is None or topic == state_topic(facts.settings.app_id):
            continue
        if at < ends.low:
            yield GONE.at(f"{topic}:{index}", records=ends.low - at)
        elif at > ends.high:
            yield BEYOND.at(f"{topic}:{index}", at=at, high=ends.high)
    state = state_topic(facts.settings.app_id)
    if look.committed and isinstance(facts.topics, Mapping) and "UNKNOWN_TOPIC" in facts.topics[state].error:
        yield NO_STATE.at(state)


# --- clocks

AHEAD = Kind(
    "warning",
    "{who} is ahead of this machine's clock by {ms:,.0f} ms",
    "Let NTP set the clocks of both: chronyc tracking, timedatectl",
)
BEHIND_US = Kind(
    "warning",
    "{who} is behind this machine's clock by {ms:,.0f} ms",
    "Let NTP set the clocks of both: chronyc tracking, timedatectl",
)
FAR = Kind(
    "problem",
    "{who} and this machine's clock differ by {ms:,.0f} ms: events more than {most} ahead of the worker's clock are refused",
    "Let NTP set the clocks of both: chronyc tracking, timedatectl",
)
NO_TICKS = Kind(
    "warning",
    "workers are there, and the newest tick is {age} old: time stands, and rules that wait for it",
    "See the log of the worker for tick_not_written, and the clock of its machine: chronyc tracking",
)


UNMEASURED = Kind(
    "warning",
    "it could not be measured: {why}",
    "Give the principal the right to create, write and delete the topic segue-{app}-doctor, or leave --write out.",
)


def _clocks(facts: Facts) -> Iterator[Finding]:
    samples, least = cast("Mapping[str, Sample]", facts.samples), facts.thresholds.skew_ms
    ticks = samples.get(clock_topic(facts.settings.app_id))
    for name, sample in samples.items():
        if sample.newest_ms is None or not (sample.by_broker or sample is ticks):
            continue
        who = "the broker's clock" if sample.by_broker else "the worker's clock"
        yield from _ahead(name, who, sample.newest_ms - sample.looked_ms, least)
    if isinstance(facts.skew_ms, Unknown) and not facts.skew_ms.told:
        yield UNMEASURED.at("the broker's clock", why=facts.skew_ms.why, app=facts.settings.app_id)
    if isinstance(facts.skew_ms, float | int):
        yield from _apart("broker", "the broker's clock", float(facts.skew_ms), least)
        yield fine(f"the broker's clock is {abs(facts.skew_ms):,.0f} ms {'ahead' if facts.skew_ms >= 0 else 'behind'}")
    if ticks is not None and ticks.newest_ms is not None and isinstance(facts.group, Group) and facts.group.members:
        age_ms = ticks.looked_ms - ticks.newest_ms
        if age_ms > 10_000 + 5 * facts.settings.clock_interval_ms:
            yield NO_TICKS.at(clock_topic(facts.settings.app_id), age=seconds(age_ms / 1_000))


def _ahead(where: str, who: str, ms: float, least: int) -> Iterator[Finding]:
    """A record of the past cannot say that a clock is behind, one of the future that it is ahead."""
    if ms > 0:
        yield from _apart(where, who, ms, least)


def _apart(where: str, who: str, ms: float, least: int) -> Iterator[Finding]:
    if abs(ms) >= MAX_FUTURE_MS:
        yield FAR.at(where, who=who, ms=abs(ms), most=seconds(MAX_FUTURE_MS / 1_000))
    elif abs(ms) >= least:
        yield (AHEAD if ms > 0 else BEHIND_US).at(where, who=who, ms=abs(ms))


CHECKS: Final = (
    Check(
        "transactions",
        "open transactions that hold back readers: last stable offsets, twice",
        ("first", "second"),
        _transactions,
        (HANGS, HOLDS_UP),
        "no transaction holds anybody up",
    ),
    Check("workers", "the members of the consumer group", ("group", "second"), _group, (NOBODY, IDLE, REBALANCING), ""),
    Check(
        "lag", "committed offsets against the ends of the inputs, twice", ("first", "second", "group"), _lag, (STANDS,), ""
    ),
    Check(
        "gaps",
        "committed offsets against the beginnings of the topics",
        ("second",),
        _gaps,
        (GONE, BEYOND, NO_STATE),
        "no record is gone before it was read",
    ),
    Check(
        "clocks",
        "the newest ticks and broker timestamps against this machine's clock; with --write the broker's exactly",
        ("samples",),
        _clocks,
        (AHEAD, BEHIND_US, FAR, NO_TICKS, UNMEASURED),
        "no clock is seen to be ahead (--write measures the broker's)",
    ),
)
