"""Events made by hand: values by the contract's types, rows as the decoder would give them.

In a test of your own:

    buy = event(catalog, "ada", "Order Completed", at_ms, total=20)
    partition.step([buy], until_ms=at_ms + 60_000)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segue.catalog import Catalog, Field, Source, snake_case
from segue.plan import SourceInputs
from segue.records import IRRELEVANT, Columns, Value
from segue.testing.cases import Event
from segue.testing.words import Word

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def event(catalog: Catalog, person: str, name: str, time_ms: int, **fields: Value) -> Event:
    """An event of the first source that knows the name, in either spelling. Raises KeyError for names nobody declares."""
    index = next(iter(catalog.source_indexes(snake_case(name))), None)
    if index is None:
        raise KeyError(name)
    source = catalog.sources[index]
    unknown = [f for f in fields if f not in source.fields]
    if unknown:
        raise KeyError(unknown[0])
    raw = next(raw for raw, snake in source.events.items() if snake == snake_case(name))
    return Event(person, index, raw, time_ms, {f: _stored(source, source.fields[f], v) for f, v in fields.items()})


def columns_of(rows: Sequence[tuple[int, Event]], inputs: SourceInputs) -> Columns:
    """(offset, event) of one source, in offset order, as its decoder would give them. They arrive when they happen."""
    kinds = [inputs.kinds.get(e.name, IRRELEVANT) for _, e in rows]
    read = [e for (_, e), kind in zip(rows, kinds, strict=True) if kind >= 0]
    time_ms = np.array([e.time_ms for _, e in rows], np.int64)
    return Columns(
        time_ms=time_ms,
        kind=np.array(kinds, np.int32),
        offset=np.array([offset for offset, _ in rows], np.int64),
        arrival_ms=time_ms.copy(),
        person=[e.person.encode() for e in read],
        fields=[[e.fields.get(f.name) for e in read] for f in inputs.fields],
        records=[e for _, e in rows],
        next_offset=rows[-1][0] + 1 if rows else 0,
    )


def value_of(source: Source, field: Field, word: Word) -> Value:
    """A word as the value of a field. Raises Mistake when the contract has another type for it."""
    if word.text == "null":
        return None
    if field.type == "string":
        return word.value
    if field.type == "number":
        number = word.text.replace("_", "")
        if not _NUMBER.fullmatch(number):
            raise word.mistake(f"{field.name!r} is a number", "Write it as in 9.5; null for none.")
        value = float(number)
        if abs(value) >= 1 << 63:
            raise word.mistake("this number is too large", "Numbers have at most 63 bits.")
        if _is_whole(source, field):
            if not value.is_integer():
                raise word.mistake(f"{field.name!r} is a whole number in its contract", "Write it without a fraction.")
            return int(number) if number.lstrip("+-").isdecimal() else int(value)
        return value + 0.0
    if field.type == "boolean" and word.text in ("true", "false"):
        return word.text == "true"
    if field.type == "boolean":
        raise word.mistake(f"{field.name!r} is true or false", "Write one of them; null for neither.")
    raise word.mistake(f"{field.name!r} is neither text, number nor truth in its contract", "A rule cannot read it.")


def _stored(source: Source, field: Field, value: Value) -> Value:
    """Numbers as the contract's type holds them."""
    if field.type != "number" or value is None or isinstance(value, str | bool):
        return value
    return int(value) if _is_whole(source, field) else float(value)


def _is_whole(source: Source, field: Field) -> bool:
    """Whether the contract's type is int or long."""
    node: Any = source.schema
    for name in field.path:
        record = next(t for t in _branches(node) if isinstance(t, Mapping) and "fields" in t)
        node = next(f["type"] for f in record["fields"] if f["name"] == name)
    kinds = {str(t.get("type") if isinstance(t, Mapping) else t) for t in _branches(node)}
    return not kinds & {"float", "double"}


def _branches(node: Any) -> list[Any]:
    return list(node) if isinstance(node, list) else [node]
