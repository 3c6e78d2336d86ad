"""An explanation as a marketer reads it. All times are UTC; a time without a date is of the day that is asked about."""

from __future__ import annotations

from collections.abc import Iterator

from segue.engine.explain.values import Evidence, Explanation, Finding, LastChange, Membership, Seen
from segue.engine.explain.words import day_and_moment, moment, shown

_INDENT = "  "
_MARKS = {True: "yes", False: "no "}
_BELOW = " " * len(_MARKS[True]) + _INDENT
"""under the words of a condition"""


def text(explanation: Explanation) -> str:
    """The whole of it, lines joined; the last without an end. Nothing in it can move a terminal's cursor."""
    return "\n".join(map(_printable, _Words(explanation.at_ms).whole(explanation)))


class _Words:
    """Lines, as of one time."""

    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms
        self._shown: set[str] = set()

    def whole(self, x: Explanation) -> Iterator[str]:
        m = x.membership
        verb = "is in" if m.inside else "is not in"
        yield f"{x.person} {verb} {m.segment}, version {m.version}, as of {day_and_moment(x.at_ms)} UTC"
        if m.title:
            yield f"{_INDENT}{m.title}"
        if not x.known:
            yield f"{_INDENT}nothing is known of {x.person}"
        yield f"{_INDENT}{self._history(m)}"
        yield f"{_INDENT}{self._outlook(m)}"
        yield ""
        yield from self._rule(m)

    def _rule(self, m: Membership) -> Iterator[str]:
        self._shown.add(m.segment)
        if m.form == "when":
            yield from self._finding(m.condition)
        else:
            yield "enter"
            yield from _indented(self._finding(m.condition))
            yield "exit"
            for way in m.exits:
                yield _INDENT + way.text + ("" if way.at_ms is None else f": {self._moment(way.at_ms)}")
        for flag in m.flags:
            yield f"! {flag}"

    def _history(self, m: Membership) -> str:
        if m.last_change is None:
            return "never was in it"
        return f"{'in' if m.inside else 'out'} since {self._moment(m.last_change.at_ms)}{self._cause(m.last_change)}"

    def _cause(self, last: LastChange) -> str:
        event = "" if last.event is None else self._seen(last.event)
        match last.cause:
            case None:
                return ""
            case "event":
                return f" because of {event or 'an event'}"
            case "timer":
                return " because time passed"
            case "correction":
                taken_back = "" if last.revokes is None else ", which took the change before it back"
                return f" because of a late event, {event or 'unknown'}{taken_back}"
            case cause:
                return f" because of a {cause.replace('_', ' ')}"

    def _outlook(self, m: Membership) -> str:
        if m.until_ms is None:
            return f"{'stays in' if m.inside else 'stays out'} unless something happens"
        return f"{'leaves' if m.inside else 'enters'} {self._moment(m.until_ms)} if nothing happens"

    # --- conditions

    def _finding(self, f: Finding) -> Iterator[str]:
        mark = _MARKS[f.holds] + _INDENT
        if f.kind == "segment":
            yield mark + f.text
            yield from (_BELOW + line for line in self._segment(f))
        elif f.evidence is not None:
            yield mark + f.text
            yield _BELOW + "; ".join([f.evidence.says, *self._needs(f.evidence), *self._times(f)])
            yield from (_BELOW + line for line in self._events(f.evidence))
        else:
            times = "; ".join(self._times(f))
            yield f"{mark}{f.kind}{f' ({times})' if times else ''}"
            for item in f.items:
                yield from _indented(self._finding(item))

    def _segment(self, f: Finding) -> Iterator[str]:
        if f.segment is None:
            named = f.text.rpartition(" ")[2]
            yield "see above" if named in self._shown else f"for its conditions ask for {named} by itself"
            return
        m = f.segment
        yield f"version {m.version}; {self._history(m)}; {self._outlook(m)}"
        yield from self._rule(m)

    def _needs(self, evidence: Evidence) -> Iterator[str]:
        if evidence.needs:
            before = "" if evidence.before_ms is None else f" before {self._moment(evidence.before_ms)}"
            yield f"needs {evidence.needs}{before}"

    def _times(self, f: Finding) -> Iterator[str]:
        if f.since_ms is not None:
            yield f"so since {self._moment(f.since_ms)}"
        if f.until_ms is not None:
            yield f"{'until' if f.holds else 'becomes so at'} {self._moment(f.until_ms)}"

    def _events(self, evidence: Evidence) -> Iterator[str]:
        named = [e for e in evidence.events if e.event is not None]
        if named:
            times = [self._moment(e.at_ms) for e in named]
            width, name = max(map(len, times)), max(len(e.event or "") for e in named)
            for e, time in zip(named, times, strict=True):
                told = [time.ljust(width), (e.event or "").ljust(name), e.id or "", _value(e)]
                yield (_INDENT + _INDENT.join(part for part in told if part)).rstrip()
        elif len(evidence.events) > (evidence.at_ms is not None):
            yield _INDENT + ", ".join(self._moment(e.at_ms) for e in evidence.events)
        if evidence.more:
            yield f"{_INDENT}and {evidence.more:,} more"
        for flag in evidence.flags:
            yield f"! {flag}"

    def _seen(self, e: Seen) -> str:
        named = " ".join(part for part in (e.event, f"({e.id})" if e.id else "") if part)
        return f"{named} of {self._moment(e.at_ms)}"

    def _moment(self, ms: int) -> str:
        return moment(ms, self._at_ms)


def _value(e: Seen) -> str:
    return "" if e.value is None else shown(e.value)


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in line)


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (_INDENT + line for line in lines)
