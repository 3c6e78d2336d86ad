"""What the bench's events promise: the same from the same seed, in order but for the late ones, all of them readable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from bench.exactness import decoders
from bench.filling import REFERENCE
from bench.generator import Shape, generate
from bench.segments import rules, write
from confluent_kafka import Message

from segue_agents.rule_files import load_plan

SMALL = Shape(events=4_000, persons=200)


def test_a_seed_makes_the_same_bytes() -> None:
    """And another seed others."""
    first, second, other = generate(SMALL), generate(SMALL), generate(SMALL.later(1))
    assert (first.value, first.person) == (second.value, second.person)
    assert first.value != other.value


def test_times_go_forward_without_late_events() -> None:
    """Arrival is the order of the times."""
    assert (np.diff(generate(SMALL).time_ms) >= 0).all()


@pytest.mark.parametrize("late", [0.05, 0.3])
def test_the_late_share_is_late(late: float) -> None:
    """At most that share comes after something later, and most of it does."""
    time = generate(Shape(events=20_000, persons=200, late=late)).time_ms
    behind = float((time < np.maximum.accumulate(time)).mean())
    assert 0.8 * late < behind <= 1.1 * late


def test_duplicates_are_the_same_bytes_again() -> None:
    """The share asked for."""
    values = generate(Shape(events=20_000, persons=200, duplicates=0.1)).value
    assert max(Counter(values).values()) == 2
    assert len(values) - len(set(values)) == pytest.approx(2_000, rel=0.1)


def test_skew_gives_few_persons_much() -> None:
    """The first tenth of the persons has a tenth of the events, or a third."""
    shares = []
    for skew in (1.0, 2.0):
        persons = generate(Shape(events=20_000, persons=1_000, skew=skew)).person
        shares.append(sum(p < b"u00000100" for p in persons) / len(persons))
    assert shares == pytest.approx([0.1, 0.316], rel=0.2)


def test_the_decoders_take_every_record() -> None:
    """Nothing is refused or decoded alone."""
    plan, events = load_plan(REFERENCE.parents[1] / "examples" / "reference", REFERENCE / "sources"), generate(SMALL)
    site, email = (d for d in sorted(decoders(plan, REFERENCE / "sources"), key=lambda d: d.source.name == "email"))
    for which, decoder in enumerate((site, email)):
        rows = np.flatnonzero(events.source == which).tolist()
        columns = decoder.decode([Message("t", 0, i, events.person[r], events.value[r]) for i, r in enumerate(rows)])
        assert columns.time_ms.tolist() == events.time_ms[rows].tolist()
        assert not columns.rejected and not decoder.decoded_alone


@pytest.mark.parametrize(("segments", "shared"), [(4, False), (20, False), (100, True), (1_000, True)])
def test_rule_sets_have_the_size_asked_for(segments: int, shared: bool, tmp_path: Path) -> None:
    """And compile; no two segments of a shared set are one."""
    plan = load_plan(write(tmp_path / "rules", segments, shared), REFERENCE / "sources")
    assert len(plan.segments) == segments
    if shared:
        whens = [line for file in rules(segments, shared) for line in file.splitlines() if line.startswith("when")]
        assert len(set(whens)) == segments
