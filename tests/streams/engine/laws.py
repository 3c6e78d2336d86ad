"""How a law is tried: with histories and rules made up by Hypothesis, any failure replayable, all trials counted.

    SEGUE_EXAMPLES=20000 pytest tests/streams/engine     # how many histories each law meets; 120 unless told

A failure prints the smallest history and rules that show it, and a `@reproduce_failure` line that replays it; it is
remembered under .hypothesis/ and tried first the next time.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

EXAMPLES = int(os.environ.get("SEGUE_EXAMPLES", "120"))
SECONDS = 0 if "SEGUE_EXAMPLES" in os.environ else 600
"""to find the smallest failure takes longer than other tests may; who asks for many examples waits"""
TRIED: Counter[str] = Counter()
"""histories that kept a law, by its name"""


def law(*made: SearchStrategy[Any], times: int = 1) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Holds for everything `made`; tried EXAMPLES * `times` times."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def one(*args: Any, **kwargs: Any) -> None:
            test(*args, **kwargs)
            TRIED[test.__name__] += 1

        tried = settings(
            max_examples=EXAMPLES * times, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck)
        )
        return pytest.mark.timeout(SECONDS)(tried(given(*made)(one)))

    return decorate
