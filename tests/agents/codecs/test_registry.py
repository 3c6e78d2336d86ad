"""The schema registry: what is believed of its answers, what waits, and what is kept, over real HTTP."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.agents.codecs.fake_registry import NONE, FakeRegistry, running
from tests.agents.codecs.records import NOW_MS, Record, avro, decoder_of, event_schema, framed

from segue.errors import ConfigError, StateError
from segue.limits import WRITER_SCHEMA_BYTES
from segue_agents.codecs.learner import ASKED_AT_ONCE, Learner
from segue_agents.codecs.registry import USER_INFO, Registry, Unavailable, open_registry
from segue_agents.codecs.schemas import STORM, Known, Later, Missing, Pace, Schemas
from segue_agents.codecs.schemas_on_disk import SchemaFolder
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside

SUBJECT = "t-value"
SIMPLE = event_schema([{"name": "price", "type": ["null", "double"]}])
OLDER = event_schema([{"name": "price", "type": "int"}])
RECURSIVE = event_schema([{"name": "f", "type": {"type": "record", "name": "N", "fields": [
    {"name": "next", "type": ["null", "N"]}]}}])


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with running({7: (SIMPLE, SUBJECT), 8: (OLDER, SUBJECT)}) as made:
        yield made


class Time:
    """A clock that is set; nothing runs but what a test calls."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.chance = 1.0
        self.outside = Outside(monotonic=lambda: self.now_s, background=lambda _work: None, chance=lambda: self.chance)


class Desk:
    """Schemas without their thread: `run` takes turns, and moves the clock over the pauses between them."""

    def __init__(self, registry: FakeRegistry, folder: Path, answer_s: float = 20.0) -> None:
        self.time, self.metrics = Time(), Metrics()
        self.pauses: list[float] = []
        http = Registry(registry.url, answer_s=answer_s)
        kept = SchemaFolder(folder, registry.url)
        self.schemas = Schemas(http, kept, self.metrics, self.time.outside, Pace())

    def run(self, turns: int = 100_000) -> None:
        """Until no question is left, or so many turns."""
        for _ in range(turns):
            wait_s = self.schemas.turn()
            if wait_s == math.inf:
                return
            if wait_s > 0:
                self.pauses.append(round(wait_s, 3))
                self.time.now_s += wait_s

    def get(self, schema_id: int, subject: str = SUBJECT) -> Known | Missing | Later:
        return self.schemas.get(schema_id, subject)

    def errors(self, kind: str) -> float:
        return self.metrics.registry.get_sample_value("segue_registry_errors_total", {"kind": kind}) or 0

    def pending(self) -> float | None:
        return self.metrics.registry.get_sample_value("segue_registry_schemas_pending")


# --- one answer

def test_a_schema_is_fetched_once_and_known_from_then_on(registry: FakeRegistry, tmp_path: Path) -> None:
    """The first question is answered later; all the others at once, whoever asks and how often."""
    desk = Desk(registry, tmp_path)
    assert [desk.get(7) for _ in range(5)] == [Later()] * 5
    assert desk.pending() == 1
    desk.run()
    answer = desk.get(7)
    assert isinstance(answer, Known)
    assert answer.schema == SIMPLE
    assert (registry.asked[7], desk.pending()) == (1, 0)


CANNOT_KNOW = [
    ((401, {}), "unauthorized"), ((403, {}), "unauthorized"), ((429, {}), "server"), ((500, {}), "server"),
    ((503, b"<html>busy</html>"), "server"), ("slow", "timeout"), ("drip", "timeout"), ("reset", "connection"),
    ((200, b"<html>welcome</html>"), "wrong_answer"), ((200, b"{\"sch"), "wrong_answer"), ((200, [1]), "wrong_answer"),
    ((200, {"schema": 5}), "wrong_answer"), ((200, b"[" * 100_000), "wrong_answer"), ((302, {}), "wrong_answer"),
    ((404, b"<html>no such page</html>"), "wrong_answer"), ((404, {"error_code": 404}), "wrong_answer"),
    ((200, b"<" + b"x" * (WRITER_SCHEMA_BYTES + 9)), "wrong_answer"),
]


