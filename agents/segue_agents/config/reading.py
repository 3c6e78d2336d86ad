"""Where values come from: flags, else the environment, else a file, else the default. Each value knows which.

Nothing is overheard: a key of the file, or a variable that begins with SEGUE_, which is no setting is a mistake, with the
name that was probably meant. All mistakes are found at once.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from segue.errors import ConfigError
from segue_agents.config import kafka
from segue_agents.config.kafka import KafkaProperties
from segue_agents.config.rows import ENVIRONMENT_PREFIX, Row, Secret, WrongSettings, read_value
from segue_agents.key_values import read_key_values

FILE: Final = "segue.toml"
"""read from the current folder when no other is named"""
FILE_VARIABLE: Final = "SEGUE_CONFIG"
SECRET_FILE_BYTES: Final = 65_536
OTHER_VARIABLES: Final[Mapping[str, str]] = {
    FILE_VARIABLE: "the file of settings; default: segue.toml of the current folder, if there is one",
    "SEGUE_CACHE": "the folder of downloads; default: ~/.cache/segue",
    "SEGUE_BROKER_DIR": "the folder of the broker that `segue up` starts; default: ~/.local/share/segue/broker",
    "SEGUE_TEST_BROKER": "the Kafka that the tests of Segue itself use",
    "SEGUE_WRITE_GOLDEN": "1: those tests write what they expect anew",
    "SEGUE_EXAMPLES": "how many made-up histories those tests try",
}
"""variables with our prefix that are no settings"""
_KUBERNETES: Final = re.compile(
    r"SEGUE(_[A-Z0-9_]+?)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""what Kubernetes sets in every pod for a Service whose name begins with `segue`"""


