"""What a check says: a level, where, what, and what to do. The kinds of findings are data, so that the docs list them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from segue_agents.doctor.facts import Facts

Level = Literal["ok", "skipped", "warning", "problem"]
"""skipped: what it looks at cannot be known, for a reason that another finding names"""
FINDING, UNREACHABLE, INCOMPATIBLE = 1, 3, 4
"""exit codes, as all commands have them"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report, and its fix."""

    check: str
    level: Level
    where: str
    """a topic, a partition, a folder, a setting"""
    what: str
    fix: str = ""
    """a command or a setting"""
    code: int = 0
    """the exit code it asks for"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A finding that a check can make. `what` and `fix` are templates."""

    level: Literal["warning", "problem"]
    what: str
    fix: str
    code: int = FINDING

    def at(self, where: str, **values: Any) -> Finding:
        """This, of one place. `{where}` stands for it in both templates."""
        values |= {"where": where}
        code = self.code if self.level == "problem" else 0
        return Finding("", self.level, where, self.what.format(**values), self.fix.format(**values), code)


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the table of checks."""

    name: str
    looks_at: str
    needs: tuple[str, ...]
    """the facts it reads, by their names in Facts"""
    judge: Callable[[Facts], Iterable[Finding]]
    """what is found; nothing at all means that all is well"""
    kinds: tuple[Kind, ...]
    fine: str
    """what is said when nothing is found"""
    applies: Callable[[Facts], bool] = field(default=lambda _facts: True)
    """whether the settings ask for it at all"""


def fine(what: str, where: str = "") -> Finding:
    """That all is well, with a figure somebody may want to see."""
    return Finding("", "ok", where, what)


UNKNOWN = Kind("warning", "cannot be known: {why}", "{fix}")
"""of any check: Kafka, the registry or this machine did not say what it needs"""
FAILED = Kind("warning", "the check itself failed: {why}", "Report it, with the output of `segue doctor --json`.")
"""of any check"""


def exit_code(findings: Iterable[Finding], strict: bool = False) -> int:
    """Unreachable before incompatible before any other problem, as the first may hide the others. `strict`: warnings too."""
    found = list(findings)
    codes = {f.code for f in found if f.level == "problem"}
    if strict and any(f.level == "warning" for f in found):
        codes.add(FINDING)
    return next((code for code in (UNREACHABLE, INCOMPATIBLE, FINDING) if code in codes), 0)


def summary(findings: Iterable[Finding]) -> str:
    """`23 checks: 21 ok, 1 warning, 1 problem`. A check counts by the worst it found."""
    order: tuple[Level, ...] = ("problem", "warning", "skipped", "ok")
    worst: dict[str, Level] = {}
    for f in findings:
        worst[f.check] = min(f.level, worst.get(f.check, "ok"), key=order.index)
    counts = list(_counted(worst.values(), order))
    return f"{len(worst)} checks: {', '.join(reversed(counts)) if counts else 'none'}"


def _counted(levels: Iterable[Level], order: Iterable[Level]) -> Iterator[str]:
    found = list(levels)
    for level in order:
        if n := found.count(level):
            plural = "s" if n > 1 and level in ("warning", "problem") else ""
            yield f"{n} {level}{plural}"
