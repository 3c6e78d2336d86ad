"""The values that travel between the shell and the engine. Plain data, no behaviour.

One event's way, in these names: bytes of a Kafka record are decoded into a row of `Columns`;
the merger orders the rows of all sources of one partition into a `Batch`; the engine steps over
the batch and answers with a `Step`, whose `Change`s go out.

Times are milliseconds since the epoch, persons are the record keys' bytes, offsets are Kafka's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

NEVER = 1 << 62
"""The time of what will not happen by itself."""

IRRELEVANT = -1
"""The kind of an event that no rule reads: it moves time and nothing else."""

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

RejectReason = Literal[
    "undecodable",
    "unknown_schema",
    "wrong_subject",
    "incompatible_schema",
    "no_person",
    "key_mismatch",
    "no_time",
    "time_unit",
    "no_id",
    "id_conflict",
    "too_late",
    "in_the_future",
    "too_large",
    "not_finite",
]
"""docs/contracts.md says what each means"""
Cause = Literal["event", "timer", "correction", "merge", "rule_change", "backfill", "consent", "erasure"]
Value = str | float | int | bool | None


class Rejected(NamedTuple):
    """A record that took no part. It leaves for the dead letters in the commit that passes its offset."""

    source: int
    """Index into `Catalog.sources`."""
    offset: int
    reason: RejectReason
    detail: str
    """One sentence: what was wrong, and where. Never the payload."""
    record: Any
    """The shell's own handle on the original record (key, value, headers); opaque here."""


@dataclass(slots=True)
class Columns:
    """The good records of one source's partition in offset order, n rows, field by field.

    `person`, `fields` hold a value for *relevant* rows only (kind >= 0), in the same order: with r
    relevant rows, `len(person) == r` and `len(fields[i]) == r` for each field the plan reads of this
    source, so that an event no rule reads never becomes a Python object.
    """

    time_ms: Int64s
    """[n] event time."""
    kind: Int32s
    """[n] the plan's number of the event's kind, or IRRELEVANT."""
    offset: Int64s
    """[n]"""
    arrival_ms: Int64s
    """[n] the Kafka record's own timestamp."""
    person: list[bytes]
    """[r]"""
    fields: list[list[Any]]
    """per field the plan reads of this source (SourceInputs.fields, same order): [r] str | float | int | bool | None"""
    records: list[Any]
    """[n] the shell's handles on the original records, for dead letters."""
    next_offset: int
    """one past the last record read, good or not."""
    rejected: list[Rejected] = field(default_factory=list)
    ids: list[bytes] | None = None
    """[r] the events' ids as `engine.duplicates.digest`; None: the source does not deduplicate"""
    bodies: list[bytes] | None = None
    """[r] likewise of the records' values; None together with `ids`"""


@dataclass(slots=True)
class Batch:
    """Rows of all sources of one partition, merged in the order of the history, ready to be stepped over.

    Row i stands at `moment[i]` = the partition's engine time when it is applied; a row whose own
    time is less is late. Lists are parallel, one entry per relevant row.
    """

    partition: int
    kind: list[int]
    person: list[bytes]
    time_ms: list[int]
    slots: list[list[Any]]
    """[n_slots][rows] field values; what slot i holds depends on the row's source"""
    source: list[int]
    offset: list[int]
    late: list[int]
    """indexes of the late rows, ascending"""
    moment: list[int]
    """engine time at each late row, parallel to `late`"""
    engine_time_ms: int
    """of the partition after this batch: every jump up to it is emitted by the step"""
    clock_key: int
    """the merger's exact position in time, for the checkpoint"""
    next_offsets: dict[int, int]
    """per source index: the offset to go on from once this batch is committed"""
    clock_offset: int | None = None
    """likewise for the clock topic, when a tick was taken"""
    rejected: list[Rejected] = field(default_factory=list)
    consumed: dict[int, int] = field(default_factory=dict)
    """per source index: records passed by this batch, good, irrelevant or rejected"""
    irrelevant: int = 0
    """of these, good ones that no rule reads; they are no rows"""
    ids: list[bytes | None] | None = None
    """[rows] as in Columns, None for rows of sources that do not deduplicate; None: there is nothing to deduplicate"""
    bodies: list[bytes] = field(default_factory=list)
    """[rows] beside `ids`; empty if that is None"""
    records: list[Any] = field(default_factory=list)
    """[rows] beside `ids`: the shell's handles; empty if that is None"""
    arrival_ms: Int64s | None = None
    """[rows] the Kafka records' own timestamps; None: nobody asks"""
    arrived_ms: int = 0
    """the newest timestamp of the Kafka records taken; 0: none was good"""
    newest_ms: dict[int, int] = field(default_factory=dict)
    """per source index: the newest time of its good records, of no concern to any rule too; sources without are absent"""


class Change(NamedTuple):
    """A jump of membership. `change_id(change, plan)` names it."""

    person: bytes
    segment: int
    """index into Plan.segments"""
    entered: bool
    at_ms: int
    cause: Cause
    cause_event: tuple[int, int] | None
    """(source index, offset) of the event that made it"""
    sequence: int
    """1, 2, 3 ... per person and segment"""
    revokes: str | None
    """change_id of the change that a correction takes back"""
    expires_at_ms: int | None
    features: dict[str, list[str]] | None


@dataclass(slots=True)
class Step:
    """What one batch brought about."""

    changes: list[Change]
    touched: set[bytes]
    """persons whose state may have changed: to be encoded at the commit"""
    applied: int
    """rows applied in order"""
    late: int
    """rows folded in late"""
    timers_fired: int
    duplicates: int = 0
    """rows dropped as copies of events seen before"""
    rejected: list[Rejected] = field(default_factory=list)
    """rows whose id is another event's; they go the way of `Batch.rejected`"""
    dropped: list[int] = field(default_factory=list)
    """the batch's rows that took no part, ascending: the duplicates and the rejected.

    For every batch the sum of `consumed` is applied + late + duplicates + irrelevant + what both reject.
    """
    jumps: Mapping[tuple[int, bool], int] = field(default_factory=dict)
    """(segment, entered) -> how many of the changes"""
    due_ms: list[int] = field(default_factory=list)
    """of each of `timers_fired`: when it was due"""
