"""On a real Kafka each fault is made for real, and found; a healthy app with a worker is green; nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)
from tests.agents.codecs.fake_registry import NONE, FakeRegistry

import segue_schemas
from segue_agents.demo.child import Child
from segue_agents.doctor.checks import judge
from segue_agents.doctor.examination import examine
from segue_agents.doctor.facts import Thresholds
from segue_agents.doctor.findings import Finding, exit_code
from segue_agents.doctor.looks.clock import probe_topic
from segue_agents.doctor.looks.kafka import Kafka
from segue_agents.embedded import Broker, server
from segue_agents.publish import EventPublisher
from segue_agents.rule_files import load_catalog
from segue_agents.settings import Settings
from segue_agents.topics import clock_topic, create_topics, dead_letters_topic, input_topics, state_topic
from segue_agents.worker.clock import encode_tick

QUICK = Thresholds(looks_apart_s=0.3, free_share=0.0, free_bytes=0)
RULES = "segment: behavior_keen\nwhen: count(product_viewed) >= 3 in the last 10 days\n"
PERSONS = 12
WITHIN_S = 60.0
AT_WORK = (f"{PERSONS} sampled", "'0 records wait'")


class Set:
    """An app's topics, declarations and rules under a prefix of its own; no worker."""

    def __init__(self, broker: str, prefix: str, folder: Path) -> None:
        packaged, own = Path(segue_schemas.__file__).parent, folder / "contracts"
        shutil.copytree(packaged, own, ignore=shutil.ignore_patterns("*.py", "__pycache__", "examples"))
        for file in (own / "sources").glob("*.yaml"):
            file.write_text(file.read_text().replace("\ntopic: ", f"\ntopic: {prefix}"))
        (folder / "rules.yaml").write_text(RULES)
        self.settings = Settings(
            bootstrap=broker,
            app_id=f"{prefix}app",
            data_dir=folder / "data",
            partitions=2,
            rules=folder / "rules.yaml",
            sources=own / "sources",
            output_topic=f"{prefix}changes",
        )
        self.site, self.email = f"{prefix}site-events", f"{prefix}email-events"
        self.admin = AdminClient({"bootstrap.servers": broker})

    def create(self, name: str, partitions: int = 2, **config: str) -> None:
        """A topic, before the others are made."""
        of = {key.replace("_", "."): value for key, value in config.items()}
        self.admin.create_topics([NewTopic(name, partitions, 1, config=of)])[name].result()

    def create_all(self) -> None:
        """The others, and waits until each partition has its leader, which on a busy machine may take a moment."""
        create_topics(self.settings, 2)
        kafka, inputs, until = Kafka(self.settings), input_topics(self.settings), time.monotonic() + WITHIN_S
        while True:
            assert time.monotonic() < until
            try:
                kafka.cluster()
                topics = kafka.topics(inputs)
                if len(kafka.look(topics).ends) == sum(t.partitions for t in topics.values()):
                    return
            except (ConnectionError, KafkaException):
                continue

    def publish(self, events: int = PERSONS) -> None:
        publisher = EventPublisher(self.settings.bootstrap, load_catalog(self.settings.sources), self.settings.sources)
        for n in range(events):
            publisher.publish({"type": "track", "event": "Product Viewed", "userId": f"person-{n}", "properties": {},
                               "timestamp": time.time_ns() // 1_000_000, "messageId": f"m-{n}"})  # fmt: skip
        publisher.close()
        publisher.poll()  # raises what could not be delivered

    def producer(self, **config: Any) -> Any:
        return Producer({"bootstrap.servers": self.settings.bootstrap, "linger.ms": 0} | config)

    def write(self, topic: str, value: bytes, key: bytes | None = None, **given: Any) -> None:
        """One record, with Java's partitioner unless a partition is given."""
        producer = self.producer(partitioner="murmur2_random")
        failed: list[Any] = []
        producer.produce(topic, value, key, on_delivery=lambda error, _message: failed.append(error), **given)
        producer.flush(20)
        assert failed == [None]

    def commit(self, offset: int) -> None:
        """The group's offset of partition 0 of site-events."""
        at = ConsumerGroupTopicPartitions(self.settings.app_id, [TopicPartition(self.site, 0, offset)])
        self.admin.alter_consumer_group_offsets([at])[self.settings.app_id].result()

    def findings(self, shows: str = "", **given: Any) -> list[Finding]:
        """Looks until all is known and the check `shows` has found something: a busy machine is slow to answer."""
        until = time.monotonic() + WITHIN_S
        while True:
            found = judge(examine(replace(self.settings, **given), QUICK, within_s=20.0))
            known = not any(f.what.startswith("cannot be known") for f in found)
            if (known and (not shows or shows in first(found))) or time.monotonic() > until:
                return found

    def troubles(self, shows: str = "", **given: Any) -> dict[str, Finding]:
        """By check, its first."""
        return first(self.findings(shows, **given))


def first(findings: list[Finding]) -> dict[str, Finding]:
    return {f.check: f for f in reversed(findings) if f.level in ("warning", "problem")}


@pytest.fixture
def app(broker: str, topic_prefix: str, tmp_path: Path) -> Set:
    return Set(broker, topic_prefix, tmp_path)


def segue(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", "doctor", *arguments],
        capture_output=True, text=True, check=False, timeout=60, env=os.environ | environment,
    )  # fmt: skip


def flags(settings: Settings, **given: Any) -> list[str]:
    of = replace(settings, **given)
    return ["--broker", of.bootstrap, "--app-id", of.app_id, "--data-dir", str(of.data_dir), "--rules", str(of.rules),
            "--sources", str(of.sources), "--output-topic", of.output_topic]  # fmt: skip


def test_a_healthy_app_with_a_worker_is_green(app: Set, tmp_path: Path) -> None:
    """No finding above ok; the worker, its slot and the sampled records are counted; nothing waits."""
    app.create_all()
    app.publish()
    with Child(["run", *flags(app.settings), "--end-with-parent"], tmp_path / "worker.log") as worker:
        until, found = time.monotonic() + 80, app.findings()
        while first(found) or "1 worker" not in str(found) or any(w not in str(found) for w in AT_WORK):
            assert time.monotonic() < until, (first(found), worker.last_words())
            found = app.findings()
        ok = {f.check: f.what for f in found}
        assert ok["workers"].startswith("1 worker: ")
        assert (ok["lag"], ok["topics"], ok["partitions"]) == ("0 records wait", "7 topics are there", "2 of each topic")
        assert ok["partitioner"] == f"{PERSONS} sampled records lie where murmur2 of their keys says"
        assert ok["schemas"].startswith("1 schema in")
        assert f"slots in use: 0 (process {worker.pid})" in ok["disk"]
        done = segue(*flags(app.settings), "--json")
    whole = json.loads(done.stdout)
    assert (done.returncode, whole["exit_code"]) == (0, 0), done.stdout
    assert {f["check"] for f in whole["findings"]} == {f.check for f in found}


def test_nothing_is_changed(app: Set) -> None:
    """Before the first start: no topic, record, group or file comes of it; what is to come is said, and exit 0.

    The topic of --write is there, so that who makes one is found out: it is refused, or its record stays.
    """
    mine = app.settings.app_id.removesuffix("app")
    probe = probe_topic(app.settings.app_id)

    def world() -> tuple[Any, ...]:
        groups = {g.group_id for g in app.admin.list_consumer_groups().result().valid if mine in g.group_id}
        topics = {name for name in app.admin.list_topics(timeout=10).topics if mine in name}
        asked = {TopicPartition(t, p): OffsetSpec.latest() for t, p in ((app.site, 0), (app.site, 1), (probe, 0))}
        ends = {str(p): end.result().offset for p, end in app.admin.list_offsets(asked).items()}
        return topics, groups, ends, sorted(app.settings.data_dir.parent.rglob("*"))

    app.create(app.site)
    app.create(probe, 1)
    app.publish()
    before = world()
    found = app.findings()
    assert world() == before
    assert set(first(found)) == {"topics", "workers"}
    assert exit_code(found) == 0
    assert app.email in first(found)["topics"].where


Fault = Callable[[Set], None]


def _other_partitioner(app: Set) -> None:
    app.create_all()
    app.publish()
    producer = app.producer()  # librdkafka's own
    for n in range(PERSONS):
        producer.produce(app.email, b"\0\0\0\0\2", f"person-{n}".encode())
    producer.flush(10)


def _no_keys(app: Set) -> None:
    app.create_all()
    app.write(app.site, b"\0\0\0\0\1", partition=0)


def _not_avro(app: Set) -> None:
    app.create_all()
    app.write(app.site, b'{"event": "page"}', b"ada")


def _other_schema(app: Set) -> None:
    app.create_all()
    app.write(app.site, b"\0\0\0\0\7rest", b"ada")


def _deleted_unread(app: Set) -> None:
    app.create_all()
    for _ in range(5):
        app.write(app.site, b"\0\0\0\0\1", b"ada", partition=0)
    app.commit(1)
    for deleted in app.admin.delete_records([TopicPartition(app.site, 0, 4)]).values():
        deleted.result()


def _clock_ahead(app: Set) -> None:
    app.create_all()
    ahead_ms = time.time_ns() // 1_000_000 + 60_000
    app.write(clock_topic(app.settings.app_id), encode_tick(ahead_ms), partition=0, timestamp=ahead_ms)


def _recompacted(app: Set) -> None:
    app.create(state_topic(app.settings.app_id), cleanup_policy="delete")


FAULTS: list[tuple[str, Fault, dict[str, Any], str, str, str, int]] = [
    # what is done, settings, check, level, of its words, exit code
    ("unequal", lambda a: a.create(a.site, 3), {}, "partitions", "problem", "it has 3 partitions", 4),
    (
        "compacted",
        lambda a: a.create(a.site, cleanup_policy="compact"),
        {},
        "cleanup",
        "problem",
        "cleanup.policy is compact",
        1,
    ),
    ("changelog", _recompacted, {}, "cleanup", "problem", "Kafka deletes states", 4),
    (
        "retention",
        lambda a: a.create(a.site, retention_ms="604800000"),
        {},
        "retention",
        "problem",
        "it keeps 7 days, and its declaration says 400 days",
        1,
    ),
    (
        "size",
        lambda a: a.create(state_topic(a.settings.app_id), cleanup_policy="compact"),
        {},
        "record-size",
        "warning",
        "max.message.bytes is 1048588",
        0,
    ),
    (
        "letters",
        lambda a: a.create(dead_letters_topic(a.settings.app_id), max_message_bytes="1000"),
        {},
        "record-size",
        "problem",
        "a dead letter that does not fit",
        1,
    ),
    (
        "in sync",
        lambda a: a.create(a.site, min_insync_replicas="2"),
        {},
        "replication",
        "problem",
        "nothing can be written",
        1,
    ),
    ("absent", lambda a: a.create(a.site), {"create_topics": False}, "topics", "problem", "there is no such topic", 1),
    ("partitioner", _other_partitioner, {}, "partitioner", "problem", "lie in other partitions than murmur2", 4),
    ("no keys", _no_keys, {}, "partitioner", "warning", "1 of 1 sampled records have no key", 0),
    ("not avro", _not_avro, {}, "schemas", "problem", "1 of 1 sampled values are not in Confluent's framing", 4),
    (
        "other schema",
        _other_schema,
        {},
        "schemas",
        "problem",
        "the schema id 7, which a worker cannot read: ids.yaml has 1",
        4,
    ),
    ("gone", _deleted_unread, {}, "gaps", "problem", "3 records were deleted", 4),
    ("clock", _clock_ahead, {}, "clocks", "warning", "the worker's clock is ahead", 0),
    (
        "transaction limit",
        Set.create_all,
        {"transaction_timeout_ms": 3_600_000},
        "broker-limits",
        "problem",
        "the brokers allow 900000",
        4,
    ),
    (
        "session limit",
        Set.create_all,
        {"session_timeout_ms": 500},
        "broker-limits",
        "problem",
        "the brokers allow 1000 to",
        4,
    ),
    ("rules", Set.create_all, {"rules": Path("nowhere")}, "rules", "problem", "no rules at nowhere", 1),
    ("sources", Set.create_all, {"sources": Path("nowhere")}, "sources", "problem", "holds no source declarations", 1),
    ("data_dir", Set.create_all, {"data_dir": Path(__file__) / "data"}, "disk", "problem", "could not write there", 1),
]


@pytest.mark.parametrize(
    ("done", "given", "check", "level", "words", "code"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_fault_made_for_real(
    app: Set, done: Fault, given: dict[str, Any], check: str, level: str, words: str, code: int
) -> None:
    """It is found where it is, in words, with a fix and the exit code; the other checks go on."""
    done(app)
    if given.get("create_topics", True):
        app.create_all()
    found = app.findings(check, **given)
    assert words in first(found)[check].what, found
    assert first(found)[check].level == level
    assert first(found)[check].fix
    assert exit_code(found) == code
    assert {"versions", "kafka", "disk"} <= {f.check for f in found if f.level == "ok"} | {check}


@pytest.mark.parametrize(("minutes", "level"), [(10, "problem"), (0, "warning")])
def test_a_hanging_transaction(app: Set, minutes: int, level: str) -> None:
    """Of a real producer that never ends it: found with its offset and age; one that has just begun is a warning."""
    app.create_all()
    app.publish()
    producer = app.producer(**{"transactional.id": f"{app.settings.app_id}-other", "transaction.timeout.ms": 60_000})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(app.site, b"\0\0\0\0\1", b"ada", partition=1, timestamp=time.time_ns() // 1_000_000 - minutes * 60_000)
    producer.flush(10)
    found = app.troubles("transactions")["transactions"]
    assert (found.where, found.level) == (f"{app.site}:1", level)
    assert f"open for {f'{minutes} min' if minutes else '0 s'}" in found.what or not minutes
    assert "kafka-transactions.sh" in found.fix
    producer.abort_transaction(20)
    assert "transactions" not in app.troubles()


def test_a_disk_that_is_full(app: Set) -> None:
    """By its threshold; what is free is named."""
    app.create_all()
    facts = examine(app.settings, replace(QUICK, free_bytes=1 << 60))
    assert "are free: a store that cannot be written" in first(judge(facts))["disk"].what


def test_no_broker(app: Set, tmp_path: Path) -> None:
    """Exit 3 with the client's own word on why; the disk, rules and sources are looked at; within the ten seconds."""
    began = time.monotonic()
    done = segue(*flags(app.settings, bootstrap="127.0.0.1:1"), "--json")
    assert (done.returncode, time.monotonic() - began < 60) == (3, True)
    found = {f["check"]: f for f in json.loads(done.stdout)["findings"]}
    assert "Connection refused" in found["kafka"]["what"]
    assert {c for c, f in found.items() if f["level"] == "ok"} == {"versions", "disk", "sources", "rules", "schema-ids"}
    assert found["topics"]["level"] == "skipped"
    none = segue(*flags(app.settings)[2:], "-q", SEGUE_BROKER_DIR=str(tmp_path), SEGUE_BOOTSTRAP="")
    assert (none.returncode, none.stderr) == (3, "")
    assert none.stdout.startswith("problem  kafka          Kafka cannot be asked: No broker is named")


@pytest.mark.timeout(200)
def test_a_look_that_hangs_is_given_up(app: Set) -> None:
    """At the deadline it is a finding, and the others stand."""
    app.create_all()
    for within_s in (3.0, 12.0, 48.0):  # the others need time on a busy machine
        facts = examine(app.settings, replace(QUICK, looks_apart_s=300.0), within_s=within_s)
        found = judge(facts)
        assert "no answer in time" in first(found)["transactions"].what
        if {"partitions", "cleanup", "disk"} <= {f.check for f in found if f.level == "ok"}:
            return
    pytest.fail(f"nothing else was known either: {found}")


def test_the_broker_s_clock_is_measured_only_when_that_is_asked(app: Set) -> None:
    """On one machine it is the same, to some milliseconds; the topic that takes is gone after."""
    app.create_all()
    until, facts = time.monotonic() + WITHIN_S, examine(app.settings, QUICK, write=True)
    while not isinstance(facts.skew_ms, float) and time.monotonic() < until:
        facts = examine(app.settings, QUICK, write=True)
    assert isinstance(facts.skew_ms, float)
    assert abs(facts.skew_ms) < 2_000
    assert "the broker's clock is" in next(f.what for f in judge(facts) if f.check == "clocks")
    until = time.monotonic() + 20
    while probe_topic(app.settings.app_id) in app.admin.list_topics(timeout=10).topics:
        assert time.monotonic() < until


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    made = FakeRegistry()
    yield made
    made.close()


def test_a_registry(app: Set, registry: FakeRegistry) -> None:
    """The schemas of the newest records are asked for: fine, unknown, of another subject, unreadable; away is exit 3."""
    app.create_all()
    app.publish()
    schema = segue_schemas.load_schema("site_event.v1")

    def troubles(shows: str = "") -> dict[str, Finding]:
        return app.troubles(shows, registry=registry.url)

    registry.always = NONE
    assert "the registry has no schema of this id" in troubles("schemas")["schemas"].what
    registry.always = None
    registry.add(1, schema, f"{app.site}-value")
    assert not {"schemas", "registry"} & set(troubles())
    registry.add(1, schema, "other-value")
    assert "registered under other-value" in troubles("schemas")["schemas"].what
    without = schema | {"fields": [f for f in schema["fields"] if f["name"] != "timestamp"]}
    registry.add(1, without, f"{app.site}-value")
    assert "lacks the field 'timestamp'" in troubles("schemas")["schemas"].what
    registry.close()
    found = app.findings("registry", registry=registry.url)
    assert (first(found)["registry"].code, exit_code(found)) == (3, 3)
    assert {f.level for f in found if f.check == "schemas"} == {"skipped"}


def test_rights_that_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topic_prefix: str) -> None:
    """On a Kafka with access control: what may not be read, joined or seen is said."""
    access = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
    monkeypatch.setattr(server, "PROPERTIES", server.PROPERTIES + access + "allow.everyone.if.no.acl.found=true\n")
    with Broker(tmp_path / "broker") as started:
        app = Set(started.bootstrap, topic_prefix, tmp_path)
        app.create_all()
        app.publish()
        assert "permissions" not in app.troubles()

        def deny(kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
            return AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation,
                              AclPermissionType.DENY)  # fmt: skip

        def allow_rest(kind: ResourceType, name: str) -> AclBinding:
            return AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", AclOperation.ALL,
                              AclPermissionType.ALLOW)  # fmt: skip

        rules = [deny(ResourceType.TOPIC, app.settings.output_topic, AclOperation.WRITE),
                 allow_rest(ResourceType.TOPIC, app.settings.output_topic),
                 deny(ResourceType.TOPIC, app.email, AclOperation.DESCRIBE_CONFIGS),
                 allow_rest(ResourceType.TOPIC, app.email),
                 deny(ResourceType.TOPIC, app.site, AclOperation.DESCRIBE),
                 deny(ResourceType.GROUP, app.settings.app_id, AclOperation.READ),
                 allow_rest(ResourceType.GROUP, app.settings.app_id)]  # fmt: skip
        for made in app.admin.create_acls(rules).values():
            made.result()

        def said() -> dict[str, str]:
            return {f.where: f.what for f in app.findings() if f.check == "permissions" and f.level != "ok"}

        until = time.monotonic() + WITHIN_S
        while len(found := said()) < 4:  # the brokers learn of rules a moment later
            assert time.monotonic() < until, found
        assert found == {
            app.settings.output_topic: "the principal may not WRITE",
            app.email: "the principal may not DESCRIBE_CONFIGS: how it is configured is not checked",
            app.site: "Kafka refuses to describe it: TOPIC_AUTHORIZATION_FAILED",
            f"group {app.settings.app_id}": "the principal may not READ",
        }


def test_what_the_brokers_speak(app: Set) -> None:
    """The log of librdkafka tells it: transactions tied to groups, and the consumer group protocol of Kafka 4."""
    kafka = Kafka(app.settings)
    kafka.cluster()
    apis = kafka.apis()
    assert apis[28] >= 3
    assert 68 in apis
