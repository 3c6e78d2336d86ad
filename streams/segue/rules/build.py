"""What the parser calls at each rule of the grammar: tokens and earlier results to syntax nodes.

One method a rule, named like it. Three classes, from the words up: names, filters, durations and windows; the
conditions made of them; the whole texts. Every terminal is kept, because the places come from the tokens.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from lark import Token, Transformer

from segue.rules import syntax
from segue.rules.messages import Unreadable

_LARGEST = 2**63 - 1
"""whole numbers beyond an Avro long can equal nothing"""

Children = list[Any]


class _Part:
    """A piece with a place that only the builder itself sees."""

    def __init__(self, start: int, end: int, *held: Any) -> None:
        self.start = start
        self.end = end
        self.held = held


class _Where(_Part):
    """Holds the filter."""


class _FieldOf(_Part):
    """Holds the events and the field's word."""


class _Same(_Part):
    """Holds the field's word."""


class _Ever(_Part):
    """The window that is none."""


class _Comparison(_Part):
    """Holds the operator and the numbers."""


def _of(kind: type[Any], children: Children) -> list[Any]:
    return [c for c in children if isinstance(c, kind)]


def _first(kind: Any, children: Children) -> Any:
    return next((c for c in children if isinstance(c, kind)), None)


def _span(children: Children) -> tuple[int, int]:
    first, last = children[0], children[-1]
    start = first.start_pos if isinstance(first, Token) else first.start
    end = last.end_pos if isinstance(last, Token) else last.end
    assert start is not None and end is not None
    return start, end


def _has(terminal: str, children: Children) -> bool:
    return any(isinstance(c, Token) and c.type == terminal for c in children)


def _window(children: Children) -> Any:
    return _first(syntax.Window, children)


def _filters(children: Children) -> tuple[syntax.Node, ...]:
    return tuple(w.held[0] for w in _of(_Where, children))


def _same(children: Children) -> syntax.Word | None:
    return next((s.held[0] for s in _of(_Same, children)), None)


def _group(children: Children, every: bool) -> syntax.Node:
    """Groups of the same kind become one, so that brackets without a meaning make no depth."""
    items: list[syntax.Node] = []
    for item in _of(syntax.Node, children):
        items.extend(item.items if isinstance(item, syntax.Group) and item.every == every else (item,))
    return syntax.Group(*_span(children), every, tuple(items))


def _word(token: Token) -> syntax.Word:
    if token.type == "STRING":
        return syntax.Word(*_span([token]), _unquoted(token), quoted=True)
    return syntax.Word(*_span([token]), str(token))


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
    text = token.rstrip("%").rstrip()
    whole = text.lstrip("-").isdigit()
    value: float = math.inf if whole and len(text) > 20 else int(text) if whole else float(text)
    start, end = _span([token])
    if math.isinf(value) or (whole and abs(value) > _LARGEST):
        raise Unreadable(start, end, "this number is too large", f"Whole numbers go up to {_LARGEST}.")
    return syntax.Value(start, end, value)


def _test(children: Children) -> tuple[str, tuple[syntax.Value, ...], bool]:
    """(operator, values, negated) of what stands behind a field."""
    words = [str(t) for t in _of(Token, children) if t.type not in ("LPAR", "RPAR", "COMMA")]
    op = " ".join(words)
    return op.replace("is not", "is"), tuple(_of(syntax.Value, children)), op == "is not known"


class _Words(Transformer[Token, Any]):
    """Names, filters, durations, windows."""

    def brackets(self, c: Children) -> syntax.Node:
        node: syntax.Node = c[1]
        return node

    def negated(self, c: Children) -> syntax.Node:
        return syntax.Negated(*_span(c), c[1])

    def any_filter(self, c: Children) -> syntax.Node:
        return _group(c, every=False)

    def all_filters(self, c: Children) -> syntax.Node:
        return _group(c, every=True)

    def compare(self, c: Children) -> syntax.Node:
        op, values, negated = _test(c[1:])
        node = syntax.Compare(*_span(c), _word(c[0]), op, values)
        return syntax.Negated(*_span(c), node) if negated else node

    def value(self, c: Children) -> syntax.Value:
        token: Token = c[0]
        if token.type == "NUMBER":
            return _number(token)
        word = _word(token)
        return syntax.Value(word.start, word.end, word.text if word.quoted else word.text == "true")

    def where(self, c: Children) -> _Where:
        return _Where(*_span(c), c[1])

    def name(self, c: Children) -> syntax.Word:
        return _word(c[0])

    def listed(self, c: Children) -> syntax.Events:
        return syntax.Events(*_span(c), tuple(_of(syntax.Word, c)), _filters(c))

    def events(self, c: Children) -> syntax.Events:
        inner = _first(syntax.Events, c)
        names = inner.names if inner else (c[0],)
        return syntax.Events(*_span(c), names, (inner.filters if inner else ()) + _filters(c))

    bare_events = events

    def field_of(self, c: Children) -> _FieldOf:
        events: syntax.Events = c[0]
        events = syntax.Events(events.start, events.end, events.names, events.filters + _filters(c))
        return _FieldOf(*_span(c), events, _word(c[2]))

    def comparison(self, c: Children) -> _Comparison:
        return _Comparison(*_span(c), str(c[0]), tuple(_number(t) for t in c if t.type == "NUMBER"))

    def duration(self, c: Children) -> syntax.Duration:
        number = _number(c[0])
        return syntax.Duration(*_span(c), float(number.value), _word(c[1]) if len(c) > 1 else None)


