"""What people write instead of the language, and what they are told: one table, tried from the top.

A row fits where reading stopped: `at` matches the text from there, `before` the end of the text up to there
(blanks aside), `accepts` the words the grammar would have taken. The underline goes from the group `from` of
`before`, if it has one, to the end of `at`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SHOWN: Final = 60
"""characters of a rule's text quoted in a message"""

_LOOKED_AT: Final = 400
"""characters before the place: a text of 64 kB must not cost a pass for each of its words"""


@dataclass(frozen=True, slots=True)
class Slip:
    """One habit. `what` and `hint` may name groups of the patterns: `{x}`, `{x_lower}`, `{x_digits}`; `{it}` is `at`."""

    at: str
    what: str
    hint: str
    before: str = ""
    accepts: str = ""
    """terminals that must all be accepted; after `=` no others may be; with `!` in front one that must not be"""

    def match(self, text: str, at: int, accepted: set[str]) -> tuple[int, int, str, str] | None:
        """(start, end, what, hint) if it fits."""
        found = re.compile(self.at, re.DOTALL).match(text, at)
        if found is None or not self._accepts(accepted):
            return None
        groups = {"it": found[0], **found.groupdict()}
        start = at
        if self.before:
            tail = max(0, at - _LOOKED_AT)
            there = re.search(rf"(?:{self.before})\s*$", text[tail:at], re.DOTALL)
            if there is None:
                return None
            groups |= there.groupdict()
            if "from" in groups:
                start = tail + there.start("from")
        shown = {k: (v or "")[:SHOWN] for k, v in groups.items()}
        shown |= {f"{k}_lower": v.lower() for k, v in shown.items()}
        shown |= {f"{k}_digits": re.sub(r"\D", "", v) for k, v in shown.items()}
        end = found.end() if found[0] else len(text[:at].rstrip())
        return min(start, max(0, end - 1)), max(end, 1), self.what.format_map(shown), self.hint.format_map(shown)

    def _accepts(self, accepted: set[str]) -> bool:
        if self.accepts.startswith("="):
            return accepted == set(self.accepts[1:].split())
        words = self.accepts.split()
        return all(w in accepted for w in words if w[0] != "!") and not any(w[1:] in accepted for w in words if w[0] == "!")


_NEXT: Final = r"(?=$|(?:and|or)\b|\))"
"""the condition is over"""
_WORD: Final = "{it!r} is not a word of the rule language"
_STRAIGHT: Final = 'Use straight quotes: "shoes".'

_TEXTS: Final = (
    Slip(r'"(?!(?:\\.|[^"\\])*")', "this text has no closing quote", 'Close it with ".'),
    Slip("'", _WORD, 'Text stands in double quotes: "shoes".'),
    Slip("[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]", _WORD, _STRAIGHT),
    Slip(r"(?i:null|none|nil)\b", _WORD, "Write 'field is known' or 'field is not known'."),
    Slip(
        r"(?P<rest>_[\d_]+)",
        "'{from}{rest}' is not a number",
        "Write {from}{rest_digits}.",
        before=r"(?P<from>\d+)",
    ),
    Slip(
        r"-\d\d-\d\d\S*",
        "a date stands after 'since' only",
        "Write 'since {from}{it}', or 'between 7 days and 30 days ago'.",
        before=r"(?P<from>\d{4})",
    ),
    Slip("%", "'%' goes with 'bucket' only", "Write a number, as in 0.8."),
    Slip(r"(?P<n>-?\d[\d.]*)", "a bucket is compared with a share of all people", "Write {n}%.", accepts="=PERCENT"),
    Slip(
        r"\w+",
        "the salt of a bucket is a text",
        'Put it in quotes: bucket("{it}").',
        accepts="=STRING",
        before=r"bucket\s*\(",
    ),
    Slip(r"[A-Za-z]\w*", "{it!r} is no value", 'Put text in quotes: "{it}".', accepts="STRING TRUE"),
)

