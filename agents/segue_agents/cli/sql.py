"""`segue sql`: a segment as a query over a warehouse's table of events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.errors import ConfigError
from segue_agents.cli.places import JsonOption, SourcesOption, parse_time_ms, write_json


def sql(
    segment: Annotated[str | None, typer.Argument(help="Whose members the query finds.")] = None,
    rules: Annotated[Path | None, typer.Option("--rules", help="A rule file, or a folder of them.")] = None,
    dialect: Annotated[str, typer.Option(help="duckdb, bigquery, snowflake, redshift or postgres.")] = "duckdb",
    as_of: Annotated[str | None, typer.Option(metavar="TIME", help="Who is in then; default: a parameter, as_of.")] = None,
    table: Annotated[str, typer.Option(help="The events table, as the dialect writes its name.")] = "events",
    schema: Annotated[bool, typer.Option("--schema", help="Print the CREATE TABLE of the events table instead.")] = False,
    as_json: JsonOption = False,
    sources: SourcesOption = None,
) -> None:
    """Print a segment as SQL: the person_id of everybody in it as of an instant, from a table of events.

    Examples:
        segue sql hot_lead --rules rules --dialect bigquery      with the instant as a parameter
        segue sql hot_lead --rules rules --as-of 2026-11-24      as of that one
        segue sql --schema --dialect snowflake                   the events table it reads
    """
    from segue.rules import parse_rules
    from segue.warehouse import create_table_sql, membership_sql
    from segue_agents.rule_files import load_catalog, read_rules

    catalog = load_catalog(sources)
    if schema:
        _answer({"dialect": dialect}, create_table_sql(catalog, dialect, table), as_json=as_json)
        return
    if segment is None or rules is None:
        raise ConfigError(
            f"`segue sql` needs {'the name of a segment' if segment is None else 'the rules it is in'}.",
            "Write `segue sql SEGMENT --rules PATH`, or `segue sql --schema` for the table.",
        )
    as_of_ms = None if as_of is None else parse_time_ms(as_of)
    found = membership_sql(parse_rules(read_rules(rules), catalog), segment, catalog, dialect, table, as_of_ms)
    _answer({"segment": segment, "dialect": dialect}, found, as_json=as_json)


def _answer(about: dict[str, str], query: str, *, as_json: bool) -> None:
    if as_json:
        write_json(about | {"sql": f"{query};"})
    else:
        typer.echo(f"{query};")
