"""From a writer's schema to Python that reads all its records at once, field by field.

The source is made from schema nodes and numbers only; no text of a schema reaches it but in comments, and those
lose all that is not a plain name. `Projection.code` can be printed; for two fields of the reference workload it is

    def read(v, out, c0, e0, r0):
        # event_id: string
        s1, c0 = v.text(c0, e0, r0)
        # price: union
        b2, c0 = v.index(c0, r0, 2)
        m3 = flatnonzero(b2 == 1)
        if m3.size:
            c3, e3, r3 = c0[m3], e0[m3], r0[m3]
            # price: double
            v.no_text(c3, r3, 8)
            out[2].put(r3, 3, v.double(c3))
            c3 = c3 + 8
            c0[m3] = c3
        return c0

c: cursors, e: ends of the records, r: their rows in the batch, out: the columns that are wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segue.records import Int64s
from segue_agents.codecs.fitting import MISFIT, Misfit, Path, at_path
from segue_agents.codecs.framing import Frame
from segue_agents.codecs.nodes import Node
from segue_agents.codecs.vectors import Vectors

NULL, TEXT, INT, FLOAT, BOOL, SYMBOL, OBJECT, UNFIT = range(8)
"""what a row of a Column holds"""

ReadColumns = Callable[[Vectors, "Sequence[Column]", Int64s, Int64s, Int64s], Int64s]

_SCALARS: Final = {"null", "boolean", "int", "long", "float", "double", "string", "enum"}
_WRITTEN: Final = ("nothing", *sorted(_SCALARS), "array", "bytes", "fixed", "map", "record")
"""what can stand where it does not fit; a column holds indexes"""


class Column:
    """One wanted value of every row of a batch, typed row by row because a union may change its type."""

    __slots__ = ("a", "b", "objects", "tag")

    def __init__(self, rows: int) -> None:
        self.tag: npt.NDArray[np.int8] = np.zeros(rows, np.int8)
        self.a: Int64s = np.zeros(rows, np.int64)
        """TEXT: start. INT, BOOL: the number. FLOAT: its bits. SYMBOL: index. OBJECT: index into objects. UNFIT: what"""
        self.b: Int64s = np.zeros(rows, np.int64)
        """TEXT: end"""
        self.objects: list[Any] = []

    def put(self, rows: Int64s, tag: int, a: Int64s, b: Int64s | None = None) -> None:
        """Values of some rows, ascending."""
        if len(rows) == len(self.tag):
            self.tag.fill(tag)
            self.a = a
            if b is not None:
                self.b = b
            return
        self.tag[rows] = tag
        self.a[rows] = a
        if b is not None:
            self.b[rows] = b

    def put_given(self, rows: Int64s, value: Any) -> None:
        """One value for all these rows: a default."""
        if isinstance(value, Misfit):
            self.put_unfit(rows, value.what)
        elif value is not None:
            self.tag[rows] = OBJECT
            self.a[rows] = len(self.objects)
            self.objects.append(value)

    def put_object(self, row: int, value: Any) -> None:
        """A value that was decoded alone."""
        if isinstance(value, Misfit):
            self.tag[row] = UNFIT
            self.a[row] = _WRITTEN.index(value.what)
            return
        self.tag[row] = OBJECT
        self.a[row] = len(self.objects)
        self.objects.append(value)

    def put_unfit(self, rows: Int64s, what: str) -> None:
        """Something was written that the reader's schema cannot take."""
        self.tag[rows] = UNFIT
        self.a[rows] = _WRITTEN.index(what)

    def unfit(self, row: int) -> str:
        """What was written instead, in words; after UNFIT only."""
        return _WRITTEN[int(self.a[row])]

    def values(self, at: Int64s, frame: Frame, symbols: Sequence[str]) -> list[Any]:
        """Python values of the rows `at`, which are good."""
        tags = self.tag[at]
        present = np.flatnonzero(np.bincount(tags, minlength=1)).tolist()
        if len(present) == 1:
            return self._one_type(present[0], at, frame, symbols)
        out = np.full(len(at), None, object)
        for tag in present:
            if tag != NULL:
                where = np.flatnonzero(tags == tag)
                out[where] = np.array([*self._one_type(tag, at[where], frame, symbols), None], object)[:-1]
        return list(out.tolist())

    def _one_type(self, tag: int, at: Int64s, frame: Frame, symbols: Sequence[str]) -> list[Any]:
        if tag == NULL:
            return [None] * len(at)
        a = self.a[at]
        if tag == TEXT:
            return frame.strings(a, self.b[at])
        if tag in (FLOAT, INT, BOOL):
            # + 0.0: minus zero is zero
            numbers: npt.NDArray[Any] = a if tag == INT else a != 0 if tag == BOOL else a.view(np.float64) + 0.0
            return list(numbers.tolist())
        values = symbols if tag == SYMBOL else self.objects
        return [values[i] for i in a.tolist()]


@dataclass(frozen=True, slots=True)
class Projection:
    """How records of one writer's schema become columns."""

    node: Node
    code: str
    read: ReadColumns | None
    """None: a wanted value is no scalar, and every record goes to the row decoder"""


def project(node: Node, wanted: Mapping[Path, int], symbols: list[str]) -> Projection:
    """Generate the reader of a writer's schema, fitted. Column `wanted[path]` gets the value at path.

    Symbols of wanted enums are appended to `symbols`, and their columns hold indexes into it.
    """
    writer = _Writer(symbols)
    if writer.value(node, dict(wanted), 0, "") is False:
        return Projection(node, "", None)
    code = "\n".join(["def read(v, out, c0, e0, r0):", *writer.lines, "    return c0", ""])
    namespace: dict[str, Any] = {"flatnonzero": np.flatnonzero, "given": writer.given}
    exec(compile(code, "<columns>", "exec"), namespace)
    return Projection(node, code, namespace["read"])


