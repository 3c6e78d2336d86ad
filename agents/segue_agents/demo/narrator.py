"""Changes in words a marketer understands.

    16:04:12  ada  entered  behavior_cart_abandon  30 min after her last cart change; ends 16:04 on Dec 1 if nothing ...

The reason is read off the rule: what its condition says, or, when somebody leaves, what has stopped being so. The rule
and the cause decide the words; the narrator asks nobody for the person's state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from segue.rules.pretty import text_of, window_text
from segue.rules.tree import Absence, And, Condition, Count, Events, InSegment, Last, Not, Or, Segment, Window

NOUNS: Final[Mapping[frozenset[str], str]] = {
    frozenset({"product_viewed"}): "product view",
    frozenset({"product_added"}): "cart addition",
    frozenset({"product_removed"}): "cart removal",
    frozenset({"product_added", "product_removed"}): "cart change",
    frozenset({"checkout_started"}): "checkout",
    frozenset({"order_completed"}): "order",
    frozenset({"page"}): "page view",
    frozenset({"email_delivered"}): "delivered email",
    frozenset({"email_opened"}): "email open",
    frozenset({"email_link_clicked"}): "email click",
    frozenset({"email_opened", "email_link_clicked"}): "email open or click",
}
_UNITS: Final = (("day", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))
_VALUES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One change, in the columns it is printed in."""

    time: str
    person: str
    verb: str
    """entered, exited"""
    segment: str
    why: str

    def text(self, person_width: int = 0, segment_width: int = 0) -> str:
        """The line, with columns of these widths."""
        person, segment = self.person.ljust(person_width), self.segment.ljust(segment_width)
        return f"{self.time}  {person}  {self.verb.ljust(7)}  {segment}  {self.why}".rstrip()


class Narrator:
    """Knows the rules and the people; turns a change (the contract's field names, times in ms) into a Line."""

    def __init__(
        self, segments: Iterable[Segment], possessives: Mapping[str, str] | None = None, zone: tzinfo | None = None
    ) -> None:
        """`possessives`: person -> her, his. `zone`: the machine's own when None."""
        self._segments = {segment.name: segment for segment in segments}
        self._possessives = possessives or {}
        self._zone = zone

    @property
    def segment_width(self) -> int:
        """The longest name of a segment."""
        return max(map(len, self._segments), default=0)

    def line(self, change: Mapping[str, Any]) -> Line:
        """The change in words."""
        return Line(
            time=self._moment(change["at"]).strftime("%H:%M:%S"), person=str(change["person_id"]),
            verb=str(change["change"]), segment=str(change["segment"]), why=self._why(change),
        )  # fmt: skip

    def _why(self, change: Mapping[str, Any]) -> str:
        segment = self._segments.get(change["segment"])
        their = self._possessives.get(change["person_id"], "the")
        parts = []
        if segment is not None:
            parts.append(_reason(segment, change["change"] == "entered", change["cause"], their))
        if change["cause"] == "correction":
            parts.append("a late event corrected this")
        elif change["cause"] not in ("event", "timer"):
            parts.append(f"cause: {str(change['cause']).replace('_', ' ')}")
        if change["change"] == "entered" and change.get("expires_at") is not None:
            parts.append(f"ends {self._until(change['at'], change['expires_at'])} if nothing happens")
        if change["change"] == "entered" and segment is not None and segment.attach:
            parts += _brings(segment.attach[0], change.get("features") or {})
        return "; ".join(parts)

    def _moment(self, ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self._zone)

    def _until(self, at_ms: int, end_ms: int) -> str:
        at, end = self._moment(at_ms), self._moment(end_ms)
        same_day = at.date() == end.date()
        return f"{end:%H:%M}" if same_day else f"{end:%H:%M} on {end:%b} {end.day}"


def _brings(name: str, features: Mapping[str, Any]) -> list[str]:
    """The first feature that the segment attaches, newest value first: a line has room for one."""
    values = list(features.get(name) or ())[::-1]
    if not values:
        return []
    more = ", ..." if len(values) > _VALUES_SHOWN else ""
    return [f"{name.replace('_', ' ')}: {', '.join(map(str, values[:_VALUES_SHOWN]))}{more}"]


