"""Of the topics: that they are there, alike, safe, and configured as what they are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from segue.limits import DEAD_LETTER_BYTES, DEAD_LETTER_KEY_BYTES, STATE_BYTES
from segue.rules.pretty import duration_text
from segue_agents.doctor.facts import Cluster, Facts, LooksBack, Rules, Sample, Source, Topic
from segue_agents.doctor.findings import INCOMPATIBLE, Check, Finding, Kind, fine
from segue_agents.settings import Settings
from segue_agents.topics import DELETE_RETENTION_MS, clock_topic, dead_letters_topic, state_topic

DAY_MS: Final = 86_400_000
ALTER: Final = "kafka-configs.sh --alter --topic {where} --add-config "
"""how a topic's configuration is mended"""


def _existing(facts: Facts) -> dict[str, Topic]:
    return {name: t for name, t in cast("Mapping[str, Topic]", facts.topics).items() if t.exists}


def _configs(facts: Facts) -> Mapping[str, Mapping[str, str]]:
    return cast("Mapping[str, Mapping[str, str]]", facts.topic_configs)


# --- that they are there

ABSENT = Kind(
    "problem",
    "there is no such topic, and create_topics is off",
    "kafka-topics.sh --create --topic {where} --partitions {partitions}, or set create_topics.",
)
TO_COME = Kind("warning", "not there yet", "Nothing: segue run creates them. Or create them as you want them.")


def _present(facts: Facts) -> Iterator[Finding]:
    there = _existing(facts)
    partitions = next((t.partitions for t in there.values()), facts.settings.partitions)
    absent = [n for n, t in cast("Mapping[str, Topic]", facts.topics).items() if "UNKNOWN_TOPIC" in t.error]
    if not facts.settings.create_topics:
        yield from (ABSENT.at(name, partitions=partitions) for name in absent)
    elif absent:
        yield TO_COME.at(", ".join(absent))
    yield fine(f"{len(there)} topics are there")


# --- alike: a person's records, states and changes lie in partitions of one number

UNEQUAL = Kind(
    "problem",
    "it has {has} partitions and {other} has {others}: a person's records would be in two places",
    "Make the wrong one anew with the other's number: kafka-topics.sh --create --topic {where} --partitions "
    "{others}; partitions cannot be taken away, and adding some moves persons.",
    INCOMPATIBLE,
)


def _partitions(facts: Facts) -> Iterator[Finding]:
    there = _existing(facts)
    counts = [t.partitions for t in there.values()]
    usual = max(counts, key=counts.count, default=0)
    for name, topic in there.items():
        if topic.partitions != usual:
            other = next(n for n, t in there.items() if t.partitions == usual)
            yield UNEQUAL.at(name, has=topic.partitions, other=other, others=usual)
    yield fine(f"{usual} of each topic" if there else "no topic is there yet")


MIXED = Kind(
    "problem",
    "{wrong} of {records} sampled records lie in other partitions than murmur2 of their keys says, and "
    "not all sources agree: a person's events are in two places",
    "Let every producer use Java's default partitioner, or with librdkafka partitioner=murmur2_random; then read "
    "everything again under a new app_id.",
    INCOMPATIBLE,
)
ALL_CRC32 = Kind(
    "warning",
    "its records lie where CRC-32 of their keys says, librdkafka's default; `segue send` and "
    "`segue dead-letters retry` write by murmur2",
    "Set partitioner=murmur2_random in the producers, before others join them that use it.",
)
KEYLESS = Kind(
    "warning",
    "{without_key} of {records} sampled records have no key: they go to the dead letters as no_person",
    "Let the producer set the person's id as the key.",
)


def _partitioner(facts: Facts) -> Iterator[Finding]:
    samples: dict[str, Sample] = {}
    for name in facts.inputs:
        sample = cast("Mapping[str, Sample]", facts.samples).get(name)
        topic = cast("Mapping[str, Topic]", facts.topics).get(name, Topic())
        if sample is None or not sample.records:
            continue
        if sample.without_key:
            yield KEYLESS.at(name, without_key=sample.without_key, records=sample.records)
        if topic.partitions > 1 and sample.records > sample.without_key:
            samples[name] = sample
    keyed = {name: s.records - s.without_key for name, s in samples.items()}
    all_crc32 = all(s.crc32 == keyed[name] for name, s in samples.items())
    for name, s in samples.items():
        if s.murmur2 < keyed[name]:
            kind = ALL_CRC32 if all_crc32 else MIXED
            yield kind.at(name, wrong=keyed[name] - s.murmur2, records=keyed[name])
    yield fine(f"{sum(s.murmur2 for s in samples.values())} sampled records lie where murmur2 of their keys says")


# --- safe

