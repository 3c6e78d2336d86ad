"""The flags of commands that take all settings, read off their class, so that there is one list of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from segue_agents.config.reading import FILE, FILE_VARIABLE, flag_of
from segue_agents.settings import Row, table

_Command = TypeVar("_Command", bound=Callable[..., None])
_BY_NAME: Final = inspect.Parameter.KEYWORD_ONLY

CONFIG: Final = inspect.Parameter(
    "config", _BY_NAME, default=None,
    annotation=Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", help=f"The file of settings; default: {FILE} here, if there is one. ({FILE_VARIABLE})"
    )],
)  # fmt: skip
END_WITH_PARENT: Final = inspect.Parameter(
    "end_with_parent", _BY_NAME, default=False, annotation=Annotated[bool, typer.Option("--end-with-parent", hidden=True)]
)


def takes_settings(*more: inspect.Parameter) -> Callable[[_Command], _Command]:
    """Gives a command of `**given` a flag for each setting but secrets, `--config`, and `more`."""

    def with_flags(command: _Command) -> _Command:
        parameters = [*(_parameter(row) for row in table() if not row.secret), CONFIG, *more]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return with_flags


def _parameter(row: Row) -> inspect.Parameter:
    flag = flag_of(row.name)
    annotation: Any
    if row.type is bool:
        annotation = Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=_says(row))]
    else:
        annotation = Annotated[str | None, typer.Option(flag, metavar=_metavar(row), help=_says(row))]
    return inspect.Parameter(row.name, _BY_NAME, default=None, annotation=annotation)


def _says(row: Row) -> str:
    if row.name == "bootstrap":
        return f"Kafka's address; default: what `segue up` runs. ({row.variable})"
    default = "" if row.default is None else f" Default {row.default}."
    return f"{row.says[0].upper()}{row.says[1:]}.{default} ({row.variable})".replace("..", ".")


def _metavar(row: Row) -> str:
    return "|".join(row.choices) or (row.unit or "VALUE").upper()
