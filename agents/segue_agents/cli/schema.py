"""`segue schema`: the schemas of records against a registry, and the JSON Schema of rule files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from segue.errors import ConfigError
from segue_agents.cli.manners import say
from segue_agents.cli.places import JsonOption, RegistryConfigOption, RegistryOption, SourcesOption, write_json, write_table

if TYPE_CHECKING:
    from segue_agents.settings import Settings
    from segue_agents.subjects import Subject, Versions

NOT_THERE: Final = 1
INCOMPATIBLE: Final = 4
_TO_DO: Final = (
    "Give a new field a default, keep the type of an old one, leave none out that has no default; or write to a new topic."
)
_TO_DO_REGISTERED: Final = (
    "Records of these versions become dead letters, incompatible_schema, if a rule reads these fields. Declare the newer "
    "schema as the source's own, or take the version back."
)

commands = typer.Typer(name="schema", no_args_is_help=True,
                       help="Check and register the schemas of records; print the one of rule files.")

OutputTopicOption = Annotated[str | None, typer.Option("--output-topic", help="The topic of the changes.")]
OutputFormatOption = Annotated[str | None, typer.Option("--output-format", metavar="avro|json", help="json has no schema.")]


@commands.command("check")
def check(
    registry: RegistryOption = None,
    sources: SourcesOption = None,
    output_topic: OutputTopicOption = None,
    output_format: OutputFormatOption = None,
    registry_config: RegistryConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Are our schemas registered, do they read what is registered, and the older files? Changes nothing.

    Exits 0: all is well. 1: some are not registered yet. 3: the registry does not answer. 4: some are incompatible.
    Without a registry only the files are compared.

    Examples:
        segue schema check --registry http://127.0.0.1:8081
        segue schema check                                      of SEGUE_REGISTRY, else the files alone
    """
    from segue_agents.subjects import Subjects, check_files, our_schemas

    settings = _settings(registry, registry_config, sources, output_topic, output_format)
    files, found = check_files(settings), []
    if settings.registry != "none":
        with Subjects(settings) as asked:
            found = [asked.check(ours) for ours in our_schemas(settings)]
    _answer(settings, found, files, as_json=as_json)
    if settings.registry == "none":
        say("No registry is named: only the files were compared.")
    for unguarded in (s.subject for s in found if s.version is not None and s.level == "NONE"):
        say(f"{unguarded}: with the level NONE the registry takes any schema; `register` sets another.")
    if any(s.state == "not_registered" for s in found):
        say("Next: `segue schema register`.")
    _exit(found, files)


@commands.command("register")
def register(
    registry: RegistryOption = None,
    sources: SourcesOption = None,
    output_topic: OutputTopicOption = None,
    output_format: OutputFormatOption = None,
    registry_config: RegistryConfigOption = None,
    compatibility: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Set this level; default: BACKWARD_TRANSITIVE where a subject has none."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Register our schemas under <topic>-value; those that are there stay as they are. Prints their ids.

    Exits 0: all are registered. 3: the registry does not answer. 4: some are refused; the others are registered.

    Examples:
        segue schema register --dry-run            what would be done
        segue schema register --registry http://127.0.0.1:8081
    Next: `segue schema check`
    """
    from segue_agents.subjects import LEVELS, Subjects, our_schemas

    settings = _settings(registry, registry_config, sources, output_topic, output_format)
    if settings.registry == "none":
        raise ConfigError("No schema registry is named.", "Name one with --registry, or in SEGUE_REGISTRY.")
    level = None if compatibility is None else compatibility.upper()
    if level is not None and level not in LEVELS:
        raise ConfigError(f"There is no compatibility level {compatibility!r}.", f"Say {', '.join(LEVELS)}.")
    with Subjects(settings) as asked:
        found = [asked.register(ours, level, dry_run=dry_run) for ours in our_schemas(settings)]
    _answer(settings, found, [], as_json=as_json, doing="WOULD DO" if dry_run else "DONE")
    did = sum(bool(s.done) for s in found)
    say(f"{'Would change' if dry_run else 'Changed'} {did} of {len(found)} subjects.")
    _exit([s for s in found if s.id is None and s.state == "incompatible"], [])


@commands.command("rules")
def rules() -> None:
    """Print the JSON Schema of rule files, for editors: it completes keys and underlines what does not belong.

    Examples:
        segue schema rules > segue-rules.schema.json      then name the file in your editor's YAML settings
    """
    from segue.rules import rule_schema

    typer.echo(json.dumps(rule_schema(), indent=2, ensure_ascii=False))


def _settings(registry: str | None, config: Path | None, sources: Path | None, topic: str | None,
              output_format: str | None) -> Settings:
    from segue_agents.settings import Settings

    given = {"registry": registry, "registry_config": config, "sources": sources, "output_topic": topic,
             "output_format": output_format}
    return Settings.load(given, os.environ)


def _answer(settings: Settings, found: list[Subject], files: list[Versions], *, as_json: bool, doing: str = "") -> None:
    if as_json:
        whole: dict[str, Any] = {"registry": settings.registry, "subjects": [asdict(s) for s in found],
                                 "files": [asdict(f) for f in files]}
        write_json(whole)
        return
    if found:
        write_table([_row(s) | ({"done": (doing, ", ".join(s.done) or "nothing")} if doing else {}) for s in found])
    for subject in found:
        for line in _words(subject):
            typer.echo(line)
    for pair in files:
        typer.echo(f"\n{pair.newer} does not read what {pair.older} wrote:")
        for problem in pair.problems:
            typer.echo(f"  {problem}")


def _row(of: Subject) -> dict[str, tuple[str, str]]:
    version = "-" if of.version is None else f"{of.version} of {of.latest}"
    level = f"{of.level}{'' if of.level_of == 'subject' else ' (the default)'}"
    return {
        "subject": ("SUBJECT", of.subject), "schema": ("SCHEMA", of.schema),
        "id": ("ID", "-" if of.id is None else str(of.id)), "version": ("VERSION", version),
        "compatibility": ("COMPATIBILITY", level),
        "state": ("STATE", of.state.replace("_", " ")),
    }  # fmt: skip


def _words(of: Subject) -> list[str]:
    """What is wrong, and what to do."""
    if of.state != "incompatible":
        return []
    lines = ["", f"{of.subject}: {of.schema} does not read what is registered there:" if of.problems else f"{of.subject}:"]
    lines += [f"  {problem}" for problem in of.problems]
    if of.registry_says:
        lines += [f"  The registry refuses it by the level {of.level}. It says:", f"  {of.registry_says}"]
    return [*lines, f"  {_TO_DO if of.id is None else _TO_DO_REGISTERED}"]


def _exit(found: list[Subject], files: list[Versions]) -> None:
    if files or any(s.state == "incompatible" for s in found):
        raise typer.Exit(INCOMPATIBLE)
    if any(s.state == "not_registered" for s in found):
        raise typer.Exit(NOT_THERE)
