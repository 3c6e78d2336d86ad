"""`segue run`, `send`, `watch`, `up`, `down` against a real Kafka."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import segue_schemas
from segue_agents.demo.child import Child

ROOT = Path(__file__).parents[3]
RULES = str(ROOT / "examples" / "shop")


def segue(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60, env=os.environ | environment,
    )  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path, topic_prefix: str) -> Path:
    """The packaged contracts, their topics named for this test alone."""
    packaged, own = Path(segue_schemas.__file__).parent, tmp_path / "contracts"
    shutil.copytree(packaged, own, ignore=shutil.ignore_patterns("*.py", "__pycache__", "examples"))
    for file in (own / "sources").glob("*.yaml"):
        text = file.read_text()
        file.write_text(text.replace("\ntopic: ", f"\ntopic: {topic_prefix}"))
    return own / "sources"


@pytest.fixture
def worker(broker: str, topic_prefix: str, sources: Path, tmp_path: Path) -> Iterator[Child]:
    """`segue run` in a process of its own."""
    arguments = ["run", "--broker", broker, "--rules", RULES, "--sources", str(sources), "--app-id", topic_prefix + "app"]
    arguments += ["--output-topic", topic_prefix + "changes", "--data-dir", str(tmp_path / "data"), "--end-with-parent"]
    with Child(arguments, tmp_path / "worker.log") as started:
        yield started


def test_an_event_sent_is_a_change_watched(
    broker: str, topic_prefix: str, sources: Path, worker: Child, tmp_path: Path
) -> None:
    """send -> Kafka -> run -> Kafka -> watch: opening an email enters engagement_email, with the rule's tags."""
    send = ("send", "Email Opened", "--person", "ada", "--broker", broker, "--sources", str(sources), "campaign_id=42")
    sent = segue(*send)
    for _ in range(20):
        if sent.returncode != 3:  # the worker creates the topics
            break
        sent = segue(*send)
    assert sent.returncode == 0, sent.stderr + worker.last_words()
    topic, partition, offset = sent.stdout.split()
    assert (topic, offset) == (topic_prefix + "email-events", "0")
    assert 0 <= int(partition) < 4

    follow = ("watch", "--broker", broker, "--topic", topic_prefix + "changes", "--from-beginning", "-n", "1")
    watched = segue(*follow, "--json", "--seconds", "40")
    assert watched.stdout, watched.stderr + worker.last_words()
    change = json.loads(watched.stdout)
    assert (change["person_id"], change["segment"], change["change"]) == ("ada", "engagement_email", "entered")
    assert (change["sequence"], change["tags"]) == (1, ["engagement > email > active"])
    assert "  ada  entered  engagement_email  event" in segue(*follow).stdout


def test_a_broker_that_stays_keeps_its_data(tmp_path: Path) -> None:
    """up prints an address that other commands then find by themselves; down stops it; a second up has the data."""
    where = {"SEGUE_BROKER_DIR": str(tmp_path / "broker"), "SEGUE_BOOTSTRAP": ""}
    first = segue("up", **where)
    try:
        assert first.returncode == 0, first.stderr
        assert segue("up", **where).stdout == first.stdout
        missing = segue("watch", **where)
        assert (missing.returncode, "has no topic 'segment-changes'" in missing.stderr) == (3, True)
    finally:
        assert "the data is kept" in segue("down", **where).stderr
    assert segue("watch", **where).returncode == 3
    assert "None was running" in segue("down", **where).stderr
