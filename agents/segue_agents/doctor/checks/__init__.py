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
    for check in CHECKS:
        if check.applies(facts):
            found += [replace(f, check=check.name) for f in _judged(check, facts)]
    return found


def _judged(check: Check, facts: Facts) -> Iterator[Finding]:
    unknown = [(name, fact) for name in check.needs if isinstance(fact := getattr(facts, name), Unknown)]
    if unknown:
        name, fact = unknown[0]
        if all(f.told for _, f in unknown):
            yield Finding("", "skipped", "", fact.why)
        else:
            name, fact = next((n, f) for n, f in unknown if not f.told)
            yield UNKNOWN.at(name.replace("_", " "), why=fact.why, fix=fact.fix or "Look again; see the broker's log.")
        return
    try:
        found = list(check.judge(facts))
    except Exception as error:  # noqa: BLE001 (one check must not take the others with it)
        yield FAILED.at("", why=f"{type(error).__name__}: {error}")
        return
    troubles = [f for f in found if f.level != "ok"]
    yield from troubles or found or [fine(check.fine)]