@dataclass(slots=True)
class Given:
    """What was said, and where."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    """setting, or `kafka.` and a property -> `flag --app-id`, `SEGUE_APP_ID`, `segue.toml`; one that is missing: default"""
    kafka: KafkaProperties = field(default_factory=KafkaProperties)
    file: Path | None = None
    problems: list[ConfigError] = field(default_factory=list)

    def take(self, row: Row, value: Any, origin: str, folder: Path | None = None) -> None:
        """Goes over what was said before. `origin`: the words for it."""
        try:
            self.values[row.name] = value if isinstance(value, Secret) else read_value(row, value, folder)
            self.origins[row.name] = origin
        except ConfigError as error:
            self.problems.append(placed(error, origin))

    def take_property(self, name: str, value: str, origin: str) -> None:
        """Likewise."""
        self.kafka[name] = value
        self.origins[f"{kafka.TABLE}.{name}"] = origin


def gather(rows: Sequence[Row], flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None) -> Given:
    """Everything that was said. Raises nothing: what is wrong is in `problems`.

    `flags`: setting -> text or value; None: not given. `file`: None: as the environment says, else the current folder's.
    """
    given = Given()
    known = {row.name: row for row in rows}
    named = file or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    given.file = named or (Path(FILE) if Path(FILE).is_file() else None)
    if given.file is not None:
        _from_file(given, known, given.file)
    _from_environment(given, known, environ)
    for name, value in flags.items():
        if name not in known:
            given.problems.append(_no_setting(name, f"flag {name}", known))
        elif value is not None and known[name].secret:
            given.problems.append(
                ConfigError(
                    f"{name} is a secret, and flags can be read by everybody on the machine.",
                    f"Say it as {known[name].variable}_FILE, or {known[name].variable}.",
                )
            )
        elif value is not None:
            given.take(known[name], value, f"flag {flag_of(name)}")
    properties = {**_kafka_config(given), **given.kafka}
    said = {name: f"{name} ({given.origins[f'{kafka.TABLE}.{name}']})" for name in properties}
    given.problems += kafka.check_given(properties, said)
    return given


def flag_of(name: str) -> str:
    """`app_id` -> `--app-id`."""
    return "--broker" if name == "bootstrap" else "--" + name.replace("_", "-")


def placed(error: ConfigError, origin: str) -> ConfigError:
    """The same, and where it was said."""
    return ConfigError(f"{error.what.removesuffix('.')} ({origin}).", error.to_do)


def refuse(problems: Iterable[ConfigError]) -> None:
    """Raises WrongSettings when there are any."""
    if found := tuple(problems):
        raise WrongSettings(found)


# --- the file


def _from_file(given: Given, known: Mapping[str, Row], path: Path) -> None:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        given.problems.append(ConfigError(f"The settings {path} cannot be read: {error.strerror}.", "Check the path."))
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # of what is not TOML nothing is quoted: it may be a password
        where = re.search(r"\(at .*\)$", str(error))
        given.problems.append(
            ConfigError(
                f"The settings {path} are not TOML{' ' + where[0] if where else ''}.", 'Write each as in app_id = "shop".'
            )
        )
        return
    origin = str(path)
    for key, value in table.items():
        of = key.removesuffix("_file")
        if key == kafka.TABLE and isinstance(value, Mapping):
            for name, one in kafka.flat(value):
                _take_from_file(given, name, one, path)
        elif key in known:
            given.take(known[key], value, origin, path.parent)
        elif of != key and of in known and known[of].secret and isinstance(value, str):
            _take_secret(given, known[of], path.parent / value, f"{origin}: {key}")
        else:
            given.problems.append(_no_setting(key, origin, known))


def _take_from_file(given: Given, name: str, value: Any, path: Path) -> None:
    of = name.removesuffix("_file")
    try:
        if of != name and kafka.is_secret(of) and isinstance(value, str):
            given.take_property(of, read_secret(path.parent / value), f"{path}: {kafka.TABLE}.{name}")
        else:
            given.take_property(name, kafka.as_text(name, value), str(path))
    except ConfigError as error:
        given.problems.append(placed(error, str(path)))


# --- the environment


def _from_environment(given: Given, known: Mapping[str, Row], environ: Mapping[str, str]) -> None:
    by_variable = {row.variable: row for row in known.values()}
    for variable, value in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in OTHER_VARIABLES or not value:
            continue  # empty is how Compose writes one that is not given
        of = variable.removesuffix("_FILE")
        if variable in by_variable:
            _take_variable(given, by_variable[variable], value, environ)
        elif of != variable and of in by_variable and by_variable[of].secret:
            _take_secret(given, by_variable[of], Path(value), variable)
        elif _KUBERNETES.fullmatch(variable):
            continue
        elif variable.startswith(kafka.KAFKA_PREFIX):
            _take_kafka(given, known, variable, value, environ)
        else:
            given.problems.append(_no_variable(variable, known))


def _take_variable(given: Given, row: Row, value: str, environ: Mapping[str, str]) -> None:
    if row.secret and environ.get(f"{row.variable}_FILE"):
        given.problems.append(ConfigError(f"{row.variable} and {row.variable}_FILE are both set.", "Keep one of them."))
    elif _KUBERNETES.fullmatch(row.variable) and value.startswith(("tcp://", "udp://", "sctp://")):
        service = row.variable.removesuffix("_PORT").lower().replace("_", "-")
        given.problems.append(
            ConfigError(
                f"{row.variable} is {value!r}, as Kubernetes sets it for a Service named {service}.",
                "Set enableServiceLinks: false in the pod, or name the Service otherwise.",
            )
        )
    else:
        given.take(row, value, row.variable)


def _take_kafka(given: Given, known: Mapping[str, Row], variable: str, value: str, environ: Mapping[str, str]) -> None:
    name, of = kafka.property_of(variable), kafka.property_of(variable.removesuffix("_FILE"))
    if variable.endswith("_FILE") and name not in kafka.known() and kafka.is_secret(of):
        try:
            given.take_property(of, read_secret(Path(value)), variable)
        except ConfigError as error:
            given.problems.append(placed(error, variable))
    elif environ.get(f"{variable}_FILE") and kafka.is_secret(name):
        given.problems.append(ConfigError(f"{variable} and {variable}_FILE are both set.", "Keep one of them."))
    elif name in kafka.REFUSED or kafka.refusal(name, variable) is None:
        given.take_property(name, value, variable)
    else:
        given.problems.append(_no_variable(variable, known))


def read_secret(path: Path) -> str:
    """A secret's file, without the line's end. Raises ConfigError, which quotes nothing of it."""
    try:
        text = path.read_bytes()[: SECRET_FILE_BYTES + 1].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"The secret in {path} cannot be read: {why}.", "Check the path, and who may read it.") from None
    if len(text) > SECRET_FILE_BYTES:
        raise ConfigError(f"The secret in {path} is longer than {SECRET_FILE_BYTES:,} bytes.", "Is it the right file?")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigError(f"The secret in {path} is empty.", "Write it there.")
    return text


def _take_secret(given: Given, row: Row, path: Path, origin: str) -> None:
    try:
        given.take(row, Secret(read_secret(path)), origin)
    except ConfigError as error:
        given.problems.append(placed(error, origin))


# --- the key=value file, and what was probably meant


def _kafka_config(given: Given) -> Mapping[str, str]:
    """Its lines are properties too, below the others. They stay in the file, which is read anew for each client."""
    path = given.values.get("kafka_config")
    if path is None:
        return {}
    try:
        lines = read_key_values(path, "kafka_config")
    except ConfigError as error:
        given.problems.append(error)
        return {}
    for name in lines:
        given.origins.setdefault(f"{kafka.TABLE}.{name}", str(path))
    return lines


def _no_setting(name: str, origin: str, known: Mapping[str, Row]) -> ConfigError:
    near = difflib.get_close_matches(name.replace("-", "_").lower(), known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "`segue config show` lists them all."
    return ConfigError(f"There is no setting {name!r} ({origin}).", hint)


def _no_variable(variable: str, known: Mapping[str, Row]) -> ConfigError:
    names = [row.variable for row in known.values()] + list(OTHER_VARIABLES)
    names += [f"{row.variable}_FILE" for row in known.values() if row.secret]
    prefix = ENVIRONMENT_PREFIX
    if variable.startswith(kafka.KAFKA_PREFIX):
        prefix = kafka.KAFKA_PREFIX
        names += [kafka.variable_of(name) for name in kafka.known() if name not in kafka.REFUSED]
    # without the prefix, by which all would be near
    endings = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    near = difflib.get_close_matches(variable.removeprefix(prefix), endings, n=1)
    hint = (
        f"Did you mean {prefix}{near[0]}?"
        if near
        else ("`segue config show` lists the settings; unset it if it is not for Segue.")
    )
    return ConfigError(f"There is no setting of the variable {variable}.", hint)
