"""From a plan to its functions: the generated source compiled, and the cold ones written by hand.

Only text from `generate` is executed, in a namespace that holds its constants and nothing of the builtins it
does not use.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from typing import Any

from segue.engine import expiry, generate, timers
from segue.engine.evaluate import comparison, evaluator
from segue.engine.feed import list_slots
from segue.engine.follow import Follower
from segue.engine.groups import groups_of
from segue.engine.streams import trimming
from segue.engine.totals import adding
from segue.plan.layout import BITS, DUE, JUMPS, LOG, SLOTS, Plan
from segue.plan.leaves import Evaluated, Follow, Held, Share
from segue.plan.stored import layout_of
from segue.records import NEVER, Change

State = list[Any]


class Program:
    """A plan's generated functions, and what they call when a segment flips."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._followers = {i: Follower(leaf) for i, leaf in enumerate(plan.leaves) if isinstance(leaf, Follow)}
        self._evaluate = {
            i: evaluator(plan, i, self._followers.get(i))
            for i, leaf in enumerate(plan.leaves)
            if isinstance(leaf, Evaluated)
        }
        self.layout = layout_of(plan)
        self.dropped = [0]
        """entries of windows beyond their bound, so far, over all partitions"""
        self._list_slots = [slot for evidence in plan.evidence for slot in list_slots(evidence)]
        self._follow_slots = [plan.own_slots[i] for i in self._followers]
        self._id_slots = list(plan.id_slots.values())
        self._blank = self._blank_state()
        self._shares = [(plan.leaf_bit(i), leaf) for i, leaf in enumerate(plan.leaves) if isinstance(leaf, Share)]
        self.source, constants = generate.generate(plan, self._blank[BITS])
        self.folding_kinds = frozenset(k.number for k in plan.kinds if generate.feeds_folds(plan, k))
        namespace = self._namespace() | {f"c{i}": value for i, value in enumerate(constants)}
        exec(compile(self.source, "<generated step>", "exec"), namespace)  # only generate's own words
        self.run = namespace["run"]
        self.advance = namespace["advance"]
        self.insert = namespace["insert"]
        self.settle_bits = namespace["settle_bits"]
        self.flip = namespace["flip"]
        self.next_due = namespace["next_due"]
        self._windows = [expiry.expires_by_windows(plan, i) for i in range(len(plan.segments))]
        self._flips = [expiry.flips_by_time(plan, i) for i in range(len(plan.segments))]
        self._by_clock_only = [expiry.exits_by_clock_only(plan, i) for i in range(len(plan.segments))]

    def _namespace(self) -> dict[str, Any]:
        """What the generated names stand for."""
        names: dict[str, Any] = {
            "NEVER": NEVER,
            "bisect_right": bisect_right,
            "emit": self._emit,
            "__builtins__": {"len": len, "min": min},
        }
        names |= timers.names(self.plan)
        names |= {f"table{i}": {} for i, group in enumerate(groups_of(self.plan)) if group.has_table}
        names |= {f"ask{i}": evaluate for i, evaluate in self._evaluate.items()}
        names |= {f"add{total.slot}": adding(total) for total in self.plan.totals}
        names |= {f"trim{s.slot}": trimming(s, self.dropped) for s in self.plan.streams if s.horizon_ms}
        for i, follower in self._followers.items():
            names |= {f"first{i}": follower.first, f"second{i}": follower.second, f"again{i}": follower.again}
        for i, leaf in enumerate(self.plan.leaves):
            if isinstance(leaf, Held):
                names[f"holds{i}"] = comparison(leaf.op, leaf.values)
        return names

    def _blank_state(self) -> State:
        plan = self.plan
        state: State = [NEVER] * plan.n_slots
        state[:SLOTS] = [NEVER, 0, NEVER, {}, [], None]
        self._empty(state)
        for stream in plan.streams:
            if stream.horizon_ms:
                state[stream.dropped_slot] = 0
        for i, evaluate in self._evaluate.items():
            if evaluate(state, 0):  # a sum of nothing is 0
                state[BITS] |= plan.leaf_bit(i)
        return state

    def blank(self, person: bytes) -> State:
        """The state of a person nothing is known of."""
        state = self._blank[:]
        state[JUMPS], state[LOG] = {}, []
        self._empty(state)
        for bit, leaf in self._shares:
            if leaf.low <= share(leaf.salt, person) < leaf.high:
                state[BITS] |= bit
        return state

    def _empty(self, state: State) -> None:
        """Lists and maps of its own for a state."""
        for slot in self._list_slots:
            state[slot] = []
        for slot in self._follow_slots:
            state[slot] = [{}, {}]
        for slot in self._id_slots:
            state[slot] = {}

    def next_due_with(self, state: State, bits: int) -> int:
        """When the state changes by itself, were its bits these."""
        kept, state[BITS] = state[BITS], bits
        due: int = self.next_due(state)
        state[BITS] = kept
        return due

    def _emit(self, s: State, person: bytes, t: int, bits: int, flipped: int, cause: str, r: Any, out: list[Any]) -> None:
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
                    self.expires(s, segment, entered, cause),
                    self._attached(s, segment, t),
                )
            )

    def expires(self, s: State, segment: int, entered: bool, cause: str) -> int | None:
        """When the segment flips by time alone if nothing more happens; None: never."""
        windows = self._windows[segment]
        if windows is not None:
            if not entered:
                return None
            ends = [s[self.plan.streams[w.stream].slot][-w.n] + w.window_ms for w in windows if w.window_ms is not None]
            return min(ends, default=None)
        flips = self._flips[segment]
        if flips is not None:
            return flips(s)
        if self._by_clock_only[segment]:
            after = self.plan.segments[segment].exit_after_ms
            if entered:
                return None if after is None else int(s[self.plan.since_slots[segment]]) + after
            if cause in ("event", "timer"):
                return None  # what it needs to enter again is yet to happen
        return self._simulate(s, segment)

    def _simulate(self, s: State, segment: int) -> int | None:
        """Let time pass on a copy until the segment flips."""
        bit = self.plan.segment_bit(segment)
        copy: State = copied(s)
        before = copy[BITS]
        while (t := self.next_due(copy)) < NEVER:
            self.advance(copy, b"", t, arm_alone, None)
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


def copied(value: Any) -> Any:
    """Lists and maps copied to the ground; what can't change is shared."""
    if isinstance(value, list):
        return [copied(x) if isinstance(x, list | dict) else x for x in value]
    if isinstance(value, dict):
        return {k: copied(x) if isinstance(x, list | dict) else x for k, x in value.items()}
    return value


def share(salt: str, person: bytes) -> float:
    """Where in [0, 100) a person stands under a salt: the first 32 bits of md5(salt ":" person), in any language."""
    digest = hashlib.md5(salt.encode() + b":" + person, usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") * 100 / 2**32


def as_text(value: Any) -> str:
    """A property's value as a change carries it: true, 42, 9.5, text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def arm_alone(state: State, _person: bytes, due: int) -> None:
    """What `arm` is to a state that stands in no wheel: a copy, a scratch."""
    state[DUE] = due


def _change_id(person: bytes, segment: str, version: int, entered: bool, at_ms: int, sequence: int) -> str:
    text = b"%s\0%s\0%d\0%d\0%d\0%d" % (person, segment.encode(), version, entered, at_ms, sequence)
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def change_id(change: Change, plan: Plan) -> str:
    """The id of a change, 24 hex digits: an idempotency key, stable over replays of the same log."""
    definition = plan.segments[change.segment]
    return _change_id(change.person, definition.name, definition.version, change.entered, change.at_ms, change.sequence)
