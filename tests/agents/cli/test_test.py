"""`segue test`, as a user runs it; and docs/testing.md, whose every example runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "examples" / "shop"
PAGE = (ROOT / "docs" / "testing.md").read_text()
RULE = "segment: behavior_here\nwhen: did page in the last 30 minutes\n"
CASES = """case: here
10:00 ada page
10:00 ada enters behavior_here until 10:30
case: gone
10:00 ada page
      ada enters behavior_here
10:30 ada exits behavior_here because of time
"""
WRONG = "case: never gone\n10:00 ada page\n      ada enters behavior_here\n11:00 nobody changes\n"


def segue(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", "test", *map(str, arguments)],
        capture_output=True, text=True, encoding="utf-8", check=False, cwd=cwd,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A rule with two cases that pass."""
    (tmp_path / "here.yaml").write_text(RULE)
    (tmp_path / "here.case").write_text(CASES)
    return tmp_path


def without_time(said: str) -> str:
    return re.sub(r"\(\d+ ms\)", "(n ms)", said)


def test_what_is_below_the_folder_is_run(folder: Path) -> None:
    """Without a path, every case file from here down; rules come from beside each; a tick a case; exit 0."""
    (folder / "more").mkdir()
    (folder / "more" / "here.yaml").write_text(RULE)
    (folder / "more" / "again.case").write_text(CASES)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "wrong.case").write_text(WRONG)
    done = segue(cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert without_time(done.stdout).splitlines() == [
        "here.case  ✓✓",
        "more/again.case  ✓✓",
        "4 cases in 2 files: 4 passed (n ms)",
    ]


def test_a_failure_is_told_in_full(folder: Path) -> None:
    """Place and name, the lines as written with what happened instead; exit 1."""
    (folder / "wrong.case").write_text(WRONG)
    done = segue(cwd=folder)
    assert done.returncode == 1
    assert without_time(done.stdout).splitlines() == [
        "here.case  ✓✓",
        "wrong.case  ✗",
        "",
        "wrong.case:1: never gone",
        "    2  10:00 ada page",
        "    3  ada enters behavior_here",
        "  - 4  11:00 nobody changes",
        "  +    10:30  ada  exited behavior_here because of time",
        "",
        "3 cases in 2 files: 2 passed, 1 failed (n ms)",
    ]


def test_what_cannot_be_read_is_exit_2(folder: Path) -> None:
    """All mistakes of a file at once, each once, with its place; the other files are run all the same."""
    (folder / "slips.case").write_text("case: slips\n10:00 ada pag\n25:00 ada page\n")
    done = segue(cwd=folder)
    assert done.returncode == 2
    assert "here.case  ✓✓\nslips.case  cannot be read\n" in done.stdout
    assert "slips.case:2:11: unknown event 'pag'\n  2 | 10:00 ada pag\n                ^^^\n" in done.stdout
    assert "slips.case:3:1: '25:00' is no time" in done.stdout
    assert "2 cases in 1 file: 2 passed, 1 file could not be read" in done.stdout


def test_a_wrong_rule_is_said_once(folder: Path) -> None:
    """However many case files it stops, and together with the mistakes of the case files themselves."""
    (folder / "here.yaml").write_text("segment: behavior_here\nwhen: did pag\n")
    (folder / "other.case").write_text("case: slip\n10:00 ada pagge\n")
    done = segue(cwd=folder)
    assert done.returncode == 2
    assert done.stdout.count("here.yaml:2:11: unknown event 'pag'") == 1
    assert done.stdout.count("other.case:2:11: unknown event 'pagge'") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "There is nothing at nowhere."),
        ([".", "-k", "zebra"], "No case has 'zebra' in its name."),
        (["empty"], "There is no case file below empty."),
    ],
)
def test_nothing_to_run_is_exit_2(folder: Path, arguments: list[str], said: str) -> None:
    """A path that is not there, a word that no name has, a folder without cases: two sentences, no traceback."""
    (folder / "empty").mkdir()
    done = segue(*arguments, cwd=folder)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_no_rules_no_cases(tmp_path: Path) -> None:
    """A case file without any rule says how to name them; one that is not UTF-8 says so."""
    (tmp_path / "a.case").write_text(CASES)
    (tmp_path / "b.case").write_bytes(b"case: \xff\n")
    (tmp_path / "c.case").write_text("rules: gone.yaml\n" + CASES)
    done = segue(cwd=tmp_path)
    assert done.returncode == 2
    assert "No rule file lies beside a.case." in done.stdout
    assert "b.case is not UTF-8 (byte 6)." in done.stdout
    assert "c.case: There are no rules at gone.yaml." in done.stdout


