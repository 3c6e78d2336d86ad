"""Prometheus and its tools, once a run; without them these tests are skipped, with the reason."""

from __future__ import annotations

import pytest

from tests.monitoring.debian import NotToBeHadError, Tools, find_tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    try:
        return find_tools()
    except NotToBeHadError as why:
        pytest.skip(str(why))
