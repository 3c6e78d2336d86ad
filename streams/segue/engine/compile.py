"""From a plan to its functions: the generated source compiled, and the cold ones written by hand.

Only text from `generate` is executed, in a namespace that holds its constants and nothing of the builtins it
does not use.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from typing import Any

from segue.engine import expiry, generate
from segue.plan.layout import BITS, DUE, JUMPS, Plan
from segue.records import NEVER, Change

State = list[Any]


class Program:
    """A plan's generated functions, and what they call when a segment flips."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.source, constants = generate.generate(plan)
        self.folding_kinds = frozenset(k.number for k in plan.kinds if generate.feeds_folds(plan, k))
        namespace: dict[str, Any] = {f"c{i}": value for i, value in enumerate(constants)}
        namespace |= {
            "NEVER": NEVER,
            "bisect_right": bisect_right,
            "emit": self._emit,
            "__builtins__": {"len": len},
        }
        exec(compile(self.source, "<generated step>", "exec"), namespace)  # only generate's own words
        self.run = namespace["run"]
        self.advance = namespace["advance"]
        self.insert = namespace["insert"]
        self.settle_bits = namespace["settle_bits"]
        self.flip = namespace["flip"]
        self.next_due = namespace["next_due"]
        self._windows = [expiry.expires_by_windows(plan, i) for i in range(len(plan.segments))]
        self._by_clock_only = [expiry.exits_by_clock_only(plan, i) for i in range(len(plan.segments))]
        self._list_slots = [s.slot + j for s in plan.streams for j in range(1 + len(s.values))]
        self._never_slots = [*plan.pattern_slots.values(), *plan.since_slots.values()]

    def blank(self) -> State:
        """The state of a person nothing is known of."""
        state: State = [None] * self.plan.n_slots
        state[:6] = [NEVER, 0, NEVER, {}, [], None]
        for slot in self._list_slots:
            state[slot] = []
        for slot in self._never_slots:
            state[slot] = NEVER
        return state

    def next_due_with(self, state: State, bits: int) -> int:
        """When the state changes by itself, were its bits these."""
        kept, state[BITS] = state[BITS], bits
        due: int = self.next_due(state)
        state[BITS] = kept
        return due

    def _emit(
        self, s: State, person: bytes, t: int, bits: int, flipped: int, cause: str, r: Any, out: list[Any]
    ) -> None:
        """One change for each segment bit that flipped."""
        row, late_ms = r if cause == "correction" else (r, None)
        while flipped:
            low = flipped & -flipped
            flipped ^= low
            segment = low.bit_length() - 1
            entered = bool(bits & low)
            sequence, last_at = s[JUMPS].get(segment, (0, 0))
            revokes = None
            if late_ms is not None and sequence and late_ms <= last_at:
                revokes = self.change_id(person, segment, not entered, last_at, sequence)
            s[JUMPS][segment] = (sequence + 1, t)
            out.append(
                (
                    person,
                    segment,
                    entered,
                    t,
                    cause,
                    row,
                    sequence + 1,
                    revokes,
                    self.expires(s, segment, entered, t),
                    self._attached(s, segment, t),
                )
            )

    def expires(self, s: State, segment: int, entered: bool, t: int) -> int | None:
        """When the segment flips by time alone if nothing more happens; None: never."""
        windows = self._windows[segment]
        if windows is not None:
            if not entered:
                return None
            ends = [s[self.plan.streams[w.stream].slot][-w.n] + w.window_ms for w in windows if w.window_ms is not None]
            return min(ends, default=None)
        if self._by_clock_only[segment]:
            after = self.plan.segments[segment].exit_after_ms
            return t + after if entered and after is not None else None
        return self._simulate(s, segment)

    def _simulate(self, s: State, segment: int) -> int | None:
        """Let time pass on a copy until the segment flips."""
        bit = self.plan.segment_bit(segment)
        copy: State = [list(x) if isinstance(x, list) else x for x in s]
        before = copy[BITS]
        while (t := self.next_due(copy)) < NEVER:
            self.advance(copy, b"", t, _arm_copy, None)
            if (copy[BITS] ^ before) & bit:
                return int(t)
        return None

    def _attached(self, s: State, segment: int, t: int) -> dict[str, list[str]] | None:
        names = self.plan.segments[segment].attach
        if not names:
            return None
        return {name: self.feature(s, name, t) for name in names}

    def feature(self, s: State, name: str, t: int) -> list[str]:
        """A feature's values at t, oldest first, as text."""
        feature = next(f for f in self.plan.features if f.name == name)
        stream_index, which = self.plan.feature_lists[name]
        stream = self.plan.streams[stream_index]
        times, values = s[stream.slot], s[stream.slot + 1 + which]
        first = 0 if feature.window_ms is None else bisect_right(times, t - feature.window_ms)
        first = max(first, len(times) - feature.keep)
        return [as_text(v) for v in values[first:] if v is not None]

    def change_id(self, person: bytes, segment: int, entered: bool, at_ms: int, sequence: int) -> str:
        """Names a change: the same for every replay of the same log."""
        definition = self.plan.segments[segment]
        return _change_id(person, definition.name, definition.version, entered, at_ms, sequence)


def as_text(value: Any) -> str:
    """A property's value as a change carries it: true, 42, 9.5, text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _arm_copy(state: State, _person: bytes, due: int) -> None:
    state[DUE] = due


def _change_id(person: bytes, segment: str, version: int, entered: bool, at_ms: int, sequence: int) -> str:
    text = b"%s\0%s\0%d\0%d\0%d\0%d" % (person, segment.encode(), version, entered, at_ms, sequence)
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def change_id(change: Change, plan: Plan) -> str:
    """The id of a change, 24 hex digits: an idempotency key, stable over replays of the same log."""
    definition = plan.segments[change.segment]
    return _change_id(change.person, definition.name, definition.version, change.entered, change.at_ms, change.sequence)
