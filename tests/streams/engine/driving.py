"""Histories into the engine: columns from events, batches cut anywhere, states saved and loaded on the way."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from tests.streams.engine.oracle import Event
from tests.streams.engine.world import CATALOG, DAY, DEDUPLICATING, HOUR, MINUTE, SECOND, T0

from segue.engine import Engine, Merger
from segue.engine.duplicates import digest
from segue.plan import Layout, Plan, compile_plan
from segue.records import Batch, Change, Columns, Step
from segue.rules import tree as t

__all__ = ["CATALOG", "DAY", "HOUR", "MINUTE", "SECOND", "T0", "Run", "columns", "engine_of"]


def columns(plan: Plan, source: int, rows: Sequence[tuple[bytes, Event]], arrival_ms: int | None = None) -> Columns:
    """Rows of one source as the decoder would give them."""
    inputs = plan.inputs[source]
    kind = [inputs.kinds.get(e.name, -1) for _, e in rows]
    read = [(p, e) for (p, e), k in zip(rows, kind, strict=True) if k >= 0]
    time = np.array([e.time for _, e in rows], np.int64)
    told_once = plan.catalog.sources[source].deduplicate_ms is not None
    return Columns(
        time_ms=time,
        kind=np.array(kind, np.int32),
        offset=np.array([e.offset for _, e in rows], np.int64),
        arrival_ms=time.copy() if arrival_ms is None else np.full(len(rows), arrival_ms, np.int64),
        person=[p for p, _ in read],
        fields=[[dict(e.fields).get(f.name) for _, e in read] for f in inputs.fields],
        records=[e.offset for _, e in rows],
        next_offset=rows[-1][1].offset + 1 if rows else 0,
        ids=[digest(e.id.encode()) for _, e in read] if told_once else None,
        bodies=[digest(repr((e.name, e.time, e.fields)).encode()) for _, e in read] if told_once else None,
    )


def assert_balanced(batch: Batch, step: Step) -> None:
    """Every record passed is accounted for, once: nothing is lost between the log and the states."""
    rejected = len(batch.rejected) + len(step.rejected)
    passed = sum(batch.consumed.values())
    assert passed == step.applied + step.late + step.duplicates + batch.irrelevant + rejected
    assert batch.irrelevant >= 0
    assert all(r.record == r.offset for r in step.rejected), "the shell's handle is that of the record"


@functools.lru_cache(maxsize=8)
def engine_of(rules: t.RuleSet, deduplicate: bool = False) -> Engine:
    """Compiled once for all the histories a test tries it with."""
    return Engine(compile_plan(rules, DEDUPLICATING if deduplicate else CATALOG))


class Run:
    """One partition of an engine over a history that arrives in pieces."""

    def __init__(self, rules: t.RuleSet, deduplicate: bool = False) -> None:
        self.rules = rules
        self.engine = engine_of(rules, deduplicate)
        self.plan = self.engine.plan
        self.state = self.engine.partition(0)
        self.merger = Merger(CATALOG, 0)
        self.changes: list[Change] = []
        self.rejected: list[tuple[int, int, str]] = []
        self.applied = 0
        """rows that took part"""
        self.duplicates = 0
        self.consumed = 0
        self.store: dict[bytes, bytes] = {}
        self.known: list[Layout] = []
        """of the rules before"""

    def feed(
        self,
        rows: Sequence[tuple[bytes, Event]],
        chunk: int = 1 << 30,
        max_rows: int = 1 << 30,
        reload: bool = False,
        merged: bool = True,
    ) -> None:
        """Rows in order of arrival. `merged`: all are read before any is stepped over; else piece by piece."""
        sources = [[r for r in rows if r[1].order == s.order] for s in CATALOG.sources]
        if merged:
            for i, mine in enumerate(sources):
                for j in range(0, len(mine), chunk):
                    self.merger.feed(i, columns(self.plan, i, mine[j : j + chunk]))
                self.merger.at_end(i)
            self.drain(max_rows, reload)
            return
        for j in range(0, len(rows), chunk):
            piece = rows[j : j + chunk]
            for i, s in enumerate(CATALOG.sources):
                mine = [r for r in piece if r[1].order == s.order]
                if mine:
                    self.merger.feed(i, columns(self.plan, i, mine))
                self.merger.at_end(i)
            self.drain(max_rows, reload)

    def drain(self, max_rows: int = 1 << 30, reload: bool = False) -> None:
        while (batch := self.merger.take(max_rows)) is not None:
            for person in self.state.missing(batch):
                self.state.load(person, self.store.get(person))
            step = self.state.step(batch)
            assert_balanced(batch, step)
            self.changes += step.changes
            self.rejected += [(r.source, r.offset, r.reason) for r in (*batch.rejected, *step.rejected)]
            self.applied += step.applied + step.late
            self.duplicates += step.duplicates
            self.consumed += sum(batch.consumed.values())
            self.store |= {p: self.state.encode(p) for p in step.touched}
            if reload:
                self.restart()
        self.assert_members_counted()

    def restart(self) -> None:
        """Everything in memory is lost; the store and the checkpoint remain."""
        was, self.state = self.state, self.engine.partition(0)
        self.state.resume(was.engine_time_ms, was.member_counts)
        self.state.restore(self.store.items())

    def assert_members_counted(self) -> None:
        """The members counted along are the persons whose stored state says member; counted anew they are the same."""
        looked, counted = self.engine.partition(0), self.engine.partition(0)
        for state in (looked, counted):
            for layout in self.known:
                state.know(layout)
        for person, encoded in self.store.items():
            looked.load(person, encoded)
        counted.count_members(self.store.items())
        members = [len(looked.members(i)) for i in range(len(self.plan.segments))]
        assert self.state.member_counts == members == counted.member_counts

    def let_time_pass(self, until: int) -> None:
        """A tick at `until`."""
        self.merger.tick(until, 0)
        for i in range(len(CATALOG.sources)):
            self.merger.at_end(i)
        self.drain()

    def loaded(self, person: bytes) -> list[object]:
        """A person's state, from the store if need be."""
        if person not in self.state.states:
            self.state.load(person, self.store[person])
        return self.state.states[person]

    def members(self) -> dict[str, list[bytes]]:
        for person, encoded in self.store.items():
            if person not in self.state.states:
                self.state.load(person, encoded)
        return {s.name: sorted(self.state.members(i)) for i, s in enumerate(self.plan.segments)}

    def of(self, person: bytes) -> list[tuple[str, bool, int]]:
        """A person's changes as (segment, entered, at)."""
        return [(self.plan.segments[c.segment].name, c.entered, c.at_ms) for c in self.changes if c.person == person]
