"""A class of settings read as a table: what a row says of itself, text read as its type, bounds held."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from segue.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "SEGUE_"
HIDDEN: Final = "***"
"""stands for a secret wherever it would be printed"""


class Secret:
    """A text that is never printed: not by repr, str or an f-string. `reveal` hands it to whom it is for."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def setting(default: Any, says: str, *, least: float | None = None, most: float | None = None, secret: bool = False) -> Any:
    """A field of a settings class. `secret`: its type is Secret or None, and no flag sets it."""
    return field(default=default, metadata={"says": says, "least": least, "most": most, "secret": secret})


class Row(NamedTuple):
    """One setting, for tables and checks."""

    name: str
    type: Any
    unit: str
    default: Any
    says: str
    least: float | None
    most: float | None
    secret: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a choice; empty for others."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()

    @property
    def bare(self) -> Any:
        """The type without None; text for choices."""
        if self.choices:
            return str
        return next((t for t in typing.get_args(self.type) if t is not types.NoneType), self.type)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()


class WrongSettings(ConfigError):
    """Everything wrong with settings, all at once."""

    def __init__(self, problems: Iterable[ConfigError]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            super().__init__(self.problems[0].what, self.problems[0].to_do)
            return
        lines = [f"\n  {p.what}\n    {p.to_do}" for p in self.problems]
        super().__init__(
            f"{len(self.problems)} things are wrong with the settings.{''.join(lines)}",
            "`segue config check` says whether all is mended.",
        )


def rows_of(settings: type) -> tuple[Row, ...]:
    """All settings of a class, in order; fields made otherwise than by `setting` are none."""
    hints = typing.get_type_hints(settings)
    return tuple(
        Row(
            f.name,
            hints[f.name],
            "ms" if f.name.endswith("_ms") else "",
            f.default,
            f.metadata["says"],
            f.metadata["least"],
            f.metadata["most"],
            f.metadata["secret"],
        )
        for f in fields(settings)
        if "says" in f.metadata
    )


def read_value(row: Row, value: Any, folder: Path | None = None) -> Any:
    """Text, or a value of TOML, as the row's type. Raises ConfigError. `folder`: what relative paths are relative to."""
    kind = row.bare
    if isinstance(value, Path):  # of a command's own flag
        value = str(value)
    if isinstance(value, str):
        value = _read_text(row, value)
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{row.name} is {_kind_of(value)}.", f"It is {_described(row)}.")
    if kind is Path and folder is not None:
        return folder / value
    return value


def _read_text(row: Row, text: str) -> Any:
    kind = row.bare
    if kind is bool:
        if text.lower() in ("true", "yes", "1", "on"):
            return True
        if text.lower() in ("false", "no", "0", "off"):
            return False
        raise ConfigError(f"{row.name} is {text!r}.", "Say true or false.")
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{row.name} is {text!r}.", f"It is {_described(row)}.") from None


def _described(row: Row) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path, as text"}
    return words.get(row.bare, "text") + (f" of {row.unit}" if row.unit else "")


def _kind_of(value: Any) -> str:
    words = {bool: "true or false", int: "a number", float: "a number with a point", dict: "a table", list: "a list"}
    return words.get(type(value), f"a {type(value).__name__}")


def check_bounds(row: Row, value: Any) -> None:
    """Raises ConfigError for a value that its row does not take."""
    if row.choices and value not in row.choices:
        raise ConfigError(f"{row.name} is {value!r}.", f"Say {' or '.join(row.choices)}.")
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return
    unit = f" {row.unit}" if row.unit else ""
    if row.least is not None and value < row.least:
        raise ConfigError(f"{row.name} is {value}{unit}.", f"The least is {row.least:g}{unit}.")
    if row.most is not None and value > row.most:
        raise ConfigError(f"{row.name} is {value}{unit}.", f"The most is {row.most:g}{unit}.")
