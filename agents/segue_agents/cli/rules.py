"""`segue check`, `segue replay`: rules without a broker."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segue_agents.cli.manners import say
from segue_agents.cli.places import JsonOption, RulesOption, SourcesOption, parse_time_ms, write_json
from segue_agents.cli.progress import watched

if TYPE_CHECKING:
    from segue.plan import SegmentReport, Succession


def check(
    rules: Annotated[Path, typer.Argument(help="A rule file, or a folder of them.")],
    show_code: Annotated[bool, typer.Option("--show-code", help="Print the generated step instead.")] = False,
    as_json: JsonOption = False,
    against: Annotated[
        Path | None, typer.Option(metavar="RULES", help="The rules that run now: say what becomes of their state.")
    ] = None,
    sources: SourcesOption = None,
) -> None:
    """Check rules, and say per segment what it reads, shares, keeps and costs. All mistakes come at once.

    Examples:
        segue check rules                        a folder of rule files
        segue check rules --against deployed     what becomes of the state of rules that run now
        segue check rules --json                 for editors and CI: problems with line and column
    Next: `segue test rules`, `segue run --rules rules`
    """
    from segue.engine import Engine
    from segue.errors import RuleError
    from segue.plan import report, succession_of
    from segue_agents.rule_files import load_plan

    try:
        plan = load_plan(rules, sources)
    except RuleError as error:
        if not as_json:
            raise
        write_json({"problems": [asdict(p) for p in error.problems], "segments": []})
        raise typer.Exit(error.exit_code) from error
    if show_code:
        typer.echo(Engine(plan).source)
        return
    reports = report(plan)
    succession = None if against is None else succession_of(load_plan(against, sources), plan)
    if as_json:
        found = {"problems": [], "segments": [asdict(r) for r in reports]}
        write_json(found | ({} if succession is None else {"against": asdict(succession)}))
    else:
        for segment in reports:
            typer.echo(describe_report(segment))
        if succession is not None:
            typer.echo(describe_succession(succession))
    say(f"{len(reports)} segments, {len(plan.features)} attached features: no problem found.")
    if succession is not None and succession.changed_without_version:
        raise typer.Exit(2)


def describe_report(segment: SegmentReport) -> str:
    """A segment's report as a paragraph."""
    lines = [f"{segment.name}  version {segment.version}  {segment.exactness}"]
    lines += [f"  because   {segment.reason}"] if segment.reason else []
    for leaf in segment.leaves:
        others = segment.shared_with.get(leaf, ())
        lines.append(f"  leaf      {leaf}" + (f"  (shared with {', '.join(others)})" if others else ""))
    typical, most = segment.state_bytes_typical, segment.state_bytes_max
    lines.append(f"  state     about {typical:,} bytes a person, at most {most:,}")
    lines.append(f"  timers    at most {segment.timers} a person")
    lines += [f"  bound     {bound}" for bound in segment.bounds]
    lines.append(f"  unknown   {segment.unknown}")
    return "\n".join(lines) + "\n"


def describe_succession(succession: Succession) -> str:
    """What becomes of the state of rules that run now, as a paragraph."""
    lines = ["Against the rules that run now:"]
    for word, names in (("new", succession.added), ("gone", succession.removed), ("changed", succession.changed)):
        lines += [f"  {word:9} {name}" for name in names]
    for name, leaves in succession.begins_empty.items():
        lines += [f"  empty     {name}: {leaf}" for leaf in leaves]
    for name, was, now in succession.changed_without_version:
        lines += [f"  refused   {name} has changed, its version has not", f"    it was: {was}", f"    it is:  {now}"]
    if len(lines) == 1:
        lines.append("  nothing changes")
    elif succession.begins_empty:
        lines.append("  What begins empty is exact after backfill: once its window has passed since the change.")
    return "\n".join(lines)


def replay(
    file: Annotated[Path, typer.Argument(help="JSON lines in the Segment shape; .gz too; - is stdin.")],
    rules: RulesOption,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Let time pass until then.")] = None,
    members: Annotated[str | None, typer.Option(metavar="TIME", help="Print who is in then instead.")] = None,
    _as_json: Annotated[bool, typer.Option("--json", help="JSON lines, which is how it always answers.")] = False,
    sources: SourcesOption = None,
) -> None:
    """Run the engine over a file, without a broker; changes to stdout, one JSON object a line.

    Examples:
        segue replay events.jsonl --rules rules                                   every change
        segue replay events.jsonl --rules rules --until 2026-11-24T10:30:00Z      let time pass after the last line
        zcat events.jsonl.gz | segue replay - --rules rules --members 2026-11-24  who is in then
    Next: `segue explain PERSON SEGMENT events.jsonl --rules rules`, for why.
    """
    from segue_agents.replay import open_lines, replay_changes, replay_members
    from segue_agents.rule_files import load_plan

    plan = load_plan(rules, sources)
    out = sys.stdout
    with open_lines(file, functools.partial(watched, f"replaying {file}")) as lines:
        if members is not None:
            found = replay_members(plan, lines, parse_time_ms(members), log=say)
        else:
            found = replay_changes(plan, lines, None if until is None else parse_time_ms(until), log=say)
        for record in found:
            out.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
    out.flush()
