"""`segue explain`: why a person is, or is not, in a segment, over a file of events."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segue.errors import ConfigError
from segue_agents.cli.manners import say
from segue_agents.cli.places import JsonOption, RulesOption, SourcesOption, parse_time_ms, write_json
from segue_agents.cli.progress import watched


def explain(
    person: Annotated[str, typer.Argument(help="Who.")],
    segment: Annotated[str, typer.Argument(help="In which segment, or not.")],
    file: Annotated[Path, typer.Argument(help="JSON lines in the Segment shape; .gz too; - is stdin.")],
    rules: RulesOption,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="As of when; default: the file's last time.")] = None,
    as_json: JsonOption = False,
    sources: SourcesOption = None,
) -> None:
    """Why a person is, or is not, in a segment: each condition, the events behind it, and until when it stays so.

    Examples:
        segue explain ada hot_lead events.jsonl --rules rules                            as of the file's last time
        segue explain ada hot_lead events.jsonl --rules rules --at 2026-11-24T09:30:00Z  as of another
    """
    from segue.engine.explain import segment_index, text
    from segue_agents.explain import explain_lines
    from segue_agents.replay import open_lines
    from segue_agents.rule_files import load_plan

    plan = load_plan(rules, sources)
    segment_index(plan, segment)  # before a long file is read
    at_ms = None if at is None else _time_ms(at)
    with open_lines(file, functools.partial(watched, f"reading {file}")) as lines:
        found, near = explain_lines(plan, lines, person, segment, at_ms, say)
    if not found.known:
        meant = "" if near is None else f" Did you mean {near!r}?"
        say(f"Up to then {file} has no event of {person!r} that a rule reads.{meant}")
    if as_json:
        write_json(asdict(found))
    else:
        typer.echo(text(found))


def _time_ms(text: str) -> int:
    from segue_agents.codecs.checks import EARLIEST_MS, LATEST_MS

    at_ms = parse_time_ms(text)
    if not EARLIEST_MS <= at_ms < LATEST_MS:
        raise ConfigError(
            f"{text!r} is too far away to be a time.", "Write it as in 2026-11-24T16:00:00Z, or in milliseconds."
        )
    return at_ms
