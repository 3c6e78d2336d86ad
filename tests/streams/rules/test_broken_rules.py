"""Every file of tests/cases/broken_rules is refused with exactly the text beside it.

To add a case, write the .yaml and run with SEGUE_WRITE_GOLDEN=1; then read the .txt as a marketer would.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segue import limits
from segue.catalog import Catalog
from segue.errors import RuleError
from segue.rules import parse_rules
from segue.rules.tree import Trait

_CASES = Path(__file__).parents[2] / "cases" / "broken_rules"


@pytest.mark.parametrize("path", sorted(_CASES.glob("*.yaml")), ids=lambda p: p.stem)
def test_told_what_is_wrong(path: Path, catalog: Catalog) -> None:
    """A broken file is refused with every problem at its line and column, and what to write instead."""
    with pytest.raises(RuleError) as refused:
        parse_rules([(path.name, path.read_text(encoding="utf-8"))], catalog)
    golden = path.with_suffix(".txt")
    if os.environ.get("SEGUE_WRITE_GOLDEN"):
        golden.write_text(f"{refused.value}\n", encoding="utf-8")
    assert f"{refused.value}\n" == golden.read_text(encoding="utf-8")
    assert all(p.hint for p in refused.value.problems)


def test_problems_of_all_files_at_once(catalog: Catalog) -> None:
    """Problems come in the order of the files, and a name given twice says where it was given first."""
    files = [
        ("z.yaml", "segment: behavior_a\nwhen: did product_vewed\n"),
        ("a.yaml", "segment: behavior_a\nwhen: did product_adde\n"),
    ]
    with pytest.raises(RuleError) as refused:
        parse_rules(files, catalog)
    assert [(p.file, p.line) for p in refused.value.problems] == [("z.yaml", 2), ("a.yaml", 1), ("a.yaml", 2)]
    assert "in z.yaml:1" in refused.value.problems[1].what


def _refused(text: str, catalog: Catalog) -> str:
    with pytest.raises(RuleError) as refused:
        parse_rules([("f.yaml", text)], catalog)
    assert len(refused.value.problems) == 1
    return refused.value.problems[0].what


def test_a_file_that_cannot_be_read_accuses_no_other(catalog: Catalog) -> None:
    """A segment whose file is broken is not called unknown where it is named."""
    files = [("a.yaml", "segment: hot_a\nwhen: in behavior_b\n"), ("b.yaml", "segment: [behavior_b\n")]
    with pytest.raises(RuleError) as refused:
        parse_rules(files, catalog)
    assert [p.file for p in refused.value.problems] == ["b.yaml"]


_HEAD = "segment: hot_a\nwhen: "
_HOSTILE = [
    ("tab in the indentation", "segment: hot_a\nwhen:\n\tdid count\n", "3:1", "tab"),
    ("duplicate key", f"{_HEAD}did count\nwhen: did count\n", "3:1", "stands here twice"),
    ("anchor", "segment: hot_a\nwhen: &x did count\n", "2:7", "anchors"),
    ("alias", "segment: hot_a\nwhen: *x\n", "2:7", "aliases"),
    ("merge key", "segment: hot_a\n<<: {when: did count}\nwhen: did count\n", "2:1", "merge keys"),
    ("python object", "segment: hot_a\nwhen: !!python/object:os.system did count\n", "2:7", "tags"),
    ("unknown operator", f"{_HEAD}did count where price =~ 3", "2:30", "not a word"),
    ("misspelt field", f"{_HEAD}did count where prise > 3", "2:23", "unknown field 'prise'"),
    ("window of 0", f"{_HEAD}did count in the last 0 days", "2:29", "longer than 0"),
    ("negative window", f"{_HEAD}did count in the last -1 days", "2:29", "longer than 0"),
    ("window of 10 years", f"{_HEAD}did count in the last 3650 days", "2:29", "longest duration"),
    ("unit missing", f"{_HEAD}sum(count.price) > 3 in the last 30", "2:40", "needs a unit"),
    ("cycle", f"{_HEAD}in hot_b\n---\nsegment: hot_b\nwhen: in hot_a\n", "2:10", "hot_a -> hot_b -> hot_a"),
    ("unknown segment", f"{_HEAD}in hot_b", "2:10", "unknown segment 'hot_b'"),
    ("type mismatch", f"{_HEAD}trait.plan > 3", "2:7", "is a text"),
    ("text without quotes", f"{_HEAD}trait.plan = NO", "2:20", "no value"),
    ("underscored number", f"{_HEAD}score.x > 1_000", "2:17", "'1_000' is not a number"),
    ("bidirectional control", f'{_HEAD}trait.plan = "\u202e"', "2:21", "U+202E"),
    ("regular expression", f'{_HEAD}trait.plan matches "(a+)+$"', "2:18", "not a word"),
    ("two rules of one name", f"{_HEAD}did count\n---\n{_HEAD}did count\n", "4:10", "already the name"),
]


@pytest.mark.parametrize(("text", "place", "what"), [h[1:] for h in _HOSTILE], ids=[h[0] for h in _HOSTILE])
def test_bad_input_is_refused_at_its_place(text: str, place: str, what: str, catalog: Catalog) -> None:
    """Every kind of bad input that concerns rules is refused with file, line and column."""
    with pytest.raises(RuleError) as refused:
        parse_rules([("f.yaml", text)], catalog)
    found = {f"{p.file}:{p.line}:{p.column}": p.what for p in refused.value.problems if p.hint}
    assert what in found[f"f.yaml:{place}"]


def test_yaml_words_stay_text(catalog: Catalog) -> None:
    """`NO` is the text NO, as a country as well as an owner."""
    rules = parse_rules([("f.yaml", f'{_HEAD}trait.plan = "NO"\nowner: NO\ntitle: 1_000\n')], catalog)
    assert (rules.segments[0].owner, rules.segments[0].title) == ("NO", "1_000")
    assert rules.segments[0].when == Trait("trait", "plan", "=", ("NO",))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('trait.plan = "a"', "no source declares traits"),
        ("score.x > 3", "no source declares scores"),
        ("consents to x", "no source declares consents"),
    ],
)
def test_what_no_source_states_is_refused(text: str, what: str, plain: Catalog) -> None:
    """Where no contract says where traits, scores or consents come from, a rule cannot ask for them."""
    assert _refused(f"{_HEAD}{text}\n", plain) == what


def test_filters_of_windows_count(catalog: Catalog) -> None:
    """The bounds on nodes and depth take in the filters of every event a condition names, its window's too."""
    filters = " and ".join(["price > 3"] * 62)
    event = f"(order_completed where {filters})"
    pattern = f"{event} then no {event} within 1 day, restarting on {event}"
    window = f"did {event} since {event}"
    field = f"sum(order_completed.price where {filters}) > 3 since {event}"
    picked = f"last{event}.price > 3"
    conditions = [pattern, window, field, picked]
    assert parse_rules([("f.yaml", _HEAD + " and ".join(c.replace(filters, "price > 3") for c in conditions))], catalog)
    assert "conditions and filters" in _refused(_HEAD + " and ".join(conditions), catalog)
    deep = "(" * 14 + "price > 3" + "".join(f" {'and' if i % 2 else 'or'} price > 3)" for i in range(14))
    assert parse_rules([("f.yaml", f"{_HEAD}did order_completed since (order_completed where {deep})")], catalog)
    assert "nested" in _refused(
        f"{_HEAD}did order_completed and (did order_completed or did order_completed since (order_completed where {deep}))",
        catalog,
    )


