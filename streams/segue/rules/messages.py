"""What a rule's author is told when a text cannot be read: never the parser's words, always a next step.

Two sources, tried in order: habits from other languages and the usual slips (slips.py), and last the words the
grammar would have accepted at that place.
"""

from __future__ import annotations

import re
from typing import Final

from lark import UnexpectedInput

from segue.rules.slips import SHOWN, SLIPS

_SYMBOLS: Final = {
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "DOT": "'.'",
    "NUMBER": "a number",
    "PERCENT": "a share such as 10%",
    "DATE": "a date",
    "ZONE": "a time zone",
    "OPERATOR": "a comparison (= != > >= < <=)",
    "$END": "the end",
    "AFTER": "'after entering'",
    "IS": "'is known'",
    "STARTS": "'starts with'",
    "SEEN": "'seen in the last ...'",
    "WITHIN": "'within ...'",
    "THEN": "'then ...'",
    "RESTARTING": "'restarting on ...'",
    "WITH": "'with the same ...'",
    "FOR": "'for 7 days'",
}
_WHOLE: Final = (
    (
        frozenset({"DID", "COUNT", "SUM", "FIRST", "LAST", "TRAIT", "CONSENTS", "BUCKET", "IN", "NAME", "STRING"})
        | {"AVG", "MIN", "MAX", "DISTINCT", "SCORE"},
        "a condition such as 'did E'",
    ),
    (frozenset({"IN", "BETWEEN", "SINCE", "TODAY", "THIS", "EVER"}), "a window such as 'in the last 7 days'"),
)
"""sets of terminals that are one thing to the author"""
_NAMES: Final = (
    (r"\b(?:trait|score)\s*\.", "the name of a {0}"),
    (r"\bconsents\s+to", "a purpose"),
    (r"\bin", "a segment's name"),
)
"""what a name is for, by what stands before it"""
_ORDER: Final = ("DID", "COUNT", "NAME", "STRING", "NUMBER", "OPERATOR")
_NAMED: Final = {"condition": "condition", "exit": "exit", "keep": "feature", "universe": "universe"}
_TOKEN = re.compile(r'\w+|"(?:\\.|[^"\\])*"|&&|\|\||[=<>!]+|.', re.DOTALL)


class Unreadable(Exception):
    """A text that is no sentence of the language: characters `start` to `end`, what is wrong, what to do."""

    def __init__(self, start: int, end: int, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.start = start
        self.end = end
        self.what = what
        self.hint = hint


def quoted(text: str) -> str:
    """Text of a rule as it may stand in a message: quoted, one line, not long, no control characters."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def explain(error: UnexpectedInput, text: str, start: str) -> Unreadable:
    """lark's error in the author's words. `start` is the grammar's start rule."""
    at: int | None = error.pos_in_stream
    ended = getattr(getattr(error, "token", None), "type", "") == "$END"
    if ended or at is None or not 0 <= at < len(text):
        at = len(text)
    accepted = _accepted(error)
    for slip in SLIPS:
        found = slip.match(text, at, accepted)
        if found is not None:
            return Unreadable(*found)
    return _expected(at, text, accepted, start)


def _accepted(error: UnexpectedInput) -> set[str]:
    parser = getattr(error, "interactive_parser", None)
    return set(parser.accepts()) if parser is not None else set()


def _expected(at: int, text: str, accepted: set[str], start: str) -> Unreadable:
    found = _TOKEN.match(text, at)
    word = found[0] if found and not found[0].isspace() else ""
    before = text[:at].rstrip()
    shown = _described(accepted, before)
    hint = f"Expected {_listed(shown)}." if shown else "Nothing can follow here."
    if not word:
        end = max(1, len(before))
        return Unreadable(
            end - 1, end, f"the {_NAMED[start]} stops too early" if before else f"the {_NAMED[start]} is empty", hint
        )
    if word.lower() != word and word.lower().upper() in accepted:
        return Unreadable(at, at + len(word), f"{quoted(word)} is written in lower case", f"Write {word.lower()!r}.")
    return Unreadable(at, at + len(word), f"{quoted(word)} does not fit here", hint)


def _described(accepted: set[str], before: str) -> list[str]:
    """What may follow, in words, the most likely first."""
    shown = []
    for terminals, words in _WHOLE:
        if terminals <= accepted:
            accepted = accepted - terminals
            shown.append(words)
    for terminal in sorted(accepted, key=_rank):
        if terminal == "NAME":
            shown.append(_name(before, "an event's name" if "STRING" in accepted else "a field's name"))
        elif terminal != "STRING" or "NAME" not in accepted:
            quoted_text = "a text in quotes" if terminal == "STRING" else None
            shown.append(quoted_text or _SYMBOLS.get(terminal) or f"'{terminal.removeprefix('FILTER_').lower()}'")
    return list(dict.fromkeys(shown))


def _name(before: str, otherwise: str) -> str:
    for pattern, words in _NAMES:
        found = re.search(rf"(?:{pattern})$", before)
        if found:
            return words.format(found[0].rstrip(" ."))
    return "a unit" if before[-1:].isdigit() else otherwise


def _rank(terminal: str) -> tuple[int, str]:
    return (_ORDER.index(terminal) if terminal in _ORDER else len(_ORDER) + (terminal == "$END"), terminal)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