LEADERLESS = Kind(
    "problem",
    "no leader for partition {partitions}: they cannot be read or written",
    "Bring the brokers back that hold them: kafka-topics.sh --describe --topic {where}",
)
BEHIND = Kind(
    "warning",
    "replicas of partition {partitions} are not in sync",
    "See the brokers that lag: kafka-topics.sh --describe --under-replicated-partitions",
)
ONE_COPY = Kind(
    "warning",
    "{replicas} replica on {brokers} brokers: with its broker goes what it holds",
    "kafka-reassign-partitions.sh with 3 replicas of {where}",
)
UNWRITABLE = Kind(
    "problem",
    "min.insync.replicas is {least}, and it has {replicas} replicas: nothing can be written",
    ALTER + "min.insync.replicas={better}",
)
NONE_MAY_FAIL = Kind(
    "warning",
    "min.insync.replicas is {least} of {replicas} replicas: one broker less stops all writing",
    ALTER + "min.insync.replicas={better}",
)
MAY_BE_LOST = Kind(
    "warning",
    "min.insync.replicas is 1 of {replicas} replicas: what is acknowledged may be on one alone",
    ALTER + "min.insync.replicas=2",
)


def _replication(facts: Facts) -> Iterator[Finding]:
    brokers = cast("Cluster", facts.cluster).brokers
    for name, topic in _existing(facts).items():
        least = int(_configs(facts).get(name, {}).get("min.insync.replicas", 1))
        values: dict[str, Any] = {
            "replicas": topic.replicas,
            "least": least,
            "brokers": brokers,
            "better": max(1, topic.replicas - 1),
        }
        if topic.leaderless:
            yield LEADERLESS.at(name, partitions=", ".join(map(str, topic.leaderless)))
        if topic.behind:
            yield BEHIND.at(name, partitions=", ".join(map(str, topic.behind)))
        if topic.replicas == 1 < brokers:
            yield ONE_COPY.at(name, **values)
        if least > topic.replicas:
            yield UNWRITABLE.at(name, **values)
        elif least == topic.replicas > 1:
            yield NONE_MAY_FAIL.at(name, **values)
        elif least == 1 and topic.replicas > 2:
            yield MAY_BE_LOST.at(name, **values)
    if brokers == 1:
        yield fine("one broker, so one copy of everything: for development")


# --- configured as what they are for

COMPACTED = Kind(
    "problem",
    "cleanup.policy is {policy}: Kafka keeps the newest record of a key alone, {loses}",
    ALTER + "cleanup.policy=delete",
)
NOT_COMPACTED = Kind(
    "problem",
    "cleanup.policy is {policy}: Kafka deletes states that nothing else has",
    ALTER + "cleanup.policy=compact",
    INCOMPATIBLE,
)
TOMBSTONES = Kind(
    "problem",
    "delete.retention.ms is {ms}: a worker away longer could bring back somebody who was erased",
    ALTER + "delete.retention.ms={needed}",
)


