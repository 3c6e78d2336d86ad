"""A worker runs whole over SCRAM, OAuth and mTLS on a Kafka that denies all but its rights; and what is said to one that
is not let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agents.security.allowing import Allowing
from tests.agents.security.secured import USER, Secured, written
from tests.agents.worker.conftest import App

from segue_agents.rights import Role, rights_of

WAYS = ("scram", "oauth", "mtls")


@pytest.fixture
def app(secured: Secured, topic_prefix: str, tmp_path: Path) -> Iterator[App]:
    """Made by the super user; its worker has exactly the rights that `segue acls` names."""
    made = App(secured.plain, topic_prefix, tmp_path)
    rights = rights_of(Role.WORKER, made.settings)
    allowing = Allowing(secured.plain, f"User:{USER}")
    allowing.give(rights)
    yield made
    for slot in list(made.workers):
        made.workers[slot].kill()
        made.workers.pop(slot).wait(10)
    allowing.take(rights)


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_runs_whole(app: App, secured: Secured, way: str, tmp_path: Path) -> None:
    """Consumes, commits exactly once, and is killed; a second one without its disk restores from Kafka and goes on."""
    config = written(tmp_path, getattr(secured, f"{way}_config")())
    flags = {"bootstrap": getattr(secured, way), "kafka_config": config}
    app.publish(60)
    app.start("0", **flags)
    app.wait_for_all()
    assert app.end() == 0
    app.publish(60)
    app.start("0", **flags, data_dir=tmp_path / "elsewhere")
    app.wait_for_all()
    assert app.end() == 0
