"""What the schema registry says of the ids in the records: asked once, kept in memory and on disk.

`get` never waits. What it cannot answer it queues, and one thread asks, one question at a time, so a storm of made-up ids
is a queue and no storm at the registry. Whatever says nothing about an id (registry down, no right, nonsense) is `Later`:
the records wait, since a dead letter for a registry's bad day would be a lost event.

That there is no such schema is believed for a minute and then asked again: the producer may have registered it since. A
registry's followers lag, so it counts from the third time. What an id stands for never changes, so a schema of no use stays
one, and a schema that does change means that the registry gives out its ids a second time: the worker stops.
"""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from segue.errors import ContractError, StateError
from segue.limits import WRITER_SCHEMA_BYTES, WRITER_SCHEMAS
from segue.records import RejectReason
from segue_agents.codecs.nodes import read_schema
from segue_agents.codecs.registry import Found, Unavailable
from segue_agents.codecs.schemas_on_disk import SchemaFolder
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside

MISSING_IDS: Final = 10_000
"""ids without a usable schema that are remembered; the oldest go"""
STORM: Final = 100
"""so many unknown ids within `believed_s` are no lag of a follower: they are asked once each"""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A schema that is safe to decode with."""

    schema: Mapping[str, Any]
    text: str
    subjects: frozenset[str]


@dataclass(frozen=True, slots=True)
class Missing:
    """Records of this id are dead letters."""

    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class Later:
    """Cannot be known now: asked for, and on its way."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a registry is asked, in seconds."""

    first_s: float = 0.5
    """after a failure; doubles, up to"""
    most_s: float = 30.0
    again_s: float = 0.3
    """after a "no such schema"; doubles"""
    tries: int = 3
    """until it is believed"""
    believed_s: float = 60.0


class Asked(Protocol):
    """A registry."""

    def fetch(self, schema_id: int) -> Found | None:
        """What the id stands for; None: the registry says that there is none. Raises Unavailable."""


@dataclass(slots=True)
class _Question:
    due_s: float
    misses: int = 0
    failures: int = 0