_COMPARISONS: Final = (
    Slip("=", "'{from}=' is no comparison", "Write one of = != > >= < <=.", before="(?P<from>[=<>!])"),
    Slip("==", _WORD, "Write '='."),
    Slip("&&?", _WORD, "Write 'and'."),
    Slip(r"\|\|?", _WORD, "Write 'or'."),
    Slip("!=?", _WORD, "Write 'not', or '!=' behind a field."),
    Slip("<>|≠", _WORD, "Write '!='."),
    Slip("≥", _WORD, "Write '>='."),
    Slip("≤", _WORD, "Write '<='."),
    Slip("~", _WORD, "Write 'contains'."),
    Slip(r"(?:equals|is)\b", _WORD, "Write '='.", accepts="!IS"),
    Slip(r"(?i:like)\b", _WORD, "Write 'contains' or 'starts with'."),
    Slip(r"(?i:matches|regex|regexp)\b", _WORD, "There are no regular expressions; write 'contains'."),
    Slip(r"ends\b", _WORD, "Only 'contains' and 'starts with' exist."),
    Slip(
        r"between\b",
        "'between' compares counts, aggregates and buckets",
        "Write '{f} >= 3 and {f} <= 5'.",
        before=r"(?<![.\w])(?P<f>(?:(?:trait|score)\s*\.\s*)?\w+)",
        accepts="CONTAINS",
    ),
    Slip(
        r"between\b",
        "'between' compares counts, aggregates and buckets",
        "Write it twice, with '>= 3' and with '<= 5', joined by 'and'.",
        accepts="CONTAINS",
    ),
    Slip(
        r"in\b(?!\s*\()|since\b|today\b|this\b|ever\b",
        "a trait has no window",
        "Write 'for 7 days' for 'so without a break since then', or leave it out.",
        before=r"(?:trait|score)\s*\.\s*\w+\s+[^()]*?",
        accepts="FOR",
    ),
    Slip(r"for\b", "'for' goes with traits and scores only", "Write 'in the last 7 days'.", accepts="EVER"),
    Slip(r"for\b", "'for' goes with traits and scores only", "Leave it out.", accepts="!FOR"),
)

_CALLS: Final = (
    Slip(
        r"(?P<e>\w+)(?P<f>(?:\s*\.\s*\w+)?)",
        "'{from}' needs brackets",
        "Write '{from}({e}{f}) > 100'.",
        before=r"\b(?P<from>sum|avg|min|max|distinct)",
        accepts="=LPAR",
    ),
    Slip(r"(?P<e>\w+)", "'count' needs brackets", "Write 'count({e}) >= 3'.", before=r"\b(?P<from>count)", accepts="=LPAR"),
    Slip(
        r"(?P<e>\w+)",
        "'last' picks a field of the newest event",
        "Write 'last({e}).field = ...', or 'did {e} in the last 7 days'.",
        before=r"\b(?P<from>last)",
        accepts="=LPAR",
    ),
    Slip(
        r"\)|where\b",
        "'{fn}' needs a field",
        "Write '{fn}({e}.field)', a filter behind the field.",
        before=r"\b(?P<fn>sum|avg|min|max|distinct)\s*\(\s*(?P<e>\w+)",
    ),
    Slip(
        r"or\b",
        "several events need brackets of their own",
        "Write '{fn}(({e} or ...).field)'.",
        before=r"\b(?P<fn>sum|avg|min|max|distinct)\s*\(\s*(?P<e>\w+)",
    ),
    Slip(
        r"\.\s*(?P<f>\w*)",
        "the field of '{fn}' stands behind the bracket",
        "Write '{fn}({e}).{f}'.",
        before=r"\b(?P<fn>last|first)\s*\(\s*(?P<e>\w+)",
    ),
    Slip(
        r"\.\s*(?P<f>\w*)",
        "'count' counts events",
        "'distinct({e}.{f})' counts different values, 'sum({e}.{f})' adds them up.",
        before=r"\bcount\s*\(\s*(?P<e>\w+)",
    ),
    Slip(_NEXT, "'last' needs a field", "Write 'last(E).field = ...'.", before=r"\blast\s*\(.*\)", accepts="=DOT"),
    Slip(r"[=<>!]+", "'last' needs a field", "Write 'last(E).field = ...'.", before=r"\blast\s*\(.*\)", accepts="=DOT"),
    Slip(
        r"[=<>!]+",
        "'first' needs a field to compare",
        "Write 'first(E).field = ...'.",
        before=r"\bfirst\s*\(.*\)",
        accepts="DOT",
    ),
    Slip(r"\w+", "'{from}' takes a dot", "Write '{from}.{it}'.", before=r"\b(?P<from>trait|score)", accepts="=DOT"),
    Slip(
        r"\w+",
        "'to' is missing behind 'consents'",
        "Write 'consents to {it}'.",
        before=r"\b(?P<from>consents)",
        accepts="=TO",
    ),
    Slip(
        r"[=<>]+|between\b", "a bucket needs a salt", "Write 'bucket(\"a word\") < 10%'.", before="bucket", accepts="=LPAR"
    ),
    Slip(
        r"\(",
        "one pair of brackets is enough",
        "Write '{fn}(a or b where ...)'.",
        before=r"\b(?P<fn>count|last|first)\s*\(",
    ),
    Slip(
        r"\.\s*(?P<f>\w*)",
        "what is known about a person is a trait",
        "Write 'trait.{f}'.",
        before=r"(?i:\b(?P<from>traits?|users?|customers?|persons?|people|profiles?|scores?))",
        accepts="THEN !RPAR",
    ),
    Slip(r"to\b", _WORD, "Write 'consents to ...'.", before=r"\bconsent"),
    Slip(
        r"\.\s*\w+",
        "a field is compared in a filter or of one event",
        "Write 'did {from} where field = ...', 'last({from}).field = ...' or 'trait.field = ...'.",
        before=r"(?P<from>\w+)",
        accepts="THEN !RPAR",
    ),
)

