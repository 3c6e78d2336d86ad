"""`segue sql`: a segment as a query over a warehouse's table of events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.errors import ConfigError
from segue_agents.cli.places import SourcesOption, parse_time_ms


def sql(
    segment: Annotated[str | None, typer.Argument(help="Whose members the query finds.")] = None,
    rules: Annotated[Path | None, typer.Option("--rules", help="A rule file, or a folder of them.")] = None,
    dialect: Annotated[str, typer.Option(help="duckdb, bigquery, snowflake, redshift or postgres.")] = "duckdb",
    as_of: Annotated[str | None, typer.Option(metavar="TIME", help="Who is in then; default: a parameter, as_of.")] = None,
    table: Annotated[str, typer.Option(help="The events table, as the dialect writes its name.")] = "events",
    schema: Annotated[bool, typer.Option("--schema", help="Print the CREATE TABLE of the events table instead.")] = False,
    sources: SourcesOption = None,
) -> None:
    """Print a segment as SQL: the person_id of everybody in it as of an instant, from a table of events."""
    from segue.rules import parse_rules
    from segue.warehouse import create_table_sql, membership_sql
    from segue_agents.rule_files import load_catalog, read_rules

    catalog = load_catalog(sources)
    if schema:
        typer.echo(f"{create_table_sql(catalog, dialect, table)};")
        return
    if segment is None or rules is None:
        raise ConfigError(
            f"`segue sql` needs {'the name of a segment' if segment is None else 'the rules it is in'}.",
            "Write `segue sql SEGMENT --rules PATH`, or `segue sql --schema` for the table.",
        )
    as_of_ms = None if as_of is None else parse_time_ms(as_of)
    found = membership_sql(parse_rules(read_rules(rules), catalog), segment, catalog, dialect, table, as_of_ms)
    typer.echo(f"{found};")
