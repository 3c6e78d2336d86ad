"""Truths beyond 64 as they are stored: MessagePack's integers end there, so a longer one goes as bytes.

Which of the two it is shows in the value, so states of few and of many rules can stand side by side.
"""

from __future__ import annotations

from typing import Any

from segue.plan.layout import SETTLED

State = list[Any]


def packed(bits: int) -> int | bytes:
    """Truths as MessagePack can hold them."""
    return bits if bits < 1 << 64 else bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def unpacked(bits: int | bytes) -> int:
    """Truths as they were packed."""
    return bits if isinstance(bits, int) else int.from_bytes(bits, "little")


def packed_settled(settled: list[Any] | None) -> list[Any] | None:
    """The settled folds, their truths packed."""
    return settled if settled is None or settled[0] < 1 << 64 else [packed(settled[0]), *settled[1:]]


def unpack_settled(state: State) -> None:
    """The truths of a loaded state's settled folds as a number again."""
    if state[SETTLED] is not None:
        state[SETTLED][0] = unpacked(state[SETTLED][0])
