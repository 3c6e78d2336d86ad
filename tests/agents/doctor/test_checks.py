"""The checks over plain values: each finding is made by the fault it is for, and by no health."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from tests.agents.doctor.cases import CASES, HEALTHY, Case

from segue_agents.doctor.checks import CHECKS, judge
from segue_agents.doctor.facts import Facts, Unknown
from segue_agents.doctor.findings import FAILED, UNKNOWN, Finding, Kind, exit_code, summary
from segue_agents.doctor.report import as_json, lines, markdown

PAGE = Path(__file__).parents[3] / "docs" / "operate" / "doctor.md"


def said(kind: Kind) -> re.Pattern[str]:
    """What a kind's template can have become."""
    parts = re.split(r"\{[^}]*\}", kind.what)
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


def troubles(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.level not in ("ok", "skipped")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_found(case: Case) -> None:
    """Its level, place, words, code and a fix without a hole; nothing of it is said of a healthy app."""
    found = [f for f in judge(case.facts) if f.where == case.where and said(case.kind).fullmatch(f.what)]
    assert len(found) == 1, [f for f in judge(case.facts) if f.level != "ok"]
    assert found[0].level == case.kind.level
    assert found[0].code == (case.kind.code if case.kind.level == "problem" else 0)
    assert found[0].fix
    assert "{" not in found[0].what + found[0].fix
    assert not any(said(case.kind).fullmatch(f.what) and f.level == case.kind.level for f in judge(HEALTHY))


def test_each_finding_has_a_case() -> None:
    """Of every check, every kind."""
    cased = {id(case.kind) for case in CASES}
    kinds = [(check.name, kind) for check in CHECKS for kind in check.kinds]
    assert [(name, kind.what) for name, kind in kinds if id(kind) not in cased] == []
    assert id(UNKNOWN) in cased


def test_a_healthy_app_is_green() -> None:
    """Every check that applies says ok, once at least, and the exit code is 0 even when warnings count."""
    found = judge(HEALTHY)
    assert {f.level for f in found} == {"ok"}
    assert {f.check for f in found} == {c.name for c in CHECKS} - {"registry"}
    assert all(f.what for f in found)
    assert exit_code(found, strict=True) == 0


@pytest.mark.parametrize("name", [f.name for f in fields(Facts) if f.name not in ("settings", "thresholds")])
def test_a_fact_that_is_not_there_stops_no_other_check(name: str) -> None:
    """Whatever is unknown, every check says something; it is told once, and those that need it are skipped."""
    changes: dict[str, Any] = {name: Unknown("it is away")}
    found = judge(replace(HEALTHY, **changes))
    assert {f.check for f in found} == {f.check for f in judge(HEALTHY)}
    apart = {c.name for c in CHECKS if c.needs and name not in c.needs}
    assert not [f for f in found if f.check in apart and FAILED.what[:20] in f.what]
    needing = [c.name for c in CHECKS if name in c.needs and c.applies(HEALTHY)]
    assert [f.check for f in found if f.what == "cannot be known: it is away"] == needing[:1]
    assert {f.check for f in found if f.level == "skipped"} == set(needing[1:])


def test_what_was_told_is_not_told_again() -> None:
    """Without Kafka one problem names it; what hangs on it is skipped; disk and rules are looked at."""
    away = Unknown("refused", unreachable=True, told=True)
    asked = {"cluster", "apis", "broker_config", "topics", "topic_configs", "group", "first", "second", "samples", "schemas"}
    changes: dict[str, Any] = dict.fromkeys(asked, away)
    found = judge(replace(HEALTHY, **changes))
    assert [(f.check, f.code) for f in troubles(found)] == [("kafka", 3)]
    assert {f.check for f in found if f.level == "ok"} == {"versions", "disk", "sources", "rules", "schema-ids"}


def test_a_check_that_fails_is_a_finding() -> None:
    """Its error in words, and the other checks as ever."""
    broken = replace(HEALTHY, broker_config={"transaction.max.timeout.ms": "soon"})
    (found,) = troubles(judge(broken))
    assert (found.check, found.level) == ("broker-limits", "warning")
    assert "ValueError" in found.what


@pytest.mark.parametrize(
    ("codes", "strict", "code"),
    [([], False, 0), ([0], False, 0), ([0], True, 1), ([1], False, 1), ([1, 4], False, 4), ([4, 3, 1], False, 3)],
)
def test_the_exit_code(codes: list[int], strict: bool, code: int) -> None:
    """Unreachable before incompatible before other problems; a warning counts only when it is asked to."""
    assert exit_code([Finding("a", "problem" if c else "warning", "", "", "", c) for c in codes], strict) == code


def test_the_report() -> None:
    """A line a finding and one for its fix; quiet: troubles alone; JSON has all of it; a check counts once, by its worst."""
    case = next(c for c in CASES if c.name == "a compacted input")
    found = judge(case.facts)
    text = [line for _, line in lines(found)]
    assert sum(line.startswith(("ok ", "warning ", "problem ")) for line in text) == len(found)
    problem, fix = (line for _, line in lines(found, quiet=True))
    assert problem.startswith("problem  cleanup        site-events: cleanup.policy is compact: Kafka keeps the newest")
    assert fix == f"{'':24} fix: kafka-configs.sh --alter --topic site-events --add-config cleanup.policy=delete"
    whole = json.loads(json.dumps(as_json(found)))
    assert (whole["exit_code"], len(whole["findings"])) == (1, len(found))
    assert summary(found).endswith(" ok, 1 problem")


def test_the_page_has_the_table_of_the_code() -> None:
    """docs/operate/doctor.md has it as `markdown()` of doctor/report.py makes it."""
    table = re.search(r"\| check \|.*?\n(?!\|)", PAGE.read_text(encoding="utf-8") + "\n", re.DOTALL)
    assert table is not None
    assert table[0].strip() == markdown().strip()
