"""One DuckDB for all tests of the warehouse."""

from __future__ import annotations

import pytest
from tests.streams.warehouse.events_table import EventsTable


@pytest.fixture(scope="session")
def events_table() -> EventsTable:
    return EventsTable()
