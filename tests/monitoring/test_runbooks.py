"""The runbooks: their shape, and that what they tell one to type is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from tests.monitoring.runbook import RUNBOOKS
from tests.monitoring.test_rules import NAMES

from segue_agents.cli.application import app

HEADINGS: Final = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
COMMAND: Final = re.compile(r"(?:^|`)\s*(segue [^`\n]+)", re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_all_four(name: str) -> None:
    """Meaning, Impact, Diagnosis and Mitigation, in this order, each with something in it."""
    title, *sections = re.split(r"^##? ", text_of(name), flags=re.MULTILINE)[1:]
    assert title.partition("\n")[0] == name
    assert [section.partition("\n")[0] for section in sections] == HEADINGS
    assert all(len(section.partition("\n")[2].strip()) > 40 for section in sections)


@pytest.mark.parametrize("name", NAMES)
def test_its_commands_are_there(name: str) -> None:
    """Each `segue ...` on the page, with its subcommand and flags."""
    for line in COMMAND.findall(text_of(name)):
        _, *words = shlex.split(line)
        assert unknown(typer.main.get_command(app), words) == [], line


def unknown(command: Any, words: list[str]) -> list[str]:
    """Words and flags of a command line that the command does not have."""
    while (commands := getattr(command, "commands", None)) is not None and words and not words[0].startswith("-"):
        if words[0] not in commands:
            if getattr(command, "invoke_without_command", False):
                break
            return [words[0]]
        command, words = commands[words[0]], words[1:]
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    return [word for word in words if word.startswith("-") and word not in known]


@pytest.mark.parametrize(
    ("words", "said"),
    [("dead-letters ls --each", []), ("dead-letters list", ["list"]), ("gaps --broker x", []), ("gaps --force", ["--force"]),
     ("docter", ["docter"])],
)  # fmt: skip
def test_what_is_not_there_is_seen(words: str, said: list[str]) -> None:
    """What the test above rests on."""
    assert unknown(typer.main.get_command(app), words.split()) == said


@pytest.mark.parametrize("page", sorted([*RUNBOOKS.glob("*.md"), RUNBOOKS.parent / "alerts.md"]), ids=lambda page: page.stem)
def test_its_links_lead_somewhere(page: Path) -> None:
    """Other pages of the docs."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).resolve().exists()] == []


def text_of(name: str) -> str:
    return (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
