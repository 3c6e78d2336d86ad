"""`segue acls`: what it prints, by which settings, and that its page shows the same."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segue_agents.cli.application import app
from segue_agents.config.kafka import refusal
from segue_agents.security.rights import Role
from segue_agents.security.wire import refuse_unsafe

PAGE = (Path(__file__).parents[3] / "docs" / "operate" / "security.md").read_text(encoding="utf-8")


def acls(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["acls", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def as_json(*arguments: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in acls(*arguments, "--json").splitlines()]


def test_the_page_shows_what_is_printed() -> None:
    """And names every role."""
    shown = re.search(r"```text\n\$ segue acls worker\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None and shown[1] == acls("worker")
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(Role)


def test_the_pages_examples_are_properties_of_librdkafka_and_safe() -> None:
    """One for each way in."""
    examples = re.findall(r"```properties\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        config = dict(line.split("=", 1) for line in example.splitlines())
        assert [name for name in config if refusal(name, name) is not None] == []
        refuse_unsafe({"bootstrap.servers": "kafka:9093", **config}, plaintext=False, unverified_tls=False)


def test_commands_of_kafka_give_the_same_rights() -> None:
    """One command a resource, fit for a shell whatever the names."""
    principal = "User:CN=it's,O=Example"
    given = set()
    for line in acls("worker", "--format", "kafka-acls", "--principal", principal, "--app-id", "shop").splitlines():
        words = shlex.split(line)
        assert words[0] == "kafka-acls.sh" and words[words.index("--allow-principal") + 1] == principal
        (kind,) = (w for w in words if w in ("--topic", "--group", "--transactional-id"))
        prefixed = "--resource-pattern-type" in words and words[words.index("--resource-pattern-type") + 1] == "prefixed"
        for i, word in enumerate(words):
            if word == "--operation":
                given.add((kind[2:], words[words.index(kind) + 1], words[i + 1], prefixed))
    assert given == {
        (a["resource_type"], a["resource"], a["operation"], a["pattern"] == "prefixed")
        for a in as_json("worker", "--app-id", "shop")
    }


@pytest.mark.parametrize(("arguments", "gone", "new"), [
    (["--guarantee", "at_least_once"], {("transactional-id", "segue-", "Write")}, set()),
    (["--clock", "none"], {("topic", "segue-segue-clock", "Read"), ("topic", "segue-segue-clock", "Write")},
     {("topic", "segue-segue-clock", "Describe")}),
    (["--slot", "0", "--slot", "eu-1"], {("transactional-id", "segue-", "Write")},
     {("transactional-id", "segue-0", "Write"), ("transactional-id", "segue-eu-1", "Write")}),
    (["--output-topic", "out"], {("topic", "segment-changes", "Write")}, {("topic", "out", "Write")}),
])  # fmt: skip
def test_they_follow_from_the_settings(
    arguments: list[str], gone: set[tuple[str, str, str]], new: set[tuple[str, str, str]]
) -> None:
    before, after = ({(a["resource_type"], a["resource"], a["operation"]) for a in as_json("worker", *more)}
                     for more in ([], arguments))  # fmt: skip
    assert before - after == gone
    assert after - before == new


def test_nobody_is_given_a_right_on_the_cluster_or_to_everything() -> None:
    """Nor any that is prefixed, but a worker's transactional ids."""
    for role in Role:
        for acl in as_json(role, "--group", "mail"):
            assert acl["resource_type"] in ("topic", "group", "transactional-id")
            assert acl["operation"] in ("Read", "Write", "Create", "Describe", "DescribeConfigs")
            assert acl["pattern"] == "literal" or acl["resource"] == "segue-"
