"""What every test may ask for: one real Kafka for the whole run, and topic names of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from segue_agents.embedded import Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a real Kafka: SEGUE_TEST_BROKER, or one started for this run and stopped after it."""
    given = os.environ.get("SEGUE_TEST_BROKER")
    if given:
        yield given
        return
    with Broker(tmp_path_factory.mktemp("broker")) as started:
        yield started.bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """Unique per test, so that tests share the broker and nothing else: use it for topics, groups and app ids."""
    return f"t{uuid.uuid4().hex[:10]}-"
