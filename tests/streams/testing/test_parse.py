"""Case files: texts to cases, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.testing.golden import catalog

from segue.errors import RuleError
from segue.limits import CASE_FILE_BYTES
from segue.records import NEVER
from segue.rules import parse_rules
from segue.testing import Arrives, Case, Changes, IsIn, Line, Quiet, read_cases, rules_named

HERE = Path(__file__).parent
SEGMENTS = ["behavior_cart_abandon", "hot_lead"]
MONDAY = 1_767_571_200_000  # 2026-01-05 00:00 UTC, day 1 of a case that does not say
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def cases(text: str) -> tuple[Case, ...]:
    return read_cases("my.case", text, catalog(), SEGMENTS)


def lines(text: str, head: str = "") -> tuple[Line, ...]:
    (case,) = cases(f"{head}\ncase: one\n{text}\n")
    return case.lines


def problems(text: str) -> list[str]:
    with pytest.raises(RuleError) as raised:
        cases(text)
    return [f"{p.line}:{p.column} {p.what}" for p in raised.value.problems]


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("10:00", 10 * HOUR),
        ("9:05", 9 * HOUR + 5 * MINUTE),
        ("10:00:05", 10 * HOUR + 5_000),
        ("10:00:05.25", 10 * HOUR + 5_250),
        ("10:00:05.007", 10 * HOUR + 5_007),
        ("23:59:59.999", DAY - 1),
        ("day 3 10:00", 2 * DAY + 10 * HOUR),
        ("2026-01-06 10:00", DAY + 10 * HOUR),
        ("2026-01-06T10:00", DAY + 10 * HOUR),
        ("2026-01-06T10:00:00.5Z", DAY + 10 * HOUR + 500),
        ("2026-01-06T10:00+02:00", DAY + 8 * HOUR),
    ],
)
def test_times(written: str, ms: int) -> None:
    """The first line's time, without a clock before it."""
    assert lines(f"{written} ada page")[0].time_ms == MONDAY + ms


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("+30m", 30 * MINUTE),
        ("+30min", 30 * MINUTE),
        ("+1h30m", 90 * MINUTE),
        ("+7d", 7 * DAY),
        ("+250ms", 250),
        ("+90s", 90_000),
        ("+30 minutes", 30 * MINUTE),
        ("+1 day", DAY),
        ("+0s", 0),
        ("", 0),
    ],
)
def test_times_from_the_clock(written: str, ms: int) -> None:
    """A step counts from where the clock stands; a line without a time is there."""
    assert lines(f"10:00 ada page\n{written} ada page")[1].time_ms == MONDAY + 10 * HOUR + ms


def test_the_clock_keeps_its_day() -> None:
    """A clock time is on the day the clock shows, also after a step over midnight; a late line does not set it back."""
    text = "23:50 ada page\n+30m ada page\n01:00 ada page\nday 1 22:00 late ada page\n02:00 ada page\nada page"
    assert [(line.time_ms - MONDAY) / HOUR for line in lines(text)][2:] == [25, 22, 26, 26]


def test_zones_and_dates() -> None:
    """Clock times and days are those of the zone: the second day here has 23 hours."""
    found = lines("00:00 ada page\nday 2 00:00 ada page\nday 3 00:00 ada page", "date: 2026-03-28\nzone: Europe/Paris")
    first, second, third = (line.time_ms for line in found)
    assert (second - first, third - second) == (24 * HOUR, 23 * HOUR)


def test_heads_of_files_and_cases() -> None:
    """What stands before the first case is for all, what stands in a case for it alone."""
    one, two = cases(
        "date: 2026-03-02\nonly: hot_lead\ncase: one\n10:00 ada page\n"
        "case: two\n  only: hot_lead, behavior_cart_abandon\n  zone: Asia/Tokyo\n10:00 ada page\n"
    )
    assert (one.date, one.zone, one.only) == ("2026-03-02", "UTC", ("hot_lead",))
    assert (two.date, two.zone, two.only) == ("2026-03-02", "Asia/Tokyo", ("hot_lead", "behavior_cart_abandon"))
    assert (one.name, one.number, two.name, two.number) == ("one", 3, "two", 5)


def test_events() -> None:
    """By either name, with fields of the contract's types; null, quotes, remarks."""
    viewed, bought, known = lines(
        '10:00 "ada b" Product Viewed product_id=42 name="a \\"b\\" = c" price=20 quantity=3 brand=null # price=1\n'
        "      ada order_completed\n"
        "      ada is plan=trial age=30"
    )
    assert isinstance(viewed.says, Arrives) and isinstance(bought.says, Arrives) and isinstance(known.says, Arrives)
    event = viewed.says.event
    assert (event.person, event.name) == ("ada b", "Product Viewed")
    assert event.fields == {"product_id": "42", "name": 'a "b" = c', "price": 20.0, "quantity": 3, "brand": None}
    assert bought.says.event.name == "Order Completed"
    assert (known.says.event.name, known.says.event.fields) == ("identify", {"plan": "trial", "age": 30})


def test_scores_and_consents() -> None:
    """They are events of the source that states them."""
    said = [line.says for line in lines(
        "10:00 ada scores purchase 0.9\nada consents to email_marketing\nada withdraws email_marketing"
    )]  # fmt: skip
    assert [(s.event.name, s.event.fields) for s in said if isinstance(s, Arrives)] == [
        ("Score Updated", {"score_name": "purchase", "score": 0.9}),
        ("Consent Updated", {"consent_purpose": "email_marketing", "consent_granted": True}),
        ("Consent Updated", {"consent_purpose": "email_marketing", "consent_granted": False}),
    ]


