"""Our schemas and a registry's: what `segue schema check` finds and `segue schema register` does.

Subjects by TopicNameStrategy, `<topic>-value`: each source's schema, and that of the changes. Two questions are asked of
each. May it be registered, which the registry decides by the subject's compatibility level. And does it read every version
that is registered, which decides what becomes of producers' records, and which nobody but us asks.

Through `confluent_kafka.schema_registry`, as any producer does; why a worker has its own client: `codecs.registry`.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

import segue_schemas
from segue.errors import ConfigError, ContractError, Unreachable
from segue_agents.codecs.changes import SCHEMA_NAME
from segue_agents.codecs.compatibility import misfits
from segue_agents.codecs.registry import ANSWER_WITHIN_S, read_config, schema_text

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

    from segue_agents.settings import Settings

LEVELS: Final = ("BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE")
LEVEL: Final = "BACKWARD_TRANSITIVE"
"""of a subject that has none: what is in the log was written with any of its versions, and may be read again"""
_NO_LEVEL: Final = "NONE"
"""what Apicurio says where none was set, too"""
_JAVA: Final = re.compile(r"^[\w.$]+(?:Exception|Error): ")

State = Literal["registered", "not_registered", "incompatible"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ours:
    """A schema of ours, and where it belongs."""

    subject: str
    name: str
    """`segue.SiteEvent`"""
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be said of one of our schemas."""

    subject: str
    schema: str
    """its name"""
    state: State
    id: int | None = None
    """the registry's, if it is registered"""
    version: int | None = None
    """under which it is registered"""
    latest: int | None = None
    """the subject's newest version"""
    level: str | None = None
    """of compatibility: the subject's, or else the registry's own"""
    level_of: Literal["subject", "registry"] = "subject"
    problems: tuple[str, ...] = ()
    """why it is incompatible, a sentence each"""
    registry_says: str = ""
    """its own words for that, where it has any"""
    done: tuple[str, ...] = ()
    """by `register`, or what it would do"""


@dataclass(frozen=True, slots=True)
class Versions:
    """Two files of one record, of which the newer does not read what the older wrote."""

    newer: str
    older: str
    problems: tuple[str, ...]


def our_schemas(settings: Settings) -> list[Ours]:
    """Of the sources, and of the changes if they are Avro. Raises ContractError."""
    try:
        rows = [(d["topic"], d["schema"]) for d in segue_schemas.load_declarations(settings.sources)]
    except (segue_schemas.SchemaFileError, KeyError) as error:
        raise ContractError(str(error), "Name the folder of source declarations with --sources.") from error
    if settings.output_format == "avro":
        rows.append((settings.output_topic, segue_schemas.load_schema(SCHEMA_NAME)))
    return [Ours(f"{topic}-value", segue_schemas.full_name(schema), schema) for topic, schema in rows]


def check_files(settings: Settings) -> list[Versions]:
    """Without a registry: each version in the contracts folder against all that came before it. Raises ContractError."""
    found = []
    for name, versions in segue_schemas.schema_versions(settings.sources).items():
        for newer, older in ((n, o) for n in versions for o in versions if o < n):
            if problems := misfits(versions[newer], versions[older]):
                found.append(Versions(f"{name}.v{newer}", f"{name}.v{older}", problems))
    return found


