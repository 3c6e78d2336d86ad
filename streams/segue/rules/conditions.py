"""Syntax to checked tree: names against the catalog, types, numbers, durations.

Every method gives the tree node, or None once it has noted a problem; it goes on with the neighbours, so that
an author sees all that is wrong with a text at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final, TypeVar, cast

from segue import limits
from segue.catalog import Catalog, Field, FieldType, snake_case
from segue.errors import Problem
from segue.rules import canonical, pretty, syntax, tree
from segue.rules.files import Scalar
from segue.rules.messages import Unreadable, quoted

DAY_MS: Final = 86_400_000
_UNITS: Final = {
    "ms": 1,
    "s": 1_000,
    "sec": 1_000,
    "second": 1_000,
    "min": 60_000,
    "minute": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "d": DAY_MS,
    "day": DAY_MS,
    "week": 7 * DAY_MS,
}
_OPERATORS: Final[dict[FieldType, tuple[str, ...]]] = {
    "string": ("=", "!=", "in", "not in", "contains", "starts with", "is known"),
    "number": ("=", "!=", ">=", ">", "<=", "<", "in", "not in", "is known"),
    "boolean": ("=", "!=", "is known"),
    "other": ("is known",),
}
_CALLED: Final[dict[FieldType, str]] = {
    "string": "a text",
    "number": "a number",
    "boolean": "true or false",
    "other": "neither text nor number",
}
_SHOWN_NAMES: Final = 40
_HINTED: Final = 80
"""characters of a misspelt name beyond which no likely one is looked for"""

Parsed = TypeVar("Parsed", bound=syntax.Node)


def suggestion(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """`Did you mean 'product_viewed'?`, or the other sentence when nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1) if len(word) <= _HINTED else []
    return f"Did you mean {near[0]!r}?" if near else otherwise


def listed(names: Iterable[str]) -> str:
    """Names for a hint, not too many."""
    names = sorted(names)
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