def test_size_is_bounded(catalog: Catalog) -> None:
    """A file above 64 kB is refused unread, however it is written."""
    assert _refused("#" * (limits.RULE_FILE_BYTES + 1), catalog) == "the file is larger than 64 kB"
    assert parse_rules([("f.yaml", "#" * limits.RULE_FILE_BYTES)], catalog).segments == ()


@pytest.mark.parametrize("text", ["[" * 60_000, "a: " + "{" * 60_000, "- " * 30_000, "when: " + "'" * 60_001])
def test_nesting_bombs_are_cheap(text: str, catalog: Catalog) -> None:
    """Nested beyond any use, a file is refused at once: no recursion, no quadratic time."""
    with pytest.raises(RuleError):
        parse_rules([("f.yaml", text)], catalog)


@pytest.mark.parametrize(
    "text",
    [
        "not " * 10_000 + "did product_viewed",
        "(" * 20_000,
        "(" * 20_000 + ")" * 20_000,
        "did product_viewed where " + "not " * 10_000 + "gift = true",
        "did product_viewed where gift = true" + " and (" * 5_000,
        "(" * 60_000 + "last(count)",
        "last(count).price = 3 or " * 2_300 + "count",
        "did count where price > 3 and " + "not " * 15_000,
        "did count since " + "1:" * 30_000,
    ],
)
def test_deep_conditions_are_refused(text: str, catalog: Catalog) -> None:
    """Depth is measured without recursion."""
    with pytest.raises(RuleError):
        parse_rules([("f.yaml", f"segment: behavior_a\nwhen: {text}\n")], catalog)


def test_bounds_are_inclusive(catalog: Catalog) -> None:
    """500 nodes and a depth of 16 pass, one more does not."""

    def rule(leaves: int) -> str:
        return "segment: behavior_a\nwhen: >\n  " + "\n  or ".join(["did product_viewed"] * leaves) + "\n"

    def deep(levels: int) -> str:
        text = "did product_viewed"
        for level in range(levels - 1):
            text = f"(did order_completed {'and' if level % 2 else 'or'} {text})"
        return f"segment: behavior_a\nwhen: {text}\n"

    assert parse_rules([("f.yaml", rule(limits.RULE_NODES - 1))], catalog).segments
    assert "501 conditions" in _refused(rule(limits.RULE_NODES), catalog)
    assert parse_rules([("f.yaml", deep(limits.RULE_DEPTH))], catalog).segments
    assert "nested 17 deep" in _refused(deep(limits.RULE_DEPTH + 1), catalog)


def test_the_screen_is_safe(catalog: Catalog) -> None:
    """Control characters of a rule never reach the terminal through an error."""
    with pytest.raises(RuleError) as refused:
        parse_rules([("f.yaml", "segment: behavior_\x1b[31m\nwhen: did \u202e\n")], catalog)
    assert not set("\x1b\u202e") & set(str(refused.value))
