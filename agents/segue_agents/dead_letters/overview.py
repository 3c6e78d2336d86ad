"""What lies in the dead letters, in few lines."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from segue_agents.dead_letters.letter import RETRIED, Letter, Place


@dataclass(slots=True)
class Group:
    """Letters of one reason from one topic's partition."""

    reason: str
    topic: str
    partition: int
    letters: int
    retried: int
    """of these, sent again"""
    first_ms: int
    last_ms: int
    example: Place
    """the newest"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are looked at; '' is any."""

    reason: str = ""
    topic: str = ""

    def takes(self, letter: Letter) -> bool:
        """Marks are no letters."""
        return (letter.reason != RETRIED and (not self.reason or letter.reason == self.reason)
                and (not self.topic or letter.topic == self.topic))


def group(letters: Iterable[Letter], retried: Mapping[int, set[int]]) -> list[Group]:
    """By reason, topic and partition; the largest first. `retried`: partition -> offsets sent again."""
    found: dict[tuple[str, str, int], Group] = {}
    for letter in letters:
        key = (letter.reason, letter.topic, letter.partition)
        of = found.get(key)
        if of is None:
            of = found[key] = Group(*key, 0, 0, letter.at_ms, letter.at_ms, letter.place)
        of.letters += 1
        of.retried += was_retried(letter, retried)
        of.first_ms = min(of.first_ms, letter.at_ms)
        if letter.at_ms >= of.last_ms:
            of.last_ms, of.example = letter.at_ms, letter.place
    return sorted(found.values(), key=lambda g: (-g.letters, g.reason, g.topic, g.partition))


def newest(letters: Iterable[Letter], most: int) -> list[Letter]:
    """The newest first, at most so many."""
    return heapq.nlargest(most, letters, key=lambda letter: (letter.at_ms, letter.place))


def was_retried(letter: Letter, retried: Mapping[int, set[int]]) -> bool:
    """Whether it was sent again."""
    return letter.place.offset in retried.get(letter.place.partition, ())
