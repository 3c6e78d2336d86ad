"""What a stored state means, as data: so that a state written under other rules can be read.

A plan numbers slots, bits, kinds and columns as they come. Here each has a name instead, made of what it means and
of nothing else; equal names hold equal things, whatever rules they stand in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from segue.plan.evidence import Stream
from segue.plan.layout import SLOTS, Plan, folded_slots, leaf_scope
from segue.plan.lookback import lookback_ms
from segue.plan.report import describe_leaf, leaves_behind
from segue.rules import canonical, pretty
from segue.rules.tree import Segment

HEAD = ("due", "bits", "bucket", "jumps", "log", "settled")


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of everything in a person's state. Plain values: it is stored beside the states."""

    id: str
    """16 hex digits; equal layouts have equal ids"""
    rules: dict[str, tuple[int, str]]
    """segment -> (version, its canonical form)"""
    slots: list[str]
    """per slot, the six of the head included"""
    bits: list[str]
    """per bit, from bit 0"""
    folded: list[int]
    """slots that SETTLED holds, in its order, after its bits"""
    kinds: list[tuple[str, str]]
    """per kind of event in the log: (source, event)"""
    columns: list[list[str]]
    """per kind: the fields of its columns"""
    lookback_ms: dict[str, int | None]
    """per leaf (its bit's name): the age beyond which no event matters; None: there is none"""

    @property
    def leaves(self) -> list[str]:
        """Names of the leaves' bits, which stand between those of the segments and of their `enter`."""
        return self.bits[len(self.rules) : len(self.bits) - len(self.rules)]

    @property
    def tag(self) -> bytes:
        """4 bytes that stand before each state written under it."""
        return bytes.fromhex(self.id[:8])


def layout_of(plan: Plan) -> Layout:
    """The names of a plan's states."""
    leaves = [_leaf_name(plan, i) for i in range(len(plan.leaves))]
    slots = _slot_names(plan, leaves)
    segments = [f"segment {s.name}" for s in plan.segments]
    bits = [*segments, *leaves, *(f"enter {s.name}" for s in plan.segments)]
    rules = {s.name: (s.version, canonical.canonical_rule(s)) for s in plan.segments}
    kinds = [(plan.catalog.sources[k.source].name, k.event) for k in plan.kinds]
    columns = [[f.name for f in plan.inputs[k.source].fields] for k in plan.kinds]
    meaning = repr((slots, bits, sorted(rules.items()), kinds, columns)).encode()
    return Layout(
        id=hashlib.blake2b(meaning, digest_size=8).hexdigest(),
        rules=rules,
        slots=slots,
        bits=bits,
        folded=folded_slots(plan),
        kinds=kinds,
        columns=columns,
        lookback_ms={leaves[i]: lookback_ms(plan, i) for i in range(len(plan.leaves))},
    )


def changed_without_version(old: Layout, new: Layout) -> list[tuple[str, str, str]]:
    """(segment, its form then, its form now) of rules that differ though their version does not."""
    return [
        (name, was, now)
        for name, (version, now) in new.rules.items()
        for old_version, was in [old.rules.get(name, (version, now))]
        if version == old_version and was != now
    ]


@dataclass(frozen=True, slots=True)
class Succession:
    """What becomes of the state when rules follow others."""

    added: list[str]
    """segments"""
    removed: list[str]
    changed: list[str]
    """with a new version"""
    changed_without_version: list[tuple[str, str, str]]
    """(segment, its form then, its form now): refused at start"""
    begins_empty: dict[str, list[str]]
    """segment -> its leaves of which the state knows nothing yet"""


def succession_of(before: Plan, after: Plan) -> Succession:
    """What `after` keeps of the states of `before`."""
    old, new = layout_of(before), layout_of(after)
    fresh = [name not in old.lookback_ms for name in new.leaves]
    empty = {
        s.name: [describe_leaf(after, leaf) for leaf in sorted(leaves_behind(after, i)) if fresh[leaf]]
        for i, s in enumerate(after.segments)
    }
    return Succession(
        added=sorted(new.rules.keys() - old.rules.keys()),
        removed=sorted(old.rules.keys() - new.rules.keys()),
        changed=sorted(n for n, rule in new.rules.items() if n in old.rules and rule[0] != old.rules[n][0]),
        changed_without_version=changed_without_version(old, new),
        begins_empty={name: leaves for name, leaves in empty.items() if leaves},
    )


def pending_segments(plan: Plan, layout: Layout, started_ms: Mapping[str, int], engine_time_ms: int) -> set[str]:
    """Segments not yet exact: a leaf behind them began empty (`started_ms`, by its name) less than its lookback ago.

    `layout`: the plan's own.
    """
    if not started_ms:
        return set()
    pending = set()
    for i, name in enumerate(layout.leaves):
        began, reach = started_ms.get(name), layout.lookback_ms[name]
        if began is not None and (reach is None or engine_time_ms < began + reach):
            pending.add(i)
    return {s.name for i, s in enumerate(plan.segments) if leaves_behind(plan, i) & pending}


def _slot_names(plan: Plan, leaves: list[str]) -> list[str]:
    names = [*HEAD, *[""] * (plan.n_slots - SLOTS)]
    for evidence in plan.evidence:
        since = "" if evidence.since is None else f" since {pretty.events_text(evidence.since)}"
        of = f"{pretty.events_text(evidence.events)}{since}{_scope(plan, evidence.scope)}"
        if isinstance(evidence, Stream):
            parts = ["times", *(f"values of {v}" for v in evidence.values)]
            parts += ["dropped"] if evidence.horizon_ms else []
            for i, part in enumerate(parts):
                names[evidence.slot + i] = _short(f"{part}: {of}")
        else:
            names[evidence.slot] = _short(f"{evidence.kind} {evidence.field} from {evidence.from_ms}: {of}")
    for i, slot in plan.own_slots.items():
        names[slot] = _short(f"own: {leaves[i]}")
    for i, slot in plan.due_slots.items():
        names[slot] = _short(f"due: {leaves[i]}")
    for i, slot in plan.since_slots.items():
        names[slot] = f"since {plan.segments[i].name}"
    for source, slot in plan.id_slots.items():
        names[slot] = f"ids of {plan.catalog.sources[source].name}"
    assert len(HEAD) == SLOTS and all(names)
    return names


def _leaf_name(plan: Plan, leaf: int) -> str:
    return _short(pretty.text_of(plan.leaf_conditions[leaf]) + _scope(plan, leaf_scope(plan, leaf)))


def _scope(plan: Plan, scope: int | None) -> str:
    """What an enter/exit segment empties is another thing when it exits at other times."""
    return "" if scope is None else f" | {plan.segments[scope].name} | {_exit(plan.segments[scope])}"


def _exit(segment: Segment) -> str:
    lines = canonical.canonical_rule(segment).splitlines()
    return next(line for line in lines if line.startswith("exit:"))


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
