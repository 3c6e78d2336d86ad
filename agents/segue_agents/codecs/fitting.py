"""A writer's schema fitted to the source's own: Avro's schema resolution, for the fields that somebody reads.

The result is the writer's tree in the reader's names, with a note at each wanted value that has to change. Both
decoders walk that tree, the columns and the one for single records, so there is one place that knows these rules:

- a field is found by the reader's name for it, or else by one of the reader's aliases;
- int becomes long, long becomes float, float becomes double, and so on upwards; bytes become a string;
- a field the writer lacks takes the reader's default; without one it does not fit;
- a value whose type the reader's schema cannot take does not fit. That is said of the value and not of the schema, as a
  union may hold a type that fits beside one that does not.

Wider than Avro in two things: an enum is text, so enum and string take each other's values and a symbol that is new to
the reader is a text like any other; and records and enums need not have the same names. Fields that nobody reads are
skipped, whatever they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from segue_agents.codecs.nodes import LACKING, Node

Path = tuple[str, ...]

MISFIT: Final = "misfit"
"""what a value becomes that the reader's schema cannot take"""
_TAKEN: Final = {
    "int": ("long", "float", "double"), "long": ("float", "double"), "float": ("double",),
    "bytes": ("string",), "string": ("enum", "bytes"), "enum": ("string",),
}  # fmt: skip
"""the kinds that take a writer's value, nearest first"""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Stands for a value that the reader's schema cannot take."""

    what: str
    """the kind that was written, or `nothing`"""


def fitted(writer: Node, reader: Node, wanted: Iterable[Path]) -> Node:
    """The writer's tree, to be read with; paths in the reader's names. Other paths keep what the writer wrote."""
    return _fitted(writer, _branches(reader), set(wanted))


def at_path(value: Any, path: Path) -> Any:
    """A value inside nested dicts; None where one of them is not there."""
    for name in path:
        if not isinstance(value, dict):
            return value if isinstance(value, Misfit) else None
        value = value.get(name)
    return value


def kinds_at(reader: Node, path: Path) -> frozenset[str]:
    """Kinds the reader's schema has for a value; empty if it has no such field."""
    nodes = _branches(reader)
    for name in path:
        nodes = tuple(b for n in nodes if n.kind == "record" and (c := n.child(name)) is not None for b in _branches(c))
    return frozenset(n.kind for n in nodes)


def _branches(node: Node) -> tuple[Node, ...]:
    return node.children if node.kind == "union" else (node,)


def _fitted(node: Node, readers: tuple[Node, ...], wanted: set[Path]) -> Node:
    if not wanted:
        return node
    if node.kind == "union":
        return replace(node, children=tuple(_fitted(c, readers, wanted) for c in node.children))
    if node.kind == "record":
        reader = next((r for r in readers if r.kind == "record"), None)
        return replace(node, becomes=MISFIT) if reader is None else _record(node, reader, wanted)
    becomes = _becomes(node.kind, {r.kind for r in readers})
    return node if becomes == node.kind else replace(node, becomes=becomes)


def _becomes(kind: str, readers: set[str]) -> str:
    if kind in readers:
        return kind
    return next((taker for taker in _TAKEN.get(kind, ()) if taker in readers), MISFIT)


def _record(node: Node, reader: Node, wanted: set[Path]) -> Node:
    names = _names(node, reader)
    below = {name: {p[1:] for p in wanted if p[:1] == (name,)} for name in (p[0] for p in wanted if p)}
    children = [
        _fitted(child, _branches(known), below.get(name, set())) if (known := reader.child(name)) else child
        for name, child in zip(names, node.children, strict=True)
    ]
    for name in sorted(below.keys() - set(names)):
        default = reader.defaults[reader.names.index(name)] if name in reader.names else None
        names.append(name)
        given = Misfit("nothing") if default is LACKING else _with_defaults(default, reader, name)
        children.append(Node("given", default=given))
    return Node("record", tuple(children), tuple(names))


def _names(node: Node, reader: Node) -> list[str]:
    """The writer's fields in the reader's names."""
    called = {a: name for name, known in zip(reader.names, reader.aliases, strict=True)
              if name not in node.names for a in known}
    names: list[str] = []
    for name in node.names:
        ours = name if name in reader.names else called.get(name, name)
        names.append(name if ours in names else ours)
    return names


def _with_defaults(default: Any, reader: Node, name: str) -> Any:
    """A default as it reads: what a record's default leaves out is its fields' own defaults."""
    nodes = _branches(reader.children[reader.names.index(name)]) if name in reader.names else ()
    record = next((n for n in nodes if n.kind == "record"), None)
    if isinstance(default, dict) and record is not None:
        return {n: _with_defaults(default.get(n, d), record, n) for n, d in zip(record.names, record.defaults, strict=True)
                if n in default or d is not LACKING}
    if isinstance(default, int) and not isinstance(default, bool) and nodes and nodes[0].kind in ("float", "double"):
        return float(default)
    return default
