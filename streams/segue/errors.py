"""One tree of errors, split by whose fault it is and so by who can mend it.

SegueError
├── RuleError        the rules' author: file, line, column, the line underlined, a hint
├── ContractError    whoever wrote a source declaration or a schema
├── ConfigError      the operator's settings or files (exit 2)
├── Unreachable      something outside that is not there or not as needed (exit 3)
│   └── NotAllowed   it is there, and refuses: a right is missing
└── StateError       the stored state does not fit or cannot be trusted (exit 4)

A producer's bad record is no exception: it is a `Rejected` and goes to the dead letters.
A bug of ours is an assertion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SegueError(Exception):
    """`what` happened, and what `to_do` about it, as two sentences."""

    exit_code = 1

    def __init__(self, what: str, to_do: str = "") -> None:
        super().__init__(f"{what}\n{to_do}" if to_do else what)
        self.what = what
        self.to_do = to_do


class ContractError(SegueError):
    """A source declaration or schema that cannot be used."""

    exit_code = 2


class ConfigError(SegueError):
    """A setting, flag or path that cannot be used."""

    exit_code = 2


class Unreachable(SegueError):
    """A dependency outside (broker, download, Java) that is not there."""

    exit_code = 3


class NotAllowed(Unreachable):
    """Kafka refuses what its ACLs do not allow."""


class StateError(SegueError):
    """Stored state that belongs to something else or cannot be trusted."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place of a rule file. Position as fields; `render` is apart (after sqlglot)."""

    file: str
    line: int
    """1-based"""
    column: int
    """1-based"""
    length: int
    """how many characters to underline, at least 1"""
    what: str
    hint: str = ""
    source_line: str = ""

    def render(self) -> str:
        """`file:line:column: what`, the line underlined, the hint."""
        out = [f"{self.file}:{self.line}:{self.column}: {self.what}"]
        if self.source_line:
            gutter = f"  {self.line} | "
            out.append(gutter + self.source_line)
            out.append(" " * (len(gutter) + self.column - 1) + "^" * max(1, self.length))
        if self.hint:
            out.append(f"  {self.hint}")
        return "\n".join(out)


class RuleError(SegueError):
    """Everything wrong with a set of rule files, all at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n\n".join(p.render() for p in self.problems))
