"""`segue replay`: the engine over a file."""

import gzip
import json
import random
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from segue.errors import ConfigError
from segue.plan import Plan
from segue_agents.demo.shop import HOUR, MINUTE, shop_events
from segue_agents.replay import open_lines, replay_changes, replay_members
from segue_agents.rule_files import load_plan

EXAMPLES = Path(__file__).parents[3] / "examples"
NINE = 1_795_510_800_000  # 2026-11-24 09:00 UTC
CART = "behavior_cart_abandon"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(EXAMPLES / "shop")


def example_lines() -> list[bytes]:
    return (EXAMPLES / "events.jsonl").read_bytes().splitlines()


def shop_lines(hours: float, seed: int = 1) -> list[bytes]:
    events = takewhile(lambda e: e.time_ms < NINE + hours * HOUR, shop_events(NINE, seed))
    return [json.dumps(e.event).encode() for e in events]


def event(name: str, minute: float, person: str = "ada", **properties: Any) -> bytes:
    time_ms = NINE + round(minute * MINUTE)
    return json.dumps({"event": name, "userId": person, "timestamp": time_ms, "properties": properties}).encode()


def in_short(changes: Iterable[dict[str, Any]]) -> list[tuple[str, str, str, float]]:
    return [(c["person_id"], c["segment"], c["change"], (c["at"] - NINE) / MINUTE) for c in changes]


def test_the_example_file(plan: Plan) -> None:
    """A timer abandons ada's cart at 09:34:05; her order of 09:33, which arrives late, takes that very change back."""
    changes = [c for c in replay_changes(plan, example_lines()) if c["person_id"] == "ada" and c["segment"] == CART]
    entered, exited = changes
    assert (entered["at"], entered["cause"]) == (NINE + 34 * MINUTE + 5_000, "timer")
    assert entered["features"] == {n: ["trail-shoe", "wool-hat"] for n in ("abandoned_cart", "recent_views")}
    assert (exited["cause"], exited["revokes"], exited["sequence"]) == ("correction", entered["change_id"], 2)


def test_the_same_input_gives_the_same_bytes(plan: Plan) -> None:
    """A day of the shop, replayed twice, is the same to the byte."""
    once, again = (json.dumps(list(replay_changes(plan, shop_lines(24)))) for _ in range(2))
    assert once == again
    assert len(once) > 10_000


def test_time_passes_after_the_last_line_only_when_asked(plan: Plan) -> None:
    """Without --until a cart of the last minute is not abandoned; with it, exactly at its due time."""
    lines = [event("Product Added", 0)]
    assert in_short(replay_changes(plan, lines)) == []
    assert in_short(replay_changes(plan, lines, NINE + 30 * MINUTE - 1)) == []
    assert in_short(replay_changes(plan, lines, NINE + 30 * MINUTE)) == [("ada", CART, "entered", 30)]


def test_a_tick_in_the_file_lets_time_pass(plan: Plan) -> None:
    """{"type": "tick"} fires what is due by then, and nothing else."""
    tick = json.dumps({"type": "tick", "timestamp": NINE + 40 * MINUTE}).encode()
    changes = list(replay_changes(plan, [event("Product Added", 0), tick]))
    assert in_short(changes) == [("ada", CART, "entered", 30)]
    assert changes[0]["emitted_at"] == NINE + 40 * MINUTE


def test_the_order_of_the_lines_is_the_order_of_arrival(plan: Plan) -> None:
    """An order that stands after the tick that abandoned the cart corrects; before it, there is nothing to correct."""
    cart, order = event("Product Added", 0), event("Order Completed", 10)
    tick = json.dumps({"type": "tick", "timestamp": NINE + 40 * MINUTE}).encode()
    assert in_short(replay_changes(plan, [cart, order, tick])) == []
    late = list(replay_changes(plan, [cart, tick, order]))
    assert [c["cause"] for c in late] == ["timer", "correction"]


def test_members_are_those_of_the_history_up_to_then(plan: Plan) -> None:
    """For every hour of a day: what --members says is what the changes up to then add up to."""
    lines = shop_lines(24)
    changes = list(replay_changes(plan, lines, NINE + 24 * HOUR))
    for hour in range(0, 25, 3):
        inside: dict[str, dict[str, int]] = {}
        for change in changes:
            if change["at"] <= NINE + hour * HOUR:
                segments = inside.setdefault(change["person_id"], {})
                segments.pop(change["segment"], None)
                if change["change"] == "entered":
                    segments[change["segment"]] = change["at"]
        found = {m["person_id"]: m["segments"] for m in replay_members(plan, lines, NINE + hour * HOUR)}
        assert found == {person: segments for person, segments in inside.items() if segments}


def test_members_do_not_depend_on_the_order_of_the_lines(plan: Plan) -> None:
    """Twelve hours of the shop, shuffled whole: the same people are in the same segments."""
    lines = shop_lines(12)
    shuffled = random.Random(7).sample(lines, len(lines))
    as_of = NINE + 12 * HOUR

    def members(of: list[bytes]) -> dict[str, set[str]]:
        return {m["person_id"]: set(m["segments"]) for m in replay_members(plan, of, as_of)}

    assert members(shuffled) == members(lines)


def test_lines_that_are_no_events_are_told_and_passed_over(plan: Plan) -> None:
    """Junk, a person that lacks, a time that lacks: each is logged with its line, and its neighbours count."""
    nobody = json.dumps({"event": "page", "timestamp": NINE}).encode()
    lines = [b"{", nobody, b'{"event": "page", "userId": "a"}', b"", b"[]"]
    said: list[str] = []
    changes = list(replay_changes(plan, [*lines, event("Email Opened", 0)], log=said.append))
    assert in_short(changes) == [("ada", "engagement_email", "entered", 0)]
    assert [s.split(":")[1].strip() for s in said[:-1]] == ["undecodable", "no_person", "no_time", "undecodable"]
    assert said[-1] == "4 lines took no part: 1 no_person, 1 no_time, 2 undecodable"


def test_events_too_late_are_told(plan: Plan) -> None:
    """A line more than the source's 24 hours behind takes no part, and its number is named."""
    said: list[str] = []
    list(replay_changes(plan, [event("page", 0), event("Product Viewed", -25 * 60)], log=said.append))
    assert said[0].startswith("line 2 took no part: too_late")


def test_gz_is_read_like_the_file_itself(tmp_path: Path) -> None:
    """A .gz gives the same lines; a broken or missing one is the caller's error by name."""
    good, cut = tmp_path / "events.jsonl.gz", tmp_path / "cut.jsonl.gz"
    packed = gzip.compress(b"\n".join(example_lines()))
    good.write_bytes(packed)
    cut.write_bytes(packed[:-20])
    with open_lines(good) as lines:
        assert [line.rstrip() for line in lines] == example_lines()
    with pytest.raises(ConfigError, match=r"cut\.jsonl\.gz"), open_lines(cut) as lines:
        list(lines)
    with pytest.raises(ConfigError, match="absent"), open_lines(tmp_path / "absent.jsonl") as lines:
        list(lines)
