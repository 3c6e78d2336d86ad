"""A real schema registry, Apicurio, for all tests of this folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agents.worker.conftest import App

from segue.errors import Unreachable
from segue_agents.embedded import Apicurio
from segue_agents.embedded.apicurio import ensure_apicurio


@pytest.fixture(scope="session")
def apicurio_archive() -> Path:
    """Fetched once into the cache; where it cannot be, what needs it is skipped."""
    try:
        return ensure_apicurio(lambda _line: None)
    except Unreachable as error:
        pytest.skip(f"no real schema registry: {error.what}")


@pytest.fixture(scope="session")
def apicurio(apicurio_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apicurio]:
    """One for the run; whoever kills it starts it again."""
    with Apicurio(tmp_path_factory.mktemp("apicurio")) as started:
        yield started


@pytest.fixture
def app(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[App]:
    """As the worker's tests have it."""
    made = App(broker, topic_prefix, tmp_path)
    yield made
    for slot in list(made.workers):
        made.end(slot, signal.SIGKILL)
