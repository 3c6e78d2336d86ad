"""A run with SEGUE_EXAMPLES says in the end how many histories the laws have met."""

from __future__ import annotations

import os

import pytest
from tests.streams.engine.laws import TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if "SEGUE_EXAMPLES" in os.environ and TRIED:
        terminalreporter.section("histories that kept each law")
        for name, n in sorted(TRIED.items()):
            terminalreporter.write_line(f"{n:>9,}  {name}")
        terminalreporter.write_line(f"{TRIED.total():>9,}  in all")