def _reason(segment: Segment, entered: bool, cause: str, their: str) -> str:
    if entered:
        condition = segment.enter if segment.when is None else segment.when
        assert condition is not None
        return describe(condition, their)
    if segment.when is not None:
        return _what_stopped(segment.when, cause, their)
    if cause == "timer" and segment.exit_after_ms is not None:
        return f"{duration(segment.exit_after_ms)} after entering"
    return "after " + " or ".join(_one(events) for events in segment.exit_events)


def describe(condition: Condition, their: str = "the") -> str:
    """A condition that holds, in words."""
    match condition:
        case Count():
            return _describe_count(condition)
        case Absence(first, _, within_ms, restarting_on):
            names = first.names + (restarting_on.names if restarting_on else ())
            return f"{duration(within_ms)} after {their} last {_noun(names)}"
        case InSegment(name):
            return f"in {name}"
        case Not(item):
            return denied(item, their)
        case And(items):
            return _join(items, " and ", their)
        case Or(items):
            return _join(items, " or ", their)
        case _:
            return text_of(condition)


def denied(condition: Condition, their: str = "the") -> str:
    """A condition that does not hold, in words."""
    match condition:
        case Count(events, ">=", n, _, window):
            what = f"no {_what(events)}" if n == 1 else f"fewer than {n} {_what(events, plural=True)}"
            return what + _window(window)
        case InSegment(name):
            return f"not in {name}"
        case Not(item):
            return describe(item, their)
        case And(items):
            return " or ".join(denied(item, their) for item in items)
        case Or(items):
            return " and ".join(denied(item, their) for item in items)
        case _:
            return f"not any more: {describe(condition, their)}"


def duration(ms: int) -> str:
    """604_800_000 -> '7 days', 1_800_000 -> '30 min'."""
    for unit, size in _UNITS:
        if ms % size == 0:
            n = ms // size
            return f"{n} {unit}{'s' if unit == 'day' and n != 1 else ''}"
    return f"{ms} ms"


def _join(items: Iterable[Condition], word: str, their: str) -> str:
    """`in a and b`, not `in a and in b`; a window they share once; brackets where a condition joins others itself."""
    said = [f"({describe(i, their)})" if isinstance(i, And | Or) else describe(i, their) for i in items]
    if all(text.startswith("in ") for text in said):
        return "in " + word.join(text.removeprefix("in ") for text in said)
    windows = {text.rpartition(" in the last ")[2] for text in said}
    if len(windows) == 1 and all(" in the last " in text and text[-1] != ")" for text in said):
        return word.join(text.rpartition(" in the last ")[0] for text in said) + " in the last " + windows.pop()
    return word.join(said)


def _what_stopped(when: Condition, cause: str, their: str) -> str:
    """Of several conditions only those that this cause can have ended: time ends a window, an event ends an absence."""
    if isinstance(when, And):
        ended_by_event = cause == "event"
        likely = [c for c in when.items if isinstance(c, Not) == ended_by_event or isinstance(c, InSegment)]
        if likely:
            return " or ".join(_ended(item, ended_by_event, their) for item in likely)
    return denied(when, their)


def _ended(condition: Condition, by_event: bool, their: str) -> str:
    match condition:
        case Not(Count(events, ">=", 1)) if by_event:
            return f"after {_one(events)}"
        case _:
            return denied(condition, their)


def _describe_count(count: Count) -> str:
    if count.op in (">=", ">"):
        n = count.n + (count.op == ">")
        return (_one(count.events) if n == 1 else f"{n} {_what(count.events, plural=True)}") + _window(count.window)
    words = {"=": "exactly", "!=": "other than", "<": "fewer than", "<=": "at most", "between": "between"}[count.op]
    number = f"{count.n} and {count.upper}" if count.op == "between" else str(count.n)
    return f"{words} {number} {_what(count.events, plural=True)}{_window(count.window)}"


def _window(window: Window | None) -> str:
    match window:
        case None:
            return ""
        case Last(ms):
            return f" in the last {duration(ms).removeprefix('1 ')}"
        case _:
            return f" {window_text(window)}"


def _one(events: Events) -> str:
    noun = _what(events)
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _what(events: Events, plural: bool = False) -> str:
    noun = _noun(events.names)
    if plural:
        noun = noun.replace(" or ", "s or ") + "s"
    return noun if events.where is None else f"{noun} that match"


def _noun(names: Iterable[str]) -> str:
    known = NOUNS.get(frozenset(names))
    return known or " or ".join(name.replace("_", " ") for name in names)
