"""Rules that change between starts of a real worker: who stays, who comes, who goes, and what is refused."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.agents.worker.conftest import START_MS, wait_until

from segue_agents.codecs.changes import decode_change
from segue_agents.state.layouts import PREFIX, decode_known
from segue_agents.topics import state_topic

if TYPE_CHECKING:
    App = Any

MINUTE, DAY = 60_000, 86_400_000
KEEN = "segment: behavior_keen\nwhen: count(product_viewed) >= 2 in the last 1 day\n"
BUYERS = "segment: behavior_buyers\nwhen: did order_completed in the last 1 day\n"
BOTH_AT_ONCE = (
    "segment: behavior_both\n"
    "when: count(product_viewed) >= 2 in the last 1 day and did order_completed in the last 1 day\n"
)
STRICTER = "segment: behavior_buyers\nversion: 2\nwhen: count(order_completed) >= 5 in the last 1 day\n"
FIRST = f"{KEEN}---\n{BUYERS}"
SECOND = f"{KEEN}---\n{BOTH_AT_ONCE}---\n{STRICTER}"
THIRD = SECOND.replace(">= 5", ">= 6")
BUYS, LOOKS = [f"b{i}" for i in range(6)], [f"l{i}" for i in range(6)]

Said = tuple[str, str, int, str, int, int]
"""segment, entered or exited, version, cause, at, sequence"""


def said(app: App) -> dict[str, Counter[Said]]:
    """Per person what has been told of them."""
    found: dict[str, Counter[Said]] = {}
    for message in app.records(app.settings.output_topic):
        c = decode_change(message.value())
        what = (c["segment"], c["change"], c["segment_version"], c["cause"], c["at"], c["sequence"])
        found.setdefault(c["person_id"], Counter())[what] += 1
    return found


def start_and_wait(app: App, rules: str, expected: Counter[Said]) -> None:
    """A worker of these rules runs until everybody who buys has been told this much, and stops in order."""
    app.settings.rules.write_text(rules)
    ready = app.said("partition_ready") + 2
    app.start()
    wait_until(lambda: app.said("partition_ready") >= ready, "two partitions")
    wait_until(lambda: sum(map(Counter.total, said(app).values())) >= len(BUYS) * expected.total(), "all changes")
    assert app.end() == 0
    assert said(app) == dict.fromkeys(BUYS, expected)


def look(app: App, at_ms: int) -> None:
    """Time passes: persons who mean nothing to the rules see a page, in every partition."""
    for person in LOOKS:
        app.send("page", person, at_ms)
    app.publisher.close()


def layouts(changelog: list[Any]) -> dict[int, list[set[str]]]:
    """Per partition of the changelog the segments of each layout in it, in order: each is written once."""
    found: dict[int, list[set[str]]] = {}
    for message in changelog:
        if message.key().startswith(PREFIX):
            found.setdefault(message.partition(), []).append(set(decode_known(message.value()).layout.rules))
    return found


def test_rules_change_on_a_running_state(app: App) -> None:
    """The segment in both says nothing; a new one enters, a changed one exits, those who do nothing included; a lost
    disk comes back with both layouts; a rule changed under its version is refused, and nothing is written."""
    for i, event in enumerate(["Product Viewed", "Product Viewed", "Order Completed"]):
        for person in BUYS:
            app.send(event, person, START_MS + i * MINUTE)
    now = START_MS + 2 * MINUTE
    look(app, now)
    expected: Counter[Said] = Counter([
        ("behavior_keen", "entered", 1, "event", now - MINUTE, 1), ("behavior_buyers", "entered", 1, "event", now, 1),
    ])  # fmt: skip
    start_and_wait(app, FIRST, expected)
    where = {(m.key()[:1], m.partition()) for m in app.records(f"{app.prefix}site-events")}
    assert where == {(who, partition) for who in (b"b", b"l") for partition in range(2)}

    look(app, now + MINUTE)
    expected.update([
        ("behavior_both", "entered", 1, "rule_change", now, 1), ("behavior_buyers", "exited", 2, "rule_change", now, 2),
    ])  # fmt: skip
    start_and_wait(app, SECOND, expected)

    shutil.rmtree(app.settings.data_dir)
    look(app, now + 2 * DAY)
    expected.update([
        ("behavior_keen", "exited", 1, "timer", START_MS + DAY, 2),
        ("behavior_both", "exited", 1, "timer", START_MS + DAY, 2),
    ])  # fmt: skip
    start_and_wait(app, SECOND, expected)
    assert app.said("how=wipe") == 4  # the first start's two partitions, and the two restored
    assert app.said("rules_changed") == 2
    before = app.records(state_topic(app.settings.app_id))
    of_first, of_second = {"behavior_keen", "behavior_buyers"}, {"behavior_keen", "behavior_buyers", "behavior_both"}
    assert layouts(before) == {partition: [of_first, of_second] for partition in range(2)}

    look(app, now + 3 * DAY)
    app.settings.rules.write_text(THIRD)
    app.start()
    assert app.exit_code() == 4
    words = app.log().read_text().partition("The rule of 'behavior_buyers' has changed, its version has not.")[2]
    assert "count(order_completed) >= 5 in the last 1 day" in words
    assert "count(order_completed) >= 6 in the last 1 day" in words
    assert "Give it 'version: 3'" in words
    assert len(app.records(state_topic(app.settings.app_id))) == len(before)
    assert said(app) == dict.fromkeys(BUYS, expected)
