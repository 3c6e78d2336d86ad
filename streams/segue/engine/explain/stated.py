"""Traits, scores, consents and the bucket: the newest that was stated."""

from __future__ import annotations

from segue.engine.compile import share
from segue.engine.explain.look import Look, listing
from segue.engine.explain.values import Evidence, Seen
from segue.engine.explain.words import shown
from segue.plan.evidence import Total
from segue.plan.leaves import Granted, Held, Leaf, Share, Totalled
from segue.records import NEVER
from segue.rules.tree import Trait


def of_trait(look: Look, t: Trait, i: int, leaf: Leaf) -> Evidence:
    """The newest value, since when it is known; with `for D`, since when it compares so."""
    if isinstance(leaf, Held):
        return _held(look, look.state[look.plan.own_slots[i]], leaf)
    assert isinstance(leaf, Totalled)
    newest = _newest(look, look.plan.totals[leaf.total], t.name if t.kind == "trait" else look.plan.catalog.profile.score)
    if newest is None:
        return Evidence("not known")
    evidence = Evidence(f"{shown(newest.value)}, stated {look.moment(newest.at_ms)}", newest.value, newest.at_ms)
    return listing(evidence, [newest])


def _held(look: Look, since_ms: int, leaf: Held) -> Evidence:
    """The state keeps since when, and no value: that is the log's."""
    stated = [] if look.history is None else look.history.matching(leaf.events, None)
    newest = look.seen(stated[-1], leaf.field) if stated else None
    value = None if newest is None else newest.value
    at_ms = None if since_ms == NEVER else since_ms
    said = [] if newest is None else [f"{shown(value)}, stated {look.moment(newest.at_ms)}"]
    if at_ms is not None:
        said.append(f"held since {look.moment(at_ms)}")
    elif newest is None:
        said.append("not so now" if look.history is None else "not known")
    return listing(Evidence("; ".join(said), value, at_ms), [] if newest is None else [newest])


def of_consents(look: Look, leaf: Leaf, wanted: bool) -> Evidence:
    """The newest decision; of one time a withdrawal."""
    assert isinstance(leaf, Granted)
    field = look.plan.catalog.profile.consent_granted
    granted = _newest(look, look.plan.totals[leaf.grants], field)
    withdrawn = _newest(look, look.plan.totals[leaf.withdrawals], field)
    needs = "a grant" if wanted else ""
    if withdrawn is not None and (granted is None or granted.at_ms <= withdrawn.at_ms):
        evidence = Evidence(f"withdrawn {look.moment(withdrawn.at_ms)}", False, withdrawn.at_ms, needs)
        return listing(evidence, [withdrawn])
    if granted is None:
        return Evidence("no decision is known", needs=needs)
    return listing(Evidence(f"granted {look.moment(granted.at_ms)}", True, granted.at_ms), [granted])


def of_bucket(look: Look, leaf: Leaf) -> Evidence:
    """The person's share, which never changes."""
    assert isinstance(leaf, Share)
    value = share(leaf.salt, look.person)
    said = f"{value:.2f}"
    if float(said) in (leaf.low, leaf.high):
        said = repr(value)
    return Evidence(f"share {said}%, for ever", value)


def _newest(look: Look, total: Total, field: str) -> Seen | None:
    held = look.state[total.slot]
    if not held:
        return None
    if look.history is not None:
        events = look.history.matching(total.events, total.scope, total.since, total.from_ms)
        if events:
            return look.seen(events[-1], field)
    return Seen(held[0], None, None, held[2])
