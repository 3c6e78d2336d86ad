"""One document of a rule file to a Segment or a Feature, everything checked that needs no other document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from segue import limits
from segue.catalog import Catalog
from segue.errors import Problem
from segue.rules import syntax, tree, windows
from segue.rules.checking import Checker, listed, suggestion
from segue.rules.conditions import ConditionChecker
from segue.rules.files import Document, Entry, Scalar
from segue.rules.messages import quoted
from segue.rules.nobody import true_of_nobody
from segue.rules.parse import parse_condition, parse_exit, parse_keep, parse_universe

PREFIXES: Final = ("segment", "behavior", "engagement", "campaign", "demographic", "lifecycle", "score", "hot")
"""what a segment's name may begin with"""
SEGMENT_KEYS: Final = (
    "segment",
    "version",
    "title",
    "owner",
    "purpose",
    "tags",
    "when",
    "enter",
    "exit",
    "attach",
    "universe",
)
FEATURE_KEYS: Final = ("feature", "title", "keep")
LISTS: Final = ("tags", "attach")
"""keys that take a list"""
SEGMENT_REST: Final = "[a-z0-9_]+"
"""what follows a segment's prefix and its underscore"""
FEATURE_NAME: Final = "[a-z][a-z0-9_]*"
NAME_LENGTH: Final = 200
VERSION_DIGITS: Final = 9
_NO_FEATURE: Final = dict.fromkeys(
    (syntax.Ago, syntax.SinceTime, syntax.Calendar, syntax.Session),
    ("this is no window of a feature", "Write 'in the last 7 days' or 'since order_completed', or leave it out."),
)
_TAG: Final = re.compile(r"\w[\w .+-]*")


@dataclass(frozen=True, slots=True)
class Named:
    """A rule as far as it could be read. `rule` is None when it has problems; its name counts all the same."""

    name: Scalar
    rule: tree.Segment | tree.Feature | None
    references: tuple[tuple[Scalar, syntax.Word], ...] = ()
    """segments it names, with the texts they stand in"""
    attached: tuple[Scalar, ...] = ()
    """features it names"""


def read_segment(document: Document, catalog: Catalog, prefixes: Sequence[str], problems: list[Problem]) -> Named | None:
    """None if it has no usable name. Problems are added to `problems`."""
    reader = _Reader(document, catalog, problems)
    reader.check_keys("segment", SEGMENT_KEYS)
    name = reader.name("segment")
    if name is None:
        return None
    _check_segment_name(name, prefixes, problems)
    before = len(problems)
    conditions = _segment_conditions(reader, name)
    when, enter, exit_events, exit_after_ms, universe_ms = conditions
    attached = reader.listed("attach")
    segment = tree.Segment(
        name=name.value,
        version=reader.version(),
        title=reader.text("title"),
        owner=reader.text("owner"),
        purpose=reader.text("purpose"),
        tags=reader.tags(),
        when=when,
        enter=enter,
        exit_events=exit_events,
        exit_after_ms=exit_after_ms,
        attach=tuple(a.value for a in attached),
        universe_ms=universe_ms,
        text=" / ".join(
            f"{k}: {' '.join(reader.entries[k].value.value.split())}"
            for k in ("when", "enter", "exit")
            if k in reader.entries and reader.entries[k].values
        ),
    )
    return Named(name, segment if len(problems) == before else None, tuple(reader.references), tuple(attached))


def read_feature(document: Document, catalog: Catalog, problems: list[Problem]) -> Named | None:
    """None if it has no usable name. Problems are added to `problems`."""
    reader = _Reader(document, catalog, problems)
    reader.check_keys("feature", FEATURE_KEYS)
    name = reader.name("feature")
    if name is None:
        return None
    if not re.fullmatch(FEATURE_NAME, name.value) or len(name.value) > NAME_LENGTH:
        problems.append(
            name.whole(
                f"{quoted(name.value)} is no name of a feature",
                "Use small letters, digits and underscores, as in 'recent_views'.",
            )
        )
    if "keep" not in document.entries:
        problems.append(
            name.whole(
                "a feature needs 'keep'",
                "Add a line such as 'keep: last 20 product_viewed.product_id in the last 7 days'.",
            )
        )
        return Named(name, None)
    return Named(name, reader.keep(name.value))


