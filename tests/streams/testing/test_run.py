"""Cases run: what is said when something is not as expected, and when the engine does not agree with itself."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.streams.testing.golden import catalog

from segue.engine import Engine, PartitionState
from segue.plan import Plan, compile_plan
from segue.records import Batch, Step
from segue.rules import parse_rules
from segue.testing import CaseResult, Differs, VirtualPartition, event, read_cases, run_case

RULES = """
segment: campaign_cart
enter: product_added then no order_completed within 30 minutes
exit: order_completed, or 7 days after entering
---
segment: behavior_looking
when: count(product_viewed) >= 2 in the last 10 minutes
---
segment: hot_reader
when: did product_viewed in the last 1 hour and did email_opened in the last 1 hour
"""


def plan_of(rules: str = RULES) -> Plan:
    return compile_plan(parse_rules([("my.yaml", rules)], catalog()), catalog())


ENGINE = Engine(plan_of())


def run(text: str, engine: Engine = ENGINE) -> CaseResult:
    (case,) = read_cases("my.case", f"case: one\n{text}\n", catalog(), [s.name for s in engine.plan.segments])
    return run_case(engine, case)


def told(result: CaseResult) -> list[str]:
    """The transcript, without the lines that are as expected."""
    return [f"{row.mark} {row.text}" for row in result.transcript if row.mark != " "]


def test_as_expected() -> None:
    """Nothing differs; the transcript is the case."""
    result = run("10:00 ada Product Added\n10:30 ada enters campaign_cart because of time until day 8 10:30")
    assert result.passed and (result.events, result.changes) == (1, 1)
    assert [(row.mark, row.number, row.text) for row in result.transcript] == [
        (" ", 2, "10:00 ada Product Added"),
        (" ", 3, "10:30 ada enters campaign_cart because of time until day 8 10:30"),
    ]


def test_at_another_time() -> None:
    """An expectation is shown with the change that was probably meant, and how far apart they are."""
    result = run("10:00 ada Product Added\n10:45 ada enters campaign_cart\n10:46 ada Order Completed")
    assert result.differences == (
        Differs(
            3,
            "10:45 ada enters campaign_cart",
            "10:30  ada  entered campaign_cart because of time; ends day 8 10:30 if nothing happens (15m earlier)",
        ),
        Differs(4, "", "10:46  ada  exited campaign_cart because of Order Completed"),
    )


def test_it_did_not_happen() -> None:
    """No change of the kind: an expectation alone."""
    assert told(run("10:00 ada page\n10:30 ada enters campaign_cart\n10:31 ada exits campaign_cart")) == [
        "- 10:30 ada enters campaign_cart",
        "- 10:31 ada exits campaign_cart",
    ]


def test_it_would_have_happened_later() -> None:
    """What was expected too early, and comes after the case has ended, is told with its time."""
    entered = "10:30  ada  entered campaign_cart because of time; ends day 8 10:30 if nothing happens"
    assert told(run("10:00 ada Product Added\n10:29 ada enters campaign_cart")) == [
        "- 10:29 ada enters campaign_cart",
        f"+ not yet; if nothing more happens: {entered}",
    ]


@pytest.mark.parametrize(
    ("tail", "differs"),
    [
        ("", False),
        ("because of time", False),
        ("because of Product Added", True),
        ("because of a late Product Added", True),
        ("until day 8 10:30", False),
        ("until +7d", False),
        ("until day 8 10:29", True),
        ("until further notice", True),
    ],
)
def test_reason_and_end_count_when_they_are_said(tail: str, differs: bool) -> None:
    """What is not said may be anything."""
    result = run(f"10:00 ada Product Added\n10:30 ada enters campaign_cart {tail}")
    assert result.passed is not differs
    if differs:
        assert told(result)[1] == (
            "+ 10:30  ada  entered campaign_cart because of time; ends day 8 10:30 if nothing happens"
        )


def test_a_late_event_is_another_reason_than_an_event() -> None:
    """`because of E` is not `because of a late E`."""
    text = "10:00 ada Product Added\n10:30 ada enters campaign_cart\n10:29 late ada Order Completed\nada exits campaign_cart"
    assert run(text + " because of a late Order Completed").passed
    assert told(run(text + " because of Order Completed"))[1] == (
        "+ 10:30  ada  exited campaign_cart because of a late Order Completed"
    )


def test_every_change_must_be_expected() -> None:
    """What nobody expects stands where it happens: by time before the next event, by an event behind it."""
    result = run("10:00 ada Product Added\n10:40 ada Product Viewed\n10:41 ada Product Viewed\n10:45 ben page")
    assert [(row.mark, row.text) for row in result.transcript] == [
        (" ", "10:00 ada Product Added"),
        ("+", "10:30  ada  entered campaign_cart because of time; ends day 8 10:30 if nothing happens"),
        (" ", "10:40 ada Product Viewed"),
        (" ", "10:41 ada Product Viewed"),
        ("+", "10:41  ada  entered behavior_looking because of Product Viewed; ends 10:50 if nothing happens"),
        (" ", "10:45 ben page"),
    ]


def test_of_other_segments_when_there_is_an_only() -> None:
    """`only` leaves the others out."""
    assert run("only: behavior_looking\n10:00 ada Product Added\n11:00 nobody changes").passed


def test_nobody_changes() -> None:
    """Since the line before and up to this time: neither what nobody expects, nor what a later line does."""
    text = "10:00 ada Product Added\n10:29:59.999 nobody changes\n"
    assert run(text).passed
    assert told(run(text + "10:30 nobody changes\nada enters campaign_cart")) == [
        "- 10:30 nobody changes",
        "+ 10:30  ada  entered campaign_cart because of time; ends day 8 10:30 if nothing happens",
    ]
    assert run(text + "10:30 ada enters campaign_cart\n11:00 nobody changes").passed


def test_membership() -> None:
    """At this point of the case: with since when, or since when not."""
    text = "10:00 ada Product Added\n10:30 ada enters campaign_cart\nada is in campaign_cart\nben is not in campaign_cart\n"
    assert run(text).passed
    assert told(run(text + "11:00 ada is not in campaign_cart\nben is in campaign_cart")) == [
        "- 11:00 ada is not in campaign_cart",
        "+ ada is in campaign_cart since 10:30 because of time; ends day 8 10:30 if nothing happens",
        "- ben is in campaign_cart",
        "+ ben is not in campaign_cart: never entered",
    ]
    text += "11:00 ada Order Completed\nada exits campaign_cart\nada is in campaign_cart"
    assert told(run(text))[1] == "+ ada is not in campaign_cart: exited 11:00 because of Order Completed"


def test_too_late_is_too_late() -> None:
    """What takes no part must be marked so, and nothing else may."""
    text = "10:00 ada Product Added\n10:30 ada enters campaign_cart\nday 2 11:00 ben page\n"
    assert run(text + "day 1 10:59 too late ada Order Completed").passed
    (missed,) = run(text + "day 1 10:59 late ada Order Completed").differences
    assert missed.happened.startswith("it took no part, it was too late: its time")
    missed, exited = run(text + "day 1 11:00 too late ada Order Completed").differences
    assert missed.happened == "it took part: it was late, but not too late"
    assert exited.happened == "day 2 11:00  ada  exited campaign_cart because of a late Order Completed"


def test_events_of_one_ms_come_in_the_order_of_their_sources() -> None:
    """An email event above a site event of the same ms does not make that one late."""
    result = run(
        "10:00 ada Email Opened\n"
        "10:00 ada Product Viewed\n"
        "ada enters hot_reader because of Email Opened until 11:00\n"
        "11:00 ada exits hot_reader"
    )
    assert result.passed, told(result)


def test_two_segments_at_one_time_in_either_order() -> None:
    """The order of expectations of one time has no meaning; of one segment it has."""
    text = "10:00 ada Email Opened\n10:05 ada Product Viewed\n"
    reader, looking = "ada enters hot_reader", "ada enters behavior_looking"
    begun = "ada enters hot_reader\n10:06 ada Product Viewed\nada enters behavior_looking\n"
    ends = ["10:15 ada exits behavior_looking", "11:00 ada exits hot_reader"]
    assert run(text + begun + "\n".join(ends)).passed
    rules = RULES.replace("in the last 10 minutes", "in the last 1 hour").replace(">= 2", ">= 1")
    engine = Engine(plan_of(rules))
    for first, second in ((reader, looking), (looking, reader)):
        assert run(f"{text}{first}\n{second}", engine).passed


class Forgetful(Engine):
    """An engine whose states do not survive being stored."""

    def partition(self, index: int) -> PartitionState:
        class State(PartitionState):
            def load(self, person: bytes, encoded: bytes | None) -> None:
                """Loses it."""

            def restore(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
                """Loses it."""

        return State(self.program, index)


class ByArrival(Engine):
    """An engine that takes late events as if they were the newest."""

    def partition(self, index: int) -> PartitionState:
        class State(PartitionState):
            def step(self, batch: Batch) -> Step:
                batch.late, batch.moment = [], []
                return super().step(batch)

        return State(self.program, index)


def test_an_engine_that_forgets_is_found_out() -> None:
    """The rule is not at fault, and it is said so."""
    text = "10:00 ada Product Added\n10:10 ada page\n10:30 ada enters campaign_cart"
    assert run(text).passed
    result = run(text, Forgetful(plan_of()))
    assert not result.passed and not result.differences
    (bug,) = result.bugs
    assert bug.splitlines() == [
        "Event by event: 10:30  ada  entered campaign_cart because of time; ends day 8 10:30 if nothing happens",
        "With its state saved and loaded between the lines: nobody changes",
        "This is a bug in Segue, not in the rules: please report it with this case.",
    ]


def test_an_engine_that_goes_by_arrival_is_found_out() -> None:
    """Though no line of the case is late."""
    text = "\n".join(f"10:{minute:02} ada Product Added" for minute in range(20))
    text += "\n10:20 ada Order Completed\n11:00 nobody changes"
    assert run(text).passed
    (bug,) = run(text, ByArrival(plan_of())).bugs
    assert bug.splitlines()[:2] == [
        "In the order of the file the members are nobody",
        "When the events arrive in another order: campaign_cart: ada",
    ]


def test_a_partition_by_hand() -> None:
    """Events in, changes out, members asked; a reload loses nothing; unknown names are KeyErrors."""
    at_ms = 1_790_000_000_000
    partition = VirtualPartition(ENGINE)
    assert partition.step([event(catalog(), "ada", "product_added", at_ms, price=5, product_id="lamp")]) == []
    partition.reload()
    (entered,) = partition.step(until_ms=at_ms + 1_800_000)
    assert (entered.person, entered.entered, entered.cause) == (b"ada", True, "timer")
    assert partition.members() == {"campaign_cart": ["ada"]}
    with pytest.raises(KeyError, match="Product Aded"):
        event(catalog(), "ada", "Product Aded", at_ms)
    with pytest.raises(KeyError, match="prise"):
        event(catalog(), "ada", "Product Added", at_ms, prise=5)
