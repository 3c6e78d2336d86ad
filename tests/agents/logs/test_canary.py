"""Canaries: events of marked persons with marked values, and everything that a worker and the commands say is searched.

What prints persons because that is what it is for is left out: stdout of `watch`, of `explain`, of `replay`, of
`dead-letters show`. Those are looked at too: the marks must be there, or the test would prove nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from tests.agents.worker.conftest import START_MS, App, wait_until

MARK = f"canary{uuid.uuid4().hex[:8]}"
PERSONS = [f"{MARK}-{i}@example.org" for i in range(6)]
RULES = """\
segment: behavior_keen
when: count(product_viewed) >= 2 in the last 10 minutes
---
segment: behavior_shoes
when: distinct(product_viewed.product_id) >= 2 in the last 1 day
"""
CRASHES = f"""
import asyncio, logging, threading, warnings
from segue_agents.worker.loop import Worker
async def falls(person): raise KeyError(person)
work = Worker.work
async def working(self, signals):
    self.kept = asyncio.ensure_future(falls({PERSONS[0]!r}))
    await asyncio.sleep(0)
    del self.kept  # Task exception was never retrieved
    def thread(person={PERSONS[0]!r}): raise ValueError(f"no person {{person}}")
    threading.Thread(target=thread).start()
    try: int({PERSONS[0]!r})
    except ValueError as error: logging.getLogger("faust.agents").error("Crashed reason=%r", error, exc_info=error)
    await work(self, signals)
Worker.work = working
"""
"""what goes wrong without ending a worker: a task, a thread, a line of a library"""
DIES = """
from segue.engine.partition import PartitionState
def step(self, batch):
    person = bytes(batch.persons[0]) if hasattr(batch, "persons") else b"PERSON"
    try: {}["PERSON"]
    except KeyError as error: raise ValueError(f"cannot step {batch!r:.2000} of PERSON") from error
