"""`segue replay` and `segue explain` over a file in which events are told twice."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from segue.catalog import Catalog
from segue.plan import Plan, compile_plan
from segue.rules import parse_rules
from segue_agents.explain import explain_lines
from segue_agents.replay import replay_changes
from segue_agents.rule_files import load_catalog

NINE, MINUTE, DAY = 1_795_510_800_000, 60_000, 86_400_000  # 2026-11-24 09:00 UTC
RULES = """
segment: behavior_viewer
title: Viewers
version: 1
owner: test
when: count(product_viewed) >= 2 in the last 1 day
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    catalog = Catalog(tuple(replace(s, deduplicate_ms=DAY) for s in load_catalog().sources))
    return compile_plan(parse_rules([("rules.yaml", RULES)], catalog), catalog)


def line(minute: int, id_: str | None, item: str = "hat", name: str = "Product Viewed") -> bytes:
    said: dict[str, Any] = {"event": name, "userId": "ada", "timestamp": NINE + minute * MINUTE}
    said |= {"properties": {"product_id": item}} | ({} if id_ is None else {"messageId": id_})
    return json.dumps(said).encode()


def test_lines_told_twice_count_once_and_it_is_said(plan: Plan) -> None:
    """A copy is counted, another event under the id and one without an id are named; the order of the keys is nothing."""
    said: list[str] = []
    spelt = json.dumps(dict(reversed(json.loads(line(0, "a")).items()))).encode()
    lines = [line(0, "a"), spelt, line(0, "a"), line(0, "a", "shoe"), line(1, None)]
    lines += [line(1, None, name="page"), line(9, "b")]
    changes = list(replay_changes(plan, lines, log=said.append))
    assert [(c["change"], c["at"]) for c in changes] == [("entered", NINE + 9 * MINUTE)]
    assert [s.split(":")[:2] for s in said[:2]] == [
        ["line 5 took no part", " no_id"], ["line 4 took no part", " id_conflict"],
    ]  # fmt: skip
    assert said[2:] == [
        "2 lines were dropped as duplicates: their ids had been seen",
        "2 lines took no part: 1 id_conflict, 1 no_id",
    ]


def test_an_explanation_knows_an_event_once(plan: Plan) -> None:
    """The copy is none of the events behind the answer."""
    lines = [line(0, "a"), line(0, "a"), line(0, "a", "shoe")]
    found, _ = explain_lines(plan, lines, "ada", "behavior_viewer")
    assert "1 of 2 needed" in repr(found)
