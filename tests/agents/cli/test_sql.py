"""`segue sql`, as a user runs it, and its output, as DuckDB does."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[3]
RULES = str(ROOT / "examples" / "shop")


def segue(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", *arguments],
        capture_output=True, check=False, cwd=ROOT, env=os.environ,
    )  # fmt: skip


def test_the_query_finds_the_people_in_the_table() -> None:
    """What --schema prints makes the table; what the segment's query prints finds who is in, then and not later."""
    database = duckdb.connect()
    database.execute(segue("sql", "--schema", "--table", "bought").stdout.decode())
    for i, (person, event) in enumerate((("ada", "product_added"), ("bob", "product_added"), ("bob", "order_completed"))):
        columns = "(person_id, event, time_ms, source_order, position)"
        database.execute(f"INSERT INTO bought {columns} VALUES (?, ?, ?, 1, ?)", [person, event, i, i])
    arguments = ("behavior_cart_abandon", "--rules", RULES, "--table", "bought")
    found = {}
    for at in ("1970-01-01T00:29:59.999Z", "1970-01-01T00:30Z", "1970-03-01"):
        done = segue("sql", *arguments, "--as-of", at)
        assert done.returncode == 0, done.stderr
        found[at] = database.execute(done.stdout.decode()).fetchall()
    assert list(found.values()) == [[], [("ada",)], []]


def test_without_an_instant_it_is_a_parameter() -> None:
    """One query for every run, in the dialect's own way."""
    for dialect, parameter in (("duckdb", "$as_of"), ("bigquery", "@as_of"), ("postgres", ":as_of")):
        done = segue("sql", "hot_lead", "--rules", RULES, "--dialect", dialect)
        assert f"CAST({parameter} AS" in done.stdout.decode()
        assert done.stderr == b""


def test_the_page_shows_what_is_printed() -> None:
    """Each command of docs/warehouse.md runs, and a query below it is its output."""
    page = (ROOT / "docs" / "warehouse.md").read_text()
    shown = re.findall(r"```sh\nsegue (sql .*?)\n```\n(?:\n```sql\n(.*?)```)?", page, re.DOTALL)
    assert [bool(query) for _, query in shown] == [True, False]
    for command, query in shown:
        done = segue(*shlex.split(command))
        assert done.returncode == 0, done.stderr
        assert query in ("", done.stdout.decode())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sql"], "needs the name of a segment"),
        (["sql", "hot_lead"], "needs the rules it is in"),
        (["sql", "hot_led", "--rules", RULES], "Did you mean 'hot_lead'?"),
        (["sql", "hot_lead", "--rules", "nowhere"], "no rules at nowhere"),
        (["sql", "hot_lead", "--rules", RULES, "--dialect", "mysql"], "Take one of duckdb, bigquery"),
        (["sql", "hot_lead", "--rules", RULES, "--as-of", "noon"], "'noon' is not a time"),
        (["sql", "hot_lead", "--rules", RULES, "--as-of", "9" * 30], "no instant between 1970 and 2050"),
        (["sql", "--schema", "--table", "a; b"], "'a; b' is not the name of a table"),
    ],
)
def test_mistakes(arguments: list[str], says: str) -> None:
    """Exit 2, two sentences on stderr, nothing on stdout, no traceback."""
    done = segue(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr.decode()
    assert b"Traceback" not in done.stderr