class _Writer:
    """Writes the lines. `i` is the number of the block: 0 the whole batch, others the rows of one union branch."""

    def __init__(self, symbols: list[str]) -> None:
        self.lines: list[str] = []
        self.symbols = symbols
        self.given: list[Any] = []
        self.names = 0
        self.depth = 1

    def line(self, i: int, text: str) -> None:
        self.lines.append("    " * self.depth + text.replace("@", str(i)))

    def fresh(self) -> int:
        self.names += 1
        return self.names

    def value(self, node: Node, wanted: dict[Path, int], i: int, where: str) -> bool:
        """Lines that read one value of every row of block i. False: a wanted value cannot be a column."""
        if node.kind == "given":
            return self.default(node, wanted, i, where)
        if node.becomes == MISFIT:
            for unfit in sorted(wanted.values()):
                self.line(i, f"out[{unfit}].put_unfit(r@, {node.kind!r})")
            wanted = {}
        column = wanted.get(())
        if node.kind in _SCALARS or node.becomes == "string":
            if node.kind != "null":
                self.line(i, f"# {_plain(where)}: {node.kind}")
                self.scalar(node, column, i)
            return True
        if node.kind == "union":
            return self.union(node, wanted, i, where)
        if column is not None:
            return False
        if node.kind == "record":
            return all(
                self.value(child, {p[1:]: c for p, c in wanted.items() if p[:1] == (name,)}, i, f"{where} {name}")
                for name, child in zip(node.names, node.children, strict=True)
            )
        self.line(i, f"# {_plain(where)}: {node.kind}")
        if node.kind == "bytes":
            self.line(i, "c@ = v.blob(c@, e@, r@)")
        elif node.kind == "fixed":
            self.line(i, f"c@ = v.fixed(c@, e@, r@, {node.size})")
        else:
            self.items(node, i, where)
        return True

    def default(self, node: Node, wanted: Mapping[Path, int], i: int, where: str) -> bool:
        self.line(i, f"# {_plain(where)}: not written")
        for path, column in wanted.items():
            self.line(i, f"out[{column}].put_given(r@, given[{len(self.given)}])")
            self.given.append(at_path(node.default, path))
        return True

    def scalar(self, node: Node, column: int | None, i: int) -> None:
        put = "" if column is None else f"out[{column}].put(r@, "
        n = self.fresh()
        if node.kind in ("string", "bytes"):
            self.line(i, f"s{n}, c@ = v.text(c@, e@, r@)")
            self.put(i, put, f"{TEXT}, s{n}, c@")
        elif node.kind in ("int", "long"):
            self.line(i, f"n{n}, c@ = v.{'int32' if node.kind == 'int' else 'varint'}(c@, r@)")
            wider = f"{FLOAT}, v.{node.becomes}_of(n{n})" if node.becomes in ("float", "double") else f"{INT}, n{n}"
            self.put(i, put, wider)
        elif node.kind == "boolean":
            self.line(i, f"n{n}, c@ = v.boolean(c@, r@)")
            self.put(i, put, f"{BOOL}, n{n}")
        elif node.kind == "enum":
            self.line(i, f"n{n}, c@ = v.index(c@, r@, {len(node.names)})")
            if put:
                self.put(i, put, f"{SYMBOL}, n{n} + {len(self.symbols)}")
                self.symbols += node.names
        else:
            size = 4 if node.kind == "float" else 8
            self.line(i, f"v.no_text(c@, r@, {size})")
            self.put(i, put, f"{FLOAT}, v.{node.kind}(c@)")
            self.line(i, f"c@ = c@ + {size}")

    def put(self, i: int, put: str, arguments: str) -> None:
        if put:
            self.line(i, f"{put}{arguments})")

    def union(self, node: Node, wanted: dict[Path, int], i: int, where: str) -> bool:
        n = self.fresh()
        self.line(i, f"# {_plain(where)}: union")
        self.line(i, f"b{n}, c@ = v.index(c@, r@, {len(node.children)})")
        for branch, child in enumerate(node.children):
            if child.kind == "null" and not child.becomes:
                continue
            m = self.fresh()
            self.line(i, f"m{m} = flatnonzero(b{n} == {branch})")
            self.line(i, f"if m{m}.size:")
            self.depth += 1
            self.line(i, f"c{m}, e{m}, r{m} = c@[m{m}], e@[m{m}], r@[m{m}]")
            if not self.value(child, wanted, m, where):
                return False
            self.line(i, f"c@[m{m}] = c{m}")
            self.depth -= 1
        return True

    def items(self, node: Node, i: int, where: str) -> None:
        m = self.fresh()
        self.line(i, f"def item{m}(c{m}, e{m}, r{m}):")
        self.depth += 1
        if node.kind == "map":
            self.line(m, "s@, c@ = v.text(c@, e@, r@)")
        self.value(node.children[0], {}, m, f"{where} item")
        self.line(m, "return c@")
        self.depth -= 1
        self.line(i, f"c@ = v.items(c@, e@, r@, item{m}, {node.children[0].nodes + 1})")


def _plain(where: str) -> str:
    return re.sub(r"[^A-Za-z0-9_ ]", "?", where).strip().replace(" ", ".") or "value"
