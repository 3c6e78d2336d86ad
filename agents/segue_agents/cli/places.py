"""What commands share: where they look when a flag does not say, how they answer, how a time is written."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segue.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    from segue_agents.settings import Settings

BrokerOption = Annotated[
    str | None,
    typer.Option("--broker", metavar="HOST:PORT", help="Kafka's address; default: what `segue up` runs."),
]
BrokerDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where it keeps its data; default ~/.local/share/segue/broker.")
]
AppOption = Annotated[str | None, typer.Option("--app-id", help="Which app's; default: $SEGUE_APP_ID, else segue.")]
KafkaConfigOption = Annotated[
    Path | None, typer.Option("--kafka-config", help="A file of key=value lines for Kafka clients, as for TLS and SASL.")
]


class OutputFormat(StrEnum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"


LinesOption = Annotated[OutputFormat, typer.Option("--format", help="json: one object a line, times in ms.")]
RulesOption = Annotated[Path, typer.Option("--rules", help="A rule file, or a folder of them.")]
SourcesOption = Annotated[
    Path | None, typer.Option("--sources", help="A folder of source declarations; default: the packaged ones.")
]


def broker_folder(given: Path | None = None) -> Path:
    """Of the broker that `segue up` starts: as given, else $SEGUE_BROKER_DIR, else in the user's data folder."""
    if given is not None:
        return given
    named, home = os.environ.get("SEGUE_BROKER_DIR"), os.environ.get("XDG_DATA_HOME")
    if named:
        return Path(named)
    return (Path(home) if home else Path.home() / ".local" / "share") / "segue" / "broker"


def find_broker(given: str | None) -> str:
    """`--broker`, else what the settings say, else the one that `segue up` started. Raises Unreachable without any."""
    if given:
        return given
    from segue_agents.settings import Loaded

    loaded = Loaded.of({}, os.environ)
    return with_broker(loaded.settings, loaded.origins.get("bootstrap")).bootstrap


def with_broker(settings: Settings, named: object) -> Settings:
    """The same settings; when nobody has `named` a broker, with the one that `segue up` started. Raises Unreachable."""
    if named:
        return settings
    from segue_agents.embedded import status

    running = status(broker_folder())
    if running is None:
        raise Unreachable("No broker is named and none is up.", "Start one with `segue up`, or name one with --broker.")
    return dataclasses.replace(settings, bootstrap=running.bootstrap)


def connection(app_id: str | None, broker: str | None, kafka_config: Path | None, sources: Path | None = None) -> Settings:
    """The settings of a worker, from the environment and the file too, as far as a command needs them."""
    from segue_agents.settings import Loaded

    given = {"app_id": app_id, "bootstrap": broker, "kafka_config": kafka_config, "sources": sources}
    loaded = Loaded.of(given, os.environ)
    return with_broker(loaded.settings, loaded.origins.get("bootstrap"))


def example_rules(name: str) -> Path:
    """A folder of `examples/`: of the checkout, else as installed with the package."""
    package = Path(__file__).parents[1]
    for examples in (package.parents[1] / "examples", package / "examples"):
        if (examples / name).is_dir():
            return examples / name
    raise ConfigError(f"The example rules {name!r} are not installed.", "Name a folder of rules with --rules.")


def parse_time_ms(text: str) -> int:
    """ISO-8601 (UTC unless it says otherwise) or milliseconds since the epoch. Raises ConfigError."""
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a time.", "Write it as in 2026-11-24T16:00:00Z, or as milliseconds since the epoch."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def written_time(at_ms: int) -> str:
    """`2026-11-24 16:04:12Z`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def write_table(rows: Sequence[Mapping[str, tuple[str, str]]]) -> None:
    """Rows of (heading, text), the same ones in each, in columns as wide as they must be; the last as it comes."""
    lines = [[heading for heading, _ in rows[0].values()], *([text for _, text in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(f"{text:{width}}" for text, width in zip(line, widths, strict=True)).rstrip())
