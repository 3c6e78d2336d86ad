"""A strict Avro decoder for one record: the judge of what the columns could not take, and of why.

Stricter than the libraries around it, which accept an enum or union index of -1, numbers without end and
trailing bytes: every length and count is checked against the bytes there are, a number has ten bytes at
most and fits its type, a boolean is 0 or 1, a string is UTF-8, and every byte is used. Stricter in what it
lets a record cost, too: arrays and maps hold EVENT_VALUES in all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from segue.limits import EVENT_VALUES
from segue.records import RejectReason
from segue_agents.codecs.fitting import Misfit
from segue_agents.codecs.nodes import Node


class Undecodable(ValueError):
    """Bytes that are no value of the schema; the message says where and why, never the payload."""

    reason: RejectReason = "undecodable"


class TooLarge(Undecodable):
    """They would take too long to read."""

    reason: RejectReason = "too_large"


def decode_row(node: Node, body: bytes) -> Any:
    """The value, without logical types applied. Of a fitted tree: as the reader's schema has it, with a Misfit for each
    value that it cannot take. Raises Undecodable.
    """
    row = _Row(body)
    value = row.value(node, "")
    if row.at != len(body):
        raise Undecodable(f"{len(body) - row.at} bytes are left over after the record")
    return value


class _Row:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.values_left = EVENT_VALUES

    def value(self, node: Node, where: str) -> Any:
        value = _READ[node.kind](self, node, where)
        return _become(value, node, where) if node.becomes else value

    def bytes(self, size: int, where: str) -> bytes:
        left = len(self.body) - self.at
        if not 0 <= size <= left:
            raise Undecodable(f"{where or 'the record'}: {size} bytes are claimed, {left} are there")
        self.at += size
        return self.body[self.at - size : self.at]

    def varint(self, where: str) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self.bytes(1, where)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if number >> 64:
                    break
                return (number >> 1) ^ -(number & 1)
        raise Undecodable(f"{where}: a number of more than 64 bits")

    def index(self, n: int, where: str, what: str) -> int:
        i = self.varint(where)
        if not 0 <= i < n:
            raise Undecodable(f"{where}: {what} {i} of {n}")
        return i

    def blocks(self, where: str, values: int, item: Callable[[], None]) -> None:
        """`values`: of each item."""
        while count := self.varint(where):
            if count < 0:
                count = -count
                self.varint(where)
            if count > len(self.body) - self.at:
                raise Undecodable(f"{where}: {count} items are claimed, {len(self.body) - self.at} bytes are there")
            self.values_left -= count * values
            if self.values_left < 0:
                raise TooLarge(f"{where}: with it, arrays and maps hold more than {EVENT_VALUES} values")
            for _ in range(count):
                item()


def _become(value: Any, node: Node, where: str) -> Any:
    """As the reader's schema has it."""
    match node.becomes:
        case "misfit":
            return Misfit(node.kind)
        case "double":
            return float(value)
        case "float":
            return float(np.float32(value))
        case "string" if node.kind == "bytes":
            try:
                return value.decode()
            except UnicodeDecodeError as e:
                raise Undecodable(f"{where}: not UTF-8 at its byte {e.start}") from None
    return value


def _boolean(row: _Row, _node: Node, where: str) -> bool:
    byte = row.bytes(1, where)[0]
    if byte > 1:
        raise Undecodable(f"{where}: a boolean of {byte}")
    return byte == 1


def _int(row: _Row, _node: Node, where: str) -> int:
    number = row.varint(where)
    if not -(1 << 31) <= number < 1 << 31:
        raise Undecodable(f"{where}: an int of more than 32 bits")
    return number


def _string(row: _Row, _node: Node, where: str) -> str:
    try:
        return row.bytes(row.varint(where), where).decode()
    except UnicodeDecodeError as e:
        raise Undecodable(f"{where}: not UTF-8 at its byte {e.start}") from None


def _record(row: _Row, node: Node, where: str) -> dict[str, Any]:
    prefix = f"{where}." if where else ""
    return {name: row.value(child, prefix + name) for name, child in zip(node.names, node.children, strict=True)}


def _array(row: _Row, node: Node, where: str) -> list[Any]:
    items: list[Any] = []
    row.blocks(where, node.children[0].nodes + 1, lambda: items.append(row.value(node.children[0], where)))
    return items


def _map(row: _Row, node: Node, where: str) -> dict[str, Any]:
    entries: dict[str, Any] = {}

    def entry() -> None:
        key = _string(row, node, where)
        entries[key] = row.value(node.children[0], where)

    row.blocks(where, node.children[0].nodes + 1, entry)
    return entries


_READ: dict[str, Callable[[_Row, Node, str], Any]] = {
    "null": lambda _row, _node, _where: None,
    "boolean": _boolean,
    "int": _int,
    "long": lambda row, _node, where: row.varint(where),
    "float": lambda row, _node, where: struct.unpack("<f", row.bytes(4, where))[0],
    "double": lambda row, _node, where: struct.unpack("<d", row.bytes(8, where))[0],
    "bytes": lambda row, _node, where: row.bytes(row.varint(where), where),
    "string": _string,
    "enum": lambda row, node, where: node.names[row.index(len(node.names), where, "symbol")],
    "fixed": lambda row, node, where: row.bytes(node.size, where),
    "record": _record,
    "union": lambda row, node, where: row.value(
        node.children[row.index(len(node.children), where, "branch")], where),
    "array": _array,
    "map": _map,
    "given": lambda _row, node, _where: node.default,
}