def test_a_word_picks(folder: Path) -> None:
    """-k looks at the names of cases and of files, in any letters; only what is run is counted."""
    assert without_time(segue("-k", "GONE", cwd=folder).stdout) == "here.case  ✓\n1 case in 1 file: 1 passed (n ms)\n"
    assert "2 passed" in segue("-k", "here.case", cwd=folder).stdout


def test_rules_can_lie_elsewhere(tmp_path: Path) -> None:
    """--rules names a file or a folder; what a case file names itself is looked for there."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "here.yaml").write_text(RULE)
    (tmp_path / "rules" / "other.yaml").write_text(RULE.replace("here", "there"))
    (tmp_path / "a.case").write_text("only: behavior_here\n" + CASES)
    (tmp_path / "b.case").write_text("rules: here.yaml\n" + CASES)
    assert segue("--rules", "rules", cwd=tmp_path).returncode == 0
    assert segue("--rules", "rules/here.yaml", cwd=tmp_path).returncode == 0


def test_sources_can_be_others() -> None:
    """--sources names other declarations, by which events and fields are checked."""
    sources = ROOT / "bench" / "reference" / "sources"
    done = segue("tests/cases/count.case", "--sources", sources)
    assert done.returncode == 2
    assert "unknown event" in done.stdout


def test_as_json(folder: Path) -> None:
    """One object a case on stdout, always the same keys; the summary goes to stderr."""
    (folder / "slips.case").write_text("case: slips\n10:00 ada pag\n")
    (folder / "wrong.case").write_text(WRONG)
    done = segue("--json", cwd=folder)
    assert done.returncode == 2
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {tuple(line) for line in lines} == {
        ("file", "case", "line", "status", "events", "changes", "differences", "bugs", "problems")
    }
    assert [(x["file"], x["case"], x["line"], x["status"], x["events"], x["changes"]) for x in lines] == [
        ("here.case", "here", 1, "passed", 1, 1),
        ("here.case", "gone", 4, "passed", 1, 2),
        ("slips.case", None, 2, "error", 0, 0),
        ("wrong.case", "never gone", 1, "failed", 1, 2),
    ]
    assert lines[2]["problems"][0]["what"] == "unknown event 'pag'"
    assert lines[3]["differences"] == [
        {"line": 4, "expected": "11:00 nobody changes", "happened": "10:30  ada  exited behavior_here because of time"}
    ]
    assert "3 cases in 2 files" in done.stderr


def test_a_terminal_that_knows_no_ticks(folder: Path) -> None:
    """Where ✓ cannot be printed, dots do."""
    assert "here.case  ..\n" in segue(cwd=folder, PYTHONIOENCODING="ascii").stdout


# --- docs/testing.md


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with the page's files, the failing one apart, and the shop's rules beside them and in `rules`."""
    shutil.copytree(SHOP, tmp_path / "rules")
    (tmp_path / "tests").mkdir()
    for rule in SHOP.glob("*.yaml"):
        shutil.copy(rule, tmp_path)
        shutil.copy(rule, tmp_path / "tests")
    for i, text in enumerate(blocks("case")):
        failing = "I thought" in text
        name = "thought.case" if failing else "carts.case" if i == 0 else f"{i}.case"
        ((tmp_path / "tests" if not failing else tmp_path / "rules") / name).write_text(text)
    shutil.copy(tmp_path / "tests" / "carts.case", tmp_path)
    return tmp_path


def test_the_page_passes(page: Path) -> None:
    """Every case of the page but the one that is to fail."""
    done = segue("tests", "--rules", "rules", cwd=page)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("✓") == sum(text.count("\ncase: ") for text in blocks("case")) - 1


def test_the_page_shows_a_real_failure(page: Path) -> None:
    """What the page says is printed is printed."""
    (shown,) = blocks("text")
    done = segue("thought.case", cwd=page / "rules")
    assert done.returncode == 1
    assert without_time(done.stdout) == without_time(shown)


def test_the_page_shows_commands_that_run(page: Path) -> None:
    """Each of them ends well in such a folder."""
    (page / "rules" / "thought.case").unlink()
    commands = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        assert command[:2] == ["segue", "test"]
        done = segue(*command[2:], cwd=page)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_shows_python_that_runs() -> None:
    """As it stands."""
    for block in blocks("python"):
        exec(compile(block, "docs/testing.md", "exec"), {})