@pytest.mark.parametrize(("trouble", "kind"), CANNOT_KNOW, ids=lambda v: str(v)[:30])
def test_what_says_nothing_of_the_id_waits_and_is_asked_again(
    registry: FakeRegistry, tmp_path: Path, trouble: Any, kind: str
) -> None:
    """Twice in trouble, then well: never missing in between, counted by kind, with growing pauses, and known in the end."""
    desk = Desk(registry, tmp_path, answer_s=1.5 if kind == "timeout" else 20.0)
    registry.troubles = [trouble, trouble]
    desk.get(7)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            assert desk.schemas.turn() == 0
            assert desk.get(7) == Later()
            desk.run(1)
        desk.run()
    assert isinstance(desk.get(7), Known)
    assert desk.errors(kind) == 2
    assert desk.pauses == [0.5, 1.0]
    assert [row["event"] for row in logs] == ["registry_unavailable"] * 2 + ["registry_answers_again", "schema_fetched"]


def test_trouble_with_the_subjects_waits_too(registry: FakeRegistry, tmp_path: Path) -> None:
    """The second half of an answer fails: nothing is known by halves."""
    desk = Desk(registry, tmp_path)
    registry.troubles = [(200, registry.schemas[7]), (500, {})]
    desk.get(7)
    desk.run(1)
    assert desk.get(7) == Later()
    desk.run()
    assert isinstance(desk.get(7), Known)


def test_pauses_grow_to_half_a_minute_and_differ_by_chance(registry: FakeRegistry, tmp_path: Path) -> None:
    """A registry that stays away is asked ever less often, by different workers at different times."""
    registry.always = (500, {})
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.run(20)
    assert desk.pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    other = Desk(registry, tmp_path)
    other.time.chance = 0.0
    other.get(7)
    other.run(4)
    assert other.pauses == [0.25, 0.5]


def test_no_such_schema_is_believed_from_the_third_time_and_for_a_minute(registry: FakeRegistry, tmp_path: Path) -> None:
    """A follower that lags is not the last word, and neither is a producer that registers later."""
    desk = Desk(registry, tmp_path)
    registry.troubles = [NONE, NONE]
    desk.get(7)
    desk.run()
    assert isinstance(desk.get(7), Known)
    desk.get(99)
    desk.run()
    assert registry.asked[99] == 3
    assert desk.get(99) == Missing("unknown_schema", "The schema registry has no schema of the id 99.")
    registry.add(99, SIMPLE, SUBJECT)
    desk.time.now_s += 59
    assert isinstance(desk.get(99), Missing)
    desk.time.now_s += 2
    assert desk.get(99) == Later()
    desk.run()
    assert isinstance(desk.get(99), Known)


def test_a_schema_of_another_topic_is_told(registry: FakeRegistry, tmp_path: Path) -> None:
    """Registered under other subjects only: of no use to this topic, until it is registered here as well."""
    registry.add(9, SIMPLE, "orders-value", "a-key")
    desk = Desk(registry, tmp_path)
    desk.get(9)
    desk.run()
    assert desk.get(9) == Missing(
        "wrong_subject", "The schema of the id 9 is registered under a-key, orders-value, not under t-value.")
    assert isinstance(desk.get(9, "orders-value"), Known)
    registry.subjects[9].append(SUBJECT)
    desk.time.now_s += 61
    assert desk.get(9) == Later()
    desk.run()
    assert isinstance(desk.get(9), Known)


def test_a_registry_that_does_not_say_subjects_is_believed(registry: FakeRegistry, tmp_path: Path) -> None:
    """Older ones do not know the question."""
    desk = Desk(registry, tmp_path)
    registry.troubles = [(200, registry.schemas[7]), (404, b"<html>no such page</html>")]
    desk.get(7)
    desk.run()
    assert isinstance(desk.get(7), Known)


DEEP: Any = "string"
for _ in range(400):
    DEEP = {"type": "array", "items": DEEP}

OF_NO_USE = [
    ({"schema": json.dumps(RECURSIVE)}, "recursive"), ({"schema": "{"}, "not JSON"), ({"schema": "\"string\""}, "no record"),
    ({"schema": "{}"}, "not an Avro type"), ({"schema": "[" * 100_000}, "not JSON"),
    ({"schema": json.dumps(event_schema([{"name": "f", "type": DEEP}]))}, "deeper"),
    ({"schema": json.dumps(event_schema([{"name": "f", "type": {"type": "array", "items": "null"}}]))}, "no bytes"),
    ({"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"}, "PROTOBUF"),
    ({"schema": json.dumps(event_schema([{"name": "f", "type": "Elsewhere"}])), "references": [{"name": "Elsewhere"}]},
     "Elsewhere"),
    ({"schema": " " * (WRITER_SCHEMA_BYTES + 9)}, "1,048,576 bytes"),
]


