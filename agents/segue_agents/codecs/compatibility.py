"""What a reader's schema cannot read of what a writer's schema wrote: Avro's schema resolution, as a registry has it.

`BACKWARD` is this with the new schema as the reader and an old one as the writer. A registry only says yes or no before it
is asked to register, and a pull request may have none at hand; here is the same verdict in words, one for each value. The
tests ask a real registry and must hear the same.

Segue's own decoder takes more (`fitting`): an enum is text to it, and names of records do not matter. `lenient` is that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from segue.errors import ContractError

_PRIMITIVES: Final = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))
_TAKES: Final[Mapping[str, tuple[str, ...]]] = {
    "long": ("int",), "float": ("int", "long"), "double": ("int", "long", "float"), "string": ("bytes",),
    "bytes": ("string",),
}  # fmt: skip
"""the writers' kinds that a reader's kind takes beside its own"""
_TEXTS: Final = frozenset(("enum", "string", "bytes"))
_MISSING: Final = object()


@dataclass(slots=True)
class _Type:
    """One Avro type; a name stands for the very object, so that a schema may be recursive."""

    kind: str
    name: str = ""
    aliases: tuple[str, ...] = ()
    parts: list[_Type] = field(default_factory=list)
    """a union's branches, an array's items, a map's values"""
    fields: list[_Field] = field(default_factory=list)
    symbols: tuple[str, ...] = ()
    default: Any = _MISSING
    size: int = 0


@dataclass(slots=True)
class _Field:
    name: str
    aliases: tuple[str, ...]
    type: _Type
    default: Any


def misfits(reader: Any, writer: Any, *, lenient: bool = False) -> tuple[str, ...]:
    """A sentence for each value of the writer's that the reader's schema does not take; empty: it reads everything.

    Both as parsed JSON. `lenient`: as Segue's decoder reads. Raises ContractError for what is no Avro schema.
    """
    try:
        ours, theirs = _type(reader, "", {}), _type(writer, "", {})
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ContractError(f"It is no Avro schema: {type(error).__name__} {error}.") from error
    return tuple(dict.fromkeys(_Comparison(lenient).compare(ours, theirs, "")))


class _Comparison:
    def __init__(self, lenient: bool, begun: Iterable[tuple[int, int]] = ()) -> None:
        self._lenient = lenient
        self._begun = set(begun)
        """pairs of records under way or done: a recursive one ends there"""

    def compare(self, reader: _Type, writer: _Type, path: str) -> Iterator[str]:
        """What of the writer's type the reader's does not take."""
        if writer.kind == "union":
            for branch in writer.parts:
                yield from self.compare(reader, branch, path)
        elif reader.kind == "union":
            yield from self._any_branch(reader, writer, path)
        elif not self._same_kind(reader, writer):
            yield f"{path or 'the record'}: {_called(writer)} is written, {_called(reader)} is read"
        elif reader.kind == "record":
            yield from self._record(reader, writer, path)
        elif reader.kind in ("array", "map") and writer.kind == reader.kind:
            yield from self.compare(reader.parts[0], writer.parts[0], f"{path}[]")
        elif reader.kind == "enum" and not self._lenient and reader.default is _MISSING:
            lacking = [s for s in writer.symbols if s not in reader.symbols]
            if lacking:
                yield f"{path}: {', '.join(lacking)} may be written, and the enum that is read lacks it and has no default"

    def _same_kind(self, reader: _Type, writer: _Type) -> bool:
        if reader.kind != writer.kind:
            texts = self._lenient and {reader.kind, writer.kind} <= _TEXTS
            return texts or writer.kind in _TAKES.get(reader.kind, ())
        if not reader.name or (self._lenient and reader.kind != "fixed"):
            return True
        named = _short(reader.name) == _short(writer.name) or writer.name in reader.aliases
        return named and reader.size == writer.size

    def _any_branch(self, reader: _Type, writer: _Type, path: str) -> Iterator[str]:
        near: list[str] = []
        for branch in reader.parts:
            found = list(_Comparison(self._lenient, self._begun).compare(branch, writer, path))
            if not found:
                return
            if branch.kind == writer.kind:
                near = found
        yield from near or [f"{path}: {_called(writer)} is written, {_called(reader)} is read"]

    def _record(self, reader: _Type, writer: _Type, path: str) -> Iterator[str]:
        pair = (id(reader), id(writer))
        if pair in self._begun:
            return
        self._begun.add(pair)
        written = {f.name: f for f in writer.fields}
        for ours in reader.fields:
            name = f"{path}.{ours.name}" if path else ours.name
            theirs = next((written[n] for n in (ours.name, *ours.aliases) if n in written), None)
            if theirs is not None:
                yield from self.compare(ours.type, theirs.type, name)
            elif ours.default is _MISSING:
                yield f"{name}: is not written, and has no default when it is read"


def _type(schema: Any, space: str, named: dict[str, _Type]) -> _Type:
    if isinstance(schema, list):
        return _Type("union", parts=[_type(branch, space, named) for branch in schema])
    if isinstance(schema, str):
        return _Type(schema) if schema in _PRIMITIVES else named[_full(schema, space, named)]
    kind = schema["type"]
    if not isinstance(kind, str) or kind not in ("record", "error", "enum", "fixed", "array", "map"):
        return _type(kind, space, named)
    if kind in ("array", "map"):
        return _Type(kind, parts=[_type(schema["items" if kind == "array" else "values"], space, named)])
    name = schema["name"]
    space = name.rpartition(".")[0] or schema.get("namespace", space)
    full = name if "." in name or not space else f"{space}.{name}"
    aliases = tuple(a if "." in a or not space else f"{space}.{a}" for a in schema.get("aliases", ()))
    made = named[full] = _Type("record" if kind == "error" else kind, full, aliases, size=schema.get("size", 0),
                               symbols=tuple(schema.get("symbols", ())), default=schema.get("default", _MISSING))
    for one in schema["fields"] if made.kind == "record" else ():
        of = _type(one["type"], space, named)
        made.fields.append(_Field(one["name"], tuple(one.get("aliases", ())), of, one.get("default", _MISSING)))
    return made


def _full(name: str, space: str, named: Mapping[str, _Type]) -> str:
    return f"{space}.{name}" if space and f"{space}.{name}" in named else name


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _called(of: _Type) -> str:
    if of.kind == "union":
        return " or ".join(_called(part) for part in of.parts) or "nothing"
    return f"{of.kind} {of.name}" if of.name else of.kind
