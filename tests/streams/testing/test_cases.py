"""Every case file of the repository: by the runner, by the oracle, and as SQL."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from tests.streams.engine.oracle import Event as Seen
from tests.streams.engine.oracle import Oracle
from tests.streams.testing.golden import ALL, FILES, IDS, ROOT, Golden, catalog, goldens_of

from segue.testing import Arrives, CaseResult, Event, VirtualPartition, run_case
from segue.warehouse import create_table_sql, membership_sql

LEAVES = {
    "count", "sum", "avg", "min", "max", "distinct", "last", "first", "first_ever", "sequence", "absence", "windows_ago",
    "windows_since", "calendar", "session", "trait", "held", "score", "consents", "bucket", "in_segment", "universe",
    "enter_exit", "late",
}  # fmt: skip


def told(result: CaseResult) -> str:
    """What `segue test` would print."""
    rows = [f"{row.mark} {row.number or ''} {row.text}" for row in result.transcript]
    return "\n".join([f"{result.case.file}:{result.case.number}", *rows, *result.bugs])


def test_there_is_a_file_for_each_leaf_and_each_of_the_thirteen_shapes() -> None:
    """tests/cases holds one file a leaf; examples/rules holds the shapes 1 to 13, each with its cases."""
    assert {f.stem for f in FILES if f.parent == ROOT / "tests/cases"} == LEAVES
    shapes = [f for f in FILES if f.parent == ROOT / "examples/rules"]
    assert [int(f.stem[:2]) for f in shapes] == list(range(1, 14))
    assert all(f.with_suffix(".yaml").exists() for f in shapes)


@pytest.mark.parametrize("file", [f for f in FILES if f.parent == ROOT / "examples/rules"], ids=lambda f: f.stem)
def test_each_rule_of_the_shapes_is_entered_and_left(file: Path) -> None:
    """No segment of the thirteen is without a change in both directions that its cases expect."""
    goldens = goldens_of(file)
    said = {(line.says.segment, line.says.entered) for g in goldens for line in g.case.lines
            if hasattr(line.says, "entered")}  # fmt: skip
    assert said == {(s.name, entered) for s in goldens[0].rules.segments for entered in (True, False)}
    assert all(s.title and s.owner and s.tags for s in goldens[0].rules.segments)


@pytest.mark.parametrize(("file", "i"), ALL, ids=IDS)
def test_by_the_runner(file: Path, i: int) -> None:
    """As expected event by event; the same in batches, with the state saved and loaded, and shuffled."""
    golden = goldens_of(file)[i]
    result = run_case(golden.engine, golden.case)
    assert result.passed, told(result)


@pytest.mark.parametrize(("file", "i"), ALL, ids=IDS)
def test_by_the_oracle(file: Path, i: int) -> None:
    """Whoever re-reads the whole history at every moment sees the same changes; of late events the same members."""
    golden = goldens_of(file)[i]
    oracle = Oracle(golden.rules, catalog().profile)
    late = any(line.says.lateness for line in golden.case.lines if isinstance(line.says, Arrives))
    partition = VirtualPartition(golden.engine)
    changes = partition.step(golden.taking_part(), golden.ends_ms)
    members = partition.members()
    for person in {e.person for e in golden.taking_part()}:
        history = seen_by(golden, person)
        found = oracle.changes(history, golden.ends_ms, person.encode())
        if not late:
            names = [s.name for s in golden.rules.segments]
            ours = [(names[c.segment], c.entered, c.at_ms) for c in changes if c.person == person.encode()]
            assert sorted(ours, key=lambda c: (c[2], c[0])) == sorted(found, key=lambda c: (c[2], c[0]))
        assert oracle.memberships(history, golden.ends_ms, person.encode()) == {
            segment for segment, persons in members.items() if person in persons
        }


@pytest.mark.parametrize(("file", "i"), ALL, ids=IDS)
def test_as_sql(file: Path, i: int) -> None:
    """DuckDB, asked of a table of the same events, names the same members at the end of the case."""
    golden = goldens_of(file)[i]
    partition = VirtualPartition(golden.engine)
    partition.step(golden.taking_part(), golden.ends_ms)
    members = partition.members()
    with duckdb.connect() as connection:
        connection.execute(create_table_sql(catalog()))
        for place, event in enumerate(golden.taking_part()):
            insert(connection, place, event)
        for segment in golden.case.only or [s.name for s in golden.rules.segments]:
            query = membership_sql(golden.rules, segment, catalog(), as_of=golden.ends_ms)
            found = sorted(row[0] for row in connection.execute(query).fetchall())
            assert found == members.get(segment, []), segment


def seen_by(golden: Golden, person: str) -> list[Seen]:
    """A person's events as the oracle takes them."""
    sources = catalog().sources
    return [
        Seen(e.time_ms, sources[e.source].order, place, sources[e.source].events[e.name], tuple(e.fields.items()))
        for place, e in enumerate(golden.taking_part())
        if e.person == person
    ]


def insert(connection: duckdb.DuckDBPyConnection, place: int, event: Event) -> None:
    """One row of the events table."""
    source = catalog().sources[event.source]
    row = {
        "person_id": event.person, "event": source.events[event.name], "time_ms": event.time_ms,
        "source_order": source.order, "position": place, **event.fields,
    }  # fmt: skip
    marks = ", ".join("?" * len(row))
    names = ", ".join(f'"{name}"' for name in row)
    connection.execute(f"INSERT INTO events ({names}) VALUES ({marks})", list(row.values()))
