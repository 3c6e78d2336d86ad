"""States written under other rules: what both sets of rules share is kept, what is new begins empty."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from hypothesis import strategies as st
from tests.streams.engine.driving import CATALOG, DAY, HOUR, MINUTE, T0, Run
from tests.streams.engine.laws import law
from tests.streams.engine.oracle import Event, Oracle
from tests.streams.engine.strategies import FEATURES, PERSONS, histories, rule_sets
from tests.streams.engine.test_against_oracle import History, end_of

from segue.engine import Merger
from segue.limits import MIGRATED_AT_ONCE
from segue.plan import layout_of
from segue.plan.stored import Layout, changed_without_version, pending_segments
from segue.rules import tree as t


def renamed(rules: t.RuleSet) -> tuple[t.Segment, ...]:
    """The same segments under other names, so that two made-up sets can stand side by side."""

    def again(c: t.Condition | None) -> t.Condition | None:
        match c:
            case t.InSegment(name):
                return t.InSegment(f"{name}_b")
            case t.Not(item):
                return t.Not(again(item))  # type: ignore[arg-type]
            case t.And(items) | t.Or(items):
                return type(c)(tuple(again(i) for i in items))  # type: ignore[misc]
            case _:
                return c

    return tuple(replace(s, name=f"{s.name}_b", when=again(s.when), enter=again(s.enter)) for s in rules.segments)


def go_on(before: Run, rules: t.RuleSet, deduplicate: bool | None = None) -> Run:
    """A run under other rules over the states of one before. None: sources deduplicate if they did."""
    after = Run(rules, bool(before.plan.id_slots) if deduplicate is None else deduplicate)
    after.known = [*before.known, before.engine.program.layout]
    for layout in after.known:
        after.state.know(layout)
    after.store = dict(before.store)
    after.state.restore(after.store.items())
    after.state.count_members(after.store.items())
    after.state.resume(before.state.engine_time_ms)
    after.merger = Merger(CATALOG, 0, clock_key=before.merger.key)
    return after


@law(rule_sets(), rule_sets(), histories(), st.integers(0, 25), st.booleans())
def test_segments_in_both_are_exact_throughout(
    kept: t.RuleSet, other: t.RuleSet, history: History, cut: int, others_first: bool
) -> None:
    """Rules come or go beside them: the segments that stay have the memberships of the whole history in the end."""
    both = t.RuleSet((*kept.segments, *renamed(other)), FEATURES)
    first, second = (both, kept) if others_first else (kept, both)
    run, end = Run(first), end_of(history)
    run.feed(history[:cut])
    run = go_on(run, second)
    run.feed(history[cut:])
    run.let_time_pass(end)
    members = run.members()
    for person in PERSONS:
        events = [e for p, e in history if p == person]
        inside = Oracle(kept, CATALOG.profile).memberships(events, end, person) if events else set()
        assert {s.name for s in kept.segments if person in members[s.name]} == inside


VIEW, ADD, BUY = (t.Events((n,)) for n in ("view", "add", "buy"))
VIEWS = t.Segment("behavior_views", when=t.Count(VIEW, ">=", 2, None, t.Last(DAY)))
ADA = b"ada"


def started(*segments: t.Segment) -> Run:
    run = Run(t.RuleSet(segments, ()))
    run.feed([(ADA, Event(T0 + i * MINUTE, 1, i, name)) for i, name in enumerate(["view", "add", "view", "idle"])])
    return run


def test_a_new_segment_over_shared_leaves_enters_at_once() -> None:
    """Two views are known already: whoever has them enters with the cause rule_change, at engine time."""
    more = t.Segment("behavior_viewers", when=t.And((VIEWS.when, t.Not(t.Count(BUY, ">=", 1, None, t.Last(HOUR))))))  # type: ignore[arg-type]
    run = go_on(started(VIEWS), t.RuleSet((VIEWS, more), ()))
    run.let_time_pass(T0 + 5 * MINUTE)
    assert [(c.segment, c.entered, c.cause, c.at_ms) for c in run.changes] == [(1, True, "rule_change", T0 + 3 * MINUTE)]


def test_a_changed_rule_exits_whom_it_no_longer_means() -> None:
    """The new version asks for five views: who had two leaves, with the cause rule_change and the next sequence."""
    stricter = replace(VIEWS, version=2, when=t.Count(VIEW, ">=", 5, None, t.Last(DAY)))
    run = go_on(started(VIEWS), t.RuleSet((stricter,), ()))
    run.let_time_pass(T0 + 5 * MINUTE)
    assert [(c.entered, c.cause, c.sequence) for c in run.changes] == [(False, "rule_change", 2)]


def test_an_unchanged_rule_says_nothing() -> None:
    """The same rules in another order, with other titles: no change goes out, and nothing is forgotten."""
    cart = t.Segment("behavior_cart", enter=t.Absence(ADD, BUY, HOUR), exit_events=(BUY,))
    run = go_on(started(VIEWS, cart), t.RuleSet((replace(cart, title="Carts"), VIEWS), ()))
    run.let_time_pass(T0 + 2 * HOUR)
    assert [(run.plan.segments[c.segment].name, c.cause, c.at_ms) for c in run.changes] == [
        ("behavior_cart", "timer", T0 + HOUR + MINUTE)
    ]


def test_a_rule_changed_under_its_version_is_seen() -> None:
    """Both forms are told; a new version, another title or the order of `and` are no such change."""

    def layout(segment: t.Segment) -> Layout:
        return layout_of(Run(t.RuleSet((segment,), ())).plan)

    b = t.Count(ADD, ">=", 1)
    assert VIEWS.when is not None
    ab, ba = (replace(VIEWS, when=t.And(items)) for items in ((VIEWS.when, b), (b, VIEWS.when)))
    assert changed_without_version(layout(ab), layout(ba)) == []
    assert layout(ab) == layout(replace(ba, title="Viewers"))
    assert changed_without_version(layout(VIEWS), layout(replace(ab, version=2))) == []
    ((name, was, now),) = changed_without_version(layout(VIEWS), layout(ab))
    assert name == "behavior_views"
    assert was == "when: count(view) >= 2 in the last 1 day"
    assert now == "when: count(view) >= 2 in the last 1 day and did add"


def test_a_layout_survives_being_stored() -> None:
    """What is written beside the states is read back as it was."""
    layout = started(VIEWS).engine.program.layout
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(layout), type=Layout) == layout


def test_a_segment_is_pending_until_its_window_has_passed() -> None:
    """A leaf that began at noon with a window of a day makes its segments exact from the next noon on."""
    plan = started(VIEWS).plan
    layout = layout_of(plan)
    (leaf,) = layout.lookback_ms
    assert pending_segments(plan, layout, {leaf: T0}, T0 + DAY - 1) == {"behavior_views"}
    assert pending_segments(plan, layout, {leaf: T0}, T0 + DAY) == set()
    assert pending_segments(plan, layout, {}, T0) == set()


def test_many_are_asked_a_few_thousand_a_step() -> None:
    """One step reads at most MIGRATED_AT_ONCE states of earlier rules, each is read once, and all of them come."""
    before = Run(t.RuleSet((VIEWS,), ()))
    persons = [b"%05d" % i for i in range(MIGRATED_AT_ONCE + 10)]
    before.feed([(p, Event(T0 + i, 1, i, "view")) for i, p in enumerate(persons)])
    twice = replace(VIEWS, version=2, when=t.Count(VIEW, ">=", 1, None, t.Last(DAY)))
    run = go_on(before, t.RuleSet((twice,), ()))
    sizes = []
    for second in range(3):
        run.merger.tick(T0 + DAY // 2 + second, second)
        for source in range(len(CATALOG.sources)):
            run.merger.at_end(source)
        while (batch := run.merger.take(10)) is not None:
            missing = run.state.missing(batch)
            sizes.append(len(missing))
            for person in missing:
                run.state.load(person, run.store[person])
            run.changes += run.state.step(batch).changes
    assert sizes == [MIGRATED_AT_ONCE, 10, 0]
    assert sorted(c.person for c in run.changes) == persons
    assert {c.cause for c in run.changes} == {"rule_change"}


def test_evidence_that_becomes_a_fold_is_settled_as_it_is() -> None:
    """A new enter/exit segment reads views of before, which are in no log: a late view is folded in on top of them."""
    hot = t.Segment("hot_viewer", enter=t.InSegment(VIEWS.name), exit_events=(BUY,))
    run = go_on(started(VIEWS), t.RuleSet((VIEWS, hot), ()))
    run.feed([(ADA, Event(T0 + 4 * MINUTE, 1, 4, "idle")), (ADA, Event(T0 + MINUTE, 1, 5, "view"))], merged=False)
    run.let_time_pass(T0 + 5 * MINUTE)
    assert run.members() == {VIEWS.name: [ADA], hot.name: [ADA]}
    assert [(run.plan.segments[c.segment].name, c.entered) for c in run.changes] == [(hot.name, True)]


def test_what_is_settled_at_a_change_of_rules_holds_no_truth_without_its_evidence() -> None:
    """A window that is true and no fold stays out of what late events are folded in upon."""
    added = t.Segment("behavior_adder", when=t.Count(ADD, ">=", 1, None, t.Last(DAY)))
    hot = t.Segment("hot_viewer", enter=t.InSegment(VIEWS.name), exit_events=(BUY,))
    run = go_on(started(VIEWS, added), t.RuleSet((VIEWS, added, hot), ()))
    run.feed([(ADA, Event(T0 + 4 * MINUTE, 1, 4, "idle")), (ADA, Event(T0 + MINUTE, 1, 5, "view"))], merged=False)
    assert run.members() == {name: [ADA] for name in (VIEWS.name, added.name, hot.name)}
