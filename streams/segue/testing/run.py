"""A case run in four ways, which must agree: only the first is about the rules, the others are about Segue itself.

event by event          what happened, compared with what is expected
in batches              as few as the order of arrival allows
saved and loaded        the state stored, lost and loaded between every two lines
shuffled                events in another order of arrival, each within its source's lateness: the same members
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from segue.engine import Engine
from segue.records import Change
from segue.testing.cases import Arrives, Case, Event
from segue.testing.compare import Differs, Emitted, Row, compare
from segue.testing.telling import Teller
from segue.testing.virtual import VirtualPartition

_AFTERWARDS_MS = 366 * 86_400_000
"""what would come within a year if nothing more happened is told where it was expected earlier"""
_BUG = "This is a bug in Segue, not in the rules: please report it with this case."


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of a case."""

    case: Case
    differences: tuple[Differs, ...]
    """expected against what happened"""
    transcript: tuple[Row, ...]
    """the case's lines with what happened instead of them, for people"""
    bugs: tuple[str, ...]
    """ways of running the case that do not agree"""
    events: int
    changes: int

    @property
    def passed(self) -> bool:
        """Whether all was as expected, whichever way it was run."""
        return not self.differences and not self.bugs


def run_case(engine: Engine, case: Case) -> CaseResult:
    """Runs a case in every way."""
    order = _order(engine, case)
    live = VirtualPartition(engine)
    emitted = _event_by_event(live, case, order)
    teller = Teller(engine.plan, case, live.fed)
    bugs = tuple(_bugs(engine, case, order, live, emitted, teller))
    afterwards = live.step(until_ms=max(line.time_ms for line in case.lines) + _AFTERWARDS_MS)
    differences, transcript = compare(case, order, emitted, live.rejected, afterwards, teller)
    return CaseResult(case, differences, transcript, bugs, len(live.fed), len(emitted))


def _order(engine: Engine, case: Case) -> list[int]:
    """Line indexes in the order they are run: as written, but events of one ms in the order of their sources."""
    rank = [s.order for s in engine.plan.catalog.sources]
    order = list(range(len(case.lines)))
    start = 0
    for i in range(1, len(case.lines) + 1):
        if i < len(case.lines) and case.lines[i].time_ms == case.lines[start].time_ms:
            continue
        places = [j for j in range(start, i) if _event(case, j) is not None]
        ranked = sorted(places, key=lambda j: rank[case.lines[j].says.event.source])  # type: ignore[union-attr]
        for place, j in zip(places, ranked, strict=True):
            order[place] = j
        start = i
    return order


def _event(case: Case, i: int) -> Event | None:
    says = case.lines[i].says
    return says.event if isinstance(says, Arrives) else None


def _event_by_event(partition: VirtualPartition, case: Case, order: Sequence[int], reload: bool = False) -> list[Emitted]:
    emitted = []
    for place, i in enumerate(order):
        happening = _event(case, i)
        events, until_ms = ([], case.lines[i].time_ms) if happening is None else ([happening], None)
        emitted += [Emitted(change, place) for change in partition.step(events, until_ms)]
        if reload:
            partition.reload()
    return emitted


def _in_batches(partition: VirtualPartition, case: Case, order: Sequence[int]) -> list[Change]:
    """A batch ends where the next event is behind the clock: there it is late, and must come late here too."""
    rank = [s.order for s in partition.engine.plan.catalog.sources]
    changes: list[Change] = []
    batch: list[Event] = []
    reached = (0, 0)
    until_ms = None
    for i in order:
        happening = _event(case, i)
        if happening is None:
            until_ms = max(case.lines[i].time_ms, until_ms or 0)
            reached = max(reached, (until_ms, 0))
            continue
        place = (happening.time_ms, rank[happening.source])
        if place < reached:
            changes += partition.step(batch, until_ms)
            batch, until_ms = [], None
        batch.append(happening)
        reached = max(reached, place)
    return changes + partition.step(batch, until_ms)


def _shuffled(events: Sequence[Event], lateness_ms: Sequence[int]) -> list[Event]:
    """Each is delayed by up to its source's lateness; those of one source and ms stay in their order."""

    def arrival(e: Event) -> int:
        digest = hashlib.blake2b(f"{e.source} {e.time_ms}".encode(), digest_size=6).digest()
        return e.time_ms + int.from_bytes(digest, "big") % (lateness_ms[e.source] + 1)

    return sorted(events, key=arrival)


def _bugs(
    engine: Engine, case: Case, order: Sequence[int], live: VirtualPartition, emitted: Sequence[Emitted], teller: Teller
) -> list[str]:
    bugs = []
    expected = _by_person([e.change for e in emitted])
    others = {
        "in one batch": _in_batches(VirtualPartition(engine), case, order),
        "with its state saved and loaded between the lines": [
            e.change for e in _event_by_event(VirtualPartition(engine), case, order, reload=True)
        ],
    }
    for how, changes in others.items():
        if _by_person(changes) != expected:
            told = (_tell(teller, [e.change for e in emitted]), _tell(teller, changes))
            bugs.append(f"Event by event: {told[0]}\n{how.capitalize()}: {told[1]}\n{_BUG}")
    took_part = [e for offset, e in enumerate(live.fed) if offset not in live.rejected]
    shuffled = VirtualPartition(engine)
    for e in _shuffled(took_part, [s.lateness_ms for s in engine.plan.catalog.sources]):
        shuffled.step([e])
    shuffled.step(until_ms=max(line.time_ms for line in case.lines))
    if shuffled.members() != live.members():
        bugs.append(
            f"In the order of the file the members are {_name(live.members())}\n"
            f"When the events arrive in another order: {_name(shuffled.members())}\n{_BUG}"
        )
    return bugs


def _by_person(changes: Sequence[Change]) -> dict[bytes, list[Change]]:
    """Between two persons order has no meaning."""
    found: dict[bytes, list[Change]] = {}
    for change in changes:
        found.setdefault(change.person, []).append(change)
    return found


def _tell(teller: Teller, changes: Sequence[Change]) -> str:
    told = "; ".join(teller.change(c) for c in sorted(changes, key=lambda c: (c.person, c.at_ms)))
    return told or "nobody changes"


def _name(members: dict[str, list[str]]) -> str:
    return "; ".join(f"{segment}: {', '.join(persons)}" for segment, persons in members.items()) or "nobody"
