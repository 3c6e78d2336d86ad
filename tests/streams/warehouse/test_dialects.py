"""The text itself: five dialects, names and constants that cannot break out, golden files, what is refused.

The golden files of tests/cases/sql are what a reader sees; SEGUE_WRITE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from tests.streams.engine.oracle import Event
from tests.streams.engine.world import CATALOG, T0, record
from tests.streams.warehouse.events_table import EventsTable, rules_of
from tests.streams.warehouse.forms import FORMS, file_of

import segue_schemas
from segue import calendars
from segue.catalog import Catalog
from segue.errors import ConfigError
from segue.rules import parse_rules
from segue.rules import tree as t
from segue.warehouse import DIALECTS, WarehouseUnsupported, create_table_sql, membership_sql
from segue.warehouse.windows import ZONES_END_MS, spans_of

CASES = Path(__file__).parents[2] / "cases" / "sql"
TABLE = EventsTable()
PACKAGED = Catalog.from_declarations(segue_schemas.load_declarations(None))
AS_OF_MS = 1_795_521_600_000
"""2026-11-24T12:00:00Z"""


def golden(name: str, text: str) -> str:
    """The content of a golden file, written first if that is asked for."""
    path = CASES / name
    if os.environ.get("SEGUE_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")


SHOWN = {
    "count": (
        "segment: behavior_electronics_viewer\n"
        'when: count(product_viewed where category = "electronics") >= 3 in the last 30 days\n'
    ),
    "sum": (
        "segment: behavior_big_spender\n"
        "when: sum(order_completed.total) > 200.5 this week in Europe/Paris and consents to email_marketing\n"
    ),
    "absence": (
        "segment: behavior_product_abandoned\n"
        "when: product_added then no order_completed within 1 day with the same product_id in the last 6 days\n"
    ),
    "hold_out": (
        "segment: campaign_held_out\n"
        'when: bucket("spring") < 10% and trait.plan = "trial" for 7 days\n'
        "universe: seen in the last 90 days\n"
    ),
    "enter_exit": (
        "segment: behavior_cart_abandon\n"
        "enter: product_added then no order_completed within 30 minutes, restarting on product_removed\n"
        "exit: order_completed, or 7 days after entering\n"
    ),
}


LONG = {"enter_exit": ("duckdb", "bigquery"), "hold_out": ("duckdb", "snowflake")}
"""shown in fewer dialects"""


@pytest.mark.parametrize(("name", "dialect"), [(n, d) for n in SHOWN for d in LONG.get(n, DIALECTS)])
def test_golden(name: str, dialect: str) -> None:
    """A rule and what it becomes: as of an instant, `count` and `absence` with a parameter."""
    rules = parse_rules([(name, SHOWN[name])], PACKAGED)
    as_of = None if name in ("count", "absence") else AS_OF_MS
    sql = membership_sql(rules, rules.segments[0].name, PACKAGED, dialect, as_of=as_of)
    rule = "".join(f"-- {line}\n" for line in SHOWN[name].splitlines())
    text = f"{rule}{sql}\n"
    assert golden(f"{name}.{dialect}.sql", text) == text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_golden_schema(dialect: str) -> None:
    """The events table; a property called position does not take the place of the position."""
    text = f"{create_table_sql(PACKAGED, dialect)}\n"
    assert golden(f"events.{dialect}.sql", text) == text


@pytest.fixture(scope="module")
def all_forms() -> t.RuleSet:
    """Every form a segment, and one of all of them."""
    files = [file_of(rule).replace("segment_x", f"segment_{i}") for i, (rule, _, _) in enumerate(FORMS)]
    names = [f"in segment_{i}" for i in range(len(FORMS))]
    files.append(f"segment: segment_any\nwhen: {' or '.join(names)}\n")
    files.append(f"segment: segment_ever\nenter: {' or '.join(names)}\nexit: idle\n")
    return rules_of("---\n".join(files))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_form_can_be_read_back(dialect: str, all_forms: t.RuleSet) -> None:
    """All forms in one query, looked at from now and from each step: sqlglot reads it, and would write the same."""
    for segment in ("segment_any", "segment_ever"):
        read = sqlglot.parse_one(membership_sql(all_forms, segment, CATALOG, dialect, as_of=T0), dialect=dialect)
        assert isinstance(read, exp.Select)
        assert sqlglot.parse_one(read.sql(dialect), dialect=dialect) == read
    asked = sqlglot.parse_one(membership_sql(all_forms, "segment_any", CATALOG, dialect), dialect=dialect)
    assert {p.name for p in asked.find_all(exp.Placeholder, exp.Parameter)} == {"as_of"}
    assert isinstance(sqlglot.parse_one(create_table_sql(CATALOG, dialect), dialect=dialect), exp.Create)


def test_every_form_in_one_query_runs(all_forms: t.RuleSet) -> None:
    """A query of some hundred relations is nothing to DuckDB."""
    TABLE.fill([(b"ada", Event(T0, 1, 0, "view"))])
    assert TABLE.asked(membership_sql(all_forms, "segment_any", CATALOG), T0) == ["ada"]


TEXTS = st.one_of(st.text(st.sampled_from("'\"\\\n\r\t%$:@{}-*/;`ab\u2028é😀"), max_size=8), st.text(max_size=8))
tried = settings(max_examples=100, deadline=None)


@tried
@given(TEXTS.filter(lambda text: "\x00" not in text))
def test_no_text_breaks_out(text: str) -> None:
    """Whatever a rule compares with is that one constant in every dialect, and finds itself in DuckDB."""
    where = t.AllOf((t.Compare("item", "=", (text,)), t.Compare("item", "starts with", (text,))))
    rules = t.RuleSet((t.Segment("segment_x", when=t.Count(t.Events(("view",), where), ">=", 1)),), ())
    for dialect in DIALECTS:
        read = sqlglot.parse_one(membership_sql(rules, "segment_x", CATALOG, dialect, as_of=T0), dialect=dialect)
        assert text in [constant.name for constant in read.find_all(exp.Literal) if constant.is_string]
    TABLE.fill([(b"ada", Event(T0, 1, 0, "view", (("item", text),))), (b"bob", Event(T0, 1, 1, "view", (("item", "?!"),)))])
    assert TABLE.members(rules, "segment_x", T0) == ["ada"]


@tried
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_stay_what_they_are(number: float) -> None:
    """A number in a rule equals the same double in the table, to the last bit."""
    rules = t.RuleSet((t.Segment("segment_x", when=t.Pick("last", t.Events(("view",)), "price", "=", (number,))),), ())
    TABLE.fill([(b"ada", Event(T0, 1, 0, "view", (("price", number),)))])
    assert TABLE.members(rules, "segment_x", T0) == ["ada"]


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/Sao_Paulo", "Asia/Gaza", "Pacific/Apia", "Africa/Cairo", "UTC"])
@pytest.mark.parametrize("unit", ["day", "week"])
def test_the_table_of_a_zone_is_its_calendar(zone: str, unit: calendars.Unit) -> None:
    """Its stretches follow each other without a gap, and say of every ten hours when their day and week began."""
    spans = spans_of(unit, zone)
    assert [end for _, end, _ in spans[:-1]] == [begin for begin, _, _ in spans[1:]]
    assert spans[0][0] <= 0 and spans[-1][1] > ZONES_END_MS
    starts = iter(spans)
    begin, end, length = next(starts)
    for at in range(0, ZONES_END_MS, 36_000_001):
        while at >= end:
            begin, end, length = next(starts)
        assert at - (at - begin) % length == calendars.start_ms(unit, zone, at)


RULES = rules_of("segment: segment_x\nwhen: did view\n")


def test_the_table_is_named_as_the_dialect_writes_it() -> None:
    """With schema and database, quoted or not; a table called like one of the query's own parts keeps its name."""
    assert "FROM analytics.raw.events AS e" in membership_sql(RULES, "segment_x", CATALOG, table="analytics.raw.events")
    quoted = membership_sql(RULES, "segment_x", CATALOG, "bigquery", table="`my-project.raw.events`")
    assert "FROM `my-project.raw.events` AS e" in quoted
    sql = membership_sql(RULES, "segment_x", CATALOG, table="history")
    assert "FROM history AS e" in sql
    assert "WITH history_2 AS" in sql