class ConditionChecker:
    """Checks the text of one scalar. Notes problems in `problems` and the segments it names in `references`."""

    def __init__(self, catalog: Catalog, scalar: Scalar, problems: list[Problem]) -> None:
        self.catalog = catalog
        self.scalar = scalar
        self.problems = problems
        self.references: list[syntax.Word] = []

    def parsed(self, parse: Callable[[str], Parsed]) -> Parsed | None:
        """The scalar's text by one of the functions of parse.py, if it can be read and is not too large."""
        try:
            node = parse(self.scalar.value)
        except Unreadable as problem:
            self.problems.append(self.scalar.problem(problem.start, problem.end, problem.what, problem.hint))
            return None
        nodes, depth = syntax.measure(node)
        if nodes > limits.RULE_NODES:
            self.refuse(
                node,
                f"{nodes} conditions and filters in one rule, at most {limits.RULE_NODES}",
                "Write a list as 'field in (...)', or split the rule into segments.",
            )
            return None
        if depth > limits.RULE_DEPTH:
            self.refuse(
                node,
                f"conditions nested {depth} deep, at most {limits.RULE_DEPTH}",
                "Make a segment of the inner part and name it with 'in <segment>'.",
            )
            return None
        return node

    def refuse(self, node: syntax.Node, what: str, hint: str = "") -> None:
        """Notes a problem at the node."""
        self.problems.append(self.scalar.problem(node.start, node.end, what, hint))

    def condition(self, node: syntax.Node) -> tree.Condition | None:
        """Of a node from `parse_condition`."""
        match node:
            case syntax.Group():
                items = [self.condition(i) for i in node.items]
                good = [i for i in items if i is not None]
                if len(good) < len(items):
                    return None
                return canonical.all_of(good) if node.every else canonical.any_of(good)
            case syntax.Negated():
                item = self.condition(node.item)
                return None if item is None else canonical.negation(item)
            case syntax.Count():
                return self._count(node)
            case syntax.Absence():
                return self._absence(node)
            case syntax.InSegment():
                self.references.append(node.name)
                return tree.InSegment(node.name.text)
        raise AssertionError(f"no condition: {node}")

    def _count(self, node: syntax.Count) -> tree.Condition | None:
        events = self.events(node.events)
        numbers = self._compared(node)
        window_ms = None if node.window is None else self.duration(node.window)
        if events is None or numbers is None or (window_ms is None) != (node.window is None):
            return None
        return tree.Count(events, cast("tree.Operator", node.op), *numbers, window_ms=window_ms)

    def _compared(self, node: syntax.Count) -> tuple[int, int | None] | None:
        """n and, of `between`, the upper bound; refuses what is always or never true."""
        for number in node.numbers:
            if not isinstance(number.value, int):
                self.refuse(number, "a count is compared with a whole number", "Leave the fraction out.")
                return None
            if number.value > limits.COUNT:
                self.refuse(
                    number,
                    f"{number.value} is more than can be counted to, {limits.COUNT}",
                    f"Compare with at most {limits.COUNT}.",
                )
                return None
        bounds = [n.value for n in node.numbers if isinstance(n.value, int)]
        low, high = bounds[0], bounds[-1]
        never = (
            (low < 0 and node.op in ("=", "<="))
            or (low <= 0 and node.op == "<")
            or (node.op == "between" and (high < low or high < 0))
        )
        always = (low < 0 and node.op in (">", "!=")) or (low <= 0 and node.op == ">=")
        if never or always or low < 0:
            verdict = f"a count is {'never' if never else 'always'} {pretty.comparison_text(node.op, low, high)}"
            self.refuse(
                syntax.Node(node.numbers[0].start, node.numbers[-1].end),
                verdict if never or always else "a count is never below 0",
                "Write 'did E' for at least one and 'did not E' for none.",
            )
            return None
        return low, high if node.op == "between" else None

    def _absence(self, node: syntax.Absence) -> tree.Condition | None:
        first, missing = self.events(node.first), self.events(node.missing)
        within_ms = self.duration(node.within)
        restart = None if node.restarting_on is None else self.events(node.restarting_on)
        if first is None or missing is None or within_ms is None or (restart is None) != (node.restarting_on is None):
            return None
        return tree.Absence(first, missing, within_ms, restart)

    def events(self, node: syntax.Events) -> tree.Events | None:
        """Event names known to the catalog, filters whose fields every one of the events has."""
        names = [self._event(w) for w in node.names]
        known = sorted({n for n in names if n is not None})
        filters = [self._filter(f, known) for f in node.filters]
        good = [f for f in filters if f is not None]
        if len(good) < len(filters) or None in names:
            return None
        return tree.Events(tuple(known), canonical.all_filters(good) if good else None)

    def _event(self, word: syntax.Word) -> str | None:
        known = self.catalog.event_names()
        name = snake_case(word.text) if word.quoted else word.text
        if name in known:
            return name
        snake = snake_case(name[:_HINTED])
        hint = suggestion(snake, known, f"Events are {listed(known)}.")
        self.refuse(word, f"unknown event {quoted(word.text)}", hint)
        return None

    def _filter(self, node: syntax.Node, events: list[str]) -> tree.Filter | None:
        match node:
            case syntax.Group():
                items = [self._filter(i, events) for i in node.items]
                good = [i for i in items if i is not None]
                if len(good) < len(items):
                    return None
                return canonical.all_filters(good) if node.every else canonical.any_filter(good)
            case syntax.Negated():
                item = self._filter(node.item, events)
                return None if item is None else canonical.no_filter(item)
            case syntax.Compare():
                return self._compare(node, events)
        raise AssertionError(f"no filter: {node}")

    def _compare(self, node: syntax.Compare, events: list[str]) -> tree.Filter | None:
        field = self.field(node.field, events)
        if field is None:
            return None
        allowed = _OPERATORS[field.type]
        if node.op not in allowed:
            self.refuse(
                node,
                f"{node.op!r} does not go with {field.name!r}, which is {_CALLED[field.type]}",
                f"With {field.name!r} go {listed(allowed)}.",
            )
            return None
        for value in node.values:
            if _type(value.value) != field.type:
                self.refuse(
                    value,
                    f"{field.name!r} is {_CALLED[field.type]}, this is {_CALLED[_type(value.value)]}",
                    self._retyped(field, value),
                )
                return None
        return tree.Compare(field.name, cast("tree.FieldOperator", node.op), tuple(v.value for v in node.values))

    def _retyped(self, field: Field, value: syntax.Value) -> str:
        if field.type == "string":
            return f'Put it in quotes: "{self.scalar.value[value.start : value.end][:_HINTED]}".'
        return "Write a number, without quotes." if field.type == "number" else "Write true or false, without quotes."

    def field(self, word: syntax.Word, events: list[str]) -> Field | None:
        """The field that all the events have, of one type."""
        fields = []
        for event in events:
            known = self.catalog.fields_of(event)
            if word.text not in known:
                hint = suggestion(word.text, known, f"Its fields are {listed(known)}.")
                self.refuse(word, f"unknown field {quoted(word.text)} of {event!r}", hint)
                return None
            fields.append(known[word.text])
        for event, field in zip(events, fields, strict=True):
            if field.type != fields[0].type:
                self.refuse(
                    word,
                    f"{field.name!r} is {_CALLED[fields[0].type]} in {events[0]!r} and "
                    f"{_CALLED[field.type]} in {event!r}",
                    "Write one condition for each event.",
                )
                return None
        return fields[0] if fields else None

    def duration(self, node: syntax.Duration) -> int | None:
        """Milliseconds, more than 0 and at most limits.DURATION_MS."""
        number = f"{node.number:g}"
        if node.unit is None:
            self.refuse(
                node, "a duration needs a unit", f"Write '{number} minutes', '{number} hours' or '{number} days'."
            )
            return None
        unit = node.unit.text.lower()
        size = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if size is None:
            hint = (
                "Months and years differ in length; write days."
                if unit.startswith(("month", "year", "quarter"))
                else "Units are seconds, minutes, hours, days and weeks."
            )
            self.refuse(node.unit, f"unknown unit {quoted(node.unit.text)}", hint)
            return None
        length = node.number * size
        if length <= 0:
            self.refuse(node, "a duration must be longer than 0", "Write '30 minutes', '7 days'.")
            return None
        if length > limits.DURATION_MS:
            self.refuse(
                node,
                f"longer than the longest duration, {limits.DURATION_MS // DAY_MS} days",
                "Choose a shorter one, or leave the window out, which means ever.",
            )
            return None
        if length != int(length):
            self.refuse(node, "shorter than a millisecond can tell", "Use whole numbers.")
            return None
        return int(length)


def _type(value: str | int | float | bool) -> FieldType:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