Conditions = tuple[tree.Condition | None, tree.Condition | None, tuple[tree.Events, ...], int | None, int | None]


def _segment_conditions(reader: _Reader, name: Scalar) -> Conditions:
    entries, problems = reader.entries, reader.problems
    if "when" in entries and "enter" in entries:
        problems.append(
            entries["enter"].key.whole(
                "both 'when' and 'enter'",
                "Keep 'when' if people leave as soon as it is no longer true; keep 'enter' and 'exit' if they stay.",
            )
        )
    elif "when" not in entries and "enter" not in entries:
        problems.append(
            name.whole(
                "a segment needs 'when', or 'enter' with 'exit'",
                "Add a line such as 'when: did product_viewed in the last 7 days'.",
            )
        )
    if "enter" in entries and "exit" not in entries:
        problems.append(
            entries["enter"].key.whole(
                "'enter' without 'exit': nobody would ever leave",
                "Add a line such as 'exit: order_completed, or 7 days after entering'.",
            )
        )
    if "exit" in entries and "enter" not in entries:
        problems.append(
            entries["exit"].key.whole(
                "'exit' goes with 'enter' only", "With 'when' people leave as soon as it is no longer true."
            )
        )
    universe_ms = reader.universe()
    when = reader.condition("when")
    enter = reader.condition("enter")
    for key, condition in (("when", when), ("enter", enter)):
        if condition is not None and "universe" not in entries and true_of_nobody(condition):
            problems.append(
                entries[key].value.whole(
                    "this is true of people who have never been seen, and there is no end of them",
                    "Say whom you mean, as in 'universe: seen in the last 90 days', or add 'and did ...'.",
                )
            )
    exit_events, exit_after_ms = reader.exit()
    return when, enter, exit_events, exit_after_ms, universe_ms


def _check_segment_name(name: Scalar, prefixes: Sequence[str], problems: list[Problem]) -> None:
    prefix, _, rest = name.value.partition("_")
    if prefix in prefixes and re.fullmatch(SEGMENT_REST, rest) and len(name.value) <= NAME_LENGTH:
        return
    hint = f"It begins with one of {', '.join(p + '_' for p in prefixes)}."
    if prefix in prefixes:
        hint = "Use small letters, digits and underscores, as in 'behavior_cart_abandon'."
    else:
        hint = suggestion(prefix, prefixes, hint).replace("'?", "_'?") if rest else hint
    problems.append(name.whole(f"{quoted(name.value)} is no name of a segment", hint))


