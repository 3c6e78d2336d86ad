"""The commands that need no broker, as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RULES = str(ROOT / "examples" / "shop")
EVENTS = str(ROOT / "examples" / "events.jsonl")


def segue(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", *arguments],
        input=stdin, capture_output=True, check=False, cwd=ROOT, env=os.environ | environment,
    )  # fmt: skip


def test_check_says_what_a_rule_costs() -> None:
    """Each segment with its leaves, what is shared, bytes, timers, unknowns, class; the summary goes to stderr."""
    done = segue("check", RULES)
    assert done.returncode == 0
    said = done.stdout.decode()
    for word in ("hot_lead", "shared with engagement_email", "bytes a person", "timers", "unknown", "exact on the stream"):
        assert word in said
    assert b"6 segments" in done.stderr


def test_check_as_json() -> None:
    """One object a segment."""
    reports = json.loads(segue("check", RULES, "--json").stdout)["segments"]
    assert {r["name"] for r in reports} >= {"behavior_cart_abandon", "hot_lead"}
    assert all(r["state_bytes_max"] > 0 for r in reports)


def test_check_tells_an_editor_where_a_mistake_is(tmp_path: Path) -> None:
    """--json gives each problem with file, line, column and length, on stdout, and exit 2."""
    file = tmp_path / "wrong.yaml"
    file.write_text("segment: behavior_x\nwhen: did prodct_viewed in the last 7 days\n")
    done = segue("check", str(file), "--json")
    (problem,) = json.loads(done.stdout)["problems"]
    assert done.returncode == 2
    assert [problem[k] for k in ("file", "line", "column", "length")] == [str(file), 2, 11, len("prodct_viewed")]
    assert problem["hint"] == "Did you mean 'product_viewed'?"


def test_check_against_the_rules_that_run_now(tmp_path: Path) -> None:
    """What is new, changed or gone, and which leaves begin empty; a change without a new version is exit 2."""
    now, then = tmp_path / "now.yaml", tmp_path / "then.yaml"
    now.write_text("segment: behavior_x\nwhen: count(product_viewed) >= 2 in the last 1 day\n")
    then.write_text(now.read_text() + "---\nsegment: hot_y\nwhen: in behavior_x and did order_completed in the last 1 day\n")
    done = segue("check", str(then), "--against", str(now))
    said = done.stdout.decode()
    assert done.returncode == 0
    assert "  new       hot_y\n" in said
    assert "  empty     hot_y: did order_completed in the last 1 day\n" in said
    assert "empty     behavior_x" not in said
    then.write_text("segment: behavior_x\nwhen: count(product_viewed) >= 3 in the last 1 day\n")
    refused = segue("check", str(then), "--against", str(now))
    assert refused.returncode == 2
    assert b"behavior_x has changed, its version has not" in refused.stdout
    then.write_text("segment: behavior_x\nversion: 2\nwhen: count(product_viewed) >= 3 in the last 1 day\n")
    assert segue("check", str(then), "--against", str(now)).returncode == 0


def test_the_schema_of_rule_files_is_printed() -> None:
    """JSON Schema, draft 7, as editors read it."""
    assert json.loads(segue("schema", "rules").stdout)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_a_worker_refuses_what_only_the_warehouse_knows(tmp_path: Path) -> None:
    """A rule that looks back further than the log is said before anything is started, with what to do."""
    file = tmp_path / "far.yaml"
    file.write_text("segment: lifecycle_far\nwhen: did order_completed between 548 days and 730 days ago\n")
    done = segue("run", "--broker", "127.0.0.1:1", "--rules", str(file), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 2
    assert b"lifecycle_far: warehouse only" in done.stderr
    assert b"looks back 730 days, the log keeps 400 days" in done.stderr


def test_check_shows_the_code() -> None:
    """--show-code prints Python that compiles, and nothing else."""
    compile(segue("check", RULES, "--show-code").stdout.decode(), "generated", "exec")


def test_the_reference_rules_are_checked_against_their_own_contracts() -> None:
    """--sources names other declarations; without it the events of the reference workload are unknown."""
    reference = str(ROOT / "examples" / "reference")
    assert segue("check", reference, "--sources", str(ROOT / "bench" / "reference" / "sources")).returncode == 0
    assert b"unknown event 'add_to_cart'" in segue("check", reference).stderr


def test_a_wrong_rule_is_underlined(tmp_path: Path) -> None:
    """All problems at once, file:line:column first, exit 2, no traceback."""
    file = tmp_path / "wrong.yaml"
    file.write_text("segment: behavior_x\nwhen: did prodct_viewed in the last 7 days\n---\nsegment: y\n")
    done = segue("check", str(file))
    said = done.stderr.decode()
    assert done.returncode == 2
    assert f"{file}:2:11: unknown event 'prodct_viewed'" in said
    assert "^^^^^^^^^^^^^" in said
    assert "product_viewed" in said
    assert f"{file}:4:" in said
    assert "Traceback" not in said


def test_replay_writes_json_lines_to_stdout_only() -> None:
    """Data on stdout, one change a line; the same from a file and from stdin."""
    done = segue("replay", EVENTS, "--rules", RULES, "--until", "2026-11-24T10:30:00Z")
    assert done.returncode == 0
    changes = [json.loads(line) for line in done.stdout.splitlines()]
    assert changes[-1]["segment"] == "behavior_cart_abandon"
    piped = segue(
        "replay", "-", "--rules", RULES, "--until", "2026-11-24T10:30:00Z", stdin=Path(EVENTS).read_bytes()
    )
    assert piped.stdout == done.stdout


def test_replay_members() -> None:
    """--members prints one person a line."""
    done = segue("replay", EVENTS, "--rules", RULES, "--members", "2026-11-24T10:15:00")
    assert [json.loads(line)["person_id"] for line in done.stdout.splitlines()] == ["bob", "cleo"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["check", "nowhere"], 2, "no rules at nowhere"),
        (["replay", "nowhere", "--rules", RULES], 2, "nowhere cannot be read"),
        (["replay", EVENTS, "--rules", RULES, "--until", "noon"], 2, "'noon' is not a time"),
        (["send", "Prodct Viewed", "--person", "ada"], 2, "Did you mean 'Product Viewed'?"),
        (["send", "page", "--person", "ada"], 3, "No broker is named"),
        (["watch", "--broker", "127.0.0.1:1"], 3, "No Kafka answers at 127.0.0.1:1"),
        (["run", "--broker", "127.0.0.1:1", "--rules", "nowhere"], 2, "no rules at nowhere"),
        (["run", "--broker", "127.0.0.1:1", "--clock-speed", "fast"], 2, "clock_speed is 'fast'"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_are_two_sentences_and_an_exit_code(
    arguments: list[str], code: int, says: str, tmp_path: Path
) -> None:
    """What is wrong and what to do, on stderr; the code says whose fault it is; never a traceback."""
    done = segue(*arguments, SEGUE_BROKER_DIR=str(tmp_path))
    assert done.returncode == code
    assert says in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_version_and_help_are_quick_to_say() -> None:
    """--version prints one line, --help names every command."""
    assert segue("--version").stdout.startswith(b"segue ")
    said = segue("--help").stdout.decode()
    for command in ("demo", "run", "up", "down", "send", "watch", "check", "replay"):
        assert f" {command} " in said


def test_a_reader_that_has_enough_is_no_error() -> None:
    """`segue replay ... | head -1` ends without a word on stderr."""
    command = f"{sys.executable} -m segue_agents.cli check {RULES} --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, check=False, cwd=ROOT)
    assert done.stderr.decode().count("\n") <= 1
    assert b"Error" not in done.stderr


def test_no_colour_when_it_is_not_wanted() -> None:
    """NO_COLOR and a pipe both mean no escape codes."""
    assert b"\x1b[" not in segue("--help", NO_COLOR="1").stdout + segue("check", RULES).stdout
