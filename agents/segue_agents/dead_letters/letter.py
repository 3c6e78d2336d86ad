"""A record of the dead-letter topic: a letter, or a note about letters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

from segue.errors import ConfigError
from segue_agents.worker.dead_letters import FIRST, PREFIX, REASON

GAP: Final = "gap"
"""the reason of a note that records were gone before they were read, and that somebody accepted it"""
RETRIED: Final = "retried"
"""the reason of a mark: these letters were sent again"""
RETRIED_FROM: Final = "segue.retried-from"
"""the header of a record that was sent again: the topic, partition and offset of its letter"""
RETRIED_OFFSETS: Final = "segue.retried-offsets"
"""the header of a mark: the offsets of letters in its own partition, as in `3,7-12`"""

Headers = tuple[tuple[str, bytes | None], ...]


class Place(NamedTuple):
    """Where a letter lies in the dead-letter topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def of(cls, text: str) -> Self:
        """`3:1207`. Raises ConfigError."""
        partition, _, offset = text.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise ConfigError(f"{text!r} is no place of a dead letter.", "Write PARTITION:OFFSET, as in 3:1207.")
        return cls(int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Letter:
    """What was refused, and why."""

    place: Place
    at_ms: int
    """when it was written to the dead letters"""
    reason: str
    """a RejectReason, GAP or RETRIED; '' for a record that is not ours"""
    detail: str
    topic: str
    """it came from; '' for a mark"""
    partition: int
    offset: int
    """in that topic"""
    key: bytes | None
    value: bytes | None
    headers: Headers
    """its own, as they were"""
    notes: Headers
    """ours"""

    def note(self, name: str) -> str:
        """A header of ours as text; '' without it."""
        return next((_text(value) for header, value in self.notes if header == name), "")

    @property
    def is_record(self) -> bool:
        """Whether it is a record that was refused, which can be sent again; else a note of ours."""
        return bool(self.topic) and self.reason not in (GAP, RETRIED)


def letter_of(message: Any) -> Letter:
    """From a record of the dead-letter topic, whoever wrote it."""
    headers: list[tuple[str, bytes | None]] = message.headers() or []
    # our block is the last thing: a record that another application had refused may carry one of its own before it
    begins = max((i for i, header in enumerate(headers) if header == FIRST), default=None)
    if begins is None:
        begins = 0 if any(name == REASON for name, _ in headers) else len(headers)
    own, notes = tuple(headers[:begins]), tuple(headers[begins:])
    found = {name: _text(value) for name, value in notes}
    return Letter(
        Place(message.partition(), message.offset()), message.timestamp()[1], found.get(REASON, ""),
        found.get(f"{PREFIX}message", ""), found.get(f"{PREFIX}topic", ""), _number(found.get(f"{PREFIX}partition")),
        _number(found.get(f"{PREFIX}offset")), message.key(), message.value(), own, notes,
    )


def mark_headers(offsets: Iterable[int]) -> list[tuple[str, bytes]]:
    """Of the mark that letters of one partition were sent again."""
    return [(REASON, RETRIED.encode()), (RETRIED_OFFSETS, ranges(offsets).encode())]


def ranges(offsets: Iterable[int]) -> str:
    """{3, 7, 8, 9} -> `3,7-9`."""
    ordered = sorted(offsets)
    cuts = [0, *(i for i, (a, b) in enumerate(pairwise(ordered), 1) if b != a + 1), len(ordered)]
    runs = [(ordered[a], ordered[b - 1]) for a, b in pairwise(cuts) if a < b]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def offsets_in(text: str) -> Iterator[int]:
    """`3,7-9` -> 3, 7, 8, 9. Raises ValueError."""
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1
