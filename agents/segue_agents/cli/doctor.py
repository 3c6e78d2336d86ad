"""`segue doctor`: what an app stands on, looked at."""

from __future__ import annotations

import inspect
import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.errors import Unreachable
from segue_agents.cli.places import find_broker
from segue_agents.cli.worker import run

if TYPE_CHECKING:
    from segue_agents.doctor.findings import Finding

NOBODY = "127.0.0.1:1"


def doctor(**given: Any) -> None:
    """Look at everything an app stands on, with the settings of `segue run`: what is wrong, and what to do. Changes nothing.

    Kafka and what it may do for us, topics, their configuration, retention against the rules, open transactions, lag, the
    clocks, the disk, rules, sources and schemas. Takes 10 seconds at most. Exit 1 if there is a problem, 3 if Kafka or the
    registry does not answer, 4 if something does not fit together.
    """
    from segue_agents.doctor.checks import judge
    from segue_agents.doctor.examination import examine
    from segue_agents.doctor.findings import exit_code, summary
    from segue_agents.doctor.report import as_json
    from segue_agents.settings import Settings

    as_json_wanted, quiet, write, strict = (given.pop(name) for name in ("as_json", "quiet", "write", "strict"))
    no_broker = ""
    try:
        given["bootstrap"] = find_broker(given["bootstrap"])
    except Unreachable as error:
        given["bootstrap"], no_broker = NOBODY, error.what.rstrip(".")
    settings = Settings.load(given, os.environ)
    findings = judge(examine(settings, write=write, no_broker=no_broker))
    if as_json_wanted:
        typer.echo(json.dumps(as_json(findings, strict), ensure_ascii=False))
    else:
        _print(findings, quiet)
    if not quiet:
        typer.echo(summary(findings), err=True)
    raise typer.Exit(exit_code(findings, strict))


def _print(findings: list[Finding], quiet: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from segue_agents.doctor.report import STYLES, lines

    out = Console(highlight=False, soft_wrap=True)
    for level, line in lines(findings, quiet):
        out.print(Text(line, STYLES.get(level, "")))


def _signature() -> inspect.Signature:
    """The settings, as `segue run` takes them, and a few of its own."""
    own = {
        "as_json": Annotated[bool, typer.Option("--json", help="One JSON object: findings, summary, exit code.")],
        "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and problems alone.")],
        "strict": Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings too, as a pipeline may want.")],
        "write": Annotated[bool, typer.Option("--write", help="Measure the broker's clock too: makes the topic "
                                              "segue-APP-doctor, writes some records, deletes it.")],
    }
    settings = [p for name, p in inspect.signature(run).parameters.items() if name != "end_with_parent"]
    added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=a) for name, a in own.items()]
    return inspect.Signature([*added, *settings])


doctor.__signature__ = _signature()  # type: ignore[attr-defined]
doctor.__annotations__ = {name: p.annotation for name, p in _signature().parameters.items()}
