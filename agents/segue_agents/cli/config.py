"""`segue config`: what the settings are and where each is from, what is wrong with them, and whom a log line names."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from segue.errors import ConfigError
from segue_agents.cli.manners import say
from segue_agents.cli.places import AppOption, write_table
from segue_agents.cli.setting_flags import takes_settings
from segue_agents.config.kafka import TABLE, risks, shown
from segue_agents.settings import Loaded, WrongSettings, table

if TYPE_CHECKING:
    from segue_agents.settings import Settings

commands = typer.Typer(name="config", no_args_is_help=True, help="The settings: show them, check them.")


_JSON: Final = inspect.Parameter(
    "as_json", inspect.Parameter.KEYWORD_ONLY, default=False,
    annotation=Annotated[bool, typer.Option("--json", help="One JSON object.")],
)  # fmt: skip


@commands.command("show")
@takes_settings(_JSON)
def show(**given: Any) -> None:
    """Print every setting, its value and where that is from: a flag, a variable, the file, or the default.

    The flags are those of `segue run`, so that a worker's whole command line can be asked about. Secrets are never printed.

    Examples:
        segue config show                                  what a worker started here would use
        segue config show --config segue.toml --json       of another file, for a program
    """
    as_json, file = given.pop("as_json"), given.pop("config")
    loaded = Loaded.of(given, os.environ, file)
    properties = _properties(loaded.settings)
    if as_json:
        typer.echo(json.dumps(_as_dict(loaded, properties), ensure_ascii=False))
        return
    rows = [
        (row.name, _written(getattr(loaded.settings, row.name)), loaded.origins.get(row.name, "default")) for row in table()
    ]
    rows += [
        (f"{TABLE}.{name}", value, loaded.origins.get(f"{TABLE}.{name}", "default"))
        for name, value in sorted(properties.items())
    ]
    write_table(
        [
            dict(zip(("setting", "value", "from"), zip(("setting", "value", "from"), row, strict=True), strict=True))
            for row in rows
        ]
    )


@commands.command("check")
@takes_settings(_JSON)
def check(**given: Any) -> None:
    """Say everything that is wrong with the settings at once, before a worker starts. Connects to nothing. Exit 2 if so.

    Names and values, files and certificates; librdkafka is asked about its own properties.

    Examples:
        segue config check --config segue.toml
    Next: `segue doctor`, which connects.
    """
    as_json, file = given.pop("as_json"), given.pop("config")
    problems: tuple[ConfigError, ...] = ()
    warnings: list[tuple[str, str]] = []
    try:
        settings = Loaded.of(given, os.environ, file).settings
        warnings = list(risks(_properties(settings)))
        problems = tuple(_outside(settings))
    except WrongSettings as wrong:
        problems = wrong.problems
    if as_json:
        typer.echo(json.dumps({
            "problems": [{"what": p.what, "to_do": p.to_do} for p in problems],
            "warnings": [{"property": name, "says": says} for name, says in warnings],
        }, ensure_ascii=False))  # fmt: skip
    else:
        for name, says in warnings:
            typer.echo(f"warning: {TABLE}.{name}: {says}", err=True)
    if problems and as_json:
        raise typer.Exit(WrongSettings.exit_code)
    if problems:
        raise WrongSettings(problems)
    say("The settings are right. `segue run` starts a worker with them.")


@commands.command("pseudonym")
def pseudonym(
    person: Annotated[
        str, typer.Argument(help="The person's id; - reads it from standard input, past the shell's history.")
    ],
    app_id: AppOption = None,
) -> None:
    """Print the hash that stands for a person in the logs of an app, to find that person's lines.

    Examples:
        segue config pseudonym ada
        segue config pseudonym - < id.txt           past the shell's history
    """
    from segue_agents.logs import pseudonyms

    settings = Loaded.of({"app_id": app_id}, os.environ).settings
    if settings.log_secret is not None:
        pseudonyms.use_secret(settings.log_secret.reveal())
    else:
        kept = settings.data_dir / settings.app_id / pseudonyms.SECRET_FILE
        if not kept.is_file():
            raise ConfigError(
                f"There is no {kept}: no worker of the app {settings.app_id} has run here.",
                "Say log_secret, or run this where the worker's data_dir is.",
            )
        pseudonyms.use_secret(pseudonyms.stored_secret(kept.parent))
    read = sys.stdin.readline().rstrip("\r\n") if person == "-" else person
    typer.echo(pseudonyms.pseudonym(read.encode()))


def _outside(settings: Settings) -> list[ConfigError]:
    """What shows only when files are opened."""
    from segue_agents.codecs.registry import registry_of
    from segue_agents.transport.clients import try_clients

    found = []
    looks: tuple[Callable[[Settings], object], ...] = (try_clients, registry_of)
    for look in looks:
        try:
            look(settings)
        except ConfigError as error:
            found.append(error)
    return found


def _properties(settings: Settings) -> Mapping[str, str]:
    """librdkafka's, as given, secrets hidden."""
    from segue_agents.transport.clients import given_properties

    return shown(given_properties(settings))


def _written(value: Any) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_dict(loaded: Loaded, properties: Mapping[str, str]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return value if value is None or isinstance(value, bool | int | float) else str(value)

    return {
        "file": None if loaded.file is None else str(loaded.file),
        "settings": {
            row.name: {
                "value": plain(getattr(loaded.settings, row.name)),
                "unit": row.unit,
                "origin": loaded.origins.get(row.name, "default"),
            }
            for row in table()
        },
        "kafka": {
            name: {"value": value, "origin": loaded.origins.get(f"{TABLE}.{name}", "default")}
            for name, value in sorted(properties.items())
        },
    }