def test_properties_may_be_called_like_words_of_sql() -> None:
    """Such names, and those of more than lower case, are quoted in the table and in the query."""
    schema = record("Odd", ["view"], ("order", "double"), ("Size", "string"), ("time_ms", "double"), ("seq", "double"))
    source = {"source": "a", "topic": "a", "order": 1, "person": "user", "event": "event", "time": "at", "id": "id"}
    catalog = Catalog.from_declarations([source | {"schema": schema}])
    filters = 'order = 1 and Size = "L" and time_ms = 2 and seq = 3'
    rules = parse_rules([("rules.yaml", f"segment: hot_x\nwhen: did (view where {filters})\n")], catalog)
    database = duckdb.connect()
    database.execute(create_table_sql(catalog))
    columns = '(person_id, event, time_ms, source_order, position, "order", "Size", property_time_ms, property_seq)'
    database.execute(f"INSERT INTO events {columns} VALUES ('ada', 'view', 5, 1, 0, 1, 'L', 2, 3)")
    assert database.execute(membership_sql(rules, "hot_x", catalog, as_of=5)).fetchall() == [("ada",)]
    for dialect, mark in (("postgres", '"'), ("redshift", '"'), ("snowflake", '"'), ("bigquery", "`")):
        assert f"{mark}order{mark} " in create_table_sql(catalog, dialect)


