"""The edges of an explanation: who and what is not known, what is bounded, what is nested, what stays as it is."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import pytest
from tests.streams.engine.driving import HOUR, MINUTE, T0, Run, engine_of
from tests.streams.engine.oracle import Event
from tests.streams.explain.asking import log_of, state_of

from segue.engine.explain import Evidence, Explanation, Finding, Membership, Seen, explain, text
from segue.errors import ConfigError
from segue.limits import PATTERN_KEYS, WINDOW_VALUES
from segue.rules import tree as t

VIEW, ADD, BUY = (t.Events((n,)) for n in ("view", "add", "buy"))
LOOKED = t.Segment("segment_looked", when=t.Count(VIEW, ">=", 1, None, t.Last(HOUR)))
CART = t.Segment("segment_cart", enter=t.Absence(ADD, BUY, 30 * MINUTE), exit_after_ms=3 * HOUR)
RULES = t.RuleSet((CART, LOOKED), ())


def view(at_ms: int, offset: int = 0, name: str = "view", **values: object) -> Event:
    return Event(at_ms, 1, offset, name, tuple(values.items()))


def run_over(rules: t.RuleSet, events: list[Event]) -> Run:
    run = Run(rules)
    run.feed([(b"ada", e) for e in events])
    return run


def explained(rules: t.RuleSet, events: list[Event], segment: str, at_ms: int, with_log: bool = True) -> Explanation:
    run = run_over(rules, events)
    run.let_time_pass(at_ms)
    log = log_of(run, b"ada", [(e, f"m-{e.offset}") for e in events]) if with_log else None
    return explain(run.engine.program, state_of(run, b"ada"), b"ada", segment, at_ms, log)


def evidence_of(x: Explanation) -> Evidence:
    assert x.membership.condition.evidence is not None
    return x.membership.condition.evidence


def test_a_segment_that_is_not_there() -> None:
    """It is refused with the name that may have been meant, or with all there are."""
    program = engine_of(RULES).program
    with pytest.raises(ConfigError, match=r"no segment 'segment_crt'\.\nDid you mean 'segment_cart'\?"):
        explain(program, None, b"ada", "segment_crt", T0)
    with pytest.raises(ConfigError, match="Segments: segment_cart, segment_looked"):
        explain(program, None, b"ada", "zzz", T0)


def test_a_person_of_whom_nothing_is_known() -> None:
    """Without a state the tree is that of somebody without events, and says so."""
    x = explain(engine_of(RULES).program, None, b"ada", "segment_looked", T0)
    assert (x.known, x.membership.inside, x.membership.last_change) == (False, False, None)
    assert "nothing is known of ada" in text(x)
    assert evidence_of(x).needs == "view"


def test_a_state_of_earlier_is_brought_up_to_the_time_asked() -> None:
    """Timers of the state that are due by then have fired in the answer, and not in the state."""
    run = run_over(RULES, [view(T0, name="add")])
    state = state_of(run, b"ada")
    before = json.dumps(state)
    x = explain(run.engine.program, state, b"ada", "segment_cart", T0 + HOUR)
    assert json.dumps(state) == before
    last = x.membership.last_change
    assert last is not None
    assert (x.membership.inside, last.at_ms, last.cause, last.sequence) == (True, T0 + 30 * MINUTE, "timer", 1)
    assert x.membership.until_ms == T0 + 30 * MINUTE + 3 * HOUR
    assert [(e.text, e.at_ms) for e in x.membership.exits] == [("3 hours after entering", x.membership.until_ms)]


def test_a_stored_state_says_the_same() -> None:
    """Encoded, stored and loaded again it explains itself as it did."""
    run = run_over(RULES, [view(T0, name="add"), view(T0, 1)])
    run.let_time_pass(T0 + MINUTE)
    first = explain(run.engine.program, run.state.states[b"ada"], b"ada", "segment_cart", T0 + HOUR)
    run.restart()
    assert explain(run.engine.program, run.loaded(b"ada"), b"ada", "segment_cart", T0 + HOUR) == first


@pytest.mark.parametrize("with_log", [True, False])
@pytest.mark.parametrize(
    ("window", "flagged"),
    [(t.Last(HOUR), True), (t.Ago(MINUTE, HOUR), True), (t.Calendar("week", "UTC"), True), (t.Session(HOUR), True),
     (None, False), (t.SinceTime(T0), False)],
)  # fmt: skip
def test_more_values_than_are_kept(window: t.Window | None, flagged: bool, with_log: bool) -> None:
    """A sum over more than 1,000 values of a window says that the older ones are missing; a sum that needs none does not."""
    rules = t.RuleSet((t.Segment("segment_x", when=t.Aggregate("sum", BUY, "price", ">", (1e6,), window)),), ())
    events = [view(T0 + i * 100, i, "buy", price=2.0) for i in range(2 * WINDOW_VALUES + 100)]
    found = evidence_of(explained(rules, events, "segment_x", events[-1].time + 2 * MINUTE, with_log))
    assert found.flags == (("at most 1,000 values are kept: older ones of this window are not counted",) if flagged else ())
    assert isinstance(found.value, float)
    assert (found.value < 2.0 * len(events)) == flagged
    if with_log or flagged:
        assert 2.0 * (len(found.events) + found.more) == found.value


def test_values_that_have_left_the_window_are_not_missed() -> None:
    """Once the dropped ones are too old to count, the answer is whole again and nothing is said."""
    when = t.Aggregate("sum", BUY, "price", ">", (1e6,), t.Last(HOUR))
    events = [view(T0 + i * 100, i, "buy", price=2.0) for i in range(WINDOW_VALUES + 100)]
    found = explained(t.RuleSet((t.Segment("segment_x", when=when),), ()), events, "segment_x", T0 + HOUR + 20_000)
    assert evidence_of(found).flags == ()


def test_more_values_of_a_field_than_are_kept_open() -> None:
    """`with the same f` says when it may have forgotten some."""
    when = t.Absence(ADD, BUY, HOUR, None, "item")
    events = [view(T0 + i, i, "add", item=f"i{i}") for i in range(PATTERN_KEYS + 1)]
    found = evidence_of(explained(t.RuleSet((t.Segment("segment_x", when=when),), ()), events, "segment_x", T0 + MINUTE))
    assert found.flags == ("at most 1,000 values of item are kept: older ones are not counted",)
    assert found.value == "i1"


def test_a_leaf_that_has_not_seen_everything() -> None:
    """Of a leaf that a new rule brought, its beginning is said, until everything older would have left its window."""
    run = run_over(RULES, [view(T0)])
    name = run.engine.program.layout.bits[len(RULES.segments) + 1]
    for at_ms, flags in (
        (T0 + MINUTE, ("kept since 14:13:20: what came before is not counted",)),
        (T0 + HOUR, ()),
    ):
        x = explain(run.engine.program, state_of(run, b"ada"), b"ada", "segment_looked", at_ms, None, {name: T0})
        assert evidence_of(x).flags == flags


def test_segments_of_segments_end_somewhere() -> None:
    """Those that lie too deep, and those that stand above already, are named and not told again."""
    chain = [LOOKED, *(t.Segment(f"segment_{i:02}", when=t.InSegment("segment_looked" if i == 0 else f"segment_{i - 1:02}"))
                       for i in range(20))]  # fmt: skip
    twice = t.Segment("segment_z", when=t.And((t.InSegment("segment_00"), t.InSegment("segment_00"))))
    rules = t.RuleSet((*chain, twice), ())
    said = text(explained(rules, [view(T0)], "segment_19", T0))
    assert "for its conditions ask for segment_06 by itself" in said
    assert said.count("in segment_") == 1 + 13
    assert "see above" in text(explained(rules, [view(T0)], "segment_z", T0))


def test_no_text_of_an_event_moves_the_cursor() -> None:
    """Control characters of values, ids and persons are shown as such, and long values are cut."""
    rules = t.RuleSet((t.Segment("segment_x", when=t.Pick("last", VIEW, "item", "is known", ())),), ())
    run = run_over(rules, [view(T0, item="\x1b[31m" + "x" * 1_000)])
    state, log = state_of(run, b"ada"), log_of(run, b"ada", [(view(T0, item="\x1b[31m\u202e"), "m\n1")])
    said = text(explain(run.engine.program, state, b"ada\x1b[0m", "segment_x", T0, log))
    assert not set("\x1b\u202e") & set(said)
    assert max(map(len, said.splitlines())) < 200


def test_the_keys_of_its_json() -> None:
    """What `asdict` gives has these keys, in this order: other programs read them."""
    keys = {cls.__name__: [f.name for f in fields(cls)] for cls in (Explanation, Membership, Finding, Evidence, Seen)}
    assert keys == {
        "Explanation": ["person", "at_ms", "known", "membership"],
        "Membership": ["segment", "version", "title", "inside", "since_ms", "until_ms", "last_change", "form", "condition",
                       "exits", "flags"],
        "Finding": ["kind", "text", "holds", "since_ms", "until_ms", "evidence", "items", "segment"],
        "Evidence": ["says", "value", "at_ms", "needs", "before_ms", "events", "more", "flags"],
        "Seen": ["at_ms", "event", "id", "value"],
    }  # fmt: skip
    x = explained(RULES, [view(T0, name="add"), view(T0 + 1, 1)], "segment_cart", T0 + HOUR)
    written = json.loads(json.dumps(asdict(x)))
    assert written["membership"]["condition"]["evidence"]["events"] == [
        {"at_ms": T0, "event": "add", "id": "m-0", "value": None}
    ]
