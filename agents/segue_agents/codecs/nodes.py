"""An Avro schema as a small tree, vetted before any byte is decoded with it.

A writer's schema is input from outside. Five kinds of schema turn a few bytes into a dead worker, and are refused when
they are fetched: recursion (kilobytes of nesting overflow any decoder's stack), nesting deeper than MAX_DEPTH, types
that name types that name types (a kilobyte of schema, a billion nodes), arrays whose items take no bytes (six bytes
then claim a billion items), and a fixed of less than no bytes (the reader would walk backwards).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from segue.errors import ContractError
from segue.limits import SCHEMA_NODES

MAX_DEPTH: Final = 16
"""nesting of records, unions, arrays and maps"""
LACKING: Final = object()
"""the default of a field that has none"""

_PRIMITIVE = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}


@dataclass(frozen=True, slots=True)
class Node:
    """One Avro type."""

    kind: str
    """null boolean int long float double bytes string enum fixed record union array map; in the tree of a writer that
    was fitted to a reader (`fitting`) also `given`, a field the writer lacks: it takes no bytes and has `default`"""
    children: tuple[Node, ...] = ()
    """a record's fields, a union's branches, the items of an array, the values of a map"""
    names: tuple[str, ...] = ()
    """a record's field names, an enum's symbols"""
    size: int = 0
    """bytes of a fixed"""
    logical: str = ""
    """Avro's logicalType, '' without one"""
    defaults: tuple[Any, ...] = ()
    """per field of a record its default, or LACKING"""
    aliases: tuple[tuple[str, ...], ...] = ()
    """per field of a record the other names it may have in a writer's schema"""
    becomes: str = ""
    """fitted only: the reader's kind that a value is turned into, or MISFIT; '' if it stays as it is"""
    default: Any = None
    """of `given`"""
    min_bytes: int = field(init=False)
    """the fewest bytes a value takes"""
    nodes: int = field(init=False)
    """in this tree, itself included"""
    depth: int = field(init=False)
    """1 for a scalar"""

    def __post_init__(self) -> None:
        """Raises ContractError for a tree that is too large or too deep."""
        if self.kind == "record":
            least = sum(c.min_bytes for c in self.children)
        else:
            least = self.size if self.kind == "fixed" else 0 if self.kind == "given" else _PRIMITIVE.get(self.kind, 1)
        object.__setattr__(self, "min_bytes", least)
        object.__setattr__(self, "nodes", 1 + sum(c.nodes for c in self.children))
        object.__setattr__(self, "depth", 1 + max((c.depth for c in self.children), default=0))
        if self.depth > MAX_DEPTH + 1:
            raise _too_deep()
        if self.nodes > SCHEMA_NODES:
            raise ContractError(f"The schema has more than {SCHEMA_NODES:,} fields and types, written out.",
                                "Types that name each other multiply: use fewer.")

    def child(self, name: str) -> Node | None:
        """A record's field."""
        return self.children[self.names.index(name)] if name in self.names else None


def read_schema(schema: Any) -> Node:
    """The tree of a parsed Avro schema. Raises ContractError for one that is malformed or unsafe to decode with."""
    try:
        return _node(schema, {}, "", 0)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ContractError(f"The schema is malformed: {type(e).__name__} at {str(e)[:40]}.", "Check the schema.") from None


def _too_deep() -> ContractError:
    return ContractError(f"The schema is nested deeper than {MAX_DEPTH}.", "Flatten it.")


def _node(schema: Any, named: dict[str, Node | None], space: str, depth: int) -> Node:
    if depth > 4 * MAX_DEPTH:  # only Python's stack is at stake here: wrappers without meaning count too
        raise _too_deep()
    if isinstance(schema, list):
        return Node("union", tuple(_node(s, named, space, depth + 1) for s in schema))
    if isinstance(schema, str):
        return Node(schema) if schema in _PRIMITIVE else _reference(schema, named, space)
    if not isinstance(schema, Mapping) or "type" not in schema:
        raise ContractError(f"{str(schema)[:80]!r} is not an Avro type.", "Check the schema.")
    kind = schema["type"]
    if isinstance(kind, str) and kind in ("record", "enum", "fixed"):
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


def _reference(name: str, named: Mapping[str, Node | None], space: str) -> Node:
    full = name if "." in name or not space else f"{space}.{name}"
    for key in (full, name):
        if key in named:
            node = named[key]
            if node is None:
                raise ContractError(f"The schema is recursive: {key} holds itself.", "Records must not nest so.")
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
        node = Node("fixed", size=int(schema["size"]))
        if not 0 <= node.size < 1 << 31:
            raise ContractError(f"The fixed {name} has {node.size} bytes.", "Give it a size of 0 to 2^31 - 1.")
    else:
        node = _record(schema["fields"], name, named, space, depth)
    named[name] = node
    return node


def _record(fields: Any, name: str, named: dict[str, Node | None], space: str, depth: int) -> Node:
    children = tuple(_node(f["type"], named, space, depth + 1) for f in fields)
    names = tuple(str(f["name"]) for f in fields)
    if len(set(names)) < len(names):
        raise ContractError(f"The record {name} has two fields of one name.", "Rename one.")
    return Node(
        "record", children, names,
        defaults=tuple(f.get("default", LACKING) for f in fields),
        aliases=tuple(tuple(str(a) for a in f.get("aliases", ())) for f in fields),
    )
