"""Expected against what happened.

Changes are compared per person and segment, where they alternate: entered, exited, entered. So no case depends on the
order in which two segments change at one time. An expectation that has no change of its own time is shown together with
the change that probably was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from segue.catalog import snake_case
from segue.records import NEVER, Change
from segue.testing.cases import Arrives, Case, Changes, IsIn, Quiet
from segue.testing.telling import Teller, apart

Mark = Literal[" ", "-", "+"]


@dataclass(frozen=True, slots=True)
class Emitted:
    """A change, and at which place of the case it came out."""

    change: Change
    place: int


@dataclass(frozen=True, slots=True)
class Differs:
    """One thing that is not as expected."""

    line: int
    """of the file, 1-based: the expectation's, else that after which it happened"""
    expected: str
    """the line as written; empty for what nobody expected"""
    happened: str
    """in words; empty for what did not happen"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a transcript: ` ` as it should be, `-` expected and not so, `+` what happened."""

    mark: Mark
    number: int | None
    text: str


def compare(
    case: Case,
    order: Sequence[int],
    emitted: Sequence[Emitted],
    rejected: Mapping[int, str],
    afterwards: Sequence[Change],
    teller: Teller,
) -> tuple[tuple[Differs, ...], tuple[Row, ...]]:
    """(what differs, the transcript).

    `order`: line indexes in the order they were run; `rejected`: event -> why; `afterwards`: what would come after the
    last line if nothing more happened.
    """
    counted = [e for e in emitted if case.only is None or teller.segment(e.change) in case.only]
    found = _Found(case, teller)
    found.match(counted)
    found.check_membership(emitted)
    found.check_quiet(counted)
    found.check_late(order, rejected)
    found.rest(counted, order)
    found.look_ahead(afterwards)
    return found.result()


