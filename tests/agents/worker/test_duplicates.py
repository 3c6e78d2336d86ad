"""Events sent twice, to a whole worker on a real Kafka: each counts once, also after the worker and its disk are gone."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.agents.worker.conftest import START_MS, wait_until

from segue_agents.topics import state_topic

if TYPE_CHECKING:
    App = Any


@pytest.fixture
def told_once(app: App) -> App:
    """The app, all of whose sources deduplicate."""
    for file in Path(app.settings.sources).glob("*.yaml"):
        file.write_text(file.read_text() + "\ndeduplicate: 24 hours\n")
    return app


def view(app: App, person: str, minute: int, id_: str, item: str = "hat") -> None:
    app.publisher.publish({
        "type": "track", "event": "Product Viewed", "userId": person, "timestamp": START_MS + minute * 60_000,
        "messageId": id_, "properties": {"product_id": item},
    })  # fmt: skip


def consumed(app: App) -> int:
    found = re.findall(r"^segue_events_consumed_total\{.*\} (\S+)$", app.metrics(), re.MULTILINE)
    return sum(int(float(n)) for n in found)


def test_copies_count_once_also_after_a_restore(told_once: App) -> None:
    """Two views each, sent thrice: nobody has seen three. The third time the ids come back from the changelog."""
    app = told_once

    def send(minutes: list[int]) -> None:
        for minute in minutes:
            for person in range(20):
                view(app, f"p{person}", minute, f"p{person}-{minute}")
        app.publisher.close()

    send([0, 1])
    send([0, 1])
    app.start()
    wait_until(lambda: app.said("partition_ready") == 2 and consumed(app) == 80, "all read")
    kept = state_topic(app.settings.app_id)
    wait_until(lambda: len({m.key() for m in app.records(kept) if m.key().startswith(b"p")}) == 20, "everybody's state")
    app.end(how=signal.SIGKILL)
    shutil.rmtree(app.settings.data_dir)
    send([0, 1])
    app.start()
    send([2])
    wait_until(lambda: sum(app.changes().values()) >= 20, "everybody's third view")
    entered = {("behavior_keen", "entered", START_MS + 2 * 60_000, 1)}
    assert {tuple(jump[1:]) for jump in app.changes()} == entered
    assert sum(app.changes().values()) == 20


def test_another_event_under_the_id_is_a_dead_letter(told_once: App) -> None:
    """With the record as it was and the reason; it moves nothing."""
    app = told_once
    for minute, item in ((0, "hat"), (1, "hat"), (0, "shoe")):
        view(app, "ada", minute, f"m{minute}", item)
    app.publisher.close()
    app.start()
    wait_until(lambda: app.said("partition_ready") == 2 and consumed(app) == 3, "all read")
    assert app.end() == 0
    (letter,) = app.dead_letters()
    assert dict(letter.headers())["segue.reason"] == b"id_conflict"
    assert (letter.key(), b"shoe" in letter.value()) == (b"ada", True)
    assert not app.changes()
