"""Records of one topic partition -> Columns, all records at once.

The way of a batch: values are joined into one buffer and framed; per schema id generated code reads every record
field by field; what fails goes alone to the strict row decoder, which knows why, and from there to the dead
letters; then text, keys, times and event names are judged as columns (`checks`); only rows whose event a rule reads
become Python values.

Schemas may be learnt at any time, as a registry answers: `learn`. A writer's schema is fitted to the source's own
(`fitting`) when it is learnt; what is written otherwise than the rules need it is a dead letter.

Measured on the reference workload's site records (batches of 5,000, one string read by rules), in microseconds a
record: 0.43 all in, of which 0.12 are the calls of confluent_kafka's Message and 0.07 the generated reader; 0.75 on
the default site record of 41 fields; 4.5 when every record is bad.
fastavro's reader alone: 3.4.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from segue.catalog import Source
from segue.errors import ContractError
from segue.records import IRRELEVANT, Columns, Int32s, Int64s, Rejected, RejectReason
from segue_agents.codecs import checks
from segue_agents.codecs.fitting import Path, at_path, fitted
from segue_agents.codecs.framing import HEADER, Frame
from segue_agents.codecs.identities import bodies_of, id_path_of, ids_of
from segue_agents.codecs.names import Names
from segue_agents.codecs.nodes import Node, read_schema
from segue_agents.codecs.projection import INT, NULL, OBJECT, SYMBOL, TEXT, Column, Projection, project
from segue_agents.codecs.rows import Undecodable, decode_row
from segue_agents.codecs.vectors import Bools, padding

if TYPE_CHECKING:
    from confluent_kafka import Message

    from segue.plan import SourceInputs

_TIME, _EVENT = 0, 1
TEXTS_SHARED: Final = 50_000
"""different values of a field that are remembered; beyond it all are forgotten, and remembered anew"""
_UNITS_PER_MS: Final = {"timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}


Refusal = tuple[RejectReason, str]
"""why the records of a schema id are dead letters: the reason, and a sentence"""


class UnknownSchemas(Exception):
    """Records whose schema ids are neither known nor refused; nothing of the batch was decoded."""

    def __init__(self, ids: Collection[int]) -> None:
        super().__init__(f"{len(ids)} unknown schema ids")
        self.ids = frozenset(ids)


class ColumnDecoder:
    """Decodes the records of one source. Raises ContractError for a writer's schema it cannot use."""

    def __init__(self, source_index: int, source: Source, inputs: SourceInputs,
                 schema_ids: Mapping[int, Mapping[str, Any]]) -> None:
        self.source_index = source_index
        self.source = source
        self.inputs = inputs
        self.decoded_alone = 0
        """records so far that columns could not take and that were decoded one by one, good ones only"""
        self._names = Names(inputs.kinds)
        self._symbols: list[str] = []
        self._symbol_kinds = np.array([IRRELEVANT], np.int32)
        self._reader = read_schema(source.schema)
        paths: tuple[Path, ...] = ((source.time,), (source.event,), *(f.path for f in inputs.fields),
                                   *((p,) for p in source.person))
        if (id_path := id_path_of(source)) is not None:
            paths = (*paths, id_path)
        self._wanted: dict[Path, int] = {path: i for i, path in enumerate(dict.fromkeys(paths))}
        self._id = None if id_path is None else self._wanted[id_path]
        self._fields = [self._wanted[f.path] for f in inputs.fields]
        self._persons = [self._wanted[(p,)] for p in source.person]
        self._texts: list[dict[str, str]] = [{} for _ in inputs.fields]
        self._projections: dict[int, Projection] = {}
        self._refused: dict[int, Refusal] = {}
        self._time_units: dict[int, int] = {}
        self._pad = 0
        for schema_id, schema in schema_ids.items():
            self.learn(schema_id, schema)

    def knows(self, schema_id: int) -> bool:
        """Whether records of this schema have their answer, be it that it was refused."""
        return schema_id in self._projections or schema_id in self._refused

    def learn(self, schema_id: int, schema: Mapping[str, Any]) -> None:
        """Take records of a writer's schema from now on.

        Raises ContractError for one that no record can be used with; then its records are rejected as
        incompatible_schema, so whoever learns while running may go on.
        """
        try:
            node = fitted(read_schema(schema), self._reader, self._wanted)
            self._time_units[schema_id] = self._per_ms(node, str(schema.get("name", schema_id)))
        except ContractError as e:
            self._refused[schema_id] = "incompatible_schema", f"The schema with the id {schema_id} cannot be used: {e.what}"
            raise
        self._projections[schema_id] = project(node, self._wanted, self._symbols)
        self._symbol_kinds = np.array([*(self.inputs.kinds.get(s, IRRELEVANT) for s in self._symbols), IRRELEVANT], np.int32)
        self._pad = max(self._pad, padding(node.nodes) + 8 * self._names.words)

    def code(self, schema_id: int) -> str:
        """The generated reader, to be printed; '' if records of this schema are decoded one by one."""
        return self._projections[schema_id].code

    def _per_ms(self, node: Node, name: str) -> int:
        """Units of the writer's time in a millisecond."""
        for field in (self.source.time, self.source.event):
            child = node.child(field)
            if child is None or child.kind == "given":
                raise ContractError(f"The writer's schema {name} lacks the field {field!r} of source "
                                    f"{self.source.name!r}.", "Name the right field in the source's declaration.")
        time = node.child(self.source.time)
        assert time is not None
        branches = time.children if time.kind == "union" else (time,)
        return max(_UNITS_PER_MS.get(b.logical, 1) for b in branches)

    def decode(self, messages: Sequence[Message], refused: Mapping[int, Refusal] | None = None) -> Columns:
        """Messages of one topic partition, at least one, in offset order and without error messages.

        `refused`: schema ids whose records are dead letters, and why. With it, an id that is neither known nor refused
        raises UnknownSchemas; without, its records are dead letters.
        """
        n = len(messages)
        values = [m.value() for m in messages]
        offset = np.array([m.offset() for m in messages], np.int64)
        frame = Frame(values, self._pad or padding(0))
        columns = [Column(n) for _ in self._wanted]
        apart = self._read(frame, columns, values, refused)
        self.decoded_alone += len(apart)
        frame.check_text(apart)
        keys: list[Any] = [m.key() for m in messages]
        known = checks.Keys(keys, frame)
        time_ms = checks.times(columns[_TIME], self.source.time, frame)
        kind = self._kinds(columns[_EVENT], frame)
        if frame.rejected:
            kind[list(frame.rejected)] = IRRELEVANT
        relevant = np.flatnonzero(kind >= 0)
        fields = [columns[c] for c in self._fields]
        for column, field in zip(fields, self.inputs.fields, strict=True):
            relevant = checks.check_values(column, relevant, field.name, frame)
        wrong = known.strangers([columns[c] for c in self._persons], relevant, frame, self._symbols)
        if wrong.size:
            relevant = self._without(relevant, wrong, frame)
        ids = bodies = None
        if self._id is not None:
            column, name = columns[self._id], str(self.source.id)
            relevant = checks.check_values(column, relevant, name, frame)
            relevant, ids = ids_of(column, relevant, name, frame, self._symbols)
            bodies = bodies_of(values, relevant)
        kept = [self._values(c, relevant, frame, known) for c, known in zip(fields, self._texts, strict=True)]
        arrival = np.array([m.timestamp()[1] for m in messages], np.int64)
        chosen = np.zeros(n, np.bool_)
        chosen[relevant] = True
        decoded = self._columns(frame, messages, time_ms, kind, offset, arrival,
                                list(compress(keys, chosen.tobytes())), kept)
        decoded.ids, decoded.bodies = ids, bodies
        return decoded

    def _values(self, column: Column, relevant: Int64s, frame: Frame, known: dict[str, str]) -> list[Any]:
        """Of a field, as Python values; texts that are equal as one object: states keep them by the million."""
        values = column.values(relevant, frame, self._symbols)
        tags = column.tag[relevant]
        if not ((tags == TEXT) | (tags == NULL)).all():
            return values
        if len(known) > TEXTS_SHARED:
            known.clear()
        return list(map(known.setdefault, values, values))

    def _without(self, relevant: Int64s, wrong: Int64s, frame: Frame) -> Int64s:
        """The relevant rows without those whose key names somebody else than the body."""
        named = " or ".join(map(repr, self.source.person))
        for row in relevant[wrong].tolist():
            frame.reject(row, "key_mismatch", f"The record's key is not the person that the body names in {named}.")
        rest: Int64s = np.delete(relevant, wrong)
        return rest

    def _columns(self, frame: Frame, messages: Sequence[Message], time_ms: Int64s, kind: Int32s, offset: Int64s,
                 arrival: Int64s, person: list[bytes], fields: list[list[Any]]) -> Columns:
        records: list[Any] = list(messages)
        next_offset = int(offset[-1]) + 1
        if not frame.rejected:
            return Columns(time_ms, kind, offset, arrival, person, fields, records, next_offset)
        good: Bools = frame.good()
        rejected = [
            Rejected(self.source_index, int(offset[row]), reason, detail, records[row])
            for row, (reason, detail) in sorted(frame.rejected.items())
        ]
        return Columns(time_ms[good], kind[good], offset[good], arrival[good], person, fields,
                       list(compress(records, good.tobytes())), next_offset, rejected)

    def _read(self, frame: Frame, columns: list[Column], values: Sequence[bytes | None],
              refused: Mapping[int, Refusal] | None) -> list[int]:
        """Fill the columns. The rows that had to be decoded alone."""
        apart: list[int] = []
        for schema_id, rows in frame.groups():
            projection = self._projections.get(schema_id)
            if projection is None:
                reason, detail = self._refusal(schema_id, refused, frame)
                for row in rows.tolist():
                    frame.reject(row, reason, detail)
                continue
            failed = rows
            if projection.read is not None:
                end = frame.end[rows]
                cur = projection.read(frame.vectors, columns, frame.start[rows] + HEADER, end, rows)
                failed = rows[(cur != end) | frame.vectors.bad[rows]]
            unit = self._time_units[schema_id]
            if unit > 1:
                columns[_TIME].a[rows[columns[_TIME].tag[rows] == INT]] //= unit
            apart += self._read_alone(projection.node, failed, unit, frame, columns, values)
        return apart

    def _read_alone(self, node: Node, rows: Int64s, unit: int, frame: Frame, columns: list[Column],
                    values: Sequence[bytes | None]) -> list[int]:
        """Records that columns could not take. The good ones' rows."""
        good = []
        for row in rows.tolist():
            try:
                value = decode_row(node, (values[row] or b"")[HEADER:])
            except Undecodable as e:
                frame.reject(row, e.reason, f"The record does not decode: {e}.")
                continue
            good.append(row)
            for path, column in self._wanted.items():
                found = at_path(value, path)
                columns[column].put_object(row, found // unit if column == _TIME and isinstance(found, int) else found)
        return good

    def _refusal(self, schema_id: int, refused: Mapping[int, Refusal] | None, frame: Frame) -> Refusal:
        """Why records of a schema that has no projection are dead letters. Raises UnknownSchemas."""
        answers = self._refused if refused is None else {**self._refused, **refused}
        if schema_id in answers:
            return answers[schema_id]
        if refused is not None:
            raise UnknownSchemas({i for i, _ in frame.groups()} - self._projections.keys() - answers.keys())
        return "unknown_schema", f"No schema has the id {schema_id}."

    def _kinds(self, column: Column, frame: Frame) -> Int32s:
        tags = column.tag
        tag = int(tags[0])
        whole = bool((tags == tag).all())
        if whole and tag == SYMBOL:
            return self._symbol_kinds[column.a]
        if whole and tag == TEXT:
            return self._names.kinds(frame.vectors.words, column.a, column.b)
        kind = np.full(len(tags), IRRELEVANT, np.int32)
        at = np.flatnonzero(tags == SYMBOL)
        kind[at] = self._symbol_kinds[column.a[at]]
        at = np.flatnonzero(tags == TEXT)
        kind[at] = self._names.kinds(frame.vectors.words, column.a[at], column.b[at])
        for row in np.flatnonzero(tags == OBJECT).tolist():
            name = column.objects[column.a[row]]
            kind[row] = self.inputs.kinds.get(name, IRRELEVANT) if isinstance(name, str) else IRRELEVANT
        checks.check_events(column, self.source.event, frame)
        return kind