class _Found:
    """What is known about each line of a case."""

    def __init__(self, case: Case, teller: Teller) -> None:
        self.case = case
        self.teller = teller
        self.missed: dict[int, str] = {}
        """line index -> what happened instead, or nothing"""
        self.matched: dict[int, int] = {}
        """index of an emitted change -> index of the line that expects it"""
        self.extra: dict[int, list[str]] = {}
        """line index -> what happened after it and was not expected; -1: before the first"""
        self.later: dict[int, str] = {}
        """line index of what did not happen -> when it would have, after the case"""

    def match(self, emitted: Sequence[Emitted]) -> None:
        """Gives each expectation its change."""
        expected: dict[tuple[str, str], list[int]] = {}
        happened: dict[tuple[str, str], list[int]] = {}
        for i, line in enumerate(self.case.lines):
            if isinstance(line.says, Changes):
                expected.setdefault((line.says.person, line.says.segment), []).append(i)
        for k, e in enumerate(emitted):
            happened.setdefault((e.change.person.decode(), self.teller.segment(e.change)), []).append(k)
        for key, lines in expected.items():
            self._align(lines, happened.get(key, []), emitted)

    def _align(self, lines: list[int], changes: list[int], emitted: Sequence[Emitted]) -> None:
        """Exact pairs first, then between them those of one direction, in order."""
        pairs = _common([self._key(i) for i in lines], [_key(emitted[k].change) for k in changes])
        for a, b in pairs:
            i, change = lines[a], emitted[changes[b]].change
            self.matched[changes[b]] = i
            if not self._as_said(i, change):
                self.missed[i] = self.teller.change(change)
        for (a0, b0), (a1, b1) in pairwise([(-1, -1), *pairs, (len(lines), len(changes))]):
            left = [changes[b] for b in range(b0 + 1, b1)]
            for i in lines[a0 + 1 : a1]:
                k = next((k for k in left if emitted[k].change.entered == self._key(i)[0]), None)
                self.missed[i] = ""
                if k is not None:
                    left = left[left.index(k) + 1 :]
                    self.matched[k] = i
                    change = emitted[k].change
                    self.missed[i] = f"{self.teller.change(change)} ({apart(change.at_ms, self.case.lines[i].time_ms)})"

    def _key(self, i: int) -> tuple[bool, int]:
        says = self.case.lines[i].says
        assert isinstance(says, Changes)
        return says.entered, self.case.lines[i].time_ms

    def _as_said(self, i: int, change: Change) -> bool:
        """Whether reason and end are those that were stated, if any."""
        says = self.case.lines[i].says
        assert isinstance(says, Changes)
        if says.until_ms is not None and says.until_ms != (NEVER if change.expires_at_ms is None else change.expires_at_ms):
            return False
        if says.why is None:
            return True
        if says.why == "time":
            return change.cause == "timer"
        event = self.teller.event(change)
        late = change.cause == "correction"
        return event is not None and late == (says.why == "late event") and snake_case(event.name) == says.event

    def check_membership(self, emitted: Sequence[Emitted]) -> None:
        """Every `is in` and `is not in`."""
        for i, line in enumerate(self.case.lines):
            says = line.says
            if isinstance(says, IsIn):
                last = None
                for e in emitted:
                    mine = e.change.person.decode() == says.person and self.teller.segment(e.change) == says.segment
                    last = e.change if mine and e.place <= i else last
                if says.inside != (last is not None and last.entered):
                    self.missed[i] = self.teller.membership(says.person, says.segment, last)

    def check_quiet(self, emitted: Sequence[Emitted]) -> None:
        """Every `nobody changes`."""
        for i, line in enumerate(self.case.lines):
            if isinstance(line.says, Quiet):
                for k, e in enumerate(emitted):
                    expected = self.matched.get(k)
                    if e.place == i if expected is None else e.place <= i < expected:
                        self.missed[i] = self.teller.change(e.change)
                        self.matched.setdefault(k, i)
                        break

    def check_late(self, order: Sequence[int], rejected: Mapping[int, str]) -> None:
        """`too late` is what takes no part, and nothing else."""
        offset = 0
        for i in order:
            says = self.case.lines[i].says
            if isinstance(says, Arrives):
                if (why := rejected.get(offset)) is not None and says.lateness != "too late":
                    self.missed[i] = f"it took no part, it was too late: {why}"
                elif why is None and says.lateness == "too late":
                    self.missed[i] = "it took part: it was late, but not too late"
                offset += 1

    def rest(self, emitted: Sequence[Emitted], order: Sequence[int]) -> None:
        """What nobody expected, behind the line at which it happened."""
        for k, e in enumerate(emitted):
            if k not in self.matched:
                line = self.case.lines[order[e.place]]
                by_time_before = e.change.at_ms < line.time_ms or (
                    e.change.cause == "timer" and isinstance(line.says, Arrives)
                )
                after = e.place - by_time_before
                self.extra.setdefault(after, []).append(self.teller.change(e.change))

    def look_ahead(self, afterwards: Sequence[Change]) -> None:
        """Where nothing happened: whether it would have, had the case gone on."""
        for i, happened in self.missed.items():
            says = self.case.lines[i].says
            if isinstance(says, Changes) and not happened:
                meant = (says.person.encode(), says.segment)
                first = next((c for c in afterwards if (c.person, self.teller.segment(c)) == meant), None)
                if first is not None and first.entered == says.entered:
                    self.later[i] = f"not yet; if nothing more happens: {self.teller.change(first)}"

    def result(self) -> tuple[tuple[Differs, ...], tuple[Row, ...]]:
        """In the order of the lines."""
        differences: list[Differs] = []
        rows: list[Row] = []
        for i in range(-1, len(self.case.lines)):
            if i >= 0:
                line = self.case.lines[i]
                rows.append(Row("-" if i in self.missed else " ", line.number, line.text))
                if i in self.missed:
                    differences.append(Differs(line.number, line.text, self.missed[i]))
                    if told := self.missed[i] or self.later.get(i):
                        rows.append(Row("+", None, told))
            number = self.case.lines[max(i, 0)].number
            differences += [Differs(number, "", told) for told in self.extra.get(i, ())]
            rows += [Row("+", None, told) for told in self.extra.get(i, ())]
        return tuple(differences), tuple(rows)


def _key(change: Change) -> tuple[bool, int]:
    return change.entered, change.at_ms


def _common(a: Sequence[object], b: Sequence[object]) -> list[tuple[int, int]]:
    """Index pairs of a longest common subsequence."""
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            same = a[i] == b[j]
            best[i][j] = best[i + 1][j + 1] + 1 if same else max(best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs
