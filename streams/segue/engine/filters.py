"""`where` filters as Python tests over a batch's columns.

A field that is missing makes every comparison false, `!=` and `not in` too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segue.plan.layout import Kind, Plan
from segue.rules.tree import AllOf, AnyOf, Compare, Filter, NoneOf


def value(plan: Plan, kind: Kind, name: str) -> str:
    """The column that holds a property for rows of this kind; None where its source has no such field."""
    known = [f.name for f in plan.inputs[kind.source].fields]
    return f"x{known.index(name)}" if name in known else "None"


def test(plan: Plan, kind: Kind, where: Filter | None, constant: Callable[[Any], str]) -> str:
    """The filter as an expression; `constant` names a value that must not become source."""
    match where:
        case None:
            return "True"
        case AllOf(items):
            return "(" + " and ".join(test(plan, kind, i, constant) for i in items) + ")"
        case AnyOf(items):
            return "(" + " or ".join(test(plan, kind, i, constant) for i in items) + ")"
        case NoneOf(item):
            return f"(not {test(plan, kind, item, constant)})"
        case Compare(name, op, values):
            x = value(plan, kind, name)
            return f"({x} is not None{_comparison(x, op, values, constant)})"


def _comparison(x: str, op: str, values: tuple[Any, ...], constant: Callable[[Any], str]) -> str:
    match op:
        case "is known":
            return ""
        case "in" | "not in":
            return f" and {x} {op} {constant(values)}"
        case "contains":
            return f" and {constant(values[0])} in {x}"
        case "starts with":
            return f" and {x}.startswith({constant(values[0])})"
        case _:
            return f" and {x} {'==' if op == '=' else op} {constant(values[0])}"
