"""A person's events into the engine, and its state and log into an explanation."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.streams.engine.driving import Run
from tests.streams.engine.oracle import Event
from tests.streams.engine.world import CATALOG

from segue.engine.explain import Explanation, Happened, Log, explain
from segue.plan import Plan
from segue.rules import tree as t

TODAY = "2026-11-24"


def happened(plan: Plan, e: Event, id: str | None = None) -> Happened | None:  # noqa: A002  the contract's name
    """The event as the engine is given it; None if no rule reads it."""
    inputs = plan.inputs[[s.order for s in CATALOG.sources].index(e.order)]
    kind = inputs.kinds.get(e.name)
    values = tuple(dict(e.fields).get(f.name) for f in inputs.fields)
    return None if kind is None else Happened(kind, e.time, e.offset, values, id)


def log_of(run: Run, person: bytes, events: Iterable[tuple[Event, str | None]]) -> Log:
    """All that is known of a person beside the state."""
    known = [h for e, of in events if (h := happened(run.plan, e, of)) is not None]
    return Log(known, [c for c in run.changes if c.person == person])


def state_of(run: Run, person: bytes) -> list[Any] | None:
    return run.loaded(person) if person in run.state.states or person in run.store else None


# --- case files


@dataclass(frozen=True)
class Line:
    """One line of a log: an event of ada, or a tick (event None)."""

    at_ms: int
    event: Event | None
    id: str | None


def read_log(text: str) -> list[Line]:
    """`[date] time event id field=value ...`; the time alone with `tick`: time passes."""
    lines: list[Line] = []
    sources = {raw: source for source in reversed(CATALOG.sources) for raw in source.events}
    for number, written in enumerate(text.strip().splitlines()):
        at_ms, (name, *rest) = read_time(shlex.split(written, posix=False))
        if name == "tick":
            lines.append(Line(at_ms, None, None))
            continue
        fields = {k: json.loads(v) for k, _, v in (word.partition("=") for word in rest[1:])}
        event = Event(at_ms, sources[name].order, number, name, tuple(fields.items()))
        lines.append(Line(at_ms, event, rest[0]))
    return lines


def read_time(words: Sequence[str]) -> tuple[int, list[str]]:
    """(ms, the words behind it)."""
    day, rest = (words[0], words[1:]) if words[0].count("-") == 2 else (TODAY, words)
    at = datetime.fromisoformat(f"{day}T{rest[0]}").replace(tzinfo=UTC)
    return round(at.timestamp() * 1000), list(rest[1:])


def ask(rules: t.RuleSet, lines: Sequence[Line], person: str, segment: str, at_ms: int, with_log: bool) -> Explanation:
    """As `segue explain --at` does: what the lines say of later times takes no part."""
    run, who = Run(rules), b"ada"
    for line in lines:
        if line.at_ms > at_ms:
            continue
        if line.event is None:
            run.let_time_pass(line.at_ms)
        else:
            run.feed([(who, line.event)], merged=False)
    run.let_time_pass(at_ms)
    asked = person.encode()
    known = [(line.event, line.id) for line in lines if line.event is not None and asked == who]
    log = log_of(run, asked, known) if with_log else None
    return explain(run.engine.program, state_of(run, asked), asked, segment, at_ms, log)
