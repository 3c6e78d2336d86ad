"""An Avro schema as a small tree, vetted before any byte is decoded with it.

A writer's schema is input from outside. Four kinds of schema turn a few bytes into a dead worker, and are
refused when they are fetched: recursion (kilobytes of nesting overflow any decoder's stack), nesting deeper
than MAX_DEPTH, arrays whose items take no bytes (six bytes then claim a billion items), and a bomb of names (thirty
records, each of which names the one before it twice, are a billion fields when written out).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from segue.errors import ContractError
from segue.limits import EVENT_BYTES, WRITER_SCHEMA_NODES

MAX_DEPTH: Final = 16
"""nesting of records, unions, arrays and maps"""

_PRIMITIVE = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}


@dataclass(frozen=True, slots=True)
class Node:
    """One Avro type."""

    kind: str
    """null boolean int long float double bytes string enum fixed record union array map"""
    children: tuple[Node, ...] = ()
    """a record's fields, a union's branches, the items of an array, the values of a map"""
    names: tuple[str, ...] = ()
    """a record's field names, an enum's symbols"""
    size: int = 0
    """bytes of a fixed"""
    logical: str = ""
    """Avro's logicalType, '' without one"""
    min_bytes: int = field(init=False)
    """the fewest bytes a value takes"""
    levels: int = field(init=False)
    """of nesting below this one"""
    nodes: int = field(init=False)
    """in this tree, with all names written out"""

    def __post_init__(self) -> None:
        # worked out once, from the children's: a walk would take for ever over a bomb of names
        least = _PRIMITIVE.get(self.kind, 1)
        if self.kind in ("record", "fixed"):
            least = sum(c.min_bytes for c in self.children) if self.kind == "record" else self.size
        object.__setattr__(self, "min_bytes", least)
        object.__setattr__(self, "levels", max((1 + c.levels for c in self.children), default=0))
        object.__setattr__(self, "nodes", 1 + sum(c.nodes for c in self.children))

    def count(self) -> int:
        """Nodes in this tree."""
        return self.nodes

    def child(self, name: str) -> Node | None:
        """A record's field."""
        return self.children[self.names.index(name)] if name in self.names else None


def read_schema(schema: Any) -> Node:
    """The tree of a parsed Avro schema. Raises ContractError for one that is malformed or unsafe to decode with."""
    try:
        return _node(schema, {}, "", 0)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ContractError(f"The schema is malformed ({type(error).__name__}: {str(error)[:80]}).",
                            "Compare it with the Avro specification.") from None


def _node(schema: Any, named: dict[str, Node | None], space: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise ContractError(f"The schema is nested deeper than {MAX_DEPTH}.", "Flatten it.")
    if isinstance(schema, list):
        return Node("union", tuple(_node(s, named, space, depth + 1) for s in schema))
    if isinstance(schema, str):
        return Node(schema) if schema in _PRIMITIVE else _reference(schema, named, space, depth)
    if not isinstance(schema, Mapping) or "type" not in schema:
        raise ContractError(f"{str(schema)[:80]!r} is not an Avro type.", "Check the schema.")
    kind = schema["type"]
    if kind in ("record", "enum", "fixed"):
        return _named(schema, kind, named, space, depth)
    if kind == "array":
        items = _node(schema["items"], named, space, depth + 1)
        if items.min_bytes == 0:
            raise ContractError("An array's items take no bytes: a few bytes could claim a billion items.",
                                "Give the items a type that takes bytes.")
        return Node("array", (items,))
    if kind == "map":
        return Node("map", (_node(schema["values"], named, space, depth + 1),))
    if isinstance(kind, str) and kind in _PRIMITIVE:
        return Node(kind, logical=str(schema.get("logicalType", "")))
    return _node(kind, named, space, depth + 1)


def _reference(name: str, named: Mapping[str, Node | None], space: str, depth: int) -> Node:
    full = name if "." in name or not space else f"{space}.{name}"
    for key in (full, name):
        if key in named:
            node = named[key]
            if node is None:
                raise ContractError(f"The schema is recursive: {key} holds itself.", "Records must not nest so.")
            if depth + node.levels > MAX_DEPTH:
                raise ContractError(f"The schema is nested deeper than {MAX_DEPTH}.", "Flatten it.")
            return node
    raise ContractError(f"The schema names the unknown type {name!r}.", "Define it before it is used.")


def _named(schema: Mapping[str, Any], kind: str, named: dict[str, Node | None], space: str, depth: int) -> Node:
    name = str(schema["name"])
    if "." in name:
        space = name.rsplit(".", 1)[0]
    else:
        space = str(schema.get("namespace", space))
        name = f"{space}.{name}" if space else name
    named[name] = None
    if kind == "enum":
        node = Node("enum", names=tuple(str(s) for s in schema["symbols"]))
    elif kind == "fixed":
        node = Node("fixed", size=_fixed_size(name, schema["size"]))
    else:
        fields = schema["fields"]
        node = Node("record", tuple(_node(f["type"], named, space, depth + 1) for f in fields),
                    tuple(str(f["name"]) for f in fields))
    if node.nodes > WRITER_SCHEMA_NODES:
        raise ContractError(f"The schema has more than {WRITER_SCHEMA_NODES:,} fields and types with all names written out.",
                            "Make it smaller.")
    named[name] = node
    return node


def _fixed_size(name: str, size: Any) -> int:
    if not isinstance(size, int) or not 0 <= size <= EVENT_BYTES:
        raise ContractError(f"The fixed {name} has the size {str(size)[:20]}.", f"It is a number from 0 to {EVENT_BYTES}.")
    return size
