"""Every setting of a worker, once: the docs' table, the flags and the environment variables are read from this class.

A setting comes from a flag, else from `SEGUE_<NAME>`, else it has its default. Units stand at the end of names.
"""


from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from segue.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "SEGUE_"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


def _setting(default: Any, says: str, *, least: float | None = None, most: float | None = None) -> Any:
    return field(default=default, metadata={"says": says, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker is told. Raises ConfigError, naming the setting, for a value that cannot be used."""

    bootstrap: str = _setting("127.0.0.1:9092", "Kafka's address, host:port, several with commas")
    kafka_config: Path | None = _setting(None, "a file of key=value lines for every Kafka client, as for TLS and SASL")
    allow_plaintext: bool = _setting(
        False, "talk to Kafka beyond this machine without TLS, and send passwords to a registry over http://"
    )
    allow_unverified_tls: bool = _setting(
        False, "take any certificate for Kafka's: enable.ssl.certificate.verification=false, or "
        "ssl.endpoint.identification.algorithm=none"
    )
    app_id: str = _setting("segue", "names the consumer group, the internal topics and the folders of state")
    slot: str | None = _setting(
        None,
        "this worker's place among the workers of the app; the same after a restart, never shared by two. "
        "Default: the first of 0, 1, 2 ... that is free on this machine, so on several machines say it",
    )
    data_dir: Path = _setting(Path(".segue"), "the folder of state; may be lost, as the changelog topic has it all")
    rules: Path = _setting(Path("rules"), "a rule file, or a folder of them")
    sources: Path | None = _setting(None, "a folder of source declarations; default: the packaged ones")
    registry: str = _setting("none", "the schema registry's address, http:// or https://; none: the ids of ids.yaml")
    registry_config: Path | None = _setting(
        None, "a file of key=value lines for it: basic.auth.user.info, bearer.auth.token, ssl.ca.location, "
        "ssl.certificate.location, ssl.key.location"
    )
    partitions: int = _setting(4, "of topics that have to be created; those that exist keep theirs", least=1)
    create_topics: bool = _setting(True, "create topics that are not there; else their absence is an error")
    start_at: Literal["earliest", "latest"] = _setting("earliest", "where a first start begins to read")
    output_topic: str = _setting("segment-changes", "the topic of changes")
    output_format: Literal["avro", "json"] = _setting("avro", "how changes are written")
    guarantee: Literal["exactly_once", "at_least_once"] = _setting("exactly_once", "of changes and state")
    commit_interval_ms: int = _setting(1_000, "between two commits under load", least=10)
    idle_commit_interval_ms: int = _setting(100, "between two commits when everything read is worked off", least=10)
    transaction_timeout_ms: int = _setting(15_000, "how long a dead worker's transaction may hold up others",
                                           least=1_000)
    session_timeout_ms: int = _setting(6_000, "without a sign of life, after which partitions go to others", least=500)
    max_poll_interval_ms: int = _setting(
        300_000, "how long one batch or commit may take at most; past half of it the work is dropped and done again",
        least=2_000,
    )
    group_protocol: Literal["classic", "consumer"] = _setting(
        "classic", "how partitions are shared out; consumer: KIP-848, for Kafka 4, by the broker, which leaves those "
        "that stay alone; its session timeout is the broker's"
    )
    clock: Literal["ticks", "none"] = _setting("ticks", "whether time passes by itself; none: by events alone")
    clock_interval_ms: int = _setting(1_000, "between two ticks", least=10)
    clock_delay_ms: int = _setting(1_000, "ticks count that much earlier, so that events on their way are not late",
                                   least=0)
    clock_speed: float = _setting(1.0, "how fast time passes; for demonstrations", least=0.001)
    clock_origin_ms: int | None = _setting(
        None, "the wall's time, ms since the epoch, at which a faster clock is equal to it; default: the start"
    )
    max_persons: int = _setting(200_000, "states a partition keeps in memory; the others are on disk", least=1)
    max_state_bytes: int = _setting(
        64 << 20, "of states a partition keeps in memory, as they are stored; as Python objects they take about 5 times "
        "as much", least=1,
    )
    batch_rows: int = _setting(3_000, "of one source in a batch: about 10 ms, for which the web pages stand still",
                               least=1)
    breaker_consecutive: int = _setting(
        1_000, "records refused in a row by which a partition stops, rather than fill the dead letters; 0: never", least=0
    )
    breaker_ratio: float = _setting(
        0.5, "share of a partition's last 10,000 records whose refusal stops it likewise; 0: never", least=0, most=1
    )
    web_host: str = _setting("127.0.0.1", "where /metrics is served")
    web_port: int = _setting(0, "its port; 0: a free one, which the log names", least=0, most=65_535)
    log_format: Literal["console", "json"] = _setting("console", "of the log on standard error")

    def __post_init__(self) -> None:
        for row in table():
            _check(row, getattr(self, row.name))
        for name in ("app_id", "output_topic", *(("slot",) if self.slot is not None else ())):
            value = getattr(self, name)
            if not _NAME.fullmatch(value):
                raise ConfigError(f"{name} is {value!r}.", "Use letters, digits, '.', '_' and '-', at most 100.")
        _check_registry(self.registry)

    @classmethod
    def load(cls, flags: Mapping[str, Any] = types.MappingProxyType({}),
             environ: Mapping[str, str] = types.MappingProxyType({})) -> Settings:
        """From flags (None: not given), else the environment, else the defaults. Text is read as the setting's type."""
        known = {row.name: row for row in table()}
        for name in flags:
            if name not in known:
                raise ConfigError(f"There is no setting {name!r}.", f"Settings: {', '.join(known)}.")
        given = {}
        for name, row in known.items():
            value = flags.get(name)
            if value is None:
                value = environ.get(ENVIRONMENT_PREFIX + name.upper())
            if value is not None:
                given[name] = _read(row, value) if isinstance(value, str) else value
        return cls(**given)


class Row(NamedTuple):
    """One setting, for tables and checks."""

    name: str
    type: Any
    unit: str
    default: Any
    says: str
    least: float | None
    most: float | None

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a choice; empty for others."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()


def table() -> tuple[Row, ...]:
    """All settings in order."""
    hints = typing.get_type_hints(Settings)
    return tuple(
        Row(f.name, hints[f.name], "ms" if f.name.endswith("_ms") else "", f.default, f.metadata["says"],
            f.metadata["least"], f.metadata["most"])
        for f in fields(Settings)
    )


def _bare(row: Row) -> Any:
    return next((t for t in typing.get_args(row.type) if t is not type(None)), row.type) if not row.choices else str


def _read(row: Row, text: str) -> Any:
    kind = _bare(row)
    if kind is bool:
        if text.lower() in ("true", "yes", "1", "on"):
            return True
        if text.lower() in ("false", "no", "0", "off"):
            return False
        raise ConfigError(f"{row.name} is {text!r}.", "Say true or false.")
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{row.name} is {text!r}.", f"It is a number {row.unit and 'of ' + row.unit}.") from None


def _check(row: Row, value: Any) -> None:
    if row.choices and value not in row.choices:
        raise ConfigError(f"{row.name} is {value!r}.", f"Say {' or '.join(row.choices)}.")
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return
    unit = f" {row.unit}" if row.unit else ""
    if row.least is not None and value < row.least:
        raise ConfigError(f"{row.name} is {value}{unit}.", f"The least is {row.least:g}{unit}.")
    if row.most is not None and value > row.most:
        raise ConfigError(f"{row.name} is {value}{unit}.", f"The most is {row.most:g}{unit}.")


def _check_registry(url: str) -> None:
    if url == "none":
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if "@" in url:  # never printed: it may hold a password
        raise ConfigError("registry holds a user or a password.", "Write basic.auth.user.info into registry_config.")
    if not usable or parts.query or parts.fragment:
        raise ConfigError(f"registry is {url!r}.", "Write none, or an address as in http://registry:8081.")
