"""Sending letters again on a real Kafka: each once, whenever the sender is killed and however they were chosen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from tests.agents.worker.conftest import App, wait_until

from segue.records import Rejected
from segue_agents.dead_letters.reading import read_letters
from segue_agents.topics import dead_letters_topic
from segue_agents.worker.dead_letters import dead_letter_headers

LETTERS = 45
FEW = "import segue_agents.dead_letters.retry as r; r.LETTERS_AT_ONCE = 10\n"
DIE_AT = """
import os
from segue_agents.commit.committer import Transactions as T
calls, commit = [], T.commit
def dying(self, *arguments):
    calls.append(1)
    if len(calls) == {nth}:
        {before}
        os._exit(9)
    commit(self, *arguments)
T.commit = dying
"""


class Box:
    """An app's topics with letters in them, and the commands."""

    def __init__(self, app: App) -> None:
        self.app, self.settings = app, app.settings
        self.topic = dead_letters_topic(self.settings.app_id)
        self.source = app.catalog.sources[0].topic

    def write(self, n: int = LETTERS, reason: str = "undecodable", topic: str = "", key: bytes | None = b"p") -> None:
        """As a worker writes them; the value is a name of its own."""
        producer = Producer({"bootstrap.servers": self.settings.bootstrap})
        for i in range(n):
            rejected = Rejected(0, i, reason, "Why.", None)  # type: ignore[arg-type]
            headers = [("own", b"kept"), *dead_letter_headers(rejected, topic or self.source, i % 2)]
            name = None if key is None else key + str(i).encode()
            producer.produce(self.topic, uuid.uuid4().bytes, name, i % 2, headers=headers)
        assert producer.flush(20) == 0

    def letters(self) -> list[Any]:
        return [letter for letter in read_letters(self.settings) if letter.is_record]

    def segue(self, *arguments: str, plant: str = "") -> subprocess.CompletedProcess[str]:
        given = ["--broker", self.settings.bootstrap, "--app-id", self.settings.app_id]
        if arguments[0] != "ls":
            given += ["--sources", str(self.settings.sources)]
        code = f"{plant}\nimport segue_agents.cli as cli; cli.main()"
        return subprocess.run([sys.executable, "-c", code, "dead-letters", *arguments, *given],
                              capture_output=True, text=True, check=False, timeout=60, env=os.environ)

    def sent(self) -> list[Any]:
        """What a reader of the source's topic sees."""
        return self.app.records(self.source)

    def assert_each_once(self, of: list[Any]) -> None:
        assert Counter(m.value() for m in self.sent()) == Counter(letter.value for letter in of)


@pytest.fixture
def box(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Box]:
    made = App(broker, topic_prefix, tmp_path)
    yield Box(made)
    for slot in list(made.workers):
        made.end(slot, signal.SIGKILL)


def test_all_are_sent_as_they_were(box: Box) -> None:
    """The original bytes, key and headers, to the partition of the key, with where it came from; then nothing is left."""
    box.write()
    letters = box.letters()
    assert len(letters) == LETTERS
    done = box.segue("retry", "--all", "--dry-run")
    assert (done.returncode, done.stdout.split()[1:]) == (0, ["45", "would", "be", "sent"]), done.stderr
    assert box.sent() == []
    done = box.segue("retry", "--all", plant=FEW)
    assert (done.returncode, done.stdout.split()[1:]) == (0, ["45", "sent"]), done.stderr
    box.assert_each_once(letters)
    by_value = {letter.value: letter for letter in letters}
    keyed = keys_places(box)
    for message in box.sent():
        letter = by_value[message.value()]
        assert message.key() == letter.key
        assert message.headers() == [("own", b"kept"), ("segue.retried-from", f"{box.topic} {letter.place}".encode())]
        assert message.partition() == keyed[message.key()]
    again = box.segue("retry", "--all")
    assert (again.returncode, again.stdout) == (0, "")
    assert "45 of those chosen were sent before" in again.stderr
    assert len(box.sent()) == LETTERS


