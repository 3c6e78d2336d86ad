"""From a plan to its functions: the generated source compiled, and the cold ones written by hand.

Only text from `generate` is executed, in a namespace that holds its constants and nothing of the builtins it
does not use.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from segue.engine import expiry, generate, timers
from segue.engine.evaluate import comparison, evaluator
from segue.engine.feed import list_slots
from segue.engine.follow import Follower
from segue.engine.groups import groups_of
from segue.engine.identity import id_middle, id_of
from segue.engine.streams import trimming
from segue.engine.totals import adding
from segue.plan.layout import BITS, DUE, JUMPS, LOG, SLOTS, Plan
from segue.plan.leaves import Evaluated, Follow, Held, Share
from segue.plan.stored import layout_of
from segue.records import NEVER
from segue.rules.tree import Feature

State = list[Any]
_NO_JUMP = (0, 0)


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
        self._middles = [(id_middle(s, False), id_middle(s, True)) for s in plan.segments]
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
        self._expires = [self._expiry(i) for i in range(len(plan.segments))]
        self._features = {f.name: self._values(f) for f in plan.features}
        self._attached = [[(name, self._features[name]) for name in s.attach] for s in plan.segments]

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
        jumps, expires, attached = s[JUMPS], self._expires, self._attached
        while flipped:
            low = flipped & -flipped
            flipped ^= low
            segment, entered = low.bit_length() - 1, bits & low != 0
            sequence, last_at = jumps.get(segment, _NO_JUMP)
            revokes = None
            if late_ms is not None and sequence and late_ms <= last_at:
                revokes = id_of(person, self._middles[segment][not entered], last_at, sequence)
            jumps[segment] = (sequence + 1, t)
            features = attached[segment]
            out.append((
                person, segment, entered, t, cause, row, sequence + 1, revokes, expires[segment](s, entered, cause),
                {name: values(s, t) for name, values in features} if features else None,
            ))  # fmt: skip

    def _expiry(self, segment: int) -> Callable[[State, bool, str], int | None]:
        """Of a state, what has just happened to the segment, and why: when it flips by time alone; None: never."""
        windows = expiry.expires_by_windows(self.plan, segment)
        if windows is not None:
            return expiry.least([(self.plan.streams[w.stream].slot, -w.n, w.window_ms) for w in windows])
        flips = expiry.flips_by_time(self.plan, segment)
        if flips is not None:
            return lambda s, _entered, _cause: flips(s)
        if not expiry.exits_by_clock_only(self.plan, segment):
            return lambda s, _entered, _cause: self._simulate(s, segment)
        after, since = self.plan.segments[segment].exit_after_ms, self.plan.since_slots[segment]

        def by_clock(s: State, entered: bool, cause: str) -> int | None:
            if entered:
                return None if after is None else int(s[since]) + after
            if cause in ("event", "timer"):
                return None  # what it needs to enter again is yet to happen
            return self._simulate(s, segment)

        return by_clock

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

    def feature(self, state: State, name: str, t: int) -> list[str]:
        """A feature's values at t, oldest first, as text."""
        return self._features[name](state, t)

    def _values(self, feature: Feature) -> Callable[[State, int], list[str]]:
        stream_index, which = self.plan.feature_lists[feature.name]
        slot = self.plan.streams[stream_index].slot
        values_slot, window_ms, keep = slot + 1 + which, feature.window_ms, feature.keep

        def values(state: State, t: int) -> list[str]:
            times = state[slot]
            first = 0 if window_ms is None else bisect_right(times, t - window_ms)
            kept = state[values_slot][max(first, len(times) - keep) :]
            return [v if type(v) is str else as_text(v) for v in kept if v is not None]

        return values


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
