"""Evaluated leaves: whether they are true at t, and when to ask again, from what the state keeps.

Each is a function `(state, t) -> truth` that leaves the time of its next change in the leaf's slot for it. It is
called when its evidence has changed, when that time has come, and after a late event; never for anything else, so a
function may be slow where an event that no rule reads costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from segue.engine.follow import Follower
from segue.engine.totals import exact_sum
from segue.engine.windows import holding, slicing
from segue.plan.layout import Plan
from segue.plan.leaves import Evaluated, Follow, Granted, Held, Totalled, Windowed
from segue.records import NEVER

State = list[Any]
Evaluate = Callable[[State, int], bool]


def comparison(op: str, values: tuple[Any, ...]) -> Callable[[Any], bool]:
    """`op values` as a test of one value; of None it is false."""
    one = values[0] if values else None
    tests: dict[str, Callable[[Any], bool]] = {
        "=": lambda v: v is not None and v == one,
        "!=": lambda v: v is not None and v != one,
        ">": lambda v: v is not None and v > one,
        ">=": lambda v: v is not None and v >= one,
        "<": lambda v: v is not None and v < one,
        "<=": lambda v: v is not None and v <= one,
        "between": lambda v: v is not None and one <= v <= values[1],
        "in": lambda v: v is not None and v in values,
        "not in": lambda v: v is not None and v not in values,
        "contains": lambda v: v is not None and one in v,
        "starts with": lambda v: v is not None and v.startswith(one),
        "is known": lambda v: v is not None,
    }
    return tests[op]


def aggregate(function: str, values: list[Any]) -> Any:
    """Of the values in the order of the history; None where there is nothing to aggregate."""
    if function == "first":
        return values[0] if values else None
    if function == "last":
        return values[-1] if values else None
    known = [v for v in values if v is not None]
    match function:
        case "sum":
            return exact_sum(known)
        case "distinct":
            return len(set(known))
        case "avg":
            return exact_sum(known) / len(known) if known else None
        case "min":
            return min(known, default=None)
        case _:
            return max(known, default=None)


def total_value(function: str, held: list[Any]) -> Any:
    """The same of a total."""
    match function:
        case "sum":
            return exact_sum(held[1:])
        case "distinct":
            return len(held)
        case "avg":
            return exact_sum(held[1:]) / held[0] if held else None
        case "first" | "last":
            return held[2] if held else None
        case _:
            return held[0] if held else None


def evaluator(plan: Plan, i: int, follower: Follower | None) -> Evaluate:
    """Of the plan's i-th leaf."""
    leaf = plan.leaves[i]
    assert isinstance(leaf, Evaluated)
    match leaf:
        case Windowed():
            return _windowed(plan, leaf, plan.due_slots.get(i))
        case Totalled():
            return _totalled(plan, leaf, plan.due_slots.get(i))
        case Granted(grants, withdrawals):
            granted, withdrawn = plan.totals[grants].slot, plan.totals[withdrawals].slot
            return lambda s, _t: bool(s[granted]) and (not s[withdrawn] or s[granted][0] > s[withdrawn][0])
        case Held():
            return _held(leaf, plan.own_slots[i], plan.due_slots[i])
        case Follow():
            assert follower is not None
            return _follow(follower, plan.own_slots[i], plan.due_slots.get(i))
        case _:
            assert_never(leaf)


def _windowed(plan: Plan, leaf: Windowed, due: int | None) -> Evaluate:
    stream = plan.streams[leaf.stream]
    times, function = stream.slot, leaf.function
    entries = times if leaf.field is None else times + 1 + stream.values.index(leaf.field)
    test, window = comparison(leaf.op, leaf.values), slicing(leaf.window)

    def evaluate(s: State, t: int) -> bool:
        first, stop, changes = window(s[times], t)
        if due is not None:
            s[due] = changes
        return test(stop - first if function == "count" else aggregate(function, s[entries][first:stop]))

    return evaluate


def _totalled(plan: Plan, leaf: Totalled, due: int | None) -> Evaluate:
    slot, function = plan.totals[leaf.total].slot, leaf.function
    test, inside = comparison(leaf.op, leaf.values), holding(leaf.window)
    if leaf.window is None:
        return lambda s, _t: test(total_value(function, s[slot]))

    def evaluate(s: State, t: int) -> bool:
        held = s[slot]
        truth, changes = inside(held[0], t) if held else (False, NEVER)
        if due is not None:
            s[due] = changes
        return truth and test(total_value(function, held))

    return evaluate


def _held(leaf: Held, slot: int, due: int) -> Evaluate:
    held_ms = leaf.held_ms

    def evaluate(s: State, t: int) -> bool:
        reached = s[slot] + held_ms
        s[due] = reached if t < reached < NEVER else NEVER
        return bool(reached <= t)

    return evaluate


def _follow(follower: Follower, slot: int, due: int | None) -> Evaluate:
    def evaluate(s: State, t: int) -> bool:
        truth, changes = follower.evaluate(s[slot], t)
        if due is not None:
            s[due] = changes
        return truth

    return evaluate
