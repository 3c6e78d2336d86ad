"""Conditions as bits: expressions over leaves and segments."""

from __future__ import annotations

from typing import Literal

Expression = (
    tuple[Literal["true"]]
    | tuple[Literal["leaf"], int]
    | tuple[Literal["segment"], int]
    | tuple[Literal["not"], "Expression"]
    | tuple[Literal["and", "or"], tuple["Expression", ...]]
)
TRUE: Expression = ("true",)


def negation(e: Expression) -> Expression:
    """`not e`, without two in a row."""
    return e[1] if e[0] == "not" else ("not", e)


def both(a: Expression, b: Expression) -> Expression:
    """`a and b`."""
    return b if a == TRUE else ("and", (a, b))


def leaves_of(e: Expression) -> set[int]:
    """Leaf numbers in an expression."""
    return _collect(e, "leaf")


def segments_of(e: Expression) -> set[int]:
    """Segment numbers in an expression."""
    return _collect(e, "segment")


def _collect(e: Expression, what: str) -> set[int]:
    if e[0] == what:
        return {e[1]}  # type: ignore[arg-type,misc]
    if e[0] == "not":
        return _collect(e[1], what)
    if e[0] in ("and", "or"):
        return set().union(*(_collect(x, what) for x in e[1]))
    return set()