class _Windows(_Words):
    """Which of the events count."""

    def last_window(self, c: Children) -> syntax.Window:
        return syntax.Last(*_span(c), c[-1])

    def ago_window(self, c: Children) -> syntax.Window:
        return syntax.Ago(*_span(c), c[1], c[3])

    def since_time(self, c: Children) -> syntax.Window:
        return syntax.SinceTime(*_span(c), _word(c[1]))

    def since_events(self, c: Children) -> syntax.Window:
        return syntax.SinceEvents(*_span(c), c[1])

    def calendar_window(self, c: Children) -> syntax.Window:
        zone = _word(c[-1]) if c[-1].type == "ZONE" else None
        return syntax.Calendar(*_span(c), "week" if _has("WEEK", c) else "day", zone)

    def session_window(self, c: Children) -> syntax.Window:
        return syntax.Session(*_span(c), c[-1])

    def ever(self, c: Children) -> _Ever:
        return _Ever(*_span(c))


class _Conditions(_Windows):
    """What `when` and `enter` are made of."""

    def condition(self, c: Children) -> syntax.Node:
        node: syntax.Node = c[0]
        return node

    def any_of(self, c: Children) -> syntax.Node:
        return _group(c, every=False)

    def all_of(self, c: Children) -> syntax.Node:
        return _group(c, every=True)

    def did(self, c: Children) -> syntax.Node:
        start, end = _span(c)
        one = syntax.Value(start, end, 1)
        count = syntax.Count(start, end, _first(syntax.Events, c), ">=", (one,), _window(c))
        return syntax.Negated(start, end, count) if _has("NOT", c) else count

    def count(self, c: Children) -> syntax.Node:
        op, numbers = c[4].held
        return syntax.Count(*_span(c), c[2], op, numbers, _window(c))

    def aggregate(self, c: Children) -> syntax.Node:
        (events, field), (op, numbers) = c[2].held, c[4].held
        return syntax.Aggregate(*_span(c), str(c[0]), events, field, op, numbers, _window(c))

    def pick(self, c: Children) -> syntax.Node:
        which: Literal["last", "first"] = "last" if c[0].type == "LAST" else "first"
        op, values, negated = _test([x for x in c[6:] if isinstance(x, Token | syntax.Value)])
        node = syntax.Pick(*_span(c), which, c[2], _word(c[5]), op, values, _window(c))
        return syntax.Negated(*_span(c), node) if negated else node

    def first(self, c: Children) -> syntax.Node:
        return syntax.First(*_span(c), c[1], _window(c))

    def sequence(self, c: Children) -> syntax.Node:
        return syntax.Sequence(*_span(c), c[0], c[2], c[4], _same(c), _window(c))

    def absence(self, c: Children) -> syntax.Node:
        first, missing, *restart = _of(syntax.Events, c)
        within = _first(syntax.Duration, c)
        return syntax.Absence(*_span(c), first, missing, within, restart[0] if restart else None, _same(c), _window(c))

    def same(self, c: Children) -> _Same:
        return _Same(*_span(c), _word(c[-1]))

    def trait(self, c: Children) -> syntax.Node:
        kind: Literal["trait", "score"] = "trait" if c[0].type == "TRAIT" else "score"
        held = _first(syntax.Duration, c)
        op, values, negated = _test(c[3:-2] if held else c[3:])
        node = syntax.Trait(*_span(c), kind, _word(c[2]), op, values, held)
        return syntax.Negated(*_span(c), node) if negated else node

    def consents(self, c: Children) -> syntax.Node:
        return syntax.Consents(*_span(c), c[2])

    def bucket(self, c: Children) -> syntax.Node:
        percents = tuple(_number(t) for t in c if t.type == "PERCENT")
        return syntax.Bucket(*_span(c), _word(c[2]), str(c[4]), percents)

    def in_segment(self, c: Children) -> syntax.Node:
        return syntax.InSegment(*_span(c), _word(c[1]))


class Builder(_Conditions):
    """All of the grammar."""

    def exit(self, c: Children) -> syntax.Exit:
        """What ends a stay."""
        return syntax.Exit(*_span(c), tuple(_of(syntax.Events, c)), tuple(_of(syntax.Duration, c)))

    def after_entering(self, c: Children) -> syntax.Duration:
        """Its time."""
        duration: syntax.Duration = c[0]
        return duration

    def keep(self, c: Children) -> syntax.Keep:
        """A feature."""
        events, field = c[2].held
        return syntax.Keep(*_span(c), _number(c[1]), events, field, _window(c))

    def universe(self, c: Children) -> syntax.Duration:
        """How lately seen."""
        duration: syntax.Duration = c[-1]
        return duration
