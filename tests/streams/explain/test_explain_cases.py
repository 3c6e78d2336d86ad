"""What is said of each leaf, each way in and out: every file of tests/cases/explain, word for word.

A file is rules, a log of ada's events and questions, with a line `====` between them. A question is
`$ person segment [date] time [from the state]`; below it stands what is said. To add one, write the question and run
with SEGUE_WRITE_GOLDEN=1; then read the answer as a marketer would.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.streams.engine.world import CATALOG
from tests.streams.explain.asking import Line, ask, read_log, read_time

from segue.engine.explain import text
from segue.rules import parse_rules
from segue.rules.tree import RuleSet

CASES = Path(__file__).parents[2] / "cases" / "explain"


def answered(rules: RuleSet, lines: list[Line], question: str) -> str:
    person, segment, *words = question.split()
    at_ms, how = read_time(words)
    assert how in ([], ["from", "the", "state"])
    return text(ask(rules, lines, person, segment, at_ms, with_log=not how))


@pytest.mark.parametrize("path", sorted(CASES.glob("*.txt")), ids=lambda p: p.stem)
def test_what_is_said(path: Path) -> None:
    """Each question of the file is answered with exactly the text below it."""
    rules, log, questions = re.split(r"^====\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parsed, lines = parse_rules([(path.name, rules)], CATALOG), read_log(log)
    asked = [part.split("\n", 1)[0] for part in re.split(r"^\$ ", questions, flags=re.MULTILINE)[1:]]
    found = "\n\n".join(f"$ {question}\n{answered(parsed, lines, question)}" for question in asked) + "\n"
    if os.environ.get("SEGUE_WRITE_GOLDEN"):
        path.write_text(f"{rules}====\n{log}====\n{found}", encoding="utf-8")
    assert found == questions or os.environ.get("SEGUE_WRITE_GOLDEN")
