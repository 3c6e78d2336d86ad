"""One secured Kafka for the whole run, whichever of pytest's processes asks for it first."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator

import pytest
from tests.agents.security.secured import Secured, secured_kafka, to_json

RELEASED_WITHIN_S = 110.0


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Secured]:
    """The process that starts it stops it, when no other uses it any more: each user holds a shared lock meanwhile."""
    below = tmp_path_factory.getbasetemp()
    below = below.parent if hasattr(request.config, "workerinput") else below  # shared by the run's processes
    told = below / "secured.json"
    with (below / "secured.lock").open("a+") as turn, (below / "secured.users").open("a+") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if told.exists():
            fcntl.flock(users, fcntl.LOCK_SH)
            fcntl.flock(turn, fcntl.LOCK_UN)
            yield Secured(**json.loads(told.read_text()))
            return
        with secured_kafka(tmp_path_factory.mktemp("secured")) as started:
            told.write_text(to_json(started))
            fcntl.flock(turn, fcntl.LOCK_UN)
            yield started
            fcntl.flock(turn, fcntl.LOCK_EX)  # whoever comes now starts another
            told.unlink()
            _wait_for_others(users.fileno())
        fcntl.flock(turn, fcntl.LOCK_UN)


def _wait_for_others(users: int) -> None:
    until = time.monotonic() + RELEASED_WITHIN_S
    while time.monotonic() < until:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.1)