class _Reader:
    """The keys of one document, each by its own rules."""

    def __init__(self, document: Document, catalog: Catalog, problems: list[Problem]) -> None:
        self.entries: dict[str, Entry] = document.entries
        self.catalog = catalog
        self.problems = problems
        self.references: list[tuple[Scalar, syntax.Word]] = []

    def check_keys(self, kind: str, known: Sequence[str]) -> None:
        """Unknown keys, and lists where a text belongs."""
        for key, entry in self.entries.items():
            if key not in known:
                self.problems.append(
                    entry.key.whole(
                        f"unknown key {quoted(key)} in a {kind}",
                        suggestion(key, known, f"Keys of a {kind} are {listed(known)}."),
                    )
                )
            elif entry.listed and key not in LISTS:
                self.problems.append(entry.key.whole(f"{key!r} takes a text, not a list", "Write it without [ ]."))
            elif not entry.listed and not entry.value.value.strip():
                self.problems.append(entry.key.whole(f"{key!r} has no value", "Give it one, or delete the line."))

    def _usable(self, key: str) -> Scalar | None:
        """The text of a key, if it is there; check_keys has spoken about lists and empty ones."""
        entry = self.entries.get(key)
        if entry is None or entry.listed or not entry.value.value.strip():
            return None
        return entry.value

    def name(self, key: str) -> Scalar | None:
        return self._usable(key)

    def text(self, key: str) -> str:
        scalar = self._usable(key)
        return "" if scalar is None else scalar.value.strip()

    def version(self) -> int:
        scalar = self._usable("version")
        if scalar is None:
            return 1
        digits = scalar.value
        if not (digits.isascii() and digits.isdigit() and len(digits) <= VERSION_DIGITS and int(digits) >= 1):
            self.problems.append(scalar.whole(f"{quoted(digits)} is no version", "Versions are 1, 2, 3 ..."))
            return 1
        return int(digits)

    def listed(self, key: str) -> list[Scalar]:
        """The texts of a list; one text alone counts as a list of one. None may stand there twice or be empty."""
        found: dict[str, Scalar] = {}
        entry = self.entries.get(key)
        for item in entry.values if entry and (entry.listed or entry.value.value.strip()) else ():
            if item.value in found or not item.value.strip():
                what = f"{quoted(item.value)} stands here twice" if item.value.strip() else f"an empty item in {key!r}"
                self.problems.append(item.whole(what, "Delete it."))
            else:
                found[item.value] = item
        return list(found.values())

    def tags(self) -> tuple[str, ...]:
        paths = []
        for tag in self.listed("tags"):
            parts = [p.strip() for p in tag.value.split(">")]
            if not all(_TAG.fullmatch(p) for p in parts):
                self.problems.append(
                    tag.whole(
                        f"{quoted(tag.value)} is no tag",
                        "A tag is a path of words, as in 'lifecycle > cart > abandoned'.",
                    )
                )
            paths.append(" > ".join(parts))
        return tuple(paths)

    def condition(self, key: str) -> tree.Condition | None:
        scalar = self._usable(key)
        if scalar is None:
            return None
        checker = ConditionChecker(self.catalog, scalar, self.problems)
        node = checker.parsed(parse_condition)
        condition = None if node is None else checker.condition(node)
        self.references.extend((scalar, word) for word in checker.references)
        return condition

    def universe(self) -> int | None:
        scalar = self._usable("universe")
        if scalar is None:
            return None
        checker = Checker(self.catalog, scalar, self.problems)
        node = checker.parsed(parse_universe)
        return None if node is None else checker.duration(node)

    def exit(self) -> tuple[tuple[tree.Events, ...], int | None]:
        """The events, and the time after entering in ms."""
        scalar = self._usable("exit")
        if scalar is None:
            return (), None
        checker = Checker(self.catalog, scalar, self.problems)
        node = checker.parsed(parse_exit)
        if node is None:
            return (), None
        events = [checker.events(e) for e in node.events]
        after = [checker.duration(d) for d in node.after]
        if len(after) > 1:
            checker.refuse(node.after[1], "a second time after entering", "The shorter one is enough; delete this.")
        return tuple(e for e in events if e is not None), after[0] if after else None

    def keep(self, name: str) -> tree.Feature | None:
        before = len(self.problems)
        scalar = self._usable("keep")
        if scalar is None:
            return None
        checker = Checker(self.catalog, scalar, self.problems)
        node = checker.parsed(parse_keep)
        if node is None:
            return None
        if not isinstance(node.count.value, int) or not 1 <= node.count.value <= limits.FEATURE_VALUES:
            checker.refuse(node.count, f"a feature keeps 1 to {limits.FEATURE_VALUES} values", "Write 'last 20 ...'.")
        events = checker.events(node.events)
        field = checker.field(node.field, checker.known(node.events))
        if field is not None and field.type == "other":
            checker.refuse(
                node.field, f"{field.name!r} is neither text nor number and cannot be kept", "Keep another field."
            )
        window, _ = windows.checked(checker, node.window, _NO_FEATURE)
        if len(self.problems) > before or events is None:
            return None
        window_ms = window.ms if isinstance(window, tree.Last) else None
        since = window.events if isinstance(window, tree.SinceEvents) else None
        return tree.Feature(name, int(node.count.value), events, node.field.text, window_ms, since, self.text("title"))
