"""`segue check`, `segue replay`: rules without a broker."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from segue.plan import SegmentReport
from segue_agents.cli.places import RulesOption, SourcesOption, parse_time_ms


def check(
    rules: Annotated[Path, typer.Argument(help="A rule file, or a folder of them.")],
    show_code: Annotated[bool, typer.Option("--show-code", help="Print the generated step instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a segment.")] = False,
    sources: SourcesOption = None,
) -> None:
    """Check rules, and say per segment what it reads, shares, keeps and costs."""
    from segue.engine import Engine
    from segue.plan import report
    from segue_agents.rule_files import load_plan

    plan = load_plan(rules, sources)
    if show_code:
        typer.echo(Engine(plan).source)
        return
    reports = report(plan)
    for segment in reports:
        typer.echo(json.dumps(asdict(segment)) if as_json else describe_report(segment))
    typer.echo(f"{len(reports)} segments, {len(plan.features)} attached features: no problem found.", err=True)


def describe_report(segment: SegmentReport) -> str:
    """A segment's report as a paragraph."""
    lines = [f"{segment.name}  version {segment.version}  {segment.exactness}"]
    for leaf in segment.leaves:
        others = segment.shared_with.get(leaf, ())
        lines.append(f"  leaf      {leaf}" + (f"  (shared with {', '.join(others)})" if others else ""))
    lines.append(f"  state     at most {segment.state_bytes_max:,} bytes a person")
    lines.append(f"  timers    at most {segment.timers} a person")
    lines.append(f"  unknown   {segment.unknown}")
    return "\n".join(lines) + "\n"


def replay(
    file: Annotated[Path, typer.Argument(help="JSON lines in the Segment shape; .gz too; - is stdin.")],
    rules: RulesOption,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Let time pass until then.")] = None,
    members: Annotated[str | None, typer.Option(metavar="TIME", help="Print who is in then instead.")] = None,
    sources: SourcesOption = None,
) -> None:
    """Run the engine over a file, without a broker; changes to stdout, one JSON object a line."""
    from segue_agents.replay import open_lines, replay_changes, replay_members
    from segue_agents.rule_files import load_plan

    plan = load_plan(rules, sources)
    out = sys.stdout
    with open_lines(file) as lines:
        if members is not None:
            found = replay_members(plan, lines, parse_time_ms(members), log=_log)
        else:
            found = replay_changes(plan, lines, None if until is None else parse_time_ms(until), log=_log)
        for record in found:
            out.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
    out.flush()


def _log(line: str) -> None:
    typer.echo(line, err=True)
