"""The pictures of docs/time.md are run, and the glossary is in order."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.plan import compile_plan
from segue.rules import parse_rules
from segue_agents.replay import replay_changes
from segue_agents.rule_files import load_catalog

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = re.findall(r"```text\n((?:when|enter): .*?)```", (DOCS / "time.md").read_text(encoding="utf-8"), re.DOTALL)
TIME = re.compile(r"(?:(\d\d-\d\d) )?(\d\d:\d\d)")
CATALOG = load_catalog()
NAMES = {snake: raw for source in CATALOG.sources for raw, snake in source.events.items()}


def time_ms(day: str | None, clock: str) -> int:
    at = datetime.fromisoformat(f"2026-{day or '11-24'}T{clock}").replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000)


def event(row: str, at_ms: int) -> dict[str, object]:
    """`product_viewed product_id=a` as the producer would write it."""
    name, *pairs = row.split()
    said = {"userId": "ada", "timestamp": at_ms, "traits": dict(pair.split("=") for pair in pairs)}
    return said | ({"type": name} if name == "identify" else {"event": NAMES[name]})


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.partition("\n")[0])
def test_a_picture_of_time_is_what_happens(picture: str) -> None:
    """The events where the dots stand make the rule true from the left end of each bar to before its right end."""
    rule, _, drawn = picture.partition("\n\n")
    scale, *rows = drawn.splitlines()
    times = {found.start(): time_ms(*found.groups()) for found in TIME.finditer(scale)}
    *acts, truth = rows
    events = [event(re.split(r"\s{2,}", row)[0], times[dot.start()]) for row in acts for dot in re.finditer("●", row)]
    lines = [json.dumps(e).encode() for e in sorted(events, key=lambda e: e["timestamp"])]
    expected = []
    for bar in re.finditer("├─+([┤▶])", truth):
        expected.append(("entered", times[bar.start()]))
        expected += [("exited", times[bar.end() - 1])] if bar[1] == "┤" else []
    plan = compile_plan(parse_rules([("picture", f"segment: segment_x\n{rule}\n")], CATALOG), CATALOG)
    changes = replay_changes(plan, lines, max(times.values()) + 5 * 86_400_000)
    assert [(c["change"], c["at"]) for c in changes] == expected
    assert expected


def test_there_is_a_picture_of_each_kind() -> None:
    """Ten of them."""
    assert len(PICTURES) == 10


def test_the_glossary_is_in_order() -> None:
    """Its words stand in the order of the alphabet, each once, with a sentence or a few."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\*\*(.+?)\*\*(.*?)(?=^\*\*|\Z)", text, re.MULTILINE | re.DOTALL)
    words = [word.lower() for word, _ in entries]
    assert words == sorted(set(words))
    assert all(said.strip().endswith(".") and said.count("\n") <= 4 for _, said in entries)