@pytest.mark.parametrize(
    ("segment", "dialect", "table", "says"),
    [
        ("segment_y", "duckdb", "events", "Did you mean 'segment_x'?"),
        ("hot", "duckdb", "events", "The rules have segment_x."),
        ("segment_x", "oracle", "events", "Take one of duckdb, bigquery"),
        ("segment_x", "duckdb", "events; DROP TABLE events", "not the name of a table"),
        ("segment_x", "duckdb", "events AS e", "not the name of a table"),
        ("segment_x", "duckdb", "(SELECT 1)", "not the name of a table"),
        ("segment_x", "duckdb", "read_csv('x')", "not the name of a table"),
        ("segment_x", "duckdb", "events -- all", "not the name of a table"),
        ("segment_x", "duckdb", "$events", "not the name of a table"),
        ("segment_x", "duckdb", "", "not the name of a table"),
    ],
)
def test_what_cannot_be_asked(segment: str, dialect: str, table: str, says: str) -> None:
    """Refused with what to do instead."""
    with pytest.raises(ConfigError) as refused:
        membership_sql(RULES, segment, CATALOG, dialect, table)
    assert says in str(refused.value)


@pytest.mark.parametrize("as_of", [-1, ZONES_END_MS, 10**30])
def test_instants_lie_where_calendars_are_known(as_of: int) -> None:
    """Refused, and not answered with a calendar that ended before."""
    with pytest.raises(ConfigError, match="between 1970 and 2050"):
        membership_sql(RULES, "segment_x", CATALOG, as_of=as_of)


def test_a_property_of_two_types_is_no_column() -> None:
    """Refused where a rule reads it, and where the table is made; other rules are printed."""
    declaration = {"person": "user", "event": "event", "time": "at", "id": "id"}
    catalog = Catalog.from_declarations(
        [
            declaration | {"source": "a", "topic": "a", "order": 1, "schema": record("A", ["view"], ("size", "double"))},
            declaration | {"source": "b", "topic": "b", "order": 2, "schema": record("B", ["open"], ("size", "string"))},
        ]
    )
    files = ["segment: hot_a\nwhen: did (view where size > 3)\n", "segment: hot_b\nwhen: did view\n"]
    rules = parse_rules([("rules.yaml", "---\n".join(files))], catalog)
    assert "hot_b" in membership_sql(rules, "hot_b", catalog)
    for asked in (lambda: membership_sql(rules, "hot_a", catalog), lambda: create_table_sql(catalog)):
        with pytest.raises(WarehouseUnsupported, match="string in 'b'") as refused:
            asked()
        assert refused.value.to_do
