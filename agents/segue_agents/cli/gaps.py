"""`segue gaps`: inputs that were gone before they were read."""

from __future__ import annotations

import getpass
import json
import socket
import time
from dataclasses import asdict
from typing import Annotated

import typer

from segue_agents.cli.places import (
    AppOption,
    BrokerOption,
    KafkaConfigOption,
    LinesOption,
    OutputFormat,
    SourcesOption,
    connection,
)

SOME = 4
"""the exit code when there are gaps: a worker would refuse to start with it"""

commands = typer.Typer(name="gaps", invoke_without_command=True)


@commands.callback()
def gaps(
    context: typer.Context,
    output: LinesOption = OutputFormat.TEXT,
    app_id: AppOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """List records that were gone before the app read them, which its workers refuse to skip. Exit 4 if there are any."""
    if context.invoked_subcommand is not None:
        return
    from segue_agents.gaps import describe, find_gaps

    found = find_gaps(connection(app_id, broker, kafka_config, sources))
    for gap in found:
        what, to_do = describe(gap)
        if output is OutputFormat.JSON:
            typer.echo(json.dumps(asdict(gap) | {"what": what, "to_do": to_do}, ensure_ascii=False))
        else:
            typer.echo(f"{gap.name}  {gap.why}\n  {what}\n  {to_do}\n")
    if found:
        raise typer.Exit(SOME)
    typer.echo("No gaps.", err=True)


@commands.command("accept")
def accept(
    names: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC:PARTITION]...", help="Which; default: all.")] = None,
    to: Annotated[
        int | None,
        typer.Option("--to", help="Pass over the named partition's records up to this offset though they are there, "
                                  "as a batch that cannot be unpacked."),
    ] = None,
    app_id: AppOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Pass over gaps, all at once or not at all; no worker of the app may run. Noted in the dead letters, with your name."""
    from segue_agents.gaps import LOSSLESS, accept_gaps

    who = f"{getpass.getuser()}@{socket.gethostname()}"
    settings = connection(app_id, broker, kafka_config, sources)
    for gap in accept_gaps(settings, names or (), who, time.time_ns() // 1_000_000, to):
        lost = "nothing lost" if gap.why in LOSSLESS else (
            "an unknown number of records lost" if gap.records is None else f"{gap.records:,} records lost at most")
        typer.echo(f"{gap.name}  goes on at {gap.end}, {lost}")
