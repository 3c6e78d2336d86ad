"""A case file cut into its parts: rules of its own, headers, lines. What they say is for parse.py.

rules: behavior_cart_abandon.yaml     headers: rules, date, zone, only; before the first case they are the file's
---
segment: behavior_x                   rules of its own, between lines of dashes
when: did page
---
case: a name                          a case goes on to the next
10:00  ada  Page                      a line
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from segue.errors import Problem
from segue.limits import CASE_FILE_BYTES
from segue.rules.files import SourceFile

HEADERS: Final = ("rules", "date", "zone", "only", "case")
_HEADER = re.compile(r"\s*([A-Za-z_]+):(?:\s+(.*?))?(?:\s+#.*)?\s*$")
_DASHES = "---"


@dataclass(frozen=True, slots=True)
class Header:
    """`key: value`."""

    key: str
    value: str
    number: int
    """1-based line"""
    start: int
    """of the key, in the file"""
    value_start: int


@dataclass(frozen=True, slots=True)
class Written:
    """A line that is no header."""

    text: str
    number: int
    start: int
    """in the file"""


@dataclass(slots=True)
class Layout:
    """A file in its parts, in order."""

    file: SourceFile
    parts: list[Header | Written] = field(default_factory=list)
    inline: str = ""
    """the file's own rules, each at the very line it stands at; empty if it has none"""
    problems: list[Problem] = field(default_factory=list)

    def problem(self, start: int, end: int, what: str, hint: str = "") -> None:
        """Notes what is wrong with characters `start` to `end`."""
        self.problems.append(self.file.problem(start, end, what, hint))


def lay_out(name: str, text: str) -> Layout:
    """Never raises: what is wrong with the parts as such is among the layout's problems."""
    layout = Layout(SourceFile(name, text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")))
    if len(text) > CASE_FILE_BYTES:
        layout.problem(0, 1, f"the file is larger than {CASE_FILE_BYTES >> 20} MB", "Split it into several files.")
        return layout
    lines = layout.file.text.split("\n")
    own = [""] * len(lines)
    opened: tuple[int, int] | None = None
    start = 0
    for i, line in enumerate(lines):
        if line.rstrip() == _DASHES:
            opened = (i, start) if opened is None or _is_rule(lines[i + 1 :]) else None
            own[i] = _DASHES if opened else ""
        elif opened is not None:
            own[i] = line
        else:
            _part(layout, line, i + 1, start)
        start += len(line) + 1
    if opened is not None:
        layout.problem(
            opened[1], opened[1] + len(_DASHES), "the rule that begins here does not end", "Close it by a line of ---."
        )
    if any(own):
        layout.inline = "\n".join(own)
    return layout


def _part(layout: Layout, line: str, number: int, start: int) -> None:
    if not line.strip() or line.lstrip().startswith("#"):
        return
    found = _HEADER.match(line)
    if not found:
        layout.parts.append(Written(line, number, start))
        return
    key_start = start + found.start(1)
    if found[1] not in HEADERS:
        layout.problem(
            key_start,
            key_start + len(found[1]),
            f"unknown header {found[1]!r}",
            f"Headers are {', '.join(HEADERS)}; rules stand between two lines of ---.",
        )
    elif not found[2]:
        layout.problem(key_start, start + len(line), f"{found[1]!r} says nothing", "Write its value behind the colon.")
    else:
        layout.parts.append(Header(found[1], found[2], number, key_start, start + found.start(2)))


def _is_rule(following: list[str]) -> bool:
    """Whether, after dashes that end a rule, another one begins."""
    for line in following:
        if line.strip() and not line.lstrip().startswith("#"):
            found = _HEADER.match(line)
            return found is not None and found[1] not in HEADERS
    return False