def keys_places(box: Box) -> dict[bytes, int]:
    """Where a producer's partitioner puts each key: written to another topic with as many partitions."""
    found: dict[bytes, int] = {}
    producer = Producer({"bootstrap.servers": box.settings.bootstrap, "partitioner": "murmur2_random"})
    for letter in box.letters():
        producer.produce(box.app.catalog.sources[1].topic, b"", letter.key,
                         on_delivery=lambda _e, m: found.update({m.key(): m.partition()}))
    producer.flush(20)
    return found


@pytest.mark.parametrize(
    ("before", "seen"), [("pass", 20), ("self._producer.flush()", 20), ("commit(self, *arguments)", 40)]
)
def test_killed_in_the_middle(box: Box, before: str, seen: int) -> None:
    """Killed before the end of a transaction, with all of it at the broker, or just after it: each is seen once."""
    box.write()
    letters = box.letters()
    for nth in (3, 1):
        assert box.segue("retry", "--all", plant=FEW + DIE_AT.format(nth=nth, before=before)).returncode == 9
    assert len(box.sent()) == seen
    assert box.segue("retry", "--all", plant=FEW).returncode == 0
    box.assert_each_once(letters)


def test_chosen_in_different_ways_still_once(box: Box) -> None:
    """One by its place, those of a reason, then all: no letter goes out twice."""
    box.write(10)
    box.write(10, reason="unknown_schema")
    letters = box.letters()
    one = next(letter for letter in letters if letter.reason == "unknown_schema")
    assert box.segue("retry", str(one.place)).returncode == 0
    assert [m.value() for m in box.sent()] == [one.value]
    assert "left alone" in box.segue("retry", str(one.place)).stderr
    assert box.segue("retry", "--reason", "unknown_schema").returncode == 0
    assert len(box.sent()) == 10
    assert box.segue("retry", "--all").returncode == 0
    box.assert_each_once(letters)


def test_an_open_transaction_hides_no_mark(box: Box) -> None:
    """Marks behind a worker's open transaction count all the same: the next run waits for its end."""
    box.write(10)
    worker = Producer({"bootstrap.servers": box.settings.bootstrap, "transactional.id": uuid.uuid4().hex,
                       "transaction.timeout.ms": 6_000})
    worker.init_transactions(20)
    worker.begin_transaction()
    for partition in (0, 1):
        worker.produce(box.topic, b"open", b"k", partition)
    worker.flush(20)
    letters = box.letters()
    # all marks of this run will lie behind the open transaction
    assert "10 sent" in box.segue("retry", "--all", plant="import segue_agents.dead_letters.reading as r\n"
                                  "import segue_agents.dead_letters.retry as t\nt.read_retried = lambda s: {}").stdout
    started = time.monotonic()
    assert "10 of those chosen were sent before" in box.segue("retry", "--all").stderr
    assert time.monotonic() - started < 40
    box.assert_each_once(letters)
    del worker


WAITS = """
import pathlib, time
from segue_agents.commit.committer import Transactions as T
commit, calls = T.commit, []
def waiting(self, *arguments):
    calls.append(1)
    until = time.monotonic() + 40
    while len(calls) == 2 and not pathlib.Path({done!r}).exists() and time.monotonic() < until:
        time.sleep(0.05)
    commit(self, *arguments)
T.commit = waiting
"""


def test_two_at_a_time(box: Box, tmp_path: Path) -> None:
    """The later one ends the earlier one's transaction, open in its middle, and takes the rest: each once."""
    box.write()
    letters = box.letters()
    other_is_done = tmp_path / "done"
    with ThreadPoolExecutor() as pool:
        first = pool.submit(box.segue, "retry", "--all", plant=FEW + WAITS.format(done=str(other_is_done)))
        wait_until(lambda: len(box.sent()) >= 10, "the first transaction")
        other = box.segue("retry", "--all", plant=FEW)
        other_is_done.touch()
        done = first.result()
    assert other.returncode == 0, other.stderr
    assert (done.returncode, "no letter is sent twice" in done.stderr) == (3, True), done.stderr
    box.assert_each_once(letters)