_WINDOWS: Final = (
    Slip(
        r"last\b",
        "a window stands after the condition it is for",
        "Write 'did E in the last 7 days'.",
        before=r"(?P<from>in\s+the)",
        accepts="!LAST",
    ),
    Slip(
        r"the\b",
        "a window stands after the condition it is for",
        "Write 'did E in the last 7 days'.",
        before=r"(?P<from>in)",
        accepts="!THE",
    ),
    Slip(r"last\b", "'the' is missing before 'last'", "Write 'in the last 7 days'.", accepts="THE"),
    Slip(r"session\b", "'the' is missing before 'session'", "Write 'in the session with gap 30 minutes'.", accepts="THE"),
    Slip(
        r"(?:this|today)\b",
        "'{it}' stands without 'in'",
        "Write 'this week' or 'today'.",
        before=r"\b(?P<from>in)",
        accepts="THE",
    ),
    Slip(r"(?:previous|past)\b", _WORD, "Write 'last'."),
    Slip(
        r"[A-Za-z]\w*", "a window needs a number", "Write 'in the last 1 {it}'.", before=r"\bthe\s+last", accepts="=NUMBER"
    ),
    Slip(
        r"[A-Za-z]\w*",
        "how many values to keep is missing",
        "Write 'last 20 {it}...'.",
        before=r"^\s*last",
        accepts="=NUMBER",
    ),
    Slip(
        r"(?:within|over|during|inside)\b(?:\s+the\s+last\b)?",
        "{it!r} is no window",
        "Write 'in the last 7 days'.",
        accepts="EVER",
    ),
    Slip(
        r"\d+\s*(?:\w+\s+)?ago\b",
        "one time alone is no window",
        "Write 'in the last 7 days' for since then, 'between 7 days and 8 days ago' for that day.",
        accepts="EVER",
    ),
    Slip(
        r"(?P<unit>\w+)(?:\s+ago)?\b",
        "a date or an event stands after 'since'",
        "Write 'in the last {from} {unit}'.",
        before=r"\bsince\s+(?P<from>\d+)",
    ),
    Slip(r"ago\b", "'ago' stands once, at the end", "Write 'between 7 days and 30 days ago'.", accepts="AND"),
    Slip(
        r"$|\S+",
        "'ago' is missing",
        "Write 'between 7 days and 30 days ago'.",
        before=r"\bbetween\s+\S+\s+\w+\s+and\s+\S+\s+\w+",
        accepts="AGO",
    ),
    Slip(r"yesterday\b", _WORD, "Write 'between 1 day and 2 days ago', or 'today in Europe/Paris'."),
    Slip(
        r"\w+",
        "only days and weeks of the calendar are windows",
        "Write 'this week', or 'in the last 30 days'.",
        accepts="=WEEK",
    ),
    Slip(r"$", "'this' what?", "Write 'this week', or 'today'.", accepts="=WEEK"),
    Slip(r"[A-Z]\w+(?:/\w+)*", "'in' is missing before the time zone", "Write 'today in {it}'.", before=r"\b(?:today|week)"),
    Slip('"', "a time zone takes no quotes", "Write 'today in Europe/Paris'.", accepts="=ZONE"),
    Slip(r"[+-]?\d\S*", "a time zone is a place", "Write its name, as in Europe/Paris, or UTC.", accepts="=ZONE"),
    Slip(
        r"$|\w+",
        "a session needs the gap that ends it",
        "Write 'in the session with gap 30 minutes'.",
        before=r"\bsession(?:\s+with)?",
    ),
    Slip(
        r"$|\S+",
        "how long a gap ends the session is missing",
        "Write 'with gap 30 minutes'.",
        before=r"\bgap",
        accepts="=NUMBER",
    ),
    Slip(
        r"(?:in\s+the|since|between|today|this)\b",
        "there is no place for a window here",
        "A condition has one window; traits, 'in <segment>', 'consents to' and 'bucket' have none.",
        accepts="AND $END !EVER",
    ),
)

