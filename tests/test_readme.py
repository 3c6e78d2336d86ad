"""Documentation that cannot go stale: every command in it runs, its output is real, its links and files exist."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
RULES = "--rules examples/shop"
STANDING = ("segue up", f"segue run {RULES}", "segue watch", 'segue send "Product Viewed" --person ada product_id=42',
            "segue status", f"segue doctor {RULES}", "segue down")  # fmt: skip
NO_BROKER = (
    "segue check examples/shop",
    f"segue replay examples/events.jsonl {RULES} --until 2026-11-24T10:30:00Z",
    f"segue replay examples/events.jsonl {RULES} --members 2026-11-24T10:15:00Z",
    "segue test examples/rules",
    f"segue explain cleo behavior_cart_abandon {RULES} examples/events.jsonl --at 2026-11-24T10:30:00Z",
    "segue sql behavior_electronics_viewer --rules examples/rules --as-of 2026-11-24T12:00:00Z",
)


def consoles(page: Path) -> Iterator[tuple[str, str]]:
    """(command, the output shown below it) of every console block."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


SHOWN = [shown for page in PAGES for shown in consoles(page)]


def argv(command: str) -> list[str]:
    words = shlex.split(command)
    assert words[0] == "segue"
    return [sys.executable, "-m", "segue_agents.cli", *words[1:]]


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv(command), capture_output=True, text=True, check=False, cwd=ROOT, timeout=60, env=os.environ | environment
    )


def test_every_command_shown_is_run_by_a_test_of_this_file() -> None:
    """A command that is added to a page must be added to a test."""
    tested = {"make demo", "segue run --broker host:9092 --rules examples/shop", *STANDING, *NO_BROKER}
    assert {command for command, _ in SHOWN} == tested


@pytest.mark.parametrize("command", NO_BROKER)
def test_commands_that_need_no_broker(command: str) -> None:
    """They end well, and what a page shows as their output is what they print."""
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    for shown, output in SHOWN:
        assert shown != command or not output.strip() or output.strip() == done.stdout.strip()


def test_a_kafka_that_stays(tmp_path: Path) -> None:
    """up, run, send, watch, down as the page has them, in its order but for the watcher, which must have begun."""
    up, work, watch, send, status, doctor, down = STANDING
    where = {"SEGUE_BROKER_DIR": str(tmp_path / "broker"), "SEGUE_DATA_DIR": str(tmp_path / "data")}
    assert run(up, **where).returncode == 0
    environment = os.environ | where
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(argv(work), cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(30):  # the worker creates the topics
            if (sent := run(send, **where)).returncode != 3:
                break
        assert sent.stdout.startswith("site-events "), sent.stderr + (tmp_path / "worker.log").read_text()
        for _ in range(4):
            assert run(send, **where).returncode == 0
        watched = run(f"{watch} --from-beginning -n 2 --seconds 40", **where)
        assert "ada  entered  behavior_high_intent" in watched.stdout, (tmp_path / "worker.log").read_text()
        for command, says in ((status, "running, ready"), (doctor, "ok")):
            done = run(command, **where)
            assert (done.returncode, says in done.stdout) == (0, True), done.stdout + done.stderr
    finally:
        worker.terminate()
        worker.wait(20)
        assert run(down, **where).returncode == 0
    assert worker.returncode == 0


def test_any_kafka(broker: str, tmp_path: Path) -> None:
    """`segue run --broker` with the tests' Kafka in the place of host:9092 starts, and ends well when it is asked to."""
    command = f"segue run --broker {broker} --rules examples/shop --partitions 4 --app-id readme"
    with (tmp_path / "worker.log").open("w+") as log:
        worker = subprocess.Popen(
            [*argv(command), "--data-dir", str(tmp_path / "data")], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            worker.wait(12)
        except subprocess.TimeoutExpired:
            worker.terminate()
        assert worker.wait(20) == 0, (tmp_path / "worker.log").read_text()
        assert "partition_ready" in (tmp_path / "worker.log").read_text()


def test_the_demo_shown_is_the_demo(tmp_path: Path) -> None:
    """`make demo` runs `segue demo`, and every line of changes on the page comes in a run, times of the day aside."""
    outside = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}  # `make test` sets them
    plan = subprocess.run(["make", "-n", "demo"], capture_output=True, text=True, check=True, cwd=ROOT, env=outside).stdout
    assert plan.rstrip().endswith("/segue demo")
    (shown,) = (output for command, output in SHOWN if command == "make demo")
    done = run("segue demo --seconds 14", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr

    def plain(text: str) -> list[str]:
        dated = re.sub(r" on [A-Z][a-z]{2} \d+", " on DAY", text)
        return [re.sub(r"\d\d:\d\d(:\d\d)?|:\d{4,5}|http://127\.0\.0\.1", "#", line) for line in dated.splitlines()]

    assert set(plain(shown)) - {""} <= set(plain(done.stdout + done.stderr))


def test_the_rule_shown_is_one_of_the_examples() -> None:
    """The README's rule is a file of examples/shop, word for word."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == (ROOT / "examples/shop/behavior_cart_abandon.yaml").read_text()


def test_rules_on_the_pages_are_rules() -> None:
    """Every segment and feature in docs/rules.md is taken as it stands, together with the features of the example."""
    import segue_schemas
    from segue.catalog import Catalog
    from segue.rules import parse_rules

    catalog = Catalog.from_declarations(segue_schemas.load_declarations())
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/rules.md").read_text(), re.DOTALL)
    assert blocks
    parse_rules([(f"block {i}", block) for i, block in enumerate(blocks)], catalog)


def test_the_source_shown_has_the_keys_of_ours() -> None:
    """The declaration in docs/contracts.md says of each key what the packaged one says."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/contracts.md").read_text(), re.DOTALL)
    ours = yaml.safe_load((ROOT / "schemas/segue_schemas/sources/site.yaml").read_text())
    declared = yaml.safe_load(shown)
    assert set(declared.pop("events")) <= set(ours["events"])
    assert declared.pop("deduplicate")  # not everybody's
    assert declared.items() <= ours.items()


def test_links_and_files_exist() -> None:
    """Every relative link, and every path of tests that holds a guarantee, is there."""
    for page in PAGES:
        text = page.read_text()
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
        for path in re.findall(r"`((?:tests|examples|schemas|streams|agents)/[\w/.]+)`", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_table_of_changes_is_the_contract() -> None:
    """docs/contracts.md names every field of segue.SegmentChange and no other."""
    import segue_schemas

    table = (ROOT / "docs/contracts.md").read_text().partition("| field | meaning |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert named == {field["name"] for field in segue_schemas.load_schema("segment_change.v1")["fields"]}
