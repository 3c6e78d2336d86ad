"""`segue explain`, as a user runs it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from segue.engine.explain import text
from segue_agents.demo.shop import HOUR, shop_events
from segue_agents.explain import explain_lines
from segue_agents.replay import replay_members
from segue_agents.rule_files import load_plan

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
ON_THE_EXAMPLE = ("--rules", "examples/shop", "examples/events.jsonl")
NINE = 1_795_510_800_000  # 2026-11-24 09:00 UTC


def segue(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", *arguments], input=stdin, capture_output=True, check=False, cwd=ROOT
    )


SHOWN = re.findall(r"```text\n\$ segue (explain .*?)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("command", "output"), SHOWN)
def test_what_the_page_shows_is_what_is_printed(command: str, output: str) -> None:
    """Every command of docs/explain.md ends well and prints, word for word, what stands below it."""
    done = segue(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == output
    assert done.stderr == b""


def test_the_page_shows_both_why_and_why_not() -> None:
    """There are such commands on it, for somebody inside and somebody outside."""
    assert {" is in " in output for _, output in SHOWN} == {True, False}


def test_json_is_one_object() -> None:
    """--json prints the same as one line; times are milliseconds."""
    done = segue("explain", "bob", "hot_lead", *ON_THE_EXAMPLE, "--json", "--at", "2026-11-24T09:30:00Z")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert (found["person"], found["at_ms"]) == ("bob", NINE + HOUR // 2)
    nested = found["membership"]["condition"]["items"][0]["segment"]
    assert (nested["segment"], nested["inside"]) == ("behavior_high_intent", True)
    assert nested["condition"]["evidence"]["events"][0] == {
        "at_ms": NINE + 1_230_000, "event": "product_viewed", "id": "m-010", "value": None,
    }  # fmt: skip


def test_as_of_a_time_later_lines_take_no_part() -> None:
    """At 09:25 bob is inside and has not ordered; a minute after his order he is not."""
    before = segue("explain", "bob", "behavior_browsing", *ON_THE_EXAMPLE, "--at", "2026-11-24T09:25:00Z").stdout
    after = segue("explain", "bob", "behavior_browsing", *ON_THE_EXAMPLE, "--at", "2026-11-24T09:27:00Z").stdout
    assert before.startswith(b"bob is in behavior_browsing")
    assert after.startswith(b"bob is not in behavior_browsing")
    assert b"because of order_completed (m-016) of 09:26" in after


def test_a_person_whom_nobody_knows() -> None:
    """The answer is that of a person without events; on stderr stands who may have been meant."""
    done = segue("explain", "adda", "hot_lead", *ON_THE_EXAMPLE)
    assert done.returncode == 0
    assert b"nothing is known of adda" in done.stdout
    assert b"no event of 'adda' that a rule reads. Did you mean 'ada'?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ada", "hot_leed", *ON_THE_EXAMPLE], "no segment 'hot_leed'.\nDid you mean 'hot_lead'?"),
        (["ada", "hot_lead", *ON_THE_EXAMPLE, "--at", "noon"], "'noon' is not a time"),
        (["ada", "hot_lead", *ON_THE_EXAMPLE, "--at", "99999999999999999"], "too far away to be a time"),
        (["ada", "hot_lead", "--rules", "examples/shop", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["ada", "hot_lead", "--rules", "nowhere", "-"], "no rules at nowhere"),
        (["ada", "hot_lead", "--rules", "examples/shop", "-"], "No line is an event"),
    ],
)
def test_errors_say_what_to_do(arguments: list[str], says: str) -> None:
    """Exit 2, two sentences on stderr, nothing on stdout, no traceback."""
    done = segue("explain", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_lines_that_take_no_part_are_told() -> None:
    """Of stdin; an event too late to count is named by its line, and no part of the answer."""
    lines = [
        {"event": "Product Viewed", "userId": "ada", "timestamp": NINE, "messageId": "a"},
        {"event": "Product Viewed", "userId": "bob", "timestamp": NINE + 25 * HOUR, "messageId": "b"},
        {"event": "Product Viewed", "userId": "ada", "timestamp": NINE + 1, "messageId": "late"},
    ]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    done = segue("explain", "ada", "behavior_high_intent", "--rules", "examples/shop", "-", stdin=stdin)
    assert b"line 3 took no part: too_late" in done.stderr
    assert b"1 of 5 needed" in done.stdout
    assert b"late" not in done.stdout


def test_explain_and_replay_agree_on_everybody() -> None:
    """For half a day of the shop: whoever --members has in a segment is explained as inside, and nobody else."""
    plan = load_plan(ROOT / "examples" / "shop")
    events = takewhile(lambda e: e.time_ms < NINE + 12 * HOUR, shop_events(NINE, 1))
    lines = [json.dumps(e.event).encode() for e in events]
    people = sorted({json.loads(line).get("userId", "ada") for line in lines})
    at_ms = NINE + 12 * HOUR
    inside = {m["person_id"]: m["segments"] for m in replay_members(plan, lines, at_ms)}
    for person in people[:4]:
        for segment in plan.segments:
            found, _ = explain_lines(plan, lines, person, segment.name, at_ms)
            assert found.membership.inside == (segment.name in inside.get(person, {}))
            if found.membership.inside:
                assert found.membership.since_ms == inside[person][segment.name]
            assert text(found)