@pytest.mark.parametrize(("answer", "says"), OF_NO_USE, ids=[says for _, says in OF_NO_USE])
def test_a_schema_of_no_use_is_refused_when_fetched(
    registry: FakeRegistry, tmp_path: Path, answer: dict[str, Any], says: str
) -> None:
    """Unsafe, not Avro, too large: its records are dead letters, and it is not asked for again."""
    registry.schemas[9], registry.subjects[9] = answer, [SUBJECT]
    desk = Desk(registry, tmp_path)
    desk.get(9)
    desk.run()
    desk.time.now_s += 10_000
    answered = desk.get(9)
    assert isinstance(answered, Missing)
    assert answered.reason == "incompatible_schema"
    assert says in answered.detail
    assert registry.asked[9] == 1
    assert not list(tmp_path.rglob("*.json"))


# --- kept on disk

def test_a_restart_with_the_registry_down_knows_what_was_known(registry: FakeRegistry, tmp_path: Path) -> None:
    """From the first question that fails on; what was not known waits; another registry's ids are others."""
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.run()
    registry.close()
    again = Desk(registry, tmp_path)
    assert again.get(7) == Later()
    again.run(1)
    answer = again.get(7)
    assert isinstance(answer, Known)
    assert answer.schema == SIMPLE
    assert again.get(8) == Later()
    again.run(50)
    assert again.get(8) == Later()
    assert again.errors("connection") > 3
    assert again.pending() == 1
    with running() as other:
        assert Desk(other, tmp_path).get(7) == Later()


@pytest.mark.parametrize("damage", [
    b"", b"{", b"[]", b"null", b'{"id": 7}', b'{"id": 7, "schema": "{}", "subjects": [], "sha256": "0"}'])
def test_a_damaged_file_is_removed_and_its_schema_fetched_again(
    registry: FakeRegistry, tmp_path: Path, damage: bytes
) -> None:
    """A file that is not what was written is no schema."""
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.run()
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(damage)
    again = Desk(registry, tmp_path)
    assert not file.exists()
    assert again.get(7) == Later()
    again.run()
    assert isinstance(again.get(7), Known)
    assert file.exists()


def test_a_disk_that_takes_nothing_is_no_reason_to_stop(registry: FakeRegistry, tmp_path: Path) -> None:
    """The schema is known all the same."""
    (tmp_path / "schemas").write_text("a file where a folder should be")
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.run()
    assert isinstance(desk.get(7), Known)


def test_an_id_that_is_given_out_twice_stops_the_worker(registry: FakeRegistry, tmp_path: Path) -> None:
    """A registry set up anew gives id 7 to another schema: refused, with what to do."""
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.run()
    registry.add(7, OLDER, SUBJECT)
    again = Desk(registry, tmp_path)
    assert again.get(7) == Later()  # nothing is decoded with what is kept before the registry was asked
    again.run()
    for touch in (lambda: again.get(8), learner_of(again).check):
        with pytest.raises(StateError, match=r"the id 7 another schema.*\n.*remove") as caught:
            touch()
    assert str(tmp_path) in str(caught.value)


def test_a_schema_kept_is_used_though_the_registry_has_lost_it(registry: FakeRegistry, tmp_path: Path) -> None:
    """Its records are still what they were; written otherwise (spaces, order of keys) it is the same schema."""
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.get(8)
    desk.run()
    del registry.schemas[7]
    registry.schemas[8]["schema"] = json.dumps(OLDER, indent=2, sort_keys=True)
    again = Desk(registry, tmp_path)
    again.get(7)
    again.get(8)
    again.run()
    assert isinstance(again.get(7), Known)
    assert isinstance(again.get(8), Known)


# --- a decoder that learns

def good(schema_id: int, at: int) -> Record:
    schema = OLDER if schema_id == 8 else SIMPLE
    return Record(framed(avro(schema, {"event": "seen", "price": 2, "ts": NOW_MS + at}), schema_id), at)


def learner_of(desk: Desk) -> Learner:
    decoder = decoder_of(SIMPLE)
    decoder._projections.clear()  # with a registry a decoder knows no ids at the start
    return Learner(decoder, desk.schemas)


