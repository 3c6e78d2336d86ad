"""A decoder that learns the schemas it meets: what the reading thread calls where there may be a registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from segue.errors import ContractError
from segue.records import Columns
from segue_agents.codecs.columns import ColumnDecoder, Refusal, UnknownSchemas
from segue_agents.codecs.framing import HEADER
from segue_agents.codecs.schemas import Known, Later, Missing, Schemas

if TYPE_CHECKING:
    from confluent_kafka import Message

ASKED_AT_ONCE: Final = 64
"""ids that one partition of a topic may wait for: a storm of made-up ids in one leaves the others their turn"""
_log = structlog.get_logger(__name__)


class Decoded(NamedTuple):
    """What came of some messages."""

    columns: Columns | None
    """of the first `n`; None if that is none"""
    n: int
    """fewer than all: the schema of the next cannot be known now"""
    waits_for: frozenset[int] = frozenset()
    """schema ids; then"""


class Learner:
    """One source's decoder, and the schemas of the registry; None: only those the decoder knows, so that any will do that
    has a `source_index` and decodes."""

    def __init__(self, decoder: ColumnDecoder, schemas: Schemas | None = None) -> None:
        self.decoder = decoder
        self.source_index = decoder.source_index
        self._schemas = schemas
        self._subject = "" if schemas is None else f"{decoder.source.topic}-value"

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """As many of the messages, at least one, as can be decoded now. Never waits."""
        if self._schemas is None:
            return Decoded(self.decoder.decode(messages), len(messages))
        try:
            return Decoded(self.decoder.decode(messages, {}), len(messages))
        except UnknownSchemas as unknown:
            return self._learn(messages, unknown.ids)

    def check(self) -> None:
        """Raises StateError when the registry has given an id out twice: what was decoded with it may be wrong."""
        if self._schemas is not None:
            self._schemas.check()

    def waits(self, ids: Iterable[int]) -> bool:
        """Whether all of these are still unknown."""
        return self._schemas is not None and all(isinstance(self._schemas.get(i, self._subject), Later) for i in ids)

    def _learn(self, messages: Sequence[Message], unknown: frozenset[int]) -> Decoded:
        ids = [_schema_id(m.value()) for m in messages]
        refused: dict[int, Refusal] = {}
        later: set[int] = set()
        for schema_id in dict.fromkeys(i for i in ids if i in unknown):
            answer = self._answer(schema_id)
            if isinstance(answer, Later):
                later.add(schema_id)
                if len(later) == ASKED_AT_ONCE:
                    break
            elif isinstance(answer, Missing):
                refused[schema_id] = (answer.reason, answer.detail)
        n = next((at for at, schema_id in enumerate(ids) if schema_id in later), len(ids))
        columns = self.decoder.decode(messages[:n], refused) if n else None
        return Decoded(columns, n, frozenset(later))

    def _answer(self, schema_id: int) -> Known | Missing | Later:
        assert self._schemas is not None
        answer = self._schemas.get(schema_id, self._subject)
        if isinstance(answer, Known):
            try:
                self.decoder.learn(schema_id, answer.schema)
            except ContractError as error:
                detail = f"The schema of the id {schema_id} cannot be used: {error.what}"
                _log.warning("schema_refused", id=schema_id, source=self.decoder.source.name, detail=detail)
                return Missing("incompatible_schema", detail)
        return answer


def _schema_id(value: bytes | None) -> int:
    """-1: no header, of which the decoder says what is wrong."""
    return -1 if value is None or len(value) < HEADER or value[0] else int.from_bytes(value[1:HEADER], "big")
