"""Text to syntax nodes, by lark and the grammar beside this file.

lark calls the Builder while it parses (an embedded transformer), so that no tree is walked and brackets
nested a thousand deep cost no recursion.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from lark import Lark, UnexpectedInput

from segue.rules import syntax
from segue.rules.build import Builder
from segue.rules.messages import explain


def parse_condition(text: str) -> syntax.Node:
    """`when` and `enter`. Raises Unreadable."""
    return _parse(text, "condition")


def parse_exit(text: str) -> syntax.Exit:
    """`order_completed, or 7 days after entering`. Raises Unreadable."""
    found = _parse(text, "exit")
    assert isinstance(found, syntax.Exit)
    return found


def parse_keep(text: str) -> syntax.Keep:
    """`last 20 product_viewed.product_id in the last 7 days`. Raises Unreadable."""
    found = _parse(text, "keep")
    assert isinstance(found, syntax.Keep)
    return found


def parse_universe(text: str) -> syntax.Duration:
    """`seen in the last 90 days`. Raises Unreadable."""
    found = _parse(text, "universe")
    assert isinstance(found, syntax.Duration)
    return found


def _parse(text: str, start: str) -> syntax.Node:
    try:
        found: Any = _lark().parse(text, start=start)
    except UnexpectedInput as error:
        raise explain(error, text, start) from None
    assert isinstance(found, syntax.Node)
    return found


@functools.cache
def _lark() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        parser="lalr",
        start=["condition", "exit", "keep", "universe"],
        transformer=Builder(),
        maybe_placeholders=False,
    )
