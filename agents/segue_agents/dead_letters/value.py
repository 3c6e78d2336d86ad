"""A letter's value for people: as bytes, and as what its schema makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import segue_schemas
from segue.errors import ContractError
from segue_agents.codecs.framing import HEADER
from segue_agents.codecs.nodes import read_schema
from segue_agents.codecs.registry import Registry, Unavailable
from segue_agents.codecs.rows import Undecodable, decode_row

_BYTES_A_LINE: Final = 16


def hex_dump(value: bytes, most: int) -> list[str]:
    """Lines of 16 bytes with their offset and what of them is ASCII; after `most` bytes, how many more there are."""
    lines = []
    for at in range(0, min(len(value), most), _BYTES_A_LINE):
        piece = value[at : min(at + _BYTES_A_LINE, most)]
        digits = f"{piece[:8].hex(' ')}  {piece[8:].hex(' ')}"
        lines.append(f"{at:08x}  {digits:49} |{''.join(chr(b) if 32 <= b < 127 else '.' for b in piece)}|")
    if len(value) > most:
        lines.append(f"... {len(value) - most:,} bytes more")
    return lines


def decode_value(value: bytes | None, topic: str, sources: Path | None, registry: Registry | None = None) -> dict[str, Any]:
    """By the schema its id names, in the registry or else of the topic's source; bytes as hex. Raises Undecodable."""
    if value is None:
        raise Undecodable("there is no value")
    if len(value) < HEADER or value[0] != 0:
        raise Undecodable("it does not begin as Avro in Confluent's framing does")
    named = int.from_bytes(value[1:HEADER], "big")
    schema = _declared(named, topic, sources) if registry is None else _registered(named, registry)
    try:
        decoded = decode_row(read_schema(schema), value[HEADER:])
    except ContractError as error:
        raise Undecodable(str(error)) from error
    return _plain(decoded)  # type: ignore[no-any-return]


def _declared(named: int, topic: str, sources: Path | None) -> Any:
    ids = segue_schemas.schema_ids(sources)
    for declaration in segue_schemas.load_declarations(sources):
        schema = declaration["schema"]
        if declaration.get("topic") == topic and ids.get(segue_schemas.full_name(schema)) == named:
            return schema
    raise Undecodable(f"no source of {topic} declares the schema id {named}")


def _registered(named: int, registry: Registry) -> Any:
    try:
        found = registry.fetch(named)
    except Unavailable as trouble:
        raise Undecodable(f"the schema registry does not answer: {trouble.says}") from trouble
    if found is None:
        raise Undecodable(f"{registry.url} has no schema of the id {named}")
    try:
        return json.loads(found.schema)
    except ValueError:
        raise Undecodable(f"the schema of the id {named} is {found.type}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value