def test_records_go_on_up_to_the_first_whose_schema_cannot_be_known(registry: FakeRegistry, tmp_path: Path) -> None:
    """What stands before it is decoded, it and all behind it wait; no record of any schema is a dead letter meanwhile."""
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.run()
    registry.always = (500, {})
    learner = learner_of(desk)
    messages = [good(7, 0), good(7, 1), good(8, 2), good(7, 3), good(99, 4)]
    decoded = learner.decode(messages)
    assert decoded.columns is not None
    assert (decoded.n, decoded.waits_for, decoded.columns.offset.tolist()) == (2, {8, 99}, [0, 1])
    assert (decoded.columns.rejected, decoded.columns.next_offset) == ([], 2)
    desk.run(10)
    assert learner.waits(decoded.waits_for)
    again = learner.decode(messages[2:])
    assert (again.columns, again.n) == (None, 0)
    registry.always = None
    desk.run()
    assert not learner.waits(decoded.waits_for)
    last = learner.decode(messages[2:])
    assert last.columns is not None
    assert last.columns.offset.tolist() == [2, 3]
    assert [(r.offset, r.reason) for r in last.columns.rejected] == [(4, "unknown_schema")]


def test_what_a_record_of_an_unusable_schema_says(registry: FakeRegistry, tmp_path: Path) -> None:
    """Dead letters with a reason of their own, and their neighbours pass."""
    worded = event_schema([{"name": "price", "type": "string"}])
    registry.add(20, worded, SUBJECT)
    registry.add(21, {"type": "record", "name": "E", "fields": [{"name": "event", "type": "string"}]}, SUBJECT)
    registry.add(22, SIMPLE, "orders-value")
    registry.add(23, RECURSIVE, SUBJECT)
    desk = Desk(registry, tmp_path)
    learner = learner_of(desk)
    messages = [good(i, at) for at, i in enumerate([7, 20, 21, 22, 23, 24, 7])]
    messages[1] = Record(framed(avro(worded, {"event": "seen", "price": "cheap", "ts": NOW_MS}), 20), 1)
    assert learner.decode(messages).n == 0
    desk.run()
    for _ in range(2):
        decoded = learner.decode(messages)
        assert decoded.columns is not None
        assert decoded.columns.offset.tolist() == [0, 6]
        assert [r.reason for r in decoded.columns.rejected] == [
            "incompatible_schema", "incompatible_schema", "wrong_subject", "incompatible_schema", "unknown_schema"]
        for rejected, says in zip(decoded.columns.rejected, [
            "'price' holds a string", "lacks the field 'ts'", "orders-value", "recursive", "no schema"], strict=True):
            assert says in rejected.detail


def test_a_storm_of_made_up_ids_is_a_queue(registry: FakeRegistry, tmp_path: Path) -> None:
    """A thousand of them in one partition: one question at a time, soon one each, and a good neighbour gets its turn."""
    desk = Desk(registry, tmp_path)
    storm, neighbour = learner_of(desk), learner_of(desk)
    messages = [good(1_000 + i, i) for i in range(1_000)]
    assert len(storm.decode(messages).waits_for) == ASKED_AT_ONCE
    assert neighbour.decode([good(7, 0)]).n == 0
    desk.run(ASKED_AT_ONCE + 1)
    assert neighbour.decode([good(7, 0)]).n == 1
    rejected = 0
    for _ in range(100):
        desk.run()
        decoded = storm.decode(messages)
        rejected += len(decoded.columns.rejected) if decoded.columns is not None else 0
        messages = messages[decoded.n :]
        if not messages:
            break
    assert rejected == 1_000
    assert registry.most_at_once == 1
    assert sum(registry.asked.values()) <= 1_000 + 3 * (STORM + ASKED_AT_ONCE)


