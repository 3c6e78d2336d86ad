"""The application: its commands in the order of `--help`, and what becomes of an error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from segue.errors import SegueError
from segue_agents.cli import acls, broker, config, dead_letters, demo, events, explain, gaps, rules, sql, test, worker
from segue_agents.tracebacks import print_without_values

INTERRUPTED = 130

app = typer.Typer(
    name="segue",
    help="Live customer segments over Kafka: rules in, membership changes out, as events happen.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo.demo)
app.command("run")(worker.run)
app.command("up")(broker.up)
app.command("down")(broker.down)
app.command("send")(events.send)
app.command("watch")(events.watch)
app.command("check")(rules.check)
app.command("schema")(rules.schema)
app.command("test")(test.run_cases)
app.command("replay")(rules.replay)
app.command("explain")(explain.explain)
app.command("sql")(sql.sql)
app.command("acls")(acls.acls)
app.add_typer(dead_letters.commands)
app.add_typer(gaps.commands)
app.add_typer(config.commands)


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


def installed_version() -> str:
    """The distribution's version, or `unknown` in a checkout that is on the path and not installed."""
    try:
        return version("segue")
    except PackageNotFoundError:
        return "unknown"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit code. A SegueError is two sentences, never a traceback;
    a bug's traceback quotes no event."""
    sys.excepthook = print_without_values
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
