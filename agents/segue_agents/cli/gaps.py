"""`segue gaps`: inputs that were gone before they were read."""

from __future__ import annotations

import getpass
import socket
import time
from dataclasses import asdict
from typing import Annotated

import typer

from segue_agents.cli.manners import say
from segue_agents.cli.places import (
    AppOption,
    BrokerOption,
    JsonLinesOption,
    KafkaConfigOption,
    SourcesOption,
    connection,
    write_json,
)

SOME = 4
"""the exit code when there are gaps: a worker would refuse to start with it"""

commands = typer.Typer(name="gaps", invoke_without_command=True)


@commands.callback()
def gaps(
    context: typer.Context,
    as_json: JsonLinesOption = False,
    app_id: AppOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """List records that were gone before the app read them, which its workers refuse to skip. Exit 4 if there are any.

    Examples:
        segue gaps                              what is gone, why, and what may be done
        segue gaps --json                       the same for a program
        segue gaps accept site-events:3         go on behind one of them
    Next: `segue run`, when there are none.
    """
    if context.invoked_subcommand is not None:
        return
    from segue_agents.gaps import describe, find_gaps

    found = find_gaps(connection(app_id, broker, kafka_config, sources))
    for gap in found:
        what, to_do = describe(gap)
        if as_json:
            write_json(asdict(gap) | {"what": what, "to_do": to_do})
        else:
            typer.echo(f"{gap.name}  {gap.why}\n  {what}\n  {to_do}\n")
    if found:
        raise typer.Exit(SOME)
    say("No gaps.")


@commands.command("accept")
def accept(
    names: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC:PARTITION]...", help="Which; default: all.")] = None,
    to: Annotated[
        int | None,
        typer.Option("--to", help="Pass over the named partition's records up to this offset though they are there, "
                                  "as a batch that cannot be unpacked."),
    ] = None,
    as_json: JsonLinesOption = False,
    app_id: AppOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Pass over gaps, all at once or not at all; no worker of the app may run. Noted in the dead letters, with your name.

    Examples:
        segue gaps accept                             all that `segue gaps` lists
        segue gaps accept site-events:3               one of them
        segue gaps accept site-events:3 --to 1200     records that are there and cannot be read, too
    Next: `segue run`
    """
    from segue_agents.gaps import LOSSLESS, accept_gaps

    who = f"{getpass.getuser()}@{socket.gethostname()}"
    settings = connection(app_id, broker, kafka_config, sources)
    for gap in accept_gaps(settings, names or (), who, time.time_ns() // 1_000_000, to):
        if as_json:
            write_json(asdict(gap))
            continue
        lost = "nothing lost" if gap.why in LOSSLESS else (
            "an unknown number of records lost" if gap.records is None else f"{gap.records:,} records lost at most")
        typer.echo(f"{gap.name}  goes on at {gap.end}, {lost}")
