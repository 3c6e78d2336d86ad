"""Reading a folder of rules."""

from pathlib import Path

import pytest

from segue.errors import ConfigError
from segue.limits import RULE_FILE_BYTES
from segue_agents.rule_files import read_rules


def test_a_folder_is_read_whole_and_in_order(tmp_path: Path) -> None:
    """Every .yaml and .yml below the folder, by name; hidden files and others are not rules."""
    for name in ("b.yaml", "a.yml", "c/d.yaml", ".#b.yaml", ".git/x.yaml", "README.md"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)
    read = read_rules(tmp_path)
    assert [text for _, text in read] == ["a.yml", "b.yaml", "c/d.yaml"]
    assert [name for name, _ in read] == [str(tmp_path / n) for n in ("a.yml", "b.yaml", "c/d.yaml")]


def test_a_single_file_is_rules_too(tmp_path: Path) -> None:
    """--rules may name one file, with or without a byte order mark."""
    file = tmp_path / "one.yaml"
    file.write_bytes(b"\xef\xbb\xbfsegment: x")
    assert read_rules(file) == [(str(file), "segment: x")]


@pytest.mark.parametrize(
    ("content", "says"), [(b"\xff", "not UTF-8"), (b"x" * (RULE_FILE_BYTES + 1), "longer than"), (None, "no rules at")]
)
def test_what_cannot_be_rules_is_refused_by_name(tmp_path: Path, content: bytes | None, says: str) -> None:
    """A missing, undecodable or huge file is the operator's error, and the message names it."""
    file = tmp_path / "one.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_rules(file)
    assert str(file) in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A folder without rules is a mistake, not an empty rule set."""
    with pytest.raises(ConfigError, match="no rule file"):
        read_rules(tmp_path)
