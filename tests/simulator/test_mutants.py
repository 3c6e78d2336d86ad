"""Every planted bug is found, and the same history without it is as it should be."""

from __future__ import annotations

import pytest
from tests.simulator.mutants import ALSO, MUTANTS, planted
from tests.simulator.run import outcome, quiet

SEEDS_AT_MOST = 1_500


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    also = ALSO.get(name)
    with quiet():
        with planted(name):
            found = next((seed for seed in range(SEEDS_AT_MOST) if outcome(seed, also).error), None)
        assert found is not None, f"{SEEDS_AT_MOST} seeds did not see it"
        assert outcome(found, also).error == ""


def test_at_least_twelve_are_planted() -> None:
    assert len(MUTANTS) >= 12
