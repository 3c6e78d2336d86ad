"""Truths over time: since when something has been so, and until when it stays so if nothing happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from segue.engine.compile import Program, arm_alone, copied
from segue.engine.truths import truth_of
from segue.plan.expression import Expression, negation
from segue.plan.layout import BITS
from segue.records import NEVER
from segue.rules import tree

State = list[Any]


class Truths:
    """The bits of a state as of now, and what becomes of them on a copy whose time passes and to which nothing happens."""

    def __init__(self, program: Program, state: State, past: Sequence[tuple[int, int]] | None) -> None:
        """`past`: (time, bits from then on) up to now, if the log tells."""
        self._plan = program.plan
        self.bits: int = state[BITS]
        self._past = past
        self._future = list(_futures(program, state))

    def hold(self, e: Expression) -> bool:
        """Whether it is so now: what the engine's own bits say."""
        return truth_of(self._plan, e)(self.bits)

    def until(self, e: Expression) -> int | None:
        """When it changes by time alone; None: never."""
        now, holds = self.hold(e), truth_of(self._plan, e)
        return next((t for t, bits in self._future if holds(bits) != now), None)

    def since(self, e: Expression) -> int | None:
        """Since when it has been so; None: since ever, or the log is not there to say."""
        now, since, holds = self.hold(e), None, truth_of(self._plan, e)
        for t, bits in reversed(self._past or ()):
            if holds(bits) != now:
                return since
            since = t
        return None


def _futures(program: Program, state: State) -> Iterator[tuple[int, int]]:
    """(time, bits from then on). It ends: each event that is kept leaves each window once, and nothing comes."""
    copy: State = copied(state)
    while (t := program.next_due(copy)) < NEVER:
        before = copy[BITS]
        program.advance(copy, b"", t, arm_alone, None)
        if copy[BITS] != before:
            yield t, copy[BITS]


def expressions(condition: tree.Condition, e: Expression) -> Iterator[tuple[tree.Condition, Expression]]:
    """Each smallest part of a normalised condition with the expression it has become; `e` is that of the whole."""
    match condition:
        case tree.Not(item):
            yield from expressions(item, negation(e))
        case tree.And(items) | tree.Or(items):
            assert e[0] in ("and", "or")
            for item, x in zip(items, e[1], strict=True):
                yield from expressions(item, x)
        case _:
            yield condition, e
