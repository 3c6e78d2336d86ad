"""Every file of tests/cases/broken_rules is refused with exactly the text beside it.

To add a case, write the .yaml and run with SEGUE_WRITE_GOLDEN=1; then read the .txt as a marketer would.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segue import limits
from segue.catalog import Catalog
from segue.errors import RuleError
from segue.rules import parse_rules

_CASES = Path(__file__).parents[2] / "cases" / "broken_rules"


@pytest.mark.parametrize("path", sorted(_CASES.glob("*.yaml")), ids=lambda p: p.stem)
def test_told_what_is_wrong(path: Path, catalog: Catalog) -> None:
    """A broken file is refused with every problem at its line and column, and what to write instead."""
    with pytest.raises(RuleError) as refused:
        parse_rules([(path.name, path.read_text(encoding="utf-8"))], catalog)
    golden = path.with_suffix(".txt")
    if os.environ.get("SEGUE_WRITE_GOLDEN"):
        golden.write_text(f"{refused.value}\n", encoding="utf-8")
    assert f"{refused.value}\n" == golden.read_text(encoding="utf-8")
    assert all(p.hint for p in refused.value.problems)


def test_problems_of_all_files_at_once(catalog: Catalog) -> None:
    """Problems come in the order of the files, and a name given twice says where it was given first."""
    files = [
        ("z.yaml", "segment: behavior_a\nwhen: did product_vewed\n"),
        ("a.yaml", "segment: behavior_a\nwhen: did product_adde\n"),
    ]
    with pytest.raises(RuleError) as refused:
        parse_rules(files, catalog)
    assert [(p.file, p.line) for p in refused.value.problems] == [("z.yaml", 2), ("a.yaml", 1), ("a.yaml", 2)]
    assert "in z.yaml:1" in refused.value.problems[1].what


def _refused(text: str, catalog: Catalog) -> str:
    with pytest.raises(RuleError) as refused:
        parse_rules([("f.yaml", text)], catalog)
    assert len(refused.value.problems) == 1
    return refused.value.problems[0].what


def test_a_file_that_cannot_be_read_accuses_no_other(catalog: Catalog) -> None:
    """A segment whose file is broken is not called unknown where it is named."""
    files = [("a.yaml", "segment: hot_a\nwhen: in behavior_b\n"), ("b.yaml", "segment: [behavior_b\n")]
    with pytest.raises(RuleError) as refused:
        parse_rules(files, catalog)
    assert [p.file for p in refused.value.problems] == ["b.yaml"]


def test_size_is_bounded(catalog: Catalog) -> None:
    """A file above 64 kB is refused unread, however it is written."""
    assert _refused("#" * (limits.RULE_FILE_BYTES + 1), catalog) == "the file is larger than 64 kB"
    assert parse_rules([("f.yaml", "#" * limits.RULE_FILE_BYTES)], catalog).segments == ()


@pytest.mark.parametrize("text", ["[" * 60_000, "a: " + "{" * 60_000, "- " * 30_000, "when: " + "'" * 60_001])
def test_nesting_bombs_are_cheap(text: str, catalog: Catalog) -> None:
    """Nested beyond any use, a file is refused at once: no recursion, no quadratic time."""
    with pytest.raises(RuleError):
        parse_rules([("f.yaml", text)], catalog)


@pytest.mark.parametrize(
    "text",
    [
        "not " * 10_000 + "did product_viewed",
        "(" * 20_000,
        "(" * 20_000 + ")" * 20_000,
        "did product_viewed where " + "not " * 10_000 + "gift = true",
        "did product_viewed where gift = true" + " and (" * 5_000,
    ],
)
def test_deep_conditions_are_refused(text: str, catalog: Catalog) -> None:
    """Depth is measured without recursion."""
    with pytest.raises(RuleError):
        parse_rules([("f.yaml", f"segment: behavior_a\nwhen: {text}\n")], catalog)


def test_bounds_are_inclusive(catalog: Catalog) -> None:
    """500 nodes and a depth of 16 pass, one more does not."""

    def rule(leaves: int) -> str:
        return "segment: behavior_a\nwhen: >\n  " + "\n  or ".join(["did product_viewed"] * leaves) + "\n"

    def deep(levels: int) -> str:
        text = "did product_viewed"
        for level in range(levels - 1):
            text = f"(did order_completed {'and' if level % 2 else 'or'} {text})"
        return f"segment: behavior_a\nwhen: {text}\n"

    assert parse_rules([("f.yaml", rule(limits.RULE_NODES - 1))], catalog).segments
    assert "501 conditions" in _refused(rule(limits.RULE_NODES), catalog)
    assert parse_rules([("f.yaml", deep(limits.RULE_DEPTH))], catalog).segments
    assert "nested 17 deep" in _refused(deep(limits.RULE_DEPTH + 1), catalog)


def test_the_screen_is_safe(catalog: Catalog) -> None:
    """Control characters of a rule never reach the terminal through an error."""
    with pytest.raises(RuleError) as refused:
        parse_rules([("f.yaml", "segment: behavior_\x1b[31m\nwhen: did \u202e\n")], catalog)
    assert not set("\x1b\u202e") & set(str(refused.value))
