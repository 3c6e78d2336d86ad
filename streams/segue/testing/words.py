"""A line of a case file as words with their places, so that every mistake can be underlined."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_WORD = re.compile(r'#.*|(?:[^\s"=#][^\s"=]*=)?"(?:\\.|[^"\\])*"?|\S+')
_SHOWN = 12


class Mistake(Exception):
    """Something wrong at characters `start` to `end` of the file."""

    def __init__(self, start: int, end: int, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.start, self.end, self.what, self.hint = start, end, what, hint


@dataclass(frozen=True, slots=True)
class Word:
    """Characters of the file without a blank among them, unless in quotes."""

    text: str
    start: int
    """in the file, 0-based"""

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.start + len(self.text)

    @property
    def quoted(self) -> bool:
        """Whether it stands in quotes as a whole."""
        return self.text.startswith('"')

    @property
    def value(self) -> str:
        """The word without its quotes. Raises Mistake for quotes that do not close."""
        if not self.quoted:
            return self.text
        try:
            return str(json.loads(self.text, strict=False))
        except ValueError:
            raise self.mistake("this quote is not closed, or a \\ in it escapes nothing", 'Write "..." .') from None

    def pair(self) -> tuple[Word, Word] | None:
        """`price=9.5` as its two words; None for a word that is no pair."""
        at = -1 if self.quoted else self.text.find("=")
        if at < 0:
            return None
        return Word(self.text[:at], self.start), Word(self.text[at + 1 :], self.start + at + 1)

    def mistake(self, what: str, hint: str = "") -> Mistake:
        """About this word."""
        return Mistake(self.start, self.end, what, hint)


def words(text: str, start: int) -> list[Word]:
    """The words of a line that begins at character `start` of the file, without its comment."""
    return list(_words(text, start))


def _words(text: str, start: int) -> Iterator[Word]:
    for found in _WORD.finditer(text):
        if found[0].startswith("#"):
            return
        yield Word(found[0], start + found.start())


def about(several: list[Word], what: str, hint: str = "") -> Mistake:
    """About these words, of which there is at least one."""
    return Mistake(several[0].start, several[-1].end, what, hint)


def did_you_mean(word: str, known: Iterable[str], kind: str) -> str:
    """`Did you mean 'price'?`, or which there are."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"{kind} are {listed(names)}." if names else f"There are no {kind.lower()}."


def listed(names: list[str]) -> str:
    """Names for a hint, not too many."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
