"""Every line that the code logs is in the list of events, with its keys and its level; the list has no others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import segue_agents
from segue_agents.logs.events import EVENTS, KEYS
from segue_agents.state.standing import TABLE

SOURCE = Path(segue_agents.__file__).parent
LEVELS = ("debug", "info", "warning", "error", "critical")
BY_NAME = {event.name: event for event in EVENTS}
NAMED_ELSEWHERE = {
    "standing.event": {standing.event for standing in TABLE},
    "event": {"transaction_torn", "states_without_checkpoint"},
}
"""what stands in place of a name -> the names it may be"""
KEYS_ELSEWHERE = {"more"}
"""`**more`: a store's, which are listed with all of its events"""


class Call(NamedTuple):
    where: str
    level: str
    names: set[str]
    keys: set[str]


def calls() -> Iterator[Call]:
    """Each `_log.<level>(...)` of the source; a method that is kept for a moment counts as the highest level."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            level = level_of(node)
            if level:
                assert isinstance(node, ast.Call)
                where = f"{path.relative_to(SOURCE)}:{node.lineno}"
                yield Call(where, level, names_of(node, where), keys_of(node, where, level))


def level_of(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Name) and node.func.id == "say" and any(k.arg == "partition" for k in node.keywords):
        return "warning"
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "_log":
        return {"exception": "error", "log": "critical"}.get(node.func.attr, node.func.attr)
    return ""


def names_of(call: ast.Call, where: str) -> set[str]:
    named = call.args[1] if isinstance(call.func, ast.Attribute) and call.func.attr == "log" else call.args[0]
    if isinstance(named, ast.Constant):
        return {named.value}
    written = ast.unparse(named)
    assert written in NAMED_ELSEWHERE, f"{where}: an event's name must stand where it is logged, not {written}"
    return NAMED_ELSEWHERE[written]


def keys_of(call: ast.Call, where: str, level: str) -> set[str]:
    keys = {"exception"} if isinstance(call.func, ast.Attribute) and call.func.attr == "exception" else set()
    for keyword in call.keywords:
        if keyword.arg is None:
            assert ast.unparse(keyword.value) in KEYS_ELSEWHERE, f"{where}: keys must stand where they are logged"
        else:
            keys.add("exception" if keyword.arg == "exc_info" else keyword.arg)
    assert level in LEVELS, where
    return keys


def test_every_event_that_is_logged_is_in_the_list() -> None:
    """With its name, its keys and no higher a level."""
    wrong = []
    for call in calls():
        for name in call.names:
            event = BY_NAME.get(name)
            if event is None:
                wrong.append(f"{call.where}: {name} is not in logs.events.EVENTS")
                continue
            wrong += [f"{call.where}: {name} has no key {key}" for key in sorted(call.keys - set(event.keys))]
            if LEVELS.index(call.level) > LEVELS.index(event.level):
                wrong.append(f"{call.where}: {name} is no {call.level}")
    assert not wrong, "\n".join(wrong)


def test_the_list_has_no_event_that_nobody_logs() -> None:
    """Names and keys: each is used, each key is explained."""
    found = list(calls())
    assert set(BY_NAME) == {name for call in found for name in call.names}
    assert len(BY_NAME) == len(EVENTS)
    used = {key for event in EVENTS for key in event.keys}
    assert used | {"ts", "level", "event"} == set(KEYS)
    logged = {key for call in found for key in call.keys} | {"owner", "stored", "begins", "ends", "error"}
    assert used == logged


def test_nothing_goes_past_the_list() -> None:
    """The standard library's loggers are for libraries."""
    allowed = {"logs/setup.py", "transport/clients.py", "doctor/looks/kafka.py"}  # the last one listens
    for path in SOURCE.rglob("*.py"):
        imports = {a.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import) for a in n.names}
        assert "logging" not in imports or str(path.relative_to(SOURCE)) in allowed, path
