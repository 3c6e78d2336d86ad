"""Every planted bug is found. That the code without them passes the same seeds, test_simulator says."""

from __future__ import annotations

import pytest
from tests.simulator.mutants import MUTANTS, planted
from tests.simulator.run import outcome, quiet

SEEDS_AT_MOST = 2_000


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    with quiet(), planted(name):
        assert any(outcome(seed).error for seed in range(SEEDS_AT_MOST)), f"{SEEDS_AT_MOST} seeds did not see it"


def test_at_least_twelve_are_planted() -> None:
    assert len(MUTANTS) >= 12
