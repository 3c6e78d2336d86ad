"""The alerts, read from their rules, and the table of them: `python -m monitoring.alerts` writes it into the docs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import yaml

RULES: Final = Path(__file__).parent / "rules"
ALERTS_PAGE: Final = Path(__file__).parents[1] / "docs" / "operate" / "alerts.md"
BEGIN: Final = "<!-- made by python -m monitoring.alerts -->\n"
END: Final = "<!-- end -->\n"


class Alert(NamedTuple):
    """One alert rule."""

    name: str
    severity: str
    """page or ticket"""
    group: str
    waits: str
    """how long it must be true, as Prometheus writes durations; empty: it fires at once"""
    expr: str
    summary: str
    description: str
    runbook_url: str


def alerts() -> list[Alert]:
    """All of them, by file and in order."""
    return [
        Alert(rule["alert"], rule["labels"]["severity"], group["name"], rule.get("for", ""), rule["expr"],
              **rule["annotations"])
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"] if "alert" in rule
    ]  # fmt: skip


def table() -> str:
    """Pages first."""
    rows = sorted(alerts(), key=lambda alert: (alert.severity, alert.group, alert.name))
    lines = ["| alert | severity | when | after |", "|---|---|---|---|"]
    lines += [f"| [{a.name}](runbooks/{a.name}.md) | {a.severity} | {a.summary} | {a.waits or 'at once'} |" for a in rows]
    return "\n".join(lines) + "\n"


def between_marks(text: str) -> str:
    """The table as it stands in a page."""
    return text.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Writes the table into its page."""
    before, _, rest = ALERTS_PAGE.read_text(encoding="utf-8").partition(BEGIN)
    ALERTS_PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
