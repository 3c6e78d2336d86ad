"""The application: its commands in the order of `--help`, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from segue.errors import SegueError
from segue_agents.cli import (
    acls,
    broker,
    completion,
    config,
    dead_letters,
    demo,
    doctor,
    events,
    explain,
    gaps,
    rules,
    schema,
    sql,
    status,
    test,
    topics,
    worker,
)
from segue_agents.cli.manners import INTERRUPTED, Group, teach
from segue_agents.logs.tracebacks import print_without_values
from segue_agents.version import installed_version

app = typer.Typer(
    name="segue",
    cls=Group,
    help="""Live customer segments over Kafka: rules in, membership changes out, as events happen.

Examples:
    segue demo                          a shop, its segments and a Kafka, live in this terminal
    segue check examples/shop           what each rule keeps and costs
    segue COMMAND --help                how a command is used
""",
    no_args_is_help=True,
    add_completion=False,  # `segue completion` prints the script, and touches no file
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

START, RULES, EVENTS, CARE = "Start", "Rules, without a broker", "Events and changes", "Care"
"""the panels of --help"""

app.command("demo", rich_help_panel=START)(demo.demo)
app.command("up", rich_help_panel=START)(broker.up)
app.command("down", rich_help_panel=START)(broker.down)
app.command("run", rich_help_panel=START)(worker.run)
app.command("check", rich_help_panel=RULES)(rules.check)
app.command("test", rich_help_panel=RULES)(test.run_cases)
app.command("replay", rich_help_panel=RULES)(rules.replay)
app.command("explain", rich_help_panel=RULES)(explain.explain)
app.command("sql", rich_help_panel=RULES)(sql.sql)
app.command("send", rich_help_panel=EVENTS)(events.send)
app.command("watch", rich_help_panel=EVENTS)(events.watch)
app.add_typer(schema.commands, rich_help_panel=EVENTS)
app.command("status", rich_help_panel=CARE)(status.status)
app.command("doctor", rich_help_panel=CARE)(doctor.doctor)
app.add_typer(config.commands, rich_help_panel=CARE)
app.command("acls", rich_help_panel=CARE)(acls.acls)
app.add_typer(topics.commands, rich_help_panel=CARE)
app.add_typer(dead_letters.commands, rich_help_panel=CARE)
app.add_typer(gaps.commands, rich_help_panel=CARE)
app.command("completion", rich_help_panel=CARE)(completion.completion)
teach(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segue {installed_version()}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit code. A SegueError is two sentences, never a traceback;
    a bug's traceback quotes no event."""
    if completion.VARIABLE in os.environ:
        completion.prepare_completion()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="segue")
    except SegueError as error:
        print(f"segue: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # `segue watch | head`: the reader has enough. stdout must not be flushed again on the way out
        sys.stdout = None
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 (a bug: Python's own traceback would say the error's text, and so an event's)
        print_without_values(error)
        sys.exit(1)
