"""A writer's schema held against the reader's, where rules read: Avro's schema resolution for single fields.

A field the writer lacks takes the reader's default; one it knows under an older name is found by the reader's aliases; one
of another type cannot be read, and with it the schema: a string where rules compare numbers must never reach a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.catalog import FieldType
from segue.errors import ContractError
from segue_agents.codecs.nodes import Node

_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"string", "enum"}),
    "number": frozenset({"int", "long", "float", "double"}),
    "boolean": frozenset({"boolean"}),
    "time": frozenset({"int", "long"}),
}


def writers_path(node: Node, schema: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """The reader's path in the writer's names. `schema` is the reader's; a step the writer lacks keeps its name."""
    if not path:
        return ()
    record = _record(node)
    field = next((f for f in _fields(schema) if f["name"] == path[0]), {})
    name = path[0]
    if record is not None and record.child(name) is None:
        taken = {f["name"] for f in _fields(schema)}
        old = (a for a in field.get("aliases", ()) if a not in taken and record.child(a) is not None)
        name = next(old, name)
    child = None if record is None else record.child(name)
    return (name, *(path[1:] if child is None else writers_path(child, field.get("type"), path[1:])))


def check_type(node: Node, path: tuple[str, ...], wanted: FieldType | str) -> None:
    """Raises ContractError unless every value the writer can put at the path, if any, is of the wanted type or null."""
    for found in _at(node, path):
        if found.kind != "null" and wanted in _KINDS and found.kind not in _KINDS[wanted]:
            raise ContractError(f"The writer's schema has a {found.kind} in {'.'.join(path)!r}, where a {wanted} is needed.",
                                "Give a field of another type another name.")


def _at(node: Node, path: tuple[str, ...]) -> list[Node]:
    branches = node.children if node.kind == "union" else (node,)
    if not path:
        return list(branches)
    children = [b.child(path[0]) for b in branches if b.kind == "record"]
    return [found for child in children if child is not None for found in _at(child, path[1:])]


def _record(node: Node) -> Node | None:
    branches = node.children if node.kind == "union" else (node,)
    return next((b for b in branches if b.kind == "record"), None)


def _fields(schema: Any) -> list[Mapping[str, Any]]:
    branches = schema if isinstance(schema, list) else [schema]
    return next((list(b["fields"]) for b in branches if isinstance(b, Mapping) and "fields" in b), [])