class Schemas:
    """The schemas of all ids met so far. `get` from the reading thread, `turn` from one of its own."""

    def __init__(self, registry: Asked, folder: SchemaFolder, metrics: Metrics, outside: Outside | None = None,
                 pace: Pace | None = None) -> None:
        self._registry, self._folder, self._metrics = registry, folder, metrics
        self._outside, self._pace = outside or Outside(), pace or Pace()
        self._lock = threading.Lock()
        self._wake, self._closed = threading.Event(), threading.Event()
        self._known: dict[int, Known] = {}
        self._told_s: dict[int, float] = {}
        """when the registry itself last said so, in this process"""
        self._missing: dict[int, tuple[float, Missing]] = {}
        self._questions: dict[int, _Question] = {}
        self._misses: deque[float] = deque(maxlen=STORM)
        self._failures, self._resume_s = 0, 0.0
        self._failed: BaseException | None = None
        self._thread: Any = None
        for schema_id, (text, subjects) in folder.load().items():
            made = _read(schema_id, Found(text, "AVRO", subjects))
            if isinstance(made, Known):
                self._known[schema_id] = made

    def get(self, schema_id: int, subject: str) -> Known | Missing | Later:
        """What to do with records of this id in the topic of this subject. Raises StateError for an id used twice."""
        self.check()
        with self._lock:
            known, now = self._known.get(schema_id), self._outside.monotonic()
            if known is not None and (not known.subjects or subject in known.subjects):
                if schema_id in self._told_s:
                    return known
                self._ask(schema_id, now)  # from the disk: does it still hold? It does while the registry is away
                return known if self._failures else Later()
            if known is not None:
                if now - self._told_s.get(schema_id, -math.inf) < self._pace.believed_s:
                    return Missing("wrong_subject", _wrong_subject(schema_id, subject, known.subjects))
            elif schema_id in self._missing:
                until_s, missing = self._missing[schema_id]
                if now < until_s:
                    return missing
                del self._missing[schema_id]
            self._ask(schema_id, now)
            return Later()

    def check(self) -> None:
        """Raises StateError if an id was found to be used twice, and what ended the thread, if anything did."""
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """No more questions; one that is under way ends by itself."""
        self._closed.set()
        self._wake.set()

    def turn(self) -> float:
        """One question at most. Returns the seconds until the next is due: 0 at once, infinity without one."""
        with self._lock:
            if not self._questions:
                return math.inf
            schema_id, question = min(self._questions.items(), key=lambda row: row[1].due_s)
            wait_s = max(question.due_s, self._resume_s) - self._outside.monotonic()
        if wait_s > 0:
            return wait_s
        try:
            found = self._registry.fetch(schema_id)
        except Unavailable as trouble:
            self._put_off(question, trouble)
            return 0.0
        if self._failures:
            _log.info("registry_answers_again", failures=self._failures)
        self._failures, self._resume_s = 0, 0.0
        made = None if found is None else _read(schema_id, found)
        with self._lock:
            if made is None and schema_id not in self._known:
                self._missed(schema_id, question)
            else:
                self._settle(schema_id, made)
            self._say_pending()
        return 0.0

    # --- under the lock

    def _ask(self, schema_id: int, now: float) -> None:
        if schema_id in self._questions:
            return
        self._questions[schema_id] = _Question(now)
        self._say_pending()
        if self._thread is None:
            self._thread = self._outside.background(self._work)
        self._wake.set()

    def _say_pending(self) -> None:
        self._metrics.set("registry_schemas_pending", sum(i not in self._known for i in self._questions))

    def _missed(self, schema_id: int, question: _Question) -> None:
        now = self._outside.monotonic()
        question.misses += 1
        storm = len(self._misses) == STORM and now - self._misses[0] < self._pace.believed_s
        if question.misses < self._pace.tries and not storm:
            question.due_s = now + self._delay(self._pace.again_s, question.misses)
            return
        self._misses.append(now)
        none = Missing("unknown_schema", f"The schema registry has no schema of the id {schema_id}.")
        self._settle(schema_id, none, believed_s=self._pace.believed_s)

    def _settle(self, schema_id: int, made: Known | Missing | None, believed_s: float = math.inf) -> None:
        now = self._outside.monotonic()
        known = self._known.get(schema_id)
        del self._questions[schema_id]
        if known is not None:
            self._told_s[schema_id] = now
            self._compare(schema_id, known, made)
            return
        if isinstance(made, Known) and len(self._known) >= WRITER_SCHEMAS:
            made = Missing("unknown_schema", f"There are {WRITER_SCHEMAS} schemas already, and {schema_id} is one more.")
        if isinstance(made, Known):
            self._known[schema_id], self._told_s[schema_id] = made, now
            self._folder.keep(schema_id, made.text, made.subjects)
            _log.info("schema_fetched", id=schema_id, subjects=sorted(made.subjects))
        elif made is not None:
            self._missing[schema_id] = (now + believed_s, made)
            while len(self._missing) > MISSING_IDS:
                del self._missing[next(iter(self._missing))]
            if len(self._misses) < STORM:
                _log.warning("schema_missing", id=schema_id, detail=made.detail)

    def _compare(self, schema_id: int, known: Known, made: Known | Missing | None) -> None:
        if made is None:
            _log.warning("schema_gone", id=schema_id, says="The registry no longer has it; the one kept here is used.")
        elif isinstance(made, Missing) or made.schema != known.schema:
            self._failed = StateError(
                f"The schema registry gives the id {schema_id} another schema than before: records of the two cannot be "
                "told apart.",
                f"Was the registry set up anew? Let it give out new ids, or, if no record of the old schema is left to "
                f"read, remove {self._folder.folder}.",
            )
            _log.error("schema_id_used_twice", id=schema_id)
        elif made.subjects != known.subjects:
            self._known[schema_id] = made
            self._folder.keep(schema_id, made.text, made.subjects)

    # --- on its own thread

    def _work(self) -> None:
        try:
            while not self._closed.is_set():
                self._wake.clear()
                wait_s = self.turn()
                if wait_s > 0:
                    self._wake.wait(None if wait_s == math.inf else wait_s)
        except BaseException as error:  # noqa: BLE001 (raised again by `get`, or records would wait for ever)
            self._failed = error

    def _put_off(self, question: _Question, trouble: Unavailable) -> None:
        now = self._outside.monotonic()
        self._failures += 1
        question.failures += 1
        # the registry rests, and this id longer: one that always fails does not hold up the others
        self._resume_s = now + self._delay(self._pace.first_s, self._failures)
        question.due_s = now + self._delay(self._pace.first_s, question.failures)
        self._metrics.add("registry_errors_total", 1, trouble.kind)
        _log.warning("registry_unavailable", kind=trouble.kind, says=trouble.says, ids_pending=len(self._questions),
                     again_in_s=round(self._resume_s - now, 1))

    def _delay(self, first_s: float, times: int) -> float:
        """Doubled each time, and by chance between half of it and all, so that workers do not ask in step."""
        return min(self._pace.most_s, first_s * 2.0 ** min(times - 1, 30)) * (0.5 + 0.5 * self._outside.chance())


def _read(schema_id: int, found: Found) -> Known | Missing:
    try:
        if found.too_large:
            raise ContractError(f"It has more than {WRITER_SCHEMA_BYTES:,} bytes.")
        if found.type != "AVRO":
            raise ContractError(f"It is {found.type[:20]}, not Avro.")
        schema = json.loads(found.schema)
        if not isinstance(schema, dict):
            raise ContractError("It is no record.")
        read_schema(schema)
    except (ValueError, RecursionError, ContractError) as error:
        what = error.what if isinstance(error, ContractError) else "It is not JSON."
        return Missing("incompatible_schema", f"The schema of the id {schema_id} cannot be used: {what}")
    return Known(schema, found.schema, found.subjects)


def _wrong_subject(schema_id: int, subject: str, subjects: frozenset[str]) -> str:
    others = ", ".join(sorted(subjects)[:3])
    return f"The schema of the id {schema_id} is registered under {others}, not under {subject}."
