"""What an explanation says is what the engine has done and will do: over histories and rules that Hypothesis makes up."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, replace

from hypothesis import strategies as st
from tests.streams.engine.driving import CATALOG, HOUR, MINUTE, T0, Run
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event, Oracle
from tests.streams.engine.oracle_leaves import View
from tests.streams.engine.strategies import PERSONS, histories, rule_sets
from tests.streams.explain.asking import log_of, state_of

from segue.engine.explain import Explanation, Finding, Membership, explain, text
from segue.engine.explain.look import HANDFUL
from segue.rules import tree as t

History = list[tuple[bytes, Event]]
LATER = st.sampled_from([0, 1, MINUTE, 17 * MINUTE, HOUR, 5 * HOUR])


def asked(
    rules: t.RuleSet, history: History, later_ms: int, with_log: bool = True
) -> Iterator[tuple[Run, bytes, Explanation]]:
    """Of every person and segment, `later_ms` after the last event; the run goes on afterwards as it likes."""
    run = Run(rules)
    run.feed(history)
    at_ms = max((e.time for _, e in history), default=T0) + later_ms
    run.let_time_pass(at_ms)
    for person in PERSONS:
        log = log_of(run, person, [(e, f"m-{e.order}-{e.offset}") for p, e in history if p == person])
        for segment in rules.segments:
            state = state_of(run, person)
            yield run, person, explain(run.engine.program, state, person, segment.name, at_ms, log if with_log else None)


def findings(found: Membership | Finding) -> Iterator[Finding]:
    """All of a tree."""
    if isinstance(found, Membership):
        yield from findings(found.condition)
        return
    yield found
    for item in found.items:
        yield from findings(item)
    if found.segment is not None:
        yield from findings(found.segment)


@law(rule_sets(), histories(), LATER)
def test_until_is_the_next_jump_the_engine_makes(rules: t.RuleSet, history: History, later_ms: int) -> None:
    """Time passes and nothing happens: the segment's next change comes when the explanation said, or not at all."""
    told = list(asked(rules, history, later_ms))
    if told:
        run = told[0][0]
        seen = len(run.changes)
        run.let_time_pass(max(x.at_ms for _, _, x in told) + 30 * 24 * HOUR)
        for _, person, x in told:
            i = [s.name for s in rules.segments].index(x.membership.segment)
            later = [c.at_ms for c in run.changes[seen:] if (c.person, c.segment) == (person, i)]
            assert x.membership.until_ms == (later[0] if later else None)


@law(rule_sets(), histories(), LATER)
def test_truths_are_those_of_the_history(rules: t.RuleSet, history: History, later_ms: int) -> None:
    """Whoever is said to be inside is, by the oracle; and each condition of a `when` is what the oracle says of it."""
    for _, person, x in asked(rules, history, later_ms):
        oracle = Oracle(rules, CATALOG.profile)
        mine = sorted((e for p, e in history if p == person), key=Event.place)
        assert x.membership.inside == (x.membership.segment in oracle.memberships(mine, x.at_ms, person))
        segment = next(s for s in rules.segments if s.name == x.membership.segment)
        if segment.when is not None and segment.universe_ms is None:
            view = View(mine, x.at_ms, mine, person, CATALOG.profile)
            _same(x.membership.condition, segment.when, oracle, view)


def _same(found: Finding, said: t.Condition, oracle: Oracle, view: View) -> None:
    assert found.holds == oracle.holds(said, view)
    match said:
        case t.Not(t.Not(item)):
            _same(found, item, oracle, view)
        case t.And(items) | t.Or(items) | t.Not(t.And(items) | t.Or(items)):
            for f, item in zip(found.items, items, strict=True):
                _same(f, item, oracle, view)


