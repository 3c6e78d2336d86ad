"""States in memory: bounded in persons and in bytes, the longest unused leave first, and nothing else changes."""

from __future__ import annotations

import pytest
from tests.streams.engine.driving import MINUTE, T0, Run
from tests.streams.engine.oracle import Event

from segue.errors import StateError
from segue.rules import tree as t

RULES = t.RuleSet((t.Segment("behavior_three", when=t.Count(t.Events(("view",)), ">=", 3, None, t.Last(10 * MINUTE))),), ())
PERSONS = [b"a", b"b", b"c", b"d"]


def filled() -> Run:
    run = Run(RULES)
    run.feed([(p, Event(T0 + i * MINUTE, 1, i, "view")) for i, p in enumerate(PERSONS)])
    return run


@pytest.mark.parametrize(("persons", "left"), [(4, [b"b", b"c", b"d", b"a"]), (3, [b"c", b"d", b"a"]), (1, [b"a"]), (0, [])])
def test_persons(persons: int, left: list[bytes]) -> None:
    """a was used last; b is the first to go."""
    run = filled()
    run.state.evict(persons, 1 << 30, [b"a"])
    assert list(run.state.states) == left


@pytest.mark.parametrize(("sizes", "left"), [(4, [b"b", b"c", b"d", b"a"]), (3, [b"c", b"d", b"a"]), (0, [])])
def test_bytes(sizes: int, left: list[bytes]) -> None:
    """The same by the size of what was encoded."""
    run = filled()
    of_one = len(run.state.encode(b"a"))
    assert {len(run.state.encode(p)) for p in PERSONS} == {of_one}
    assert run.state.bytes_in_memory == 4 * of_one
    run.state.evict(1 << 30, sizes * of_one, [b"a"])
    assert list(run.state.states) == left
    assert run.state.bytes_in_memory == len(left) * of_one


def test_a_state_that_grows_counts_as_what_it_is() -> None:
    """Encoded again, a state counts once, at its new size; loaded, at the size it was stored with."""
    run = filled()
    for p in PERSONS:
        run.state.encode(p)
    run.feed([(b"a", Event(T0 + 9 * MINUTE + i, 1, 9 + i, "view")) for i in range(2)])
    encoded = {p: run.state.encode(p) for p in PERSONS}
    assert len(encoded[b"a"]) > len(encoded[b"b"])
    assert run.state.bytes_in_memory == sum(map(len, encoded.values()))
    run.state.evict(0, 0)
    assert run.state.bytes_in_memory == 0
    run.state.load(b"a", encoded[b"a"])
    assert run.state.bytes_in_memory == len(encoded[b"a"])


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x01", b"\x91\xa1x"])
def test_a_state_that_is_none_is_said_to_be(body: bytes) -> None:
    """Where members are counted, as where timers are noted."""
    run = filled()
    head = run.state.encode(b"a")[:12]
    with pytest.raises(StateError, match="cannot be read"):
        run.state.count_members([(b"a", head + body)])
    with pytest.raises(StateError, match="fewer than"):
        run.state.restore([(b"a", head[:11])])