def test_what_is_remembered_of_unknown_ids_is_bounded(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go; they would be asked for again."""
    monkeypatch.setattr("segue_agents.codecs.schemas.MISSING_IDS", 10)
    desk = Desk(registry, tmp_path)
    for schema_id in range(100, 130):
        desk.get(schema_id)
    desk.run()
    assert len(desk.schemas._missing) == 10


def test_no_more_schemas_are_kept_than_allowed(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Producers may register them without end; memory has one."""
    monkeypatch.setattr("segue_agents.codecs.schemas.WRITER_SCHEMAS", 1)
    desk = Desk(registry, tmp_path)
    desk.get(7)
    desk.run()
    desk.get(8)
    desk.run()
    assert isinstance(desk.get(7), Known)
    assert isinstance(desk.get(8), Missing)


# --- the thread

def until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_thread_asks_and_nobody_waits_for_it(registry: FakeRegistry, tmp_path: Path) -> None:
    """A question takes microseconds while the registry takes its time; the answer comes by itself."""
    registry.troubles = ["slow", (500, {})]
    schemas = Schemas(Registry(registry.url, answer_s=0.3), SchemaFolder(tmp_path, registry.url), Metrics(),
                      pace=Pace(first_s=0.02))
    try:
        began = time.monotonic()
        assert [schemas.get(7, SUBJECT), schemas.get(8, SUBJECT)] == [Later(), Later()]
        assert time.monotonic() - began < 0.2
        until(lambda: all(isinstance(schemas.get(i, SUBJECT), Known) for i in (7, 8)))
        schemas.get(99, SUBJECT)
        until(lambda: isinstance(schemas.get(99, SUBJECT), Missing))
    finally:
        schemas.close()
        schemas._thread.join(5)
    assert not schemas._thread.is_alive()


def test_a_bug_on_the_thread_reaches_whoever_asks(tmp_path: Path) -> None:
    """Records must not wait for a thread that is gone."""

    class Broken:
        def fetch(self, schema_id: int) -> None:
            raise ZeroDivisionError(schema_id)

    schemas = Schemas(Broken(), SchemaFolder(tmp_path, "x"), Metrics())
    schemas.get(7, SUBJECT)
    schemas._thread.join(5)
    with pytest.raises(ZeroDivisionError):
        schemas.get(7, SUBJECT)


# --- who we are to it

def test_user_and_password_come_from_a_file_or_the_environment(registry: FakeRegistry, tmp_path: Path) -> None:
    """Never from a flag; the file wins; they are in no error."""
    registry.password = "Basic bWU6aHVudGVyMg=="
    file = tmp_path / "registry.properties"
    file.write_text("# ours\nbasic.auth.user.info = me:hunter2\n")
    for made in (open_registry(registry.url, file, {USER_INFO: "me:other"}),
                 open_registry(registry.url, None, {USER_INFO: "me:hunter2"})):
        assert made is not None
        assert made.fetch(7) is not None
    wrong = open_registry(registry.url, None, {USER_INFO: "me:hunter3"})
    assert wrong is not None
    with pytest.raises(Unavailable) as caught:
        wrong.fetch(7)
    assert caught.value.kind == "unauthorized"
    assert "hunter" not in str(caught.value)
    assert "Basic" not in str(caught.value)
    assert open_registry("none", None, {USER_INFO: "me:other"}) is None


@pytest.mark.parametrize("text", ["basic.auth.user.info hunter2", "password=hunter2", "ssl.ca.location=/nowhere"])
def test_a_registry_config_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    """Refused at the start, the line named and its value not said."""
    file = tmp_path / "registry.properties"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        open_registry("https://127.0.0.1:1", file, {})
    assert "hunter2" not in str(caught.value)
    assert caught.value.to_do


def test_an_address_may_have_a_path(registry: FakeRegistry) -> None:
    """As behind a proxy, or of a registry with contexts."""
    asked: list[str] = []
    answer = registry.answer
    registry.answer = lambda path, who: (asked.append(path), answer(path.removeprefix("/apis/ccompat"), who))[1]  # type: ignore[method-assign]
    assert Registry(f"{registry.url}/apis/ccompat/").fetch(7) is not None
    assert asked == ["/apis/ccompat/schemas/ids/7", "/apis/ccompat/schemas/ids/7/versions?deleted=true"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to make a certificate")
def test_tls(tmp_path: Path) -> None:
    """A certificate that nobody vouches for says nothing of the id; with its authority named it works, and is as patient."""
    file = tmp_path / "key-and-certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", tmp_path / "c.pem"],
        check=True, capture_output=True, timeout=20)
    file.write_bytes(file.read_bytes() + (tmp_path / "c.pem").read_bytes())
    registry = FakeRegistry(file)
    try:
        registry.add(7, SIMPLE, SUBJECT)
        with pytest.raises(Unavailable) as stranger:
            Registry(registry.url).fetch(7)
        assert stranger.value.kind == "connection"
        authority = {"ssl.ca.location": str(tmp_path / "c.pem")}
        assert Registry(registry.url, authority).fetch(7) is not None
        registry.troubles = ["drip"]
        with pytest.raises(Unavailable) as slow:
            Registry(registry.url, authority, answer_s=0.3).fetch(7)
        assert slow.value.kind == "timeout"
    finally:
        registry.close()
