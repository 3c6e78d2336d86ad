"""Rule files as documents of keys and texts, each with its place in the file.

Of YAML only what a rule needs is taken: documents that are mappings of a key to a text or to a list of texts.
Tags, anchors, aliases, merge keys and duplicate keys are refused. No scalar is ever turned into another type,
so `no` and `1_000` stay what they look like. PyYAML's events are read as they come, never its node tree:
nesting costs no recursion and an alias cannot blow up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from segue import limits
from segue.errors import Problem
from segue.rules.messages import quoted

_BIDI: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""characters that make a text look like another one"""
_TAB_INDENT: Final = re.compile(r"^ *\t", re.MULTILINE)
_NESTING: Final = 16
_UNDERLINED: Final = 120
"""characters underlined or shown after a place, at most"""

_YAML_MESSAGES: Final = (
    ("found character '\\t'", "a tab where YAML wants spaces", "Indent with spaces."),
    (
        "mapping values are not allowed",
        "a second ': ' in one line, or a line indented too far",
        "Check the indentation; a text that holds ': ' goes below its key, after 'when: >'.",
    ),
    ("could not find expected ':'", "this line is no 'key: value'", "Add the key, or indent the line to go on."),
    ("found unexpected end of stream", "a quote or bracket is not closed", "Close it."),
    (
        "expected <block end>",
        "this does not fit the lines above",
        "Check the indentation; a text that begins with a quote goes below its key, after 'when: >'.",
    ),
    ("expected ',' or ']'", "this list is not closed", "Separate its items by commas and end it with ]."),
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file's name and text, line ends made one."""

    name: str
    text: str

    def problem(self, start: int, end: int, what: str, hint: str = "") -> Problem:
        """About characters `start` to `end` of the file; at most to the end of the line."""
        start = max(0, min(start, len(self.text)))
        line_start = self.text.rfind("\n", 0, start) + 1
        line_end = self.text.find("\n", start)
        line_end = len(self.text) if line_end < 0 else line_end
        length = max(1, min(end, line_end, start + _UNDERLINED) - start)
        shown = self.text[line_start : min(line_end, start + _UNDERLINED)]
        return Problem(
            self.name,
            self.text.count("\n", 0, start) + 1,
            start - line_start + 1,
            length,
            what,
            hint,
            "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in shown),
        )


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text of a file: its value, and the characters of the file it was written as."""

    file: SourceFile
    value: str
    start: int
    end: int
    block: bool = False

    def problem(self, start: int, end: int, what: str, hint: str = "") -> Problem:
        """About characters `start` to `end` of the value."""
        places = self._places()
        if not places:
            return self.whole(what, hint)
        first = places[min(start, len(places) - 1)]
        last = places[min(max(start, end - 1), len(places) - 1)]
        return self.file.problem(first, last + 1, what, hint)

    def whole(self, what: str, hint: str = "") -> Problem:
        """About all of it."""
        written = self.file.text[self.start : self.end]
        return self.file.problem(self.start, self.start + len(written.rstrip()), what, hint)

    def _places(self) -> list[int]:
        """Where in the file each character of the value stands.

        Folding and quoting change blanks, add quotes and backslashes, and leave everything else in order, so
        the two texts are walked together; only a \\u escape is not found and stands where the last one did.
        """
        raw = self.file.text
        at = raw.find("\n", self.start) + 1 if self.block else self.start
        places = []
        for char in self.value:
            if not char.isspace():
                found = raw.find(char, at, self.end)
                at = at if found < 0 else found
            places.append(at)
            at = min(at + 1, max(self.start, self.end - 1))
        return places


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a document with its text, or its list of texts."""

    key: Scalar
    values: tuple[Scalar, ...]
    listed: bool

    @property
    def value(self) -> Scalar:
        """The text; of a list its first, which must not be empty."""
        return self.values[0]


@dataclass(frozen=True, slots=True)
class Document:
    """One rule: key -> entry, in the order of the file. Never empty."""

    entries: dict[str, Entry]


def read_file(name: str, text: str) -> tuple[list[Document], list[Problem]]:
    """The documents of a file as far as it can be read, and what is wrong with it."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    file = SourceFile(name, text)
    if len(text.encode("utf-8", "replace")) > limits.RULE_FILE_BYTES:
        return [], [
            file.problem(
                0, 1, f"the file is larger than {limits.RULE_FILE_BYTES // 1024} kB", "Split it into several files."
            )
        ]
    forbidden = _forbidden(file)
    if forbidden:
        return [], forbidden
    reader = _Reader(file)
    try:
        reader.read()
    except yaml.YAMLError as error:
        reader.problems.append(_yaml_problem(file, error))
    except _Abandoned:
        pass
    except (ValueError, OverflowError, IndexError):  # PyYAML's own on odd escapes and directives
        reader.problems.append(file.problem(0, 1, "this is not valid YAML", "Look for odd escapes and '%' lines."))
    return reader.documents, reader.problems


def _forbidden(file: SourceFile) -> list[Problem]:
    problems = [
        file.problem(
            m.start(),
            m.end(),
            f"the invisible character U+{ord(m[0]):04X} changes the direction of the text",
            "Delete it: what is read must be what is written.",
        )
        for m in _BIDI.finditer(file.text)
    ]
    tab = _TAB_INDENT.search(file.text)
    if tab:
        problems.append(file.problem(tab.end() - 1, tab.end(), "a tab in the indentation", "Indent with spaces."))
    return problems


def _yaml_problem(file: SourceFile, error: yaml.YAMLError) -> Problem:
    position = getattr(error, "position", None)
    if isinstance(position, int):
        return file.problem(position, position + 1, "a control character", "Delete it.")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    index = mark.index if mark is not None else 0
    said = str(getattr(error, "problem", None) or "it cannot be read")
    for part, what, hint in _YAML_MESSAGES:
        if part in said:
            return file.problem(index, index + 1, what, hint)
    return file.problem(index, index + 1, f"this is not valid YAML: {said}", "Check indentation, quotes and brackets.")


def _span(event: yaml.Event) -> tuple[int, int]:
    assert event.start_mark is not None and event.end_mark is not None
    return event.start_mark.index, event.end_mark.index


class _Abandoned(Exception):
    """The rest of the file is not worth reading."""


class _Reader:
    """One pass over the events of one file."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.documents: list[Document] = []
        self.problems: list[Problem] = []
        self._events: Iterator[Any] = iter(())

    def read(self) -> None:
        """Fills `documents` and `problems`. Raises what PyYAML raises, and _Abandoned."""
        self._events = iter(yaml.parse(self.file.text, Loader=yaml.SafeLoader))
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._document(next(self._events))

    def _document(self, root: yaml.Event) -> None:
        if isinstance(root, yaml.MappingStartEvent):
            self._refuse_extras(root)
            self._mapping()
        elif isinstance(root, yaml.ScalarEvent) and not root.value and root.implicit[0]:
            return
        else:
            self._problem(root, "a rule is written as 'key: value' lines", "Begin with 'segment: <name>'.")
            self._skip(root)

    def _mapping(self) -> None:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._scalar(event, "a key must be a word")
            value = self._value(next(self._events))
            if key is None:
                continue
            if key.value == "<<":
                self.problems.append(key.whole("merge keys are not allowed", "Write the keys out."))
            elif key.value in entries:
                self.problems.append(key.whole(f"the key {quoted(key.value)} stands here twice", "Keep one of them."))
            elif value is not None:
                entries[key.value] = Entry(key, *value)
        if entries:
            self.documents.append(Document(entries))

    def _value(self, event: yaml.Event) -> tuple[tuple[Scalar, ...], bool] | None:
        if not isinstance(event, yaml.SequenceStartEvent):
            scalar = self._scalar(event, "a text or a list of texts is expected here")
            return None if scalar is None else ((scalar,), False)
        self._refuse_extras(event)
        items = []
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            items.append(self._scalar(item, "the items of a list must be texts"))
        return tuple(i for i in items if i is not None), True

    def _scalar(self, event: yaml.Event, otherwise: str) -> Scalar | None:
        if not isinstance(event, yaml.ScalarEvent):
            if not self._refuse_extras(event):
                self._problem(event, otherwise, "Nothing in a rule file is nested deeper than a list.")
            self._skip(event)
            return None
        self._refuse_extras(event)
        scalar = Scalar(self.file, event.value, *_span(event), event.style in ("|", ">"))
        if _BIDI.search(scalar.value):
            self.problems.append(
                scalar.whole(
                    "an escape makes a character that changes the direction of the text",
                    "Delete it: what is read must be what is written.",
                )
            )
        return scalar

    def _refuse_extras(self, event: yaml.Event) -> bool:
        """Whether it had a tag, an anchor, or was an alias; all three are refused."""
        if isinstance(event, yaml.AliasEvent):
            self._problem(event, "aliases (*name) are not allowed", "Write the text out.")
            return True
        anchored, tagged = getattr(event, "anchor", None) is not None, getattr(event, "tag", None) is not None
        if anchored:
            self._problem(event, "anchors (&name) are not allowed", "Write the text out where it is needed.")
        if tagged:
            self._problem(
                event,
                "YAML tags (!name) are not allowed",
                "Delete the tag; put the text in quotes if it begins with '!'.",
            )
        return anchored or tagged

    def _problem(self, event: yaml.Event, what: str, hint: str) -> None:
        start, _ = _span(event)
        line_end = self.file.text.find("\n", start)
        self.problems.append(self.file.problem(start, len(self.file.text) if line_end < 0 else line_end, what, hint))

    def _skip(self, event: yaml.Event) -> None:
        depth = int(isinstance(event, yaml.CollectionStartEvent))
        while depth:
            event = next(self._events)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _NESTING:
                raise _Abandoned
