"""The case files of this repository, with their rules, for tests that run them in one way or another."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import segue_schemas
from segue.catalog import Catalog
from segue.engine import Engine
from segue.plan import compile_plan
from segue.rules import RuleSet, parse_rules
from segue.testing import Arrives, Case, Event, read_cases, rules_named

ROOT = Path(__file__).parents[3]
FILES = [*sorted((ROOT / "tests/cases").glob("*.case")), *sorted((ROOT / "examples").rglob("*.case"))]


@functools.cache
def catalog() -> Catalog:
    return Catalog.from_declarations(segue_schemas.load_declarations())


@dataclass(frozen=True)
class Golden:
    """A case, and the rules it is about."""

    rules: RuleSet
    engine: Engine
    case: Case

    @property
    def ends_ms(self) -> int:
        return max(line.time_ms for line in self.case.lines)

    def taking_part(self) -> list[Event]:
        """Its events but for those too late, in the order of the file."""
        arrivals = [line.says for line in self.case.lines if isinstance(line.says, Arrives)]
        return [a.event for a in arrivals if a.lateness != "too late"]


@functools.cache
def goldens_of(file: Path) -> list[Golden]:
    name, text = str(file.relative_to(ROOT)), file.read_text()
    named = rules_named(name, text)
    files = [(name, named.inline)] if named.inline else []
    files += [(f, (file.parent / f).read_text()) for f in named.files]
    rules = parse_rules(files, catalog())
    engine = Engine(compile_plan(rules, catalog()))
    return [Golden(rules, engine, case) for case in read_cases(name, text, catalog(), [s.name for s in rules.segments])]


def names_of(file: Path) -> list[str]:
    """Names of a file's cases without reading its rules, so that collecting tests cannot fail."""
    lines = file.read_text().splitlines()
    return [line.removeprefix("case:").strip() for line in lines if line.startswith("case:")]


ALL = [(file, i) for file in FILES for i in range(len(names_of(file)))]
IDS = [f"{file.stem}-{name}" for file in FILES for name in names_of(file)]
