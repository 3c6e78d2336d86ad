"""The table of checks, in the order of the report, and how they are run over the facts.

Another check is a function over Facts, a row, and a case in tests/agents/doctor/cases.py; the docs list it by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from segue_agents.doctor.checks import cluster, flow, machine, topics
from segue_agents.doctor.facts import Facts, Unknown
from segue_agents.doctor.findings import FAILED, UNKNOWN, Check, Finding, fine

CHECKS: Final[tuple[Check, ...]] = (*cluster.CHECKS, *topics.CHECKS, *flow.CHECKS, *machine.CHECKS)


def judge(facts: Facts) -> list[Finding]:
    """What all checks find, in the order of the table. Never raises: a check that fails is a finding."""
    found: list[Finding] = []
    told: set[str] = set()
    for check in CHECKS:
        if check.applies(facts):
            found += [replace(f, check=check.name) for f in _judged(check, facts, told)]
    return found


def _judged(check: Check, facts: Facts, told: set[str]) -> Iterator[Finding]:
    """`told`: facts of which a check has said that they cannot be known; another then says nothing more of them."""
    unknown = {name: fact for name in check.needs if isinstance(fact := getattr(facts, name), Unknown)}
    for name, fact in unknown.items():
        if not fact.told and name not in told:
            told.add(name)
            yield UNKNOWN.at(name.replace("_", " "), why=fact.why, fix=fact.fix or "Look again; see the broker's log.")
            return
    if unknown:
        yield Finding("", "skipped", "", next(iter(unknown.values())).why)
        return
    try:
        found = list(check.judge(facts))
    except Exception as error:  # noqa: BLE001 (one check must not take the others with it)
        yield FAILED.at("", why=f"{type(error).__name__}: {error}")
        return
    troubles = [f for f in found if f.level != "ok"]
    yield from troubles or found or [fine(check.fine)]
