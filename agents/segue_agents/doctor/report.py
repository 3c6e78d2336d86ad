"""The findings: for a person, as JSON, and all there can be as a table for the docs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from segue_agents.doctor.checks import CHECKS
from segue_agents.doctor.findings import FAILED, UNKNOWN, Finding, Kind, exit_code, summary

OPENS, CLOSES = "\u2039", "\u203a"
"""around a word that a run fills in: Markdown takes these single guillemets for text"""
STYLES: Final = {"ok": "green", "skipped": "dim", "warning": "yellow", "problem": "bold red"}


def as_json(findings: Sequence[Finding], strict: bool = False) -> dict[str, Any]:
    """One object, for machines."""
    return {
        "exit_code": exit_code(findings, strict),
        "summary": summary(findings),
        "findings": [asdict(f) for f in findings],
    }


def lines(findings: Iterable[Finding], quiet: bool = False) -> Iterator[tuple[str, str]]:
    """(level, line) for each line of the report; a finding's fix on a line of its own. `quiet`: troubles alone."""
    before = ""
    for f in findings:
        if quiet and f.level not in ("warning", "problem"):
            continue
        name, before = ("" if f.check == before else f.check), f.check
        where = f"{f.where}: " if f.where else ""
        what = f"not checked: {f.what}" if f.level == "skipped" else where + f.what
        yield f.level, f"{f.level:7}  {name:14} {what}"
        if f.fix:
            yield "fix", f"{'':24} fix: {f.fix}"


def markdown() -> str:
    """The table of checks, as docs/operate/doctor.md has it."""
    rows = ["| check | looks at | finding | fix |", "|---|---|---|---|"]
    for check in CHECKS:
        name, looks_at = f"`{check.name}`", check.looks_at
        for kind in check.kinds or (None,):
            rows.append(f"| {name} | {looks_at} | {_finding(kind)} | {_cell(kind.fix) if kind else ''} |")
            name, looks_at = "", ""
    rows += [f"| any | | {_finding(kind)} | {_cell(kind.fix)} |" for kind in (UNKNOWN, FAILED)]
    return "\n".join(rows) + "\n"


def _finding(kind: Kind | None) -> str:
    if kind is None:
        return "none: it informs"
    code = f" (exit {kind.code})" if kind.level == "problem" and kind.code > 1 else ""
    return f"**{kind.level}**{code}: {_cell(kind.what)}"


def _cell(template: str) -> str:
    """A template's values as words in angle brackets."""
    return re.sub(r"\{(\w+)[^}]*\}", f"{OPENS}\\1{CLOSES}", template).replace("|", "\\|")
