"""The words of a text against the catalog: events, fields, filters, types, durations.

Every method gives the tree node, or None once it has noted a problem; it goes on with the neighbours, so that
an author sees all that is wrong with a text at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar, cast

from segue import limits
from segue.catalog import Catalog, Field, FieldType, snake_case
from segue.errors import Problem
from segue.rules import canonical, syntax, tree
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
CALLED: Final[dict[FieldType, str]] = {
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


class Checker:
    """Checks the text of one scalar. Notes problems in `problems`."""

    def __init__(self, catalog: Catalog, scalar: Scalar, problems: list[Problem]) -> None:
        self.catalog = catalog
        self.scalar = scalar
        self.problems = problems

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

    def events(self, node: syntax.Events) -> tree.Events | None:
        """Event names known to the catalog, filters whose fields every one of the events has."""
        names = [self._event(w) for w in node.names]
        known = self.known(node)
        filters = [self._filter(f, known) for f in node.filters]
        good = [f for f in filters if f is not None]
        if len(good) < len(filters) or None in names:
            return None
        return tree.Events(tuple(known), canonical.all_filters(good) if good else None)

    def known(self, node: syntax.Events) -> list[str]:
        """Those of the events that the catalog knows, sorted."""
        known = self.catalog.event_names()
        return sorted({_name(w) for w in node.names} & set(known))

    def _event(self, word: syntax.Word) -> str | None:
        name, known = _name(word), self.catalog.event_names()
        if name in known:
            return name
        hint = suggestion(snake_case(name[:_HINTED]), known, f"Events are {listed(known)}.")
        if word.quoted and re.match(r"\d{4}-\d\d-\d\d", word.text):
            hint = "A date takes no quotes, as in 'since 2026-01-01'."
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
        if field is None or not self.fits(node, field):
            return None
        return tree.Compare(field.name, cast("tree.FieldOperator", node.op), tuple(v.value for v in node.values))

    def fits(self, node: syntax.Compare | syntax.Pick | syntax.Trait, field: Field) -> bool:
        """Whether the field can be compared so: the operator and each value go with its type."""
        allowed = _OPERATORS[field.type]
        if node.op not in allowed:
            self.refuse(
                node,
                f"{node.op!r} does not go with {field.name!r}, which is {CALLED[field.type]}",
                f"With {field.name!r} go {listed(allowed)}.",
            )
            return False
        for value in node.values:
            if _type(value.value) != field.type:
                self.refuse(
                    value,
                    f"{field.name!r} is {CALLED[field.type]}, this is {CALLED[_type(value.value)]}",
                    self._retyped(field, value),
                )
                return False
        return True

    def _retyped(self, field: Field, value: syntax.Value) -> str:
        if field.type == "string":
            return f'Put it in quotes: "{self.scalar.value[value.start : value.end][:_HINTED]}".'
        return "Write a number, without quotes." if field.type == "number" else "Write true or false, without quotes."

    def field(
        self, word: syntax.Word, events: list[str], otherwise: str = "Write one condition for each event."
    ) -> Field | None:
        """The field that all the events have, of one type; `otherwise` is what to do where there is none."""
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
                    f"{field.name!r} is {CALLED[fields[0].type]} in {events[0]!r} and {CALLED[field.type]} in {event!r}",
                    otherwise,
                )
                return None
        return fields[0] if fields else None

    def duration(self, node: syntax.Duration) -> int | None:
        """Milliseconds, more than 0 and at most limits.DURATION_MS."""
        number = f"{node.number:g}"
        if node.unit is None:
            self.refuse(node, "a duration needs a unit", f"Write '{number} minutes', '{number} hours' or '{number} days'.")
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
                "Choose a shorter one; a condition without a window looks back for ever.",
            )
            return None
        if length != int(length):
            self.refuse(node, "shorter than a millisecond can tell", "Use whole numbers.")
            return None
        return int(length)


def _name(word: syntax.Word) -> str:
    return snake_case(word.text) if word.quoted else word.text


def _type(value: str | int | float | bool) -> FieldType:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
