"""Whether a condition can hold for a person without any event: such a rule is over people without end."""

from __future__ import annotations

from segue.rules import tree


def true_of_nobody(condition: tree.Condition) -> bool:
    """True as well where it hangs on the person's bucket.

    Such a person is in no segment: one that held them would be refused here itself.
    """
    return _truths(condition)[0]


def _truths(condition: tree.Condition) -> tuple[bool, bool]:
    """(can be true, can be false)."""
    match condition:
        case tree.And(items):
            found = [_truths(i) for i in items]
            return all(t for t, _ in found), any(f for _, f in found)
        case tree.Or(items):
            found = [_truths(i) for i in items]
            return any(t for t, _ in found), all(f for _, f in found)
        case tree.Not(item):
            can_be_true, can_be_false = _truths(item)
            return can_be_false, can_be_true
        case tree.Bucket():
            return True, True
        case tree.Count(op=op, n=n, upper=upper):
            truth = _holds_of_zero(op, n, n if upper is None else upper)
        case tree.Aggregate("sum" | "distinct", op=op, values=values):
            truth = _holds_of_zero(op, values[0], values[-1])
        case _:  # of nothing there is no last one, no pattern, no trait, no other aggregate
            truth = False
    return truth, not truth


def _holds_of_zero(op: tree.Operator, low: float, high: float) -> bool:
    return {
        ">=": low <= 0,
        ">": low < 0,
        "=": low == 0,
        "!=": low != 0,
        "<": low > 0,
        "<=": low >= 0,
        "between": low <= 0 <= high,
    }[op]
