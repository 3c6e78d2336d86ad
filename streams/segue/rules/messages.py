"""What a rule's author is told when a text cannot be read: never the parser's words, always a next step.

Three sources, tried in order: words of the language that come later (`LATER`), habits from other languages
and the usual slips (`_SLIPS`), and last the words the grammar would have accepted at that place.
"""

from __future__ import annotations

import re
from typing import Final

from lark import UnexpectedInput

SHOWN: Final = 60
"""characters of a rule's text quoted in a message"""

LATER: Final = {
    "sum": "Use 'count(...)', which counts events, with a filter on the field.",
    "avg": "Use 'count(...)' with a filter, as in count(order_completed where total > 100) >= 3.",
    "min": "Use 'did E where field < x', which is true when any event's field is below x.",
    "max": "Use 'did E where field > x', which is true when any event's field is above x.",
    "distinct": "Use 'count(...)', which counts events, not different values.",
    "first": "Use 'did E in the last D'.",
    "last": "Use 'did E where ...', or 'keep: last n E.field' in a feature.",
    "trait": "Use a filter on the fields of an event: 'did E where field = \"x\"'.",
    "score": "Use a filter on the fields of an event: 'did E where field > 0.8'.",
    "consents": "State the consent a segment needs with 'purpose:'.",
    "bucket": "Hold people out where the mails are sent.",
    "session": "Use 'in the last D', as in 'did E in the last 30 minutes'.",
    "since": "Use 'in the last D', as in 'did E in the last 30 days'.",
    "today": "Use 'in the last 24 hours'.",
    "this": "Use 'in the last D', as in 'did E in the last 7 days'.",
    "with": "Leave 'with the same ...' out: the rule then holds for any two events of a person.",
    "for": "Use 'A then no B within D'.",
    "between": "Use 'did E in the last 30 days and did not E in the last 7 days'.",
}
"""Words of later parts of the language, and what to use until then."""

_LATER_WINDOWS: Final = ("session", "today", "this", "since", "with", "for", "bucket", "consents")
_LATER_CALLS: Final = ("sum", "avg", "min", "max", "distinct", "first", "last", "bucket")

_SLIPS: Final = {
    "&&": "Write 'and'.",
    "&": "Write 'and'.",
    "||": "Write 'or'.",
    "|": "Write 'or'.",
    "!": "Write 'not'.",
    "==": "Write '='.",
    "<>": "Write '!='.",
    "≠": "Write '!='.",
    "≥": "Write '>='.",
    "≤": "Write '<='.",
    "'": 'Text stands in double quotes: "shoes".',
    "“": 'Use straight quotes: "shoes".',
    "”": 'Use straight quotes: "shoes".',
    "„": 'Use straight quotes: "shoes".',
    "\u2019": 'Use straight quotes: "shoes".',
    "null": "Write 'field is known' or 'field is not known'.",
    "none": "Write 'field is not known'.",
    "like": "Write 'contains' or 'starts with'.",
    "matches": "There are no regular expressions; write 'contains'.",
    "regex": "There are no regular expressions; write 'contains' or 'starts with'.",
    "~": "Write 'contains'.",
    "ends": "Only 'contains' and 'starts with' exist.",
    "has": "Write 'did', as in 'did product_viewed'.",
    "equals": "Write '='.",
    "previous": "Write 'last'.",
    "past": "Write 'last'.",
}

_SYMBOLS: Final = {
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "DOT": "'.'",
    "NUMBER": "a number",
    "OPERATOR": "a comparison (= != > >= < <=)",
    "$END": "the end",
    "AFTER": "'after entering'",
    "IS": "'is known'",
    "STARTS": "'starts with'",
    "SEEN": "'seen in the last ...'",
    "WITHIN": "'within ...'",
    "THEN": "'then no ...'",
    "RESTARTING": "'restarting on ...'",
}
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
    found = _TOKEN.match(text, at)
    word = found[0] if found and not found[0].isspace() else ""
    before = text[:at].rstrip()
    accepted = _accepted(error)
    return (
        _later(at, word, before, text)
        or _slip(at, word, before, accepted, start)
        or _event_slip(at, word, before, accepted)
        or _expected(at, word, before, accepted, start)
    )


def _accepted(error: UnexpectedInput) -> set[str]:
    parser = getattr(error, "interactive_parser", None)
    return set(parser.accepts()) if parser is not None else set()


def _last_word(before: str) -> tuple[int, str]:
    found = re.search(r"\w+$", before)
    return (found.start(), found[0]) if found else (len(before), "")


def _later(at: int, word: str, before: str, text: str) -> Unreadable | None:
    start, previous = _last_word(before)
    end = at + len(word)
    ago = re.search(r"\bago\b", text[at:])
    if word in _LATER_WINDOWS or (word == "between" and ago):
        return _not_yet(at, end, word)
    if word == "(" and previous in _LATER_CALLS:
        return _not_yet(start, at, previous)
    if word == "." and previous in ("trait", "score"):
        return _not_yet(start, at, previous)
    if previous in ("consents", "first") and word.isidentifier():
        return _not_yet(start, end if previous == "consents" else start + 5, previous)
    if previous == "then" and (word.isidentifier() or word.startswith('"')) and word != "no":
        return Unreadable(
            start,
            end,
            "not available yet: 'A then B'",
            "Use 'A then no B within D', or 'did A in the last D and did B in the last D'.",
        )
    return None


