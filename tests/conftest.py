"""What every test may ask for: one real Kafka for the whole run, topic names of its own, and Prometheus' programs."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.monitoring.debian import NotToBeHadError, Tools, find_tools

from segue_agents.embedded import Broker

GIVEN = "SEGUE_TEST_BROKER"
_run = ExitStack()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Several processes share one Kafka: the one that starts them starts it, and they find it in the environment."""
    options = session.config.option
    if getattr(options, "numprocesses", None) and not hasattr(session.config, "workerinput") and GIVEN not in os.environ:
        folder = Path(_run.enter_context(tempfile.TemporaryDirectory(prefix="segue-tests-")))
        os.environ[GIVEN] = _run.enter_context(Broker(folder)).bootstrap


def pytest_unconfigure() -> None:
    """Stops it."""
    _run.close()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a real Kafka: SEGUE_TEST_BROKER, or one started for this run and stopped after it."""
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    with Broker(tmp_path_factory.mktemp("broker")) as started:
        yield started.bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """Unique per test, so that tests share the broker and nothing else: use it for topics, groups and app ids."""
    return f"t{uuid.uuid4().hex[:10]}-"


@pytest.fixture(scope="session")
def tools() -> Tools:
    """prometheus and promtool: on PATH, else Debian's from the cache. Without them a test is skipped, and says why."""
    try:
        return find_tools()
    except NotToBeHadError as why:
        pytest.skip(str(why))