def test_expectations() -> None:
    """With a reason and an end, or without."""
    said = [line.says for line in lines(
        "10:00 ada enters hot_lead\n"
        "ada exits hot_lead because of time until further notice\n"
        "ada enters hot_lead because of an Order Completed until day 3 10:00\n"
        "ada exits hot_lead because of a late order_completed until +30m\n"
        "ada is in hot_lead\n"
        "ada is not in hot_lead\n"
        "nobody changes"
    )]  # fmt: skip
    at = MONDAY + 10 * HOUR
    assert said == [
        Changes("ada", "hot_lead", True),
        Changes("ada", "hot_lead", False, "time", "", NEVER),
        Changes("ada", "hot_lead", True, "event", "order_completed", at + 2 * DAY),
        Changes("ada", "hot_lead", False, "late event", "order_completed", at + 30 * MINUTE),
        IsIn("ada", "hot_lead", True),
        IsIn("ada", "hot_lead", False),
        Quiet(),
    ]


def test_late_and_too_late() -> None:
    """Marked behind the time."""
    said = [line.says for line in lines("10:00 ada page\n09:00 late ada page\n08:00 too late ada page")]
    assert [s.lateness for s in said if isinstance(s, Arrives)] == ["", "late", "too late"]


def test_rules_of_its_own_keep_their_lines() -> None:
    """A mistake in a rule between dashes is at its line of the case file; what is around them is a case file."""
    text = (
        "# mine\n---\nsegment: hot_lead\nwhen: did page\n---\n# another\nsegment: hot_x\nwhen: did pag\n---\n"
        "case: one\n10:00 ada page\n---\nfeature: views\nkeep: last 2 page.url\n---\ncase: two\n10:00 ada page\n"
    )
    assert [c.name for c in cases(text)] == ["one", "two"]
    named = rules_named("my.case", text)
    assert named.files == ()
    with pytest.raises(RuleError, match=r"my\.case:8:11: unknown event 'pag'"):
        parse_rules([("my.case", named.inline)], catalog())
    mended = parse_rules([("my.case", named.inline.replace("did pag\n", "did page\n"))], catalog())
    assert [s.name for s in mended.segments] == ["hot_lead", "hot_x"]


def test_which_rules_are_named() -> None:
    """Each once, in order; none and none of its own: those beside the file."""
    assert rules_named("my.case", "rules: a.yaml, b/c.yaml # both\nrules: a.yaml\ncase: x\n").files == ("a.yaml", "b/c.yaml")
    assert rules_named("my.case", "case: x\n10:00 ada page\n") == rules_named("my.case", "")


def test_every_mistake_is_underlined() -> None:
    """slips.case has one of each; slips.txt is what is said of them."""
    with pytest.raises(RuleError) as raised:
        read_cases("slips.case", (HERE / "slips.case").read_text(), catalog(), SEGMENTS)
    assert str(raised.value).splitlines() == (HERE / "slips.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["1:1 the file holds no case"]),
        ("# nothing\n", ["1:1 the file holds no case"]),
        ("case: one\n", ["1:1 this case has no line"]),
        ("case:\n10:00 ada page\n", ["1:1 'case' says nothing", "2:1 this line is in no case"]),
        ("---\nsegment: hot_x\ncase: one\n", ["1:1 the rule that begins here does not end"]),
        ("case: one\n10:00 ada page\nrules: a.yaml\n", ["3:1 'rules' comes too late"]),
        ("case: one\n10:00 ada page\nzone: UTC\n", ["3:1 'zone' comes too late"]),
        ("zone: Mars\ncase: one\n10:00 ada page\n", ["1:1 'Mars' is no time zone"]),
        ("date: 1969-12-31\ncase: one\n10:00 ada page\n", ["3:1 this is too far away"]),
        ("case: one\n3000-01-01 10:00 ada page\n", ["2:1 this is too far away"]),
        ("x" * (CASE_FILE_BYTES + 1), ["1:1 the file is larger than 1 MB"]),
    ],
)
def test_mistakes_of_the_whole_file(text: str, said: list[str]) -> None:
    """Heads, dashes, size."""
    assert problems(text) == said


PIECES = st.sampled_from(
    ["case: x", "only: hot_lead", "date: 2026-03-01", "rules: a.yaml", "---", "segment: hot_x", "\n", " ", "10:00", "+30m",
     "day", "3", "2026-03-02", "late", "too", "ada", "page", "Product Viewed", "price=1", 'name="', '"', "=", "#", "is",
     "in", "not", "enters", "exits", "hot_lead", "because", "of", "time", "until", "further notice", "nobody", "changes",
     "scores", "consents", "to", "9999-12-31T23:59", "+99999999999999d", "day 99999999999", "1e999", "null"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES | st.text(max_size=5), max_size=40).map(" ".join).map(lambda text: text.replace(" \n ", "\n")))
def test_no_text_does_harm(text: str) -> None:
    """Any text is cases or a RuleError whose places lie in it."""
    rules_named("my.case", text)
    try:
        read_cases("my.case", text, catalog(), SEGMENTS)
    except RuleError as error:
        shown = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for p in error.problems:
            assert 1 <= p.line <= len(shown)
            assert 1 <= p.column <= len(shown[p.line - 1]) + 1
            assert p.what and "\n" not in p.what