def test_a_record_without_a_key_goes_where_it_was(box: Box) -> None:
    """As a partitioner would put it anywhere."""
    box.write(6, key=None)
    letters = {letter.value: letter for letter in box.letters()}
    assert box.segue("retry", "--all").returncode == 0
    assert {m.value(): m.partition() for m in box.sent()} == {v: letter.partition for v, letter in letters.items()}


def test_what_cannot_be_sent_is_said(box: Box) -> None:
    """A gap, a place with nothing, a topic that is no source, nothing chosen: exit 2 with what to do, nothing sent."""
    box.write(1)
    box.write(1, topic="elsewhere")
    producer = Producer({"bootstrap.servers": box.settings.bootstrap})
    producer.produce(box.topic, None, None, 0, headers=[("segue.reason", b"gap"), ("__streams.errors.topic", b"site")])
    producer.flush(20)
    for arguments, says in [(["0:2"], "is a note"), (["0:99"], "no dead letter at 0:99"), (["9:0"], "no dead letter"),
                            (["0:1"], "none of the sources"), ([], "Which dead letters"), (["0:0", "--all"], "of the three"),
                            (["0:0", "0:2"], "is a note")]:
        done = box.segue("retry", *arguments)
        assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert box.sent() == []


def test_ls_and_show(box: Box) -> None:
    """ls groups or names them, without bytes or persons; show has all of one."""
    box.write(4, key=b"ada-secret")
    box.write(1, reason="no_time")
    place = str(box.letters()[0].place)
    assert box.segue("retry", place).returncode == 0
    said = box.segue("ls")
    head, *rows = said.stdout.splitlines()
    assert head.split() == ["reason", "topic", "partition", "letters", "retried", "first", "last", "example"]
    assert sorted(row.split()[0] for row in rows) == ["no_time", "undecodable", "undecodable"]
    assert sum(int(row.split()[4]) for row in rows) == 1
    each = box.segue("ls", "--each", "--reason", "undecodable", "--json", "-n", "3")
    assert each.stdout.count("\n") == 3
    assert "ada-secret" not in said.stdout + each.stdout
    assert box.segue("ls", "--since", "2099-01-01").stdout == ""
    shown = box.segue("show", place).stdout
    for words in ("no value of the schema", "Why.", "ada-secret", f"from     {box.source} partition", "00000000  ",
                  "does not decode"):
        assert words in shown
    assert '"reason": "undecodable"' in box.segue("show", place, "--json").stdout
    assert "no dead letter at 1:77" in box.segue("show", "1:77").stderr


def test_a_worker_takes_what_was_sent_again(box: Box) -> None:
    """While nothing was mended it is refused again: a letter of its own, which may be retried too."""
    producer = Producer({"bootstrap.servers": box.settings.bootstrap})
    producer.produce(box.source, b"nonsense", b"ada", 0, headers=[("own", b"kept")])
    producer.flush(20)
    box.app.start()
    wait_until(lambda: len(box.letters()) == 1, "the letter")
    assert box.segue("retry", "--all").returncode == 0
    wait_until(lambda: len(box.letters()) == 2, "the second letter")
    assert box.segue("retry", "--all").returncode == 0
    wait_until(lambda: len(box.letters()) == 3, "the third letter")
    assert box.app.end() == 0
    first, second, third = sorted(box.letters(), key=lambda letter: letter.at_ms)
    assert [name for name, _ in third.headers] == ["own", "segue.retried-from"]
    assert str(second.place) in dict(third.headers)["segue.retried-from"].decode()
    assert (first.value, third.value) == (b"nonsense", b"nonsense")
