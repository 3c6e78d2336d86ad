"""Events of the simulator as records, and back to columns without Avro, which is not what it is about."""

from __future__ import annotations

from typing import Any

import numpy as np

from segue.plan import Plan
from segue.records import IRRELEVANT, Columns, Rejected

BROKEN = b"?"
"""a value that does not decode"""


def encode(event: str, time_ms: int) -> bytes:
    """The value of a record."""
    return f"{time_ms} {event}".encode()


class Decoder:
    """ColumnDecoder's interface over such values."""

    def __init__(self, source_index: int, plan: Plan) -> None:
        self.source_index = source_index
        inputs = plan.inputs[source_index]
        self._kinds, self._fields = inputs.kinds, len(inputs.fields)

    def decode(self, messages: list[Any]) -> Columns:
        """Messages of one topic partition."""
        good, rejected, times, kinds = [], [], [], []
        for m in messages:
            value = m.value()
            if value == BROKEN:
                rejected.append(Rejected(self.source_index, m.offset(), "undecodable", "It does not decode.", m))
                continue
            time, _, event = value.partition(b" ")
            good.append(m)
            times.append(int(time))
            kinds.append(self._kinds.get(event.decode(), IRRELEVANT))
        person = [m.key() for m, kind in zip(good, kinds, strict=True) if kind >= 0]
        return Columns(
            np.array(times, np.int64), np.array(kinds, np.int32), np.array([m.offset() for m in good], np.int64),
            np.array([m.timestamp()[1] for m in good], np.int64), person,
            [[None] * len(person) for _ in range(self._fields)], good, messages[-1].offset() + 1, rejected,
        )
