"""Every setting of a worker, once: the docs' table, the flags and the environment variables are read from this class.

A setting comes from a flag, else from `SEGUE_<NAME>`, else from the file `segue.toml`, else it has its default
(`config.reading`). Units stand at the end of names. A new one is a row below, and no more; `secret=True` on one of type
`Secret | None` keeps it out of the flags and of everything that is printed.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from segue.errors import ConfigError
from segue_agents.config.kafka import KafkaProperties
from segue_agents.config.reading import gather, placed, refuse
from segue_agents.config.rows import ENVIRONMENT_PREFIX, Row, Secret, WrongSettings, check_bounds, rows_of
from segue_agents.config.rows import setting as _setting

__all__ = ["ENVIRONMENT_PREFIX", "Loaded", "Row", "Secret", "Settings", "WrongSettings", "table"]
LOG_SECRET_CHARACTERS: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


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
        "ssl.certificate.location, ssl.key.location; read anew for every question"
    )
    auto_register_schemas: bool = _setting(
        False, "register the schema of changes at the start if the registry lacks it; else run `segue schema register`"
    )
    registry_user_info: Secret | None = _setting(
        None, "user:password for it, for those who want no file", secret=True
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
    stale_after_ms: int = _setting(
        900_000, "a segment is stale when no event of its sources is newer, or a partition is further behind; for metrics",
        least=1_000,
    )
    web_host: str = _setting("127.0.0.1", "where metrics, probes and the status page are served: an address or a name")
    web_port: int = _setting(0, "its port; 0: a free one, which the log names", least=0, most=65_535)
    web_auth: Literal["required", "none", "closed"] = _setting(
        "required", "who may read the status page: those with a token or certificate (on loopback everybody, if neither is "
        "set); none: everybody; closed: nobody. Metrics and probes are for everybody"
    )
    web_token_file: Path | None = _setting(
        None, "a file with the status page's token, or two while they are changed, one a line; or the token itself in "
        "SEGUE_WEB_TOKEN. Read again when it changes"
    )
    web_tls_cert: Path | None = _setting(
        None, "a certificate with its chain (PEM): the whole port speaks TLS. Read again when it changes"
    )
    web_tls_key: Path | None = _setting(None, "its key (PEM, no password); default: in the certificate's file")
    web_tls_client_ca: Path | None = _setting(
        None, "certificates (PEM) of the authority of those who may read the status page by a certificate of theirs"
    )
    log_format: Literal["auto", "console", "json"] = _setting(
        "auto", "of the log on standard error; auto: console on a terminal, JSON elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "the least that is logged")
    log_secret: Secret | None = _setting(
        None, "with which logs hash persons' ids, the same for all workers. Default: one made for "
        "data_dir at the first start", secret=True
    )
    log_exception_text: bool = _setting(
        False, "whether a traceback says the text of an error that is not Segue's own, which may quote an event"
    )

    kafka: Mapping[str, str] = field(default_factory=KafkaProperties)
    """librdkafka's own properties: no row, as they are the library's"""

    def __post_init__(self) -> None:
        refuse(_problems(self))

    @classmethod
    def load(cls, flags: Mapping[str, Any] = types.MappingProxyType({}),
             environ: Mapping[str, str] = types.MappingProxyType({}), file: Path | None = None) -> Settings:
        """From flags (None: not given), the environment, the file, the defaults, in this order. Text is read as the
        setting's type. Raises WrongSettings with all that is wrong."""
        return Loaded.of(flags, environ, file).settings


class Loaded(NamedTuple):
    """Settings, and where each came from."""

    settings: Settings
    origins: Mapping[str, str]
    """setting, or `kafka.` and a property -> `flag --app-id`, `SEGUE_APP_ID`, the file; those missing have their default"""
    file: Path | None

    @classmethod
    def of(cls, flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Loaded:
        """As `Settings.load`."""
        given = gather(table(), flags, environ, file)
        problems = list(given.problems)
        settings = None
        try:
            settings = Settings(**given.values, kafka=given.kafka)
        except WrongSettings as wrong:
            # a check's sentence begins with the setting's name
            named = [(error, given.origins.get(error.what.split(" ", 1)[0])) for error in wrong.problems]
            problems += [placed(error, origin) if origin else error for error, origin in named]
        refuse(problems)
        assert settings is not None
        return cls(settings, given.origins, given.file)


@cache
def table() -> tuple[Row, ...]:
    """All settings in order."""
    return rows_of(Settings)


def _problems(settings: Settings) -> Iterator[ConfigError]:
    """All that is wrong with values. Each sentence begins with the setting's name."""
    for row in table():
        try:
            check_bounds(row, getattr(settings, row.name))
        except ConfigError as error:
            yield error
    for check in (_check_names, _check_registry, _check_log_secret):
        try:
            check(settings)
        except ConfigError as error:
            yield error


def _check_names(settings: Settings) -> None:
    for name in ("app_id", "output_topic", *(("slot",) if settings.slot is not None else ())):
        value = getattr(settings, name)
        if not _NAME.fullmatch(value):
            raise ConfigError(f"{name} is {value!r}.", "Use letters, digits, '.', '_' and '-', at most 100.")


def _check_registry(settings: Settings) -> None:
    url = settings.registry
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


def _check_log_secret(settings: Settings) -> None:
    if settings.log_secret is not None and len(settings.log_secret.reveal()) < LOG_SECRET_CHARACTERS:
        raise ConfigError(f"log_secret has fewer than {LOG_SECRET_CHARACTERS} characters.",
                          "Ids hashed with a short one can be guessed: write `openssl rand -hex 32` into its file.")
