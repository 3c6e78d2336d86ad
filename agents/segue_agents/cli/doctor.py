"""`segue doctor`: what an app stands on, looked at."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.errors import Unreachable
from segue_agents.cli.manners import say
from segue_agents.cli.places import with_broker, write_json
from segue_agents.cli.progress import Steps, is_animated
from segue_agents.cli.setting_flags import takes_settings

if TYPE_CHECKING:
    from segue_agents.doctor.findings import Finding


def _flag(name: str, *flags: str, says: str) -> inspect.Parameter:
    annotation = Annotated[bool, typer.Option(*flags, help=says)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


@takes_settings(
    _flag("as_json", "--json", says="One JSON object: findings, summary, exit code."),
    _flag("quiet", "--quiet", "-q", says="Warnings and problems alone."),
    _flag("strict", "--strict", says="Exit 1 for warnings too, as a pipeline may want."),
    _flag("write", "--write", says="Measure the broker's clock too: makes the topic segue-APP-doctor, writes some records, "
          "deletes it."),
)  # fmt: skip
def doctor(**given: Any) -> None:
    """Look at everything an app stands on, with the settings of `segue run`: what is wrong, and what to do. Changes nothing.

    Kafka and what it may do for us, topics, their configuration, retention against the rules, open transactions, lag, the
    clocks, the disk, rules, sources and schemas. Takes 10 seconds at most. Exit 1 if there is a problem, 3 if Kafka or the
    registry does not answer, 4 if something does not fit together.

    Examples:
        segue doctor --broker kafka:9092 --rules rules     before the first start, and when something is strange
        segue doctor -q                                    only what is wrong
        segue doctor --json --strict                       for a pipeline: warnings count
        segue doctor --write                               the broker's clock too, which takes a topic for a moment
    """
    from segue_agents.doctor.checks import judge
    from segue_agents.doctor.examination import examine
    from segue_agents.doctor.findings import exit_code, summary
    from segue_agents.doctor.report import as_json
    from segue_agents.settings import Loaded

    as_json_wanted, quiet, write, strict = (given.pop(name) for name in ("as_json", "quiet", "write", "strict"))
    loaded = Loaded.of(given, os.environ, given.pop("config"))
    settings, no_broker = loaded.settings, None
    try:
        settings = with_broker(settings, loaded.origins.get("bootstrap"))
    except Unreachable as error:
        no_broker = error
    with Steps() as steps:
        if is_animated():
            steps("looking")
        findings = judge(examine(settings, write=write, no_broker=no_broker))
    if as_json_wanted:
        write_json(as_json(findings, strict))
    else:
        _print(findings, quiet)
    if not quiet:
        say(summary(findings))
    raise typer.Exit(exit_code(findings, strict))


def _print(findings: list[Finding], quiet: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from segue_agents.doctor.report import STYLES, lines

    out = Console(highlight=False, soft_wrap=True)
    for level, line in lines(findings, quiet):
        out.print(Text(line, STYLES.get(level, "")))
