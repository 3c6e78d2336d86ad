"""What an expression says of the truths of a state."""

from __future__ import annotations

from collections.abc import Callable

from segue.plan.expression import Expression
from segue.plan.layout import Plan


def truth_of(plan: Plan, e: Expression) -> Callable[[int], bool]:
    """An expression as a function of the bits."""
    match e:
        case ("true",):
            return lambda _bits: True
        case ("leaf", i):
            return _is_set(plan.leaf_bit(i))
        case ("segment", i):
            return _is_set(plan.segment_bit(i))
        case ("not", x):
            inner = truth_of(plan, x)
            return lambda bits: not inner(bits)
        case ("and", items):
            tests = [truth_of(plan, x) for x in items]
            return lambda bits: all(test(bits) for test in tests)
        case ("or", items):
            tests = [truth_of(plan, x) for x in items]
            return lambda bits: any(test(bits) for test in tests)
    raise AssertionError(e)


def _is_set(bit: int) -> Callable[[int], bool]:
    return lambda bits: bits & bit != 0