@law(rule_sets(), histories(), LATER)
def test_a_log_adds_names_and_nothing_else(rules: t.RuleSet, history: History, later_ms: int) -> None:
    """With and without it the tree, its truths and its ends are the same; times the state keeps are those of the log."""
    for (_, _, with_log), (_, _, without) in zip(
        asked(rules, history, later_ms), asked(rules, history, later_ms, with_log=False), strict=True
    ):
        assert with_log.membership.inside == without.membership.inside
        pairs = list(zip(findings(with_log.membership), findings(without.membership), strict=True))
        for named, bare in pairs:
            assert (named.kind, named.text, named.holds, named.until_ms) == (bare.kind, bare.text, bare.holds, bare.until_ms)
            if bare.evidence is None or named.evidence is None:
                continue
            kept, logged = [e.at_ms for e in bare.evidence.events], [e.at_ms for e in named.evidence.events]
            if " then " not in named.text:
                assert logged[len(logged) - len(kept) :] == kept
            assert all(e.id is not None for e in named.evidence.events)
            assert named.evidence.needs == bare.evidence.needs


@law(rule_sets(), histories(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_of_arrival_changes_no_finding(rules: t.RuleSet, history: History, chance: random.Random, chunk: int) -> None:
    """Shuffled within the lateness, every condition is told as it is of the same events in their order."""
    arrival = sorted(history, key=lambda row: row[1].time + chance.choice([0, 0, HOUR, 5 * HOUR]))
    renumbered = [(p, replace(e, offset=i)) for i, (p, e) in enumerate(arrival)]
    in_order = sorted(renumbered, key=lambda row: row[1].place())
    ordered, shuffled, end = Run(rules), Run(rules), max((e.time for _, e in history), default=T0) + HOUR
    ordered.feed(in_order)
    shuffled.feed(renumbered, chunk, merged=False)
    for run in (ordered, shuffled):
        run.let_time_pass(end)
    for person in PERSONS:
        for segment in rules.segments:
            one, other = (
                explain(run.engine.program, state_of(run, person), person, segment.name, end, log)
                for run in (ordered, shuffled)
                for log in [log_of(run, person, [(e, None) for p, e in in_order if p == person])]
            )
            assert one.membership.until_ms == other.membership.until_ms
            for a, b in zip(findings(one.membership), findings(other.membership), strict=True):
                assert replace(a, items=(), segment=None) == replace(b, items=(), segment=None)


@law(rule_sets(), histories(), LATER)
def test_since_and_until_enclose_now(rules: t.RuleSet, history: History, later_ms: int) -> None:
    """Everything is so since a time up to now and until one after; and as of just before `since` it was not so."""
    for run, person, x in asked(rules, history, later_ms):
        log = log_of(run, person, [(e, None) for p, e in history if p == person])
        for finding in findings(x.membership):
            assert finding.since_ms is None or finding.since_ms <= x.at_ms
            assert finding.until_ms is None or finding.until_ms > x.at_ms
        root = x.membership.condition
        if root.since_ms is not None:
            again = Run(rules)
            again.feed([row for row in history if row[0] == person and row[1].time < root.since_ms])
            again.let_time_pass(root.since_ms - 1)
            before = explain(
                run.engine.program, state_of(again, person), person, x.membership.segment, root.since_ms - 1, log
            )
            ties = [e for p, e in history if p == person and e.time == root.since_ms]
            assert before.membership.condition.holds != root.holds or len(ties) > 0


@law(rule_sets(), histories(), LATER)
def test_an_explanation_is_words_and_json(rules: t.RuleSet, history: History, later_ms: int) -> None:
    """It is told in printable lines and written as JSON; lists are short; the state is left as it was."""
    for run, person, x in asked(rules, history, later_ms):
        before = json.dumps(state_of(run, person), default=repr)
        again = explain(run.engine.program, state_of(run, person), person, x.membership.segment, x.at_ms)
        assert json.dumps(state_of(run, person), default=repr) == before
        assert again.membership.inside == x.membership.inside
        assert all(line.isprintable() for line in text(x).splitlines())
        assert json.loads(json.dumps(asdict(x)))["membership"]["inside"] == x.membership.inside
        for finding in findings(x.membership):
            if finding.evidence is not None:
                assert len(finding.evidence.events) <= HANDFUL
                assert finding.evidence.more >= 0
                assert not finding.holds or not finding.evidence.needs