PartitionState.step = step
""".replace("PERSON", PERSONS[1])


@pytest.fixture
def app(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[App]:
    made = App(broker, topic_prefix, tmp_path)
    made.settings.rules.write_text(RULES)
    yield made
    for slot in list(made.workers):
        made.end(slot, signal.SIGKILL)


def publish(app: App) -> int:
    """Good events of every person, and one of each that is refused; the number of the latter."""
    at = START_MS
    for i in range(60):
        at += 5_000
        app.publisher.publish({
            "type": "track", "event": "Product Viewed", "userId": PERSONS[i % len(PERSONS)], "timestamp": at,
            "messageId": f"{MARK}-{i}", "properties": {"product_id": f"{MARK}-p{i % 5}", "category": f"{MARK}-shoes"},
        })  # fmt: skip
    app.send("Product Viewed", PERSONS[0], START_MS - 90 * 86_400_000)  # too late
    app.publisher.close()
    topic = f"{app.prefix}site-events"
    raw = Producer({"bootstrap.servers": app.settings.bootstrap})
    bad = [f"rubbish of {MARK}".encode(), b"\0\0\0\1\xff" + MARK.encode(), b'{"userId": "%s"' % MARK.encode(), b""]
    for value in bad:
        raw.produce(topic, value, PERSONS[0].encode(), partition=0, headers=[("who", MARK.encode())])
    assert raw.flush(10) == 0
    return len(bad) + 1


def segue(app: App, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    where = {
        "SEGUE_BOOTSTRAP": app.settings.bootstrap,
        "SEGUE_APP_ID": app.settings.app_id,
        "SEGUE_SOURCES": str(app.settings.sources),
        "SEGUE_DATA_DIR": str(app.settings.data_dir),
    }
    command = [sys.executable, "-m", "segue_agents.cli", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False, env=os.environ | where)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lines(app: App, slot: str = "0") -> list[dict[str, object]]:
    return [json.loads(line) for line in app.log(slot).read_text().splitlines() if line.startswith("{")]


def page(app: App) -> str:
    address = str(next(line["web"] for line in lines(app) if line["event"] == "worker_starts"))
    with urllib.request.urlopen(address) as answer:
        return str(answer.read().decode())


def test_nobody_is_named_in_what_is_said(app: App) -> None:
    """0 marks in logs, the metrics page, the commands' stderr, and the stdout of those that are not for showing persons."""
    refused = publish(app)
    said: dict[str, str] = {}

    # a worker that meets bad records and all that can go wrong beside it; then a signal that used to print variables
    app.start(plant=CRASHES, log_format="json", log_level="debug")
    wait_until(lambda: app.log().exists() and app.said("partition_ready") == 2, "ready")
    wait_until(lambda: len(app.dead_letters()) == refused, "dead letters")
    wait_until(app.changes, "changes")
    said["metrics"] = page(app)
    app.workers["0"].send_signal(signal.SIGUSR2)
    app.workers["0"].send_signal(signal.SIGUSR1)
    wait_until(lambda: app.said("most recent call first"), "the stacks")
    assert app.end() == 0
    said["worker"] = app.log().read_text()
    events = [line["event"] for line in lines(app)]
    assert {"worker_starts", "uncaught", "library_says", "segment_loaded", "worker_stopped"} <= set(events)
    assert said["worker"].count("Task exception was never retrieved") == 1
    assert "Crashed reason=ValueError: (its text" in said["worker"]

    # one that dies in the middle of a step
    for slot, how in (("1", "json"), ("2", "console")):
        app.start(slot, plant=DIES, log_format=how, app_id=f"{app.prefix}dies{how}")
        assert app.exit_code(slot) == 1
        said[f"crash {how}"] = app.log(slot).read_text()
        assert "worker_failed" in said[f"crash {how}"]
        assert "in step" in said[f"crash {how}"]
        assert "The above exception was the direct cause" in said[f"crash {how}"]

    # commands: what they say beside their data, and data that is not a person's
    letter = next(m for m in app.dead_letters())
    place = f"{letter.partition()}:{letter.offset()}"
    broken = b'{"userId": "%s", "event": "Product Viewed", "timestamp": "%s"}\n{"%s"\n["%s"]\n' % ((MARK.encode(),) * 4)
    broken += b'{"userId": "%s", "event": "Product Viewed", "timestamp": 5, "properties": "%s"}\n' % ((MARK.encode(),) * 2)
    rules = ("--rules", str(app.settings.rules))
    for showing, arguments, given in (
        (False, ("dead-letters", "ls"), b""),
        (False, ("dead-letters", "ls", "--each", "--format", "json"), b""),
        (False, ("dead-letters", "retry", "--all", "--dry-run"), b""),
        (False, ("gaps",), b""),
        (False, ("config", "show"), b""),
        (False, ("replay", "-", *rules), broken),
        (True, ("dead-letters", "show", place), b""),
        (True, ("watch", "--from-beginning", "-n", "3", "--topic", app.settings.output_topic, "--json"), b""),
    ):
        code, out, err = segue(app, *arguments, given=given)
        assert code in (0, 1), err
        said[" ".join(arguments[:3])] = err if showing else out + err
        assert (MARK in out) == showing, arguments
    assert not [where for where, text in said.items() if MARK in text], said


def test_a_hanging_worker_shows_where_it_hangs(app: App) -> None:
    """SIGUSR1 is answered by a thread that Python code of the event loop keeps busy, too."""
    app.start(
        plant="import time\nfrom segue_agents.app import SegueApp\n"
        "from segue_agents.transport.session import Session\n"
        "from segue_agents.worker.loop import Worker\n"
        "async def work(self, signals):\n    time.sleep(600)\nWorker.work = work\n"
    )
    wait_until(lambda: app.said("worker_starts"), "the start")
    until = time.monotonic() + 30
    while not app.said(" in work"):
        assert time.monotonic() < until, app.log().read_text()
        app.workers["0"].send_signal(signal.SIGUSR1)
        time.sleep(0.2)
    app.end("0", signal.SIGKILL)
