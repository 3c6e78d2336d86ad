"""The four segments of the reference workload, against an oracle that re-reads each person's whole history."""

import json
import random
from pathlib import Path

import pytest

from segue_agents.replay import replay_changes
from segue_agents.rule_files import load_plan

ROOT = Path(__file__).parents[3]
CART = "behavior_cart_abandon"
START = 1_790_000_000_000
MIN, DAY = 60_000, 86_400_000
NAMES = ("page_view", "product_view", "add_to_cart", "remove_from_cart", "purchase", "sent", "open", "click")
WEIGHTS = (2, 6, 2, 1, 1, 2, 1, 1)

Event = tuple[int, int, str]
"""(time, order of the source, name)"""
Jump = tuple[str, str, int]
"""(segment, entered or exited, time)"""


def history(rnd: random.Random) -> list[Event]:
    """Some two weeks of one person; many gaps of exactly the rules' own lengths, and events at one time."""
    now, events = START, []
    for _ in range(rnd.randint(1, 60)):
        now += rnd.choice([0, 1, 5 * MIN, 29 * MIN, 30 * MIN, 30 * MIN + 1, 6 * 60 * MIN, DAY, 2 * DAY])
        name = rnd.choices(NAMES, WEIGHTS)[0]
        events.append((now, 2 if name in ("sent", "open", "click") else 1, name))
    return sorted(events, key=lambda e: e[:2])


def cart_jumps(events: list[Event], end: int) -> list[Jump]:
    """The cart by its definition: at each moment at which something can happen, what is due first happens first."""
    jumps: list[Jump] = []
    clock = due = entered = None
    for time, _, name in [*events, (end, 9, "end")]:
        while True:
            leaves = None if entered is None else entered + 7 * DAY
            first = min((t for t in (due, leaves) if t is not None), default=time + 1)
            if first > time:
                break
            if first == due:
                due = None
                if entered is None:
                    entered = first
                    jumps.append((CART, "entered", first))
            else:
                clock = due = entered = None
                jumps.append((CART, "exited", first))
        if name == "add_to_cart" or (name == "remove_from_cart" and clock is not None):
            clock, due = time, time + 30 * MIN
        elif name == "purchase":
            if entered is not None:
                jumps.append((CART, "exited", time))
            clock = due = entered = None
    return jumps


def window_jumps(events: list[Event], end: int) -> list[Jump]:
    """The other three, over the whole history at every moment at which an event comes or leaves a window.

    At one moment windows end before events count, as a timer acts before an event of its own time.
    """
    moments = sorted({t + w for t, _, _ in events for w in (0, 2 * DAY, 7 * DAY) if t + w <= end})
    jumps: list[Jump] = []
    before = dict.fromkeys(("behavior_high_intent", "engagement_email", "hot_lead"), False)
    for now in moments:
        for known in ([e for e in events if e[0] < now], [e for e in events if e[0] <= now]):
            high = sum(name == "product_view" and now - 7 * DAY < t for t, _, name in known) >= 5
            reads = any(name in ("open", "click") and now - 2 * DAY < t for t, _, name in known)
            after = {"behavior_high_intent": high, "engagement_email": reads, "hot_lead": high and reads}
            jumps += [(s, "entered" if after[s] else "exited", now) for s in after if after[s] != before[s]]
            before = after
    return jumps


@pytest.mark.parametrize("seed", range(8))
def test_the_reference_segments_against_the_whole_history(seed: int) -> None:
    """Every change of forty people, by segment, kind and exact time, is the oracle's; none is missing or double."""
    rnd = random.Random(seed)
    people = {f"u{i}": history(rnd) for i in range(40)}
    plan = load_plan(ROOT / "examples" / "reference", ROOT / "bench" / "reference" / "sources")
    rows = [(time, order, person, name) for person, events in people.items() for time, order, name in events]
    rows.sort(key=lambda row: row[:2])  # stable: a person's events of one time and source keep their order
    end = rows[-1][0] + 3 * DAY
    lines = [json.dumps({"event": n, "userId": p, "timestamp": t, "messageId": ""}).encode() for t, _, p, n in rows]
    found = [(c["person_id"], c["segment"], c["change"], c["at"]) for c in replay_changes(plan, lines, end)]
    expected = [
        (person, *jump) for person, events in people.items()
        for jump in cart_jumps(events, end) + window_jumps(events, end)
    ]  # fmt: skip
    assert sorted(found) == sorted(expected)
    assert len(found) > 200
