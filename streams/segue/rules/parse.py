"""Text to syntax nodes, by lark and the grammar beside this file.

lark calls `_Builder` while it parses (an embedded transformer), so that no tree is walked and brackets
nested a thousand deep cost no recursion. Every terminal is kept, because the places come from the tokens.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput

from segue.rules import syntax
from segue.rules.messages import Unreadable, explain

_LARGEST = 2**63 - 1
"""whole numbers beyond an Avro long can equal nothing"""


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
        transformer=_Builder(),
        maybe_placeholders=False,
    )


Children = list[Any]


def _of(kind: type[Any], children: Children) -> list[Any]:
    return [c for c in children if isinstance(c, kind)]


def _first(kind: type[Any], children: Children) -> Any:
    return next((c for c in children if isinstance(c, kind)), None)


def _span(children: Children) -> tuple[int, int]:
    first, last = children[0], children[-1]
    start = first.start_pos if isinstance(first, Token) else first.start
    end = last.end_pos if isinstance(last, Token) else last.end
    assert start is not None and end is not None
    return start, end


def _has(terminal: str, children: Children) -> bool:
    return any(isinstance(c, Token) and c.type == terminal for c in children)


def _group(children: Children, every: bool) -> syntax.Node:
    """Groups of the same kind become one, so that brackets without a meaning make no depth."""
    items: list[syntax.Node] = []
    for item in _of(syntax.Node, children):
        items.extend(item.items if isinstance(item, syntax.Group) and item.every == every else (item,))
    return syntax.Group(*_span(children), every, tuple(items))


def _word(token: Token) -> syntax.Word:
    assert token.start_pos is not None and token.end_pos is not None
    if token.type == "STRING":
        return syntax.Word(token.start_pos, token.end_pos, _unquoted(token), quoted=True)
    return syntax.Word(token.start_pos, token.end_pos, str(token))


def _unquoted(token: Token) -> str:
    out: list[str] = []
    escaped = False
    for at, char in enumerate(token[1:-1], (token.start_pos or 0) + 1):
        if escaped and char not in '"\\':
            raise Unreadable(
                at - 1,
                at + 1,
                f"a backslash before {char!r} means nothing in a text",
                'Only \\" and \\\\ are escapes; write two backslashes for one.',
            )
        escaped = char == "\\" and not escaped
        if not escaped:
            out.append(char)
    return "".join(out)


def _number(token: Token) -> syntax.Value:
    assert token.start_pos is not None and token.end_pos is not None
    whole = token.lstrip("-").isdigit()
    value: float = math.inf if whole and len(token) > 20 else int(token) if whole else float(token)
    if math.isinf(value) or (whole and abs(value) > _LARGEST):
        raise Unreadable(
            token.start_pos, token.end_pos, "this number is too large", f"Whole numbers go up to {_LARGEST}."
        )
    return syntax.Value(token.start_pos, token.end_pos, value)


class _Builder(Transformer[Token, Any]):
    """One method a rule of the grammar; children are tokens and what the methods before returned."""

    def condition(self, c: Children) -> syntax.Node:
        node: syntax.Node = c[0]
        return node

    def brackets(self, c: Children) -> syntax.Node:
        node: syntax.Node = c[1]
        return node

    def any_of(self, c: Children) -> syntax.Node:
        return _group(c, every=False)

    def all_of(self, c: Children) -> syntax.Node:
        return _group(c, every=True)

    any_filter = any_of
    all_filters = all_of

    def negated(self, c: Children) -> syntax.Node:
        return syntax.Negated(*_span(c), c[1])

    def did(self, c: Children) -> syntax.Node:
        start, end = _span(c)
        window = _first(_Window, c)
        one = syntax.Value(start, end, 1)
        count = syntax.Count(start, end, _first(syntax.Events, c), ">=", (one,), window and window.duration)
        return syntax.Negated(start, end, count) if _has("NOT", c) else count

    def count(self, c: Children) -> syntax.Node:
        comparison: list[Token] = next(x for x in c if type(x) is list)
        op = str(comparison[0])
        numbers = tuple(_number(t) for t in comparison if t.type == "NUMBER")
        window = _first(_Window, c)
        start, end = _span([c[0], window or comparison[-1]])
        return syntax.Count(start, end, _first(syntax.Events, c), op, numbers, window and window.duration)

    def comparison(self, c: Children) -> list[Token]:
        return list(c)

    def absence(self, c: Children) -> syntax.Node:
        events = _of(syntax.Events, c)
        return syntax.Absence(
            *_span(c), events[0], events[1], _first(syntax.Duration, c), events[2] if len(events) > 2 else None
        )

    def in_segment(self, c: Children) -> syntax.Node:
        return syntax.InSegment(*_span(c), _word(c[1]))

    def window(self, c: Children) -> _Window:
        return _Window(*_span(c), _first(syntax.Duration, c))

    def duration(self, c: Children) -> syntax.Duration:
        number = _number(c[0])
        return syntax.Duration(*_span(c), float(number.value), _word(c[1]) if len(c) > 1 else None)

    def events(self, c: Children) -> syntax.Events:
        inner = _first(syntax.Events, c)
        names = inner.names if inner else (c[0],)
        return syntax.Events(*_span(c), names, (inner.filters if inner else ()) + _filters(c))

    keep_events = events

    def listed(self, c: Children) -> syntax.Events:
        return syntax.Events(*_span(c), tuple(_of(syntax.Word, c)), _filters(c))

    def name(self, c: Children) -> syntax.Word:
        return _word(c[0])

    def where(self, c: Children) -> _Where:
        return _Where(*_span(c), c[1])

    def compare(self, c: Children) -> syntax.Node:
        field = _word(c[0])
        words = [str(t) for t in c[1:] if isinstance(t, Token) and t.type not in ("LPAR", "RPAR", "COMMA")]
        op = " ".join(words)
        if op == "is not known":
            return syntax.Negated(*_span(c), syntax.Compare(*_span(c), field, "is known", ()))
        return syntax.Compare(*_span(c), field, op, tuple(_of(syntax.Value, c)))

    def value(self, c: Children) -> syntax.Value:
        token: Token = c[0]
        if token.type == "NUMBER":
            return _number(token)
        word = _word(token)
        return syntax.Value(word.start, word.end, word.text if word.quoted else word.text == "true")

    def exit(self, c: Children) -> syntax.Exit:
        return syntax.Exit(*_span(c), tuple(_of(syntax.Events, c)), tuple(_of(syntax.Duration, c)))

    def after_entering(self, c: Children) -> syntax.Duration:
        duration: syntax.Duration = c[0]
        return duration

    def keep(self, c: Children) -> syntax.Keep:
        events: syntax.Events = c[2]
        events = syntax.Events(events.start, events.end, events.names, events.filters + _filters(c))
        window, since = _first(_Window, c), _first(_Since, c)
        return syntax.Keep(
            *_span(c), _number(c[1]), events, _word(c[4]), window and window.duration, since and since.events
        )

    def since(self, c: Children) -> _Since:
        return _Since(*_span(c), c[1])

    def universe(self, c: Children) -> syntax.Duration:
        duration: syntax.Duration = c[-1]
        return duration


class _Part:
    """A piece with a place that only the builder itself sees."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end


class _Window(_Part):
    def __init__(self, start: int, end: int, duration: syntax.Duration | None) -> None:
        super().__init__(start, end)
        self.duration = duration


class _Where(_Part):
    def __init__(self, start: int, end: int, filter_: syntax.Node) -> None:
        super().__init__(start, end)
        self.filter = filter_


class _Since(_Part):
    def __init__(self, start: int, end: int, events: syntax.Events) -> None:
        super().__init__(start, end)
        self.events = events


def _filters(children: Children) -> tuple[syntax.Node, ...]:
    return tuple(w.filter for w in children if isinstance(w, _Where))
