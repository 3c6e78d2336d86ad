"""Conditions: leaves joined beside each place of a frame, their truths put together by AND, OR and NOT."""

from __future__ import annotations

from typing import Protocol

from sqlglot import exp

from segue.rules import tree
from segue.warehouse import leaves, patterns
from segue.warehouse.filters import compared
from segue.warehouse.frames import Frame
from segue.warehouse.leaves import Answer
from segue.warehouse.needs import condition_of
from segue.warehouse.statement import Statement
from segue.warehouse.terms import at_least, at_most, below, column, constant, equal, every, is_null, negated, rows_of, some


class Segments(Protocol):
    """What `in S` asks for."""

    def segment(self, name: str) -> tree.Segment:
        """By its name."""

    def members(self, name: str) -> str:
        """The relation of the people in it, as of the statement's instant."""

    def stays(self, name: str) -> str:
        """The relation of the stays in one of enter and exit: (person_id, enter_ms, enter_upto, exit_ms, exit_upto)."""


class Look:
    """One look from every place of a frame. Gather truths first, then `joined` gives the relation they stand over.

    `own`: from where leaves over a segment's own events look; `everything`: from where all else looks, which no exit
    resets. Both are one frame unless the segment has exits.
    """

    def __init__(self, statement: Statement, segments: Segments, own: Frame, everything: Frame) -> None:
        self.statement = statement
        self.segments = segments
        self.own = own
        self.everything = everything
        self._joins: dict[str, exp.Condition] = {}

    def joined(self) -> exp.Select:
        """The keys of the places, FROM them as `f` and all relations that the truths read."""
        query = self.own.from_self()
        for name, on in self._joins.items():
            query = query.join(rows_of(name, name), on=on, join_type="left")
        return query

    def truth(self, condition: tree.Condition, frame: Frame | None = None) -> exp.Condition:
        """Of two values. `frame`: from where leaves over events look; by default the segment's own."""
        frame = self.own if frame is None else frame
        match condition:
            case tree.And(items):
                return every(*(self.truth(i, frame) for i in items))
            case tree.Or(items):
                return some(*(self.truth(i, frame) for i in items))
            case tree.Not(item):
                return negated(self.truth(item, frame))
            case tree.InSegment(name):
                return self._in_segment(name)
            case tree.Bucket():
                return share_lies(condition)
        return self._leaf(condition, frame)

    def _leaf(self, leaf: tree.Condition, frame: Frame) -> exp.Condition:
        match leaf:
            case tree.Count():
                return self._take(leaves.count(self.statement, frame, leaf), frame)
            case tree.Aggregate():
                return self._take(leaves.aggregate(self.statement, frame, leaf), frame)
            case tree.Pick():
                return self._take(leaves.pick(self.statement, frame, leaf), frame)
            case tree.Sequence():
                return self._take(patterns.sequence(self.statement, frame, leaf), frame)
            case tree.Absence():
                return self._take(patterns.absence(self.statement, frame, leaf), frame)
        frame = self.everything
        match leaf:
            case tree.First():
                return self._take(leaves.first(self.statement, frame, leaf), frame)
            case tree.Trait():
                return self._take(leaves.trait(self.statement, frame, leaf), frame)
            case tree.Consents():
                return self._take(leaves.consents(self.statement, frame, leaf), frame)
        raise AssertionError(leaf)

    def _take(self, answer: Answer, frame: Frame) -> exp.Condition:
        self._joins[answer.name] = frame.matching(answer.name)
        if answer.mark is not None:
            self._joins[answer.mark] = frame.matching(answer.mark)
        return answer.truth

    def _in_segment(self, name: str) -> exp.Condition:
        segment = self.segments.segment(name)
        if not self.everything.steps:
            members = self.segments.members(name)
            self._joins[members] = self.everything.matching(members)
            return compared(column("person_id", members), "is known", ())
        if segment.when is not None:
            return self.truth(condition_of(segment, self.statement.catalog), self.everything)
        stays = self.segments.stays(name)
        same = equal(column("person_id", "f"), column("person_id", stays))
        stayed = some(is_null(column("exit_ms", stays)), negated(_reached(stays, "exit")))
        self._joins[stays] = every(same, _reached(stays, "enter"), stayed)
        return compared(column("person_id", stays), "is known", ())


def _reached(stays: str, end: str) -> exp.Condition:
    """Whether the place is at one end of the stay, or past it."""
    then, now = column(f"{end}_ms", stays), column("now_ms", "f")
    by_then = at_most(column(f"{end}_upto", stays), column("upto", "f"))
    return some(below(then, now), every(equal(then.copy(), now.copy()), by_then))


def share_lies(bucket: tree.Bucket) -> exp.Condition:
    """Of the person's place. The share is h * 100 / 2**32, so its bounds are bounds of h, and of h's eight hex digits."""
    salted = exp.DPipe(this=constant(bucket.salt + ":"), expression=column("person_id", "f"))
    digits = exp.Left(this=exp.MD5(this=salted), expression=constant(8))
    low, high = _least(bucket.low), _least(bucket.high)
    if high <= 0 or low >= 1 << 32:
        return exp.false()
    return every(
        at_least(digits, constant(f"{low:08x}")) if low > 0 else None,
        below(digits.copy(), constant(f"{high:08x}")) if high < 1 << 32 else None,
    )


def _least(share: float) -> int:
    """The least h whose share is not below this one."""
    numerator, denominator = share.as_integer_ratio()
    return -(-numerator * (1 << 32) // (denominator * 100))