def _not_yet(start: int, end: int, word: str) -> Unreadable:
    return Unreadable(start, end, f"not available yet: {word!r}", LATER[word])


def _slip(at: int, word: str, before: str, accepted: set[str], rule: str) -> Unreadable | None:
    start, previous = _last_word(before)
    end = at + max(1, len(word))
    if word == '"':
        return Unreadable(at, at + 1, "this text has no closing quote", 'Close it with ".')
    if word == "=" and before[-1:] in ("=", "<", ">", "!"):
        return Unreadable(at - 1, end, f"{before[-1:] + word!r} is no comparison", "Write one of = != > >= < <=.")
    if {"STRING", "TRUE"} <= accepted and word.isidentifier() and word.lower() not in ("null", "none"):
        return Unreadable(at, end, f"{quoted(word)} is no value", f'Put text in quotes: "{word[:SHOWN]}".')
    if word in _SLIPS or word.lower() in _SLIPS:
        return Unreadable(
            at, end, f"{quoted(word)} is not a word of the rule language", _SLIPS.get(word) or _SLIPS[word.lower()]
        )
    if word != word.lower() and word.lower().upper() in accepted:
        return Unreadable(at, end, f"{quoted(word)} is written in lower case", f"Write {word.lower()!r}.")
    if word == "between" and "CONTAINS" in accepted:
        return Unreadable(
            at, end, "'between' compares counts only", f"Write '{previous[:SHOWN]} >= 3 and {previous[:SHOWN]} <= 5'."
        )
    if re.fullmatch(r"_[\d_]+", word) and previous.isdigit() and start + len(previous) == at:
        return Unreadable(
            start, end, f"{quoted(previous + word)} is not a number", f"Write {(previous + word).replace('_', '')}."
        )
    return _window_slip(at, word, before, accepted, rule)


def _window_slip(at: int, word: str, before: str, accepted: set[str], rule: str) -> Unreadable | None:
    end = at + max(1, len(word))
    if word == "last" and re.search(r"\bin the$", before):
        return Unreadable(
            len(before) - 6, end, "a window stands after the condition it is for", "Write 'did E in the last 7 days'."
        )
    if word == "last" and "THE" in accepted:
        return Unreadable(at, end, "'the' is missing before 'last'", "Write 'in the last 7 days'.")
    if accepted == {"NUMBER"} and before.endswith("last") and word.isidentifier():
        if rule == "keep":
            return Unreadable(at, end, "how many values to keep is missing", f"Write 'last 20 {word[:SHOWN]}...'.")
        return Unreadable(at, end, "a window needs a number", f"Write 'in the last 1 {word[:SHOWN]}'.")
    return None


def _event_slip(at: int, word: str, before: str, accepted: set[str]) -> Unreadable | None:
    """An event where a whole condition is needed, or a name of several words."""
    start, previous = _last_word(before)
    if "THEN" not in accepted and not re.search(r"\b(did|not)\s+\w+$", before):
        return None
    if "THEN" in accepted and "RPAR" not in accepted and (not word or word in ("and", "or", ")", "in")):
        event = previous[:SHOWN]
        return Unreadable(
            start - (not event),
            len(before),
            "an event alone is not a condition",
            f"Write 'did {event or 'E'}', or go on with 'then no ... within ...'; "
            "for either of two events write 'did (a or b)'.",
        )
    if word.isidentifier() and previous[:1].isupper():
        return Unreadable(
            start,
            at + len(word),
            "an event name of several words needs quotes or underscores",
            f"Write '{previous.lower()}_{word.lower()}' or '\"{previous} {word}\"'.",
        )
    return None


def _expected(at: int, word: str, before: str, accepted: set[str], start: str) -> Unreadable:
    _, previous = _last_word(before)
    names = {"in": "a segment's name", ".": "a field's name"}.get(previous or before[-1:], "a field's name")
    if {"STRING", "NAME"} <= accepted:
        names = "an event's name"
    shown = [
        names
        if t == "NAME"
        else "a text in quotes"
        if t == "STRING"
        else _SYMBOLS.get(t) or f"'{t.removeprefix('FILTER_').lower()}'"
        for t in sorted(accepted, key=_rank)
        if not (t == "STRING" and "NAME" in accepted)
    ]
    shown = list(dict.fromkeys(shown))
    hint = f"Expected {_listed(shown)}." if shown else "Nothing can follow here."
    if not word:
        end = max(1, len(before))
        return Unreadable(
            end - 1, end, f"the {_NAMED[start]} stops too early" if before else f"the {_NAMED[start]} is empty", hint
        )
    return Unreadable(at, at + len(word), f"{quoted(word)} does not fit here", hint)


def _rank(terminal: str) -> tuple[int, str]:
    return (_ORDER.index(terminal) if terminal in _ORDER else len(_ORDER) + (terminal == "$END"), terminal)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
