"""The alert rules: what promtool says of them, and that each alert has its tests, its runbook and its row in the docs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from monitoring.alerts import ALERTS_PAGE, alerts, between_marks, table
from monitoring.panels import metrics_in
from tests.monitoring.debian import Tools

ROOT: Final = Path(__file__).parents[2]
MONITORING: Final = ROOT / "monitoring"
RULES: Final = sorted((MONITORING / "rules").glob("*.yml"))
TESTS: Final = sorted((MONITORING / "tests").glob("*.yml"))
RUNBOOKS: Final = ROOT / "docs" / "operate" / "runbooks"
NAMES: Final = sorted({alert.name for alert in alerts()})


def promtool(tools: Tools, *arguments: object) -> str:
    said = subprocess.run([tools.promtool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_promtool_takes_the_rules(tools: Tools) -> None:
    """Rules and the configuration that loads them."""
    assert promtool(tools, "check", "rules", *RULES).count("SUCCESS") == len(RULES)
    assert f"SUCCESS: {len(RULES)} rule files found" in promtool(tools, "check", "config", MONITORING / "prometheus.yml")


def test_the_rules_do_what_their_tests_say(tools: Tools) -> None:
    """`promtool test rules` over all of them: labels, values and words of what fires, and what does not."""
    promtool(tools, "test", "rules", *TESTS)


def test_each_alert_has_tests_that_fire_and_that_do_not() -> None:
    """A file each, with both."""
    assert [file.stem for file in TESTS] == NAMES
    for file in TESTS:
        asked = [one for test in yaml.safe_load(file.read_text())["tests"] for one in test["alert_rule_test"]]
        assert {one["alertname"] for one in asked} == {file.stem}
        assert {bool(one["exp_alerts"]) for one in asked} == {True, False}, file.name


def test_each_severity_of_an_alert_is_seen_to_fire() -> None:
    """Where one name stands for a page and a ticket, both are in its tests."""
    declared = {(alert.name, alert.severity) for alert in alerts()}
    fired = {
        (file.stem, alert["exp_labels"]["severity"])
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for one in test["alert_rule_test"]
        for alert in one["exp_alerts"]
    }
    assert fired == declared


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    """And the alert names it."""
    assert sorted(page.stem for page in RUNBOOKS.glob("*.md")) == NAMES
    for alert in alerts():
        assert alert.runbook_url == f"docs/operate/runbooks/{alert.name}.md"
        assert (ROOT / alert.runbook_url).exists()


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_labels_and_words(alert: Any) -> None:
    """Page or ticket; a summary without labels, so that it can be grouped; a description that says whose and how much."""
    assert alert.severity in ("page", "ticket")
    assert "{{" not in alert.summary
    assert "$labels.job" in alert.description


def test_rules_read_only_what_is_there() -> None:
    """A metric of ours, a series that another rule records, or one of every process and target."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        metrics_in(rule["expr"])  # raises NoSuchMetricError
        read = set(re.findall(r"\b\w+:\w+:\w+\b", rule["expr"]))
        assert read <= recorded, rule
    used = {name for rule in rules() for name in re.findall(r"\b\w+:\w+:\w+\b", rule["expr"])}
    assert used == recorded, "recorded, and read by no alert"


def rules() -> list[dict[str, Any]]:
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def test_pages_are_few() -> None:
    """What somebody is called for at night is for what people feel."""
    assert {a.name for a in alerts() if a.severity == "page"} == {
        "SegmentLatencyHigh", "PipelineStalled", "PartitionStopped", "NoReadyWorker", "OpenTransactionHanging",
    }  # fmt: skip


def test_the_table_in_the_docs_is_the_rules() -> None:
    """`python -m monitoring.alerts` writes it."""
    assert between_marks(ALERTS_PAGE.read_text(encoding="utf-8")) == table()