_PATTERNS: Final = (
    Slip(r"then\b", "a pattern begins with its event, without 'did'", "Write '{e} then ...'.", before=r"\bdid\s+(?P<e>\w+)"),
    Slip(
        r"then\b",
        "a pattern has two events",
        "Write two patterns joined by 'and': 'A then B within 3 days and B then C within 3 days'.",
        accepts="WITHIN",
    ),
    Slip(
        r"\w+",
        "a pattern of what did not follow is written 'then no'",
        "Write 'then no {it}'.",
        before=r"\bthen\s+(?P<from>not)",
        accepts="WITHIN",
    ),
    Slip(
        r"restarting\b",
        "'restarting on' goes with 'then no' only",
        "Leave it out: 'A then B' has no clock that could start again.",
        accepts="!RESTARTING",
    ),
    Slip(
        r"(?=$|(?:and|or|in|since|with)\b|\))",
        "a pattern needs a time",
        "Add 'within 3 days' behind the second event.",
        accepts="WITHIN",
    ),
    Slip(r"followed\b", _WORD, "Write 'A then B within 3 days'."),
    Slip(
        r"(?:before|after|until)\b",
        "{it!r} is no window",
        "Write 'A then B within 3 days', or 'did B since A'.",
        accepts="EVER",
    ),
    Slip(r"same\b", "'the' is missing before 'same'", "Write 'with the same product_id'.", before=r"\b(?P<from>with)"),
    Slip(
        r",?\s*with\b",
        "'with the same ...' stands before 'restarting on ...'",
        "Write 'within D with the same f, restarting on R'.",
        before=r"\brestarting\s+on\b.*",
        accepts="EVER",
    ),
    Slip(
        r",?\s*with\b",
        "'with the same ...' goes with two events, one 'then' the other",
        "Write 'A then B within 3 days with the same f'.",
        accepts="EVER !WITH",
    ),
)

_EVENTS: Final = (
    Slip(
        r"(?:at|exactly|more|less|fewer)\b|\d+\s+times?\b",
        "how often is said with 'count'",
        "Write 'count(E) >= 3'.",
        accepts="EVER",
    ),
    Slip(r"has\b", _WORD, "Write 'did', as in 'did product_viewed'."),
    Slip(
        r"(?=$|(?:and|or|in)\b|\))",
        "an event alone is not a condition",
        "Write 'did {from}', or go on with 'then ... within 3 days'; for either of two events write 'did (a or b)'.",
        before=r"(?P<from>\w+)",
        accepts="THEN !RPAR",
    ),
    Slip(
        r"(?=$|(?:and|or|in)\b|\))",
        "an event alone is not a condition",
        "Write 'did E', or go on with 'then ... within 3 days'; for either of two events write 'did (a or b)'.",
        before=r"(?P<from>.)",
        accepts="THEN !RPAR",
    ),
    Slip(
        r"[A-Za-z]\w*",
        "an event name of several words needs quotes or underscores",
        "Write '{from_lower}_{it_lower}' or '\"{from} {it}\"'.",
        before=r"\b(?:did|not|no|then|first|since|on)\s+(?P<from>[A-Z]\w*)",
    ),
    Slip(
        r"[A-Za-z]\w*",
        "an event name of several words needs quotes or underscores",
        "Write '{from_lower}_{it_lower}' or '\"{from} {it}\"'.",
        before=r"\b(?P<from>[A-Z]\w*)",
        accepts="THEN",
    ),
)

SLIPS: Final = (*_TEXTS, *_CALLS, *_COMPARISONS, *_WINDOWS, *_PATTERNS, *_EVENTS)
