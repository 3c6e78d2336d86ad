"""`segue topics` against a real Kafka."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import segue_schemas


@pytest.fixture
def segue(broker: str, topic_prefix: str, tmp_path: Path):
    """`segue` with the packaged contracts, their topics named for this test alone."""
    packaged, own = Path(segue_schemas.__file__).parent, tmp_path / "contracts"
    shutil.copytree(packaged, own, ignore=shutil.ignore_patterns("*.py", "__pycache__", "examples"))
    for file in (own / "sources").glob("*.yaml"):
        file.write_text(file.read_text().replace("\ntopic: ", f"\ntopic: {topic_prefix}"))
    of = ["--broker", broker, "--sources", str(own / "sources"), "--app-id", topic_prefix + "app"]
    of += ["--output-topic", topic_prefix + "changes"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "segue_agents.cli", *arguments, *of], capture_output=True, text=True,
                              check=False, timeout=60, env=os.environ | {"SEGUE_CREATE_TOPICS": "false"})  # fmt: skip

    return run


def test_topics_are_listed_created_once_and_kept(segue, broker: str, topic_prefix: str) -> None:
    """Missing: exit 1 and the next step. Created with the partitions of the input that is there, and their configuration;
    again: nothing changes. Then all are there, as JSON too."""
    client = AdminClient({"bootstrap.servers": broker})
    client.create_topics([NewTopic(topic_prefix + "site-events", 3, 1)])[topic_prefix + "site-events"].result(20)
    listed = segue("topics")
    assert listed.returncode == 1
    assert "segue topics create" in listed.stderr
    assert listed.stdout.count("missing") == 6

    created = segue("topics", "create")
    assert created.returncode == 0, created.stderr
    assert created.stdout.count("created") == 6 and created.stdout.count("was there") == 1
    assert segue("topics", "create").stdout.count("was there") == 7

    found = [json.loads(line) for line in segue("topics", "--format", "json").stdout.splitlines()]
    assert {one["partitions"] for one in found} == {3}
    config = {one["topic"]: one["config"] for one in found}
    assert config[f"segue-{topic_prefix}app-state"]["cleanup.policy"] == "compact"
    assert config[topic_prefix + "email-events"] == {}


def test_topics_that_do_not_fit_each_other_are_refused(segue, broker: str, topic_prefix: str) -> None:
    """Two inputs of different numbers of partitions: exit 2, and which they are."""
    client = AdminClient({"bootstrap.servers": broker})
    for name, partitions in (("site-events", 2), ("email-events", 3)):
        client.create_topics([NewTopic(topic_prefix + name, partitions, 1)])[topic_prefix + name].result(20)
    refused = segue("topics", "create")
    assert refused.returncode == 2
    assert "has 2 partitions" in refused.stderr or "has 3 partitions" in refused.stderr
