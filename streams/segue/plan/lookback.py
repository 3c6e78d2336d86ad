"""How far back a rule looks, and whether the log can give that: the class of a segment."""

from __future__ import annotations

from typing import Literal

from segue.plan.layout import Plan, evidence_of, own_events
from segue.plan.leaves import Follow, Granted, Held, Pattern, Share, Threshold, Totalled, Windowed
from segue.rules.pretty import duration_text, text_of
from segue.rules.tree import Ago, Calendar, Last, Window

_DAY_MS = 86_400_000


def exactness(
    plan: Plan, leaves: list[int]
) -> tuple[Literal["exact on the stream", "exact after backfill", "warehouse only"], str]:
    """(class, why it is not the first).

    A topic that keeps its events for ever can answer anything. Of one that does not, a window longer than its
    retention can never be filled from the log; and what looks back for ever knows no more than the log had when the
    state was begun.
    """
    beyond = []
    for i in leaves:
        retention_ms = _retention_ms(plan, i)
        if retention_ms is None:
            continue
        looks_back = lookback_ms(plan, i)
        kept, said = duration_text(retention_ms), text_of(plan.leaf_conditions[i])
        if looks_back is None:
            beyond.append(f"'{said}' looks back for ever, the log {kept}: earlier events count once they are backfilled")
        elif looks_back > retention_ms:
            days = duration_text(looks_back)
            return "warehouse only", f"'{said}' looks back {days}, the log keeps {kept}; `segue sql` prints the rule as SQL"
    return ("exact after backfill", "; ".join(beyond)) if beyond else ("exact on the stream", "")


def lookback_ms(plan: Plan, leaf: int) -> int | None:
    """The age beyond which no event matters to the leaf; None: there is none."""
    match plan.leaves[leaf]:
        case Threshold(window_ms=window_ms):
            return window_ms
        case Windowed(window=window):
            return _of_window(window)
        case Totalled(window=window):
            return None if window is None else _of_window(window)
        case Pattern(within_ms=within_ms, scope=scope):
            # under `enter` a match is taken at once, and an exit ends what came of it
            return within_ms if scope is not None else None
        case Follow(within_ms=within_ms, window=window, scope=scope):
            if window is None:
                return within_ms if scope is not None else None
            reach = _of_window(window)
            return None if reach is None else reach + within_ms
        case Granted() | Held():
            return None
        case Share():
            return 0


def _of_window(window: Window) -> int | None:
    match window:
        case Last(ms) | Ago(far_ms=ms):
            return ms
        case Calendar(unit):
            return _DAY_MS * (7 if unit == "week" else 1)
        case _:
            return None


def _retention_ms(plan: Plan, leaf: int) -> int | None:
    """The shortest of the sources whose events the leaf reads; None: all are kept for ever."""
    read = [e.events for e in evidence_of(plan.leaves[leaf], plan.streams, plan.totals)]
    names = {name for events in (*read, *own_events(plan.leaves[leaf])) for name in events.names}
    sources = {i for name in names for i in plan.catalog.source_indexes(name)}
    kept = [r for i in sources if (r := plan.catalog.sources[i].retention_ms) is not None]
    return min(kept, default=None)