def _cleanup(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    loses = {
        settings.output_topic: "and changes of a person's other segments go",
        clock_topic(settings.app_id): "and refuses ticks, which have no key",
        dead_letters_topic(settings.app_id): "and letters of one person push out each other",
    }
    for name, config in _configs(facts).items():
        policy = config.get("cleanup.policy", "")
        if name == state_topic(settings.app_id):
            if policy and policy != "compact":
                yield NOT_COMPACTED.at(name, policy=policy)
            ms = int(config.get("delete.retention.ms", DELETE_RETENTION_MS))
            if ms < DELETE_RETENTION_MS:
                yield TOMBSTONES.at(name, ms=ms, needed=DELETE_RETENTION_MS)
        elif "compact" in policy:
            yield COMPACTED.at(name, policy=policy, loses=loses.get(name, "and events of a person push out each other"))


STATES_LIMITED = Kind(
    "warning",
    "max.message.bytes is {bytes}: a larger state of one person stops the worker",
    ALTER + "max.message.bytes={needed}",
)
LETTERS_LIMITED = Kind(
    "problem",
    "max.message.bytes is {bytes}: a dead letter that does not fit stops its partition",
    ALTER + "max.message.bytes={needed}",
)
LETTER_BYTES: Final = DEAD_LETTER_BYTES + 2 * DEAD_LETTER_KEY_BYTES


def _sizes(facts: Facts) -> Iterator[Finding]:
    for name, kind, needed in (
        (state_topic(facts.settings.app_id), STATES_LIMITED, STATE_BYTES),
        (dead_letters_topic(facts.settings.app_id), LETTERS_LIMITED, LETTER_BYTES),
    ):
        size = int(_configs(facts).get(name, {}).get("max.message.bytes", needed))
        if size < needed:
            yield kind.at(name, bytes=size, needed=needed)


# --- kept long enough

DECLARED_LONGER = Kind(
    "problem",
    "it keeps {kept}, and its declaration says {declared}: rules that look back further than "
    "it keeps are wrong without a word",
    ALTER + "retention.ms={declared_ms}, or write the true 'retention:' into the source's declaration and run segue check.",
)
RULES_LOOK_FURTHER = Kind(
    "problem",
    "it keeps {kept}, and {segment} looks back {back} ('{condition}')",
    ALTER + "retention.ms={back_ms}, or shorten the rule's window.",
)
FOR_EVER = Kind(
    "warning",
    "it keeps {kept}, and {segment} looks back for ever ('{condition}'): after a start from nothing "
    "it knows no more than that",
    "State 'retention: {kept}' in the source's declaration, so that segue check says which rules need a backfill.",
)
CUT_BY_SIZE = Kind(
    "warning",
    "retention.bytes is {bytes}: a busy day cuts it short, whatever retention.ms says",
    ALTER + "retention.bytes=-1",
)
SHORT = Kind("warning", "it keeps {kept}: an app that is down longer loses records", ALTER + "retention.ms={day_ms} or more")
LATE_REFUSED = Kind(
    "warning",
    "message.timestamp.before.max.ms is {ms}: Kafka refuses events that are late by more, and the "
    "source's lateness is {lateness}",
    ALTER + "message.timestamp.before.max.ms={lateness_ms}",
)


def _retention(facts: Facts) -> Iterator[Finding]:
    rules = facts.rules if isinstance(facts.rules, Rules) else None
    for name, source in cast("Mapping[str, Source]", facts.sources).items():
        config = _configs(facts).get(name)
        if config is None:
            continue
        kept_ms = int(config.get("retention.ms", -1))
        if "delete" in config.get("cleanup.policy", "delete") and kept_ms >= 0:
            yield from _kept(name, kept_ms, source, rules.looks_back.get(name) if rules else None)
        if int(config.get("retention.bytes", -1)) >= 0:
            yield CUT_BY_SIZE.at(name, bytes=config["retention.bytes"])
        before_ms = int(config.get("message.timestamp.before.max.ms", source.lateness_ms))
        if config.get("message.timestamp.type") == "CreateTime" and before_ms < source.lateness_ms:
            yield LATE_REFUSED.at(
                name, ms=before_ms, lateness=duration_text(source.lateness_ms), lateness_ms=source.lateness_ms
            )
    yield from _letters_kept(facts.settings, _configs(facts))


def _kept(name: str, kept_ms: int, source: Source, back: LooksBack | None) -> Iterator[Finding]:
    kept = duration_text(kept_ms)
    if source.retention_ms is not None and kept_ms < source.retention_ms:
        yield DECLARED_LONGER.at(
            name, kept=kept, declared=duration_text(source.retention_ms), declared_ms=source.retention_ms
        )
    if back is not None:
        values = {"kept": kept, "segment": back.segment, "condition": back.condition}
        if back.ms is not None and back.ms > kept_ms:
            yield RULES_LOOK_FURTHER.at(name, back=duration_text(back.ms), back_ms=back.ms, **values)
        elif back.ms is None and source.retention_ms is None:
            yield FOR_EVER.at(name, **values)
    if kept_ms < DAY_MS:
        yield SHORT.at(name, kept=kept, day_ms=DAY_MS)


def _letters_kept(settings: Settings, configs: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    name = dead_letters_topic(settings.app_id)
    kept_ms = int(configs.get(name, {}).get("retention.ms", -1))
    if 0 <= kept_ms < DAY_MS:
        yield SHORT.at(name, kept=duration_text(kept_ms), day_ms=DAY_MS)


CHECKS: Final = (
    Check("topics", "whether the inputs and the app's own topics are there", ("topics",), _present, (ABSENT, TO_COME), ""),
    Check(
        "partitions",
        "whether all of them have one number of partitions (co-partitioning)",
        ("topics",),
        _partitions,
        (UNEQUAL,),
        "",
    ),
    Check(
        "partitioner",
        "keys of the newest records of each input: whether they lie where murmur2 says",
        ("samples", "topics"),
        _partitioner,
        (MIXED, ALL_CRC32, KEYLESS),
        "",
    ),
    Check(
        "replication",
        "leaders, replicas, replicas in sync, min.insync.replicas",
        ("topics", "topic_configs", "cluster"),
        _replication,
        (LEADERLESS, BEHIND, ONE_COPY, UNWRITABLE, NONE_MAY_FAIL, MAY_BE_LOST),
        "every topic is kept safely",
    ),
    Check(
        "cleanup",
        "cleanup.policy: the changelog compacted, all others not; its tombstones",
        ("topic_configs",),
        _cleanup,
        (COMPACTED, NOT_COMPACTED, TOMBSTONES),
        "each topic's cleanup.policy is that of its use",
    ),
    Check(
        "record-size",
        "max.message.bytes of the changelog and the dead letters",
        ("topic_configs",),
        _sizes,
        (STATES_LIMITED, LETTERS_LIMITED),
        "states and dead letters of every size fit",
    ),
    Check(
        "retention",
        "how long inputs keep events, against their declarations and the rules' windows; dead letters too",
        ("topic_configs", "sources"),
        _retention,
        (DECLARED_LONGER, RULES_LOOK_FURTHER, FOR_EVER, CUT_BY_SIZE, SHORT, LATE_REFUSED),
        "inputs keep what the rules look back to",
    ),
)
