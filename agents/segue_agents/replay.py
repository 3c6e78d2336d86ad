"""The same engine over a file: no broker, no clock. One partition, so that the order of the lines is one order.

Lines are taken in runs whose times do not go back: such a run comes out of the merger as it came in. A line that goes
back starts a new run, after everything before it has been stepped over; so it is as late as it would have been live.
Nothing here asks for the time or for chance, and a change's `emitted_at` is the engine's: the same input gives the same
bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from segue.engine import Engine, Merger
from segue.errors import ConfigError
from segue.plan import Plan
from segue.records import Batch, Change, Step
from segue_agents.codecs.changes import change_as_dict
from segue_agents.codecs.segment_json import NoEvent, SegmentEvent, Tick, parse_line, to_columns

RUN_LINES: Final = 5_000
"""lines stepped over at once, at most: bounds memory"""
REJECTS_SHOWN: Final = 10

Log = Callable[[str], None]
"""told one line about the file, for a person"""


Watch = Callable[[Callable[[], float]], contextlib.AbstractContextManager[None]]
"""handed a function that says how far a file is read, 0 to 1, for as long as it is"""


@contextlib.contextmanager
def open_lines(path: Path, watch: Watch = lambda _share: contextlib.nullcontext()) -> Iterator[Iterable[bytes]]:
    """The lines of a file, of a .gz, or of standard input for `-`. Raises ConfigError when there are none to read.

    Nobody watches standard input, of which nobody knows the end.
    """
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        opened: IO[bytes] = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Name a file of JSON lines, or - .") from error
    size = max(1, path.stat().st_size)
    with opened, watch(lambda: min(1.0, opened.tell() / size)):
        if path.suffix != ".gz":
            yield opened
            return
        try:
            yield io.BufferedReader(gzip.GzipFile(fileobj=opened))
        except (gzip.BadGzipFile, EOFError) as error:
            raise ConfigError(f"{path} is no whole gzip file: {error}.", "Fetch it again.") from error


def replay_changes(
    plan: Plan, lines: Iterable[bytes], until_ms: int | None = None, log: Log = lambda _line: None
) -> Iterator[dict[str, Any]]:
    """Every change, in the order of its emission, under the contract's field names, times in ms.

    `until_ms`: let time pass until then after the last line.
    """
    run = Replay(plan, log)
    for change in run.changes(lines, until_ms):
        yield change_as_dict(plan, change, run.engine_time_ms)


def replay_members(
    plan: Plan, lines: Iterable[bytes], as_of_ms: int, log: Log = lambda _line: None
) -> Iterator[dict[str, Any]]:
    """Everybody who is in a segment as of a time, by name: {"person_id", "segments": {segment: since, ms}}.

    What the file says of later times is left out, so the answer is that of the history up to then.
    """
    inside: dict[bytes, dict[str, int]] = {}
    for change in Replay(plan, log, as_of_ms).changes(lines, as_of_ms):
        segments = inside.setdefault(change.person, {})
        name = plan.segments[change.segment].name
        if change.entered:
            segments[name] = change.at_ms
        else:
            segments.pop(name, None)
    for person in sorted(inside):
        if inside[person]:
            yield {"person_id": person.decode(), "segments": dict(sorted(inside[person].items()))}


class Replay:
    """One pass over a file."""

    def __init__(
        self, plan: Plan, log: Log, last_ms: int | None = None, engine: Engine | None = None, merger: Merger | None = None
    ) -> None:
        """`last_ms`: lines of later times take no part. `engine`, `merger`: the plan's own ones when None."""
        self._plan = plan
        self._log = log
        self._last_ms = last_ms
        self._merger = merger or Merger(plan.catalog, partition=0, clock="none")
        self._partition = (engine or Engine(plan)).partition(0)
        self._orders = [source.order for source in plan.catalog.sources]
        self._rejects: Counter[str] = Counter()
        self._duplicates = 0
        self.engine_time_ms = 0
        """of the batch whose changes are being handed out"""

    def changes(self, lines: Iterable[bytes], until_ms: int | None) -> Iterator[Change]:
        """Reads, steps, hands out; then lets time pass."""
        waiting: list[SegmentEvent] = []
        reached = (0, 0)
        for item in self._parsed(lines):
            if isinstance(item, Tick):
                yield from self._step(waiting)
                self._merger.tick(item.time_ms, item.line)
                waiting = []
                yield from self._step(waiting)
                continue
            place = (item.time_ms, self._orders[item.source])
            if place < reached or len(waiting) == RUN_LINES:
                yield from self._step(waiting)
                waiting = []
            waiting.append(item)
            reached = place
        yield from self._step(waiting)
        if until_ms is not None:
            self._merger.tick(until_ms, 0)
            yield from self._step([])
        self._report()

    def _parsed(self, lines: Iterable[bytes]) -> Iterator[SegmentEvent | Tick]:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                item = parse_line(line, self._plan.catalog, number)
            except NoEvent as error:
                self._reject(number, error.reason, str(error))
                continue
            if self._last_ms is None or item.time_ms <= self._last_ms:
                yield item

    def _step(self, events: list[SegmentEvent]) -> Iterator[Change]:
        for index, source in enumerate(self._plan.catalog.sources):
            mine = [event for event in events if event.source == index]
            if mine:
                self._merger.feed(index, to_columns(mine, source, self._plan.inputs[index]))
            self._merger.at_end(index)
        while (batch := self._merger.take(RUN_LINES)) is not None:
            for person in self._partition.missing(batch):
                self._partition.load(person, None)
            step = self._partition.step(batch)
            self.engine_time_ms = batch.engine_time_ms
            self._stepped(batch, step)
            self._duplicates += step.duplicates
            for rejected in (*batch.rejected, *step.rejected):
                self._reject(rejected.offset, rejected.reason, rejected.detail)
            yield from step.changes

    def _stepped(self, batch: Batch, step: Step) -> None:
        """A batch and what it brought about, for whoever listens."""

    def _reject(self, line: int, reason: str, detail: str) -> None:
        self._rejects[reason] += 1
        if self._rejects.total() <= REJECTS_SHOWN:
            self._log(f"line {line} took no part: {reason}: {detail}")

    def _report(self) -> None:
        if self._duplicates:
            self._log(f"{self._duplicates} lines were dropped as duplicates: their ids had been seen")
        if self._rejects:
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(self._rejects.items()))
            self._log(f"{self._rejects.total()} lines took no part: {reasons}")