class Subjects:
    """A registry, asked for our subjects. Every method raises Unreachable for what is no answer."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError for a registry_config that cannot be used."""
        self.url = settings.registry
        self._client = _client(settings)
        self._default_level = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def check(self, ours: Ours) -> Subject:
        """Whether it is there, or might be, and whether it reads all that is."""
        from confluent_kafka.schema_registry import Schema

        text = Schema(schema_text(ours.schema), "AVRO")
        level, level_of = self._level(ours.subject)
        versions = self._or_none(lambda: self._client.get_versions(ours.subject)) or []
        said = Subject(ours.subject, ours.name, "not_registered", latest=max(versions, default=None), level=level,
                       level_of=level_of)
        if not versions:
            return said
        found = self._or_none(lambda: self._client.lookup_schema(ours.subject, text))
        if found is not None:
            said = replace(said, state="registered", id=found.schema_id, version=found.version)
            problems = tuple(self._unread(ours, [v for v in versions if v != found.version], lenient=True))
            return replace(said, state="incompatible", problems=problems) if problems else said
        allowed = self._ask(lambda: self._client.test_compatibility_all_versions(ours.subject, text))
        # a level of NONE allows everything: whether ours can be lived with is asked all the same
        problems = tuple(self._unread(ours, versions, lenient=allowed))
        if not allowed and not problems:
            problems = (f"The level {level} does not allow it.",)
        return replace(said, state="incompatible", problems=problems) if problems else said

    def register(self, ours: Ours, level: str | None, *, dry_run: bool) -> Subject:
        """Registers it if it is not there. `level`: to be set; None: LEVEL where none is. `dry_run`: only says so."""
        found = self.check(ours)
        wanted = LEVEL if level is None and _has_none(found) else level if level != found.level else None
        done = [f"set {wanted}"] if wanted is not None else []
        if dry_run:
            return replace(found, done=(*done, "register") if found.state == "not_registered" else tuple(done))
        if wanted is not None:
            self._ask(lambda: self._client.set_compatibility(ours.subject, wanted))
        if found.id is None:
            # whatever we think of it: the registry decides, and only now has words for it
            refused = self._register(ours)
            if refused:
                return replace(found, state="incompatible", level=wanted or found.level, registry_says=refused,
                               done=tuple(done))
            done.append("registered")
        return replace(self.check(ours), done=tuple(done))

    def _register(self, ours: Ours) -> str:
        """The registry's words if it refuses, '' if it takes it."""
        from confluent_kafka.schema_registry import Schema, SchemaRegistryError

        try:
            self._client.register_schema(ours.subject, Schema(schema_text(ours.schema), "AVRO"))
        except SchemaRegistryError as error:
            if error.http_status_code not in (409, 422):
                raise _no_answer(self.url, error) from error
            return f"{error.http_status_code}: {_JAVA.sub('', str(error.error_message))}"
        except Exception as error:
            raise _no_answer(self.url, error) from error
        return ""

    def _unread(self, ours: Ours, versions: list[int], *, lenient: bool) -> Iterator[str]:
        """What of the registered versions ours does not read."""
        for version in versions:
            theirs = self._ask(lambda v=version: self._client.get_version(ours.subject, v)).schema  # type: ignore[misc]
            try:
                if theirs.schema_type not in (None, "AVRO"):
                    raise ContractError(f"It is {theirs.schema_type}, not Avro.")
                problems = misfits(ours.schema, json.loads(theirs.schema_str), lenient=lenient)
            except (ValueError, ContractError) as error:
                problems = (str(error),)
            yield from (f"version {version}: {problem}" for problem in problems)

    def _level(self, subject: str) -> tuple[str, Literal["subject", "registry"]]:
        own = self._or_none(lambda: self._client.get_compatibility(subject))
        if own is not None:
            return str(own), "subject"
        self._default_level = self._default_level or str(self._ask(self._client.get_compatibility))
        return self._default_level, "registry"

    def _or_none(self, question: Callable[[], T]) -> T | None:
        """None: the registry itself says that there is none."""
        from confluent_kafka.schema_registry import SchemaRegistryError

        try:
            return question()
        except SchemaRegistryError as error:
            if error.http_status_code == 404 and 40_400 < error.error_code < 40_500:
                return None
            raise _no_answer(self.url, error) from error
        except Exception as error:  # httpx's and ssl's, whatever they are called in this version
            raise _no_answer(self.url, error) from error

    def _ask(self, question: Callable[[], T]) -> T:
        found = self._or_none(question)
        if found is None:
            raise Unreachable(f"{self.url} answers 404 to what every schema registry knows.", _CHECK_ADDRESS)
        return found


_CHECK_ADDRESS: Final = "Check the address: Confluent's own ends at the port, Apicurio's at /apis/ccompat/v7."


def _has_none(found: Subject) -> bool:
    return found.level_of == "registry" or found.level == _NO_LEVEL


def _client(settings: Settings) -> SchemaRegistryClient:
    from confluent_kafka.schema_registry import SchemaRegistryClient

    config: dict[str, Any] = dict(read_config(settings.registry_config))
    if "bearer.auth.token" in config:
        config["bearer.auth.credentials.source"] = "STATIC_TOKEN"
        config.setdefault("bearer.auth.logical.cluster", "")
    else:
        config.pop("bearer.auth.logical.cluster", None)
        config.pop("bearer.auth.identity.pool.id", None)
    # as a worker: the machine's own authorities, and not those that come with certifi
    if "ssl.ca.location" not in config and (authorities := ssl.get_default_verify_paths().cafile):
        config["ssl.ca.location"] = authorities
    asked: dict[str, Any] = {"url": settings.registry, "timeout": ANSWER_WITHIN_S, "max.retries": 2, "retries.wait.ms": 300}
    try:
        return SchemaRegistryClient(asked | config)
    except (ValueError, TypeError, OSError) as error:  # of a key, never of its value
        raise ConfigError(f"registry_config cannot be used: {error}.", "See docs/operate/registry.md.") from error


def _no_answer(url: str, error: Exception) -> Unreachable:
    status = getattr(error, "http_status_code", None)
    if status in (401, 403):
        return Unreachable(f"The schema registry {url} refuses us: {status}.",
                           "Check basic.auth.user.info or bearer.auth.token in registry_config.")
    if status is not None:
        return Unreachable(f"The schema registry {url} answers {status}: {getattr(error, 'error_message', '')!s:.300}",
                           _CHECK_ADDRESS if status == 404 else "Try again; its own log says more.")
    return Unreachable(f"The schema registry {url} does not answer: {type(error).__name__} {error}.",
                       f"Is it up? {_CHECK_ADDRESS}")
