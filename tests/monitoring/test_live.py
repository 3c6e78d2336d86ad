"""Everything together, for real: two workers under load, a Prometheus with our rules that scrapes them, and an operator.

First all is well, and every query of the dashboards, rules and runbooks is run. Then partitions are made to stand, in two
ways; it is seen on the dashboards and alerts fire; what their runbooks say is done, by the commands on the pages; and the
alerts resolve.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from confluent_kafka import Producer
from monitoring.dashboards import DASHBOARDS, PARTITIONS
from monitoring.panels import as_json, expressions
from tests.monitoring.debian import Tools
from tests.monitoring.prometheus import Prometheus, wait_until
from tests.monitoring.runbook import blocks, exported, install_tools, run
from tests.monitoring.shop import Shop, open_shop
from tests.monitoring.test_rules import NAMES, RULES

WELL: Final = 60.0
"""seconds in which what must happen happens, on a machine that is busy"""
QUICKER: Final = {
    "partition:segue_heartbeat_age:seconds > 60": "partition:segue_heartbeat_age:seconds > 8",
    "(segue_open_transaction_seconds) > 60": "(segue_open_transaction_seconds) > 3",
}
"""thresholds with which the test does not wait for minutes; and `for` is a second"""
QUIET_WHEN_WELL: Final = {
    "segue_partition_stopped": "set when the breaker stops a partition: the walk through sees it",
    "segue_registry_errors_total": "this app has no registry",
    "segue_rebuilds_total": "born with the first lost transaction",
    "segue_producer_recycled_total": "born with the first producer that is replaced",
    "segue_store_full": "set when a disk is full",
    "segue_labels_capped_total": "born when a label has more than a thousand values",
    "segue_events_duplicate_total": "no source of this shop deduplicates",
    "segue_segment_backfill_pending": "set when rules have changed over states that were there",
}
"""series that a healthy worker does not have: what reads them may be empty"""
LOOKS_BACK: Final = re.compile(r"offset 1h")
"""what compares with an hour ago has nothing to compare with yet"""
COMPARISON: Final = re.compile(r"\s(?:==|>=|<=|>|<)\s[-\d.e* ]+")


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with pytest.MonkeyPatch.context() as patch, open_shop(broker, "watched-", tmp_path_factory.mktemp("shop")) as shop:
        patch.setenv("SEGUE_BREAKER_CONSECUTIVE", "200")
        shop.run_workers()
        yield shop


@pytest.fixture(scope="module")
def prometheus(shop: Shop, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """With two targets up and some seconds of history."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Prometheus(tools.prometheus, folder / "run", shop.targets, quicker(folder)) as started:
        wait_until(lambda: started.query("sum(segue_ready)") == [({}, 2.0)], shop.said, WELL)
        wait_until(lambda: started.query("sum(increase(segue_segment_changes_total[30s])) > 50"), shop.said, WELL)
        yield started


def quicker(folder: Path) -> list[Path]:
    """The rules as they are, but for how long they wait."""
    text = {file.name: re.sub(r"\bfor: \w+", "for: 1s", file.read_text()) for file in RULES}
    for slow, quick in QUICKER.items():
        assert sum(slow in of for of in text.values()) == 1
        text = {name: of.replace(slow, quick) for name, of in text.items()}
    for name, of in text.items():
        (folder / name).write_text(of)
    return [folder / name for name in text]


def as_chosen(expr: str) -> str:
    """A dashboard's query with everything chosen at its head."""
    for name, value in {"$job": ".+", "$instance": ".+", "$segment": ".+", "$partition": ".+",
                        "$__rate_interval": "1m"}.items():  # fmt: skip
        expr = expr.replace(name, value)
    return expr


def quiet(expr: str) -> bool:
    return any(name.removesuffix("_total") in expr for name in QUIET_WHEN_WELL) or bool(LOOKS_BACK.search(expr))


def without_comparisons(expr: str) -> str:
    return COMPARISON.sub(" ", expr)


def rules() -> list[dict[str, Any]]:
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def assert_data(prometheus: Prometheus, queries: Mapping[str, Any]) -> None:
    """Query -> where it stands. Each is taken, and returns data as soon as there is enough of a past; quiet ones may not."""

    def empty() -> list[Any]:
        return [(where, q) for q, where in queries.items() if not quiet(q) and not prometheus.query(q)]

    for query in queries:
        prometheus.query(query)
    wait_until(lambda: not empty(), empty, WELL)


def test_every_query_of_the_dashboards_returns_data(prometheus: Prometheus) -> None:
    """All panels, with everything chosen."""
    assert_data(prometheus, {as_chosen(expr): (dashboard.name, title) for dashboard in DASHBOARDS
                             for title, expr in expressions(as_json(dashboard))})  # fmt: skip


def test_every_choice_has_something_to_choose(prometheus: Prometheus) -> None:
    """The variables at the head of each dashboard."""
    for dashboard in DASHBOARDS:
        for variable in as_json(dashboard)["templating"]["list"]:
            if found := re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]):
                choices = {labels[found[2]] for labels, _ in prometheus.query(as_chosen(found[1]))}
                assert choices and "" not in choices, variable


def test_every_rule_returns_data(prometheus: Prometheus) -> None:
    """What is recorded; and of alerts, which are empty when all is well, each series that they compare."""
    for rule in rules():
        prometheus.query(rule["expr"])  # Prometheus takes it as it stands
    assert_data(prometheus, {rule["expr"]: rule["record"] for rule in rules() if "record" in rule})
    series = re.compile(r"(?<![\w:])(?:segue_\w+|process_\w+|\w+:\w+:\w+|up)\b(?:\{[^}]*\})?")
    assert_data(prometheus, {found: rule["alert"] for rule in rules() if "alert" in rule
                             for found in series.findall(rule["expr"])})  # fmt: skip
    told = {rule["name"]: rule["health"] for rule in prometheus.rules()}
    assert told == dict.fromkeys((rule.get("alert") or rule["record"] for rule in rules()), "ok")


def test_every_query_of_the_runbooks_returns_data(prometheus: Prometheus) -> None:
    """It is taken as it stands on the page; without its comparisons it returns data."""
    asked = [(name, query) for name in NAMES for query in blocks(name, "promql")]
    assert {name for name, _ in asked} == set(NAMES), "a runbook without a query"
    for _, query in asked:
        prometheus.query(query)
    assert_data(prometheus, {COMPARISON.sub(" ", query): name for name, query in asked})


def test_no_partition_stands_when_all_is_well(prometheus: Prometheus) -> None:
    """Nobody is called for it, then. How fast changes come depends on what else this machine does."""
    standing = {"PipelineStalled", "PartitionStopped", "NoReadyWorker", "OpenTransactionHanging"}
    wait_until(lambda: not standing & {name for name, _, _ in prometheus.alerts()}, prometheus.alerts, WELL)
    wait_until(lambda: moving(prometheus) == {"0", "1", "2", "3"}, prometheus.alerts, WELL)


# --- the walks through


def firing(prometheus: Prometheus) -> set[tuple[str, str]]:
    """(alert, partition) of what fires."""
    return {(name, labels.get("partition", "")) for name, state, labels in prometheus.alerts() if state == "firing"}


def seen(prometheus: Prometheus, panel: str) -> dict[str, float]:
    """partition -> what a panel of the partitions' dashboard shows."""
    asked = [expr for title, expr in expressions(as_json(PARTITIONS)) if title == panel]
    assert asked, panel
    found: dict[str, float] = {}
    for labels, value in prometheus.query(as_chosen(asked[0])):
        of = labels.get("partition", "")
        found[of] = max(value, found.get(of, value))
    return {of: value for of, value in found.items() if of}  # without one it is the line for when there is none


def moving(prometheus: Prometheus) -> set[str]:
    """Partitions whose newest tick was committed a few seconds ago."""
    said = prometheus.query('time() - max by (partition) (segue_heartbeat_timestamp_seconds{stage="committed"}) < 6')
    return {labels["partition"] for labels, _ in said}


def test_a_partition_that_the_breaker_has_stopped(
    prometheus: Prometheus, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that nobody can read stop partition 2; the runbook's second way lets them pass, and it goes on."""
    monkeypatch.setenv("PATH", install_tools(tmp_path / "bin"))
    shop.refuse(2, 600)
    wait_until(lambda: {("PartitionStopped", "2"), ("PipelineStalled", "2")} <= firing(prometheus),
               lambda: f"{prometheus.alerts()}\n{shop.said()}", WELL)  # fmt: skip
    assert seen(prometheus, "Stopped by the breaker") == {"2": 1.0}
    assert seen(prometheus, "Heartbeat")["2"] > 8
    wait_until(lambda: moving(prometheus) == {"0", "1", "3"}, shop.said, WELL)

    # what the page says
    ((labels, _),) = prometheus.query(blocks("PartitionStopped", "promql")[0])
    assert (labels["partition"], labels["reason"]) == ("2", "unknown_schema")
    before, *_ = blocks("PartitionStopped", "sh", "Diagnosis")
    run(before, shop.environment)
    let_pass, look, again = blocks("PartitionStopped", "sh", "Mitigation")
    settings = exported(let_pass)
    assert settings
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    shop.stop_workers()
    shop.run_workers()

    wait_until(lambda: not firing(prometheus) & {("PartitionStopped", "2"), ("PipelineStalled", "2")},
               lambda: f"{prometheus.alerts()}\n{shop.said()}", WELL)  # fmt: skip
    wait_until(lambda: moving(prometheus) == {"0", "1", "2", "3"}, shop.said, WELL)
    assert re.search(r"\b600\b.*unknown_schema|unknown_schema.*\b600\b", run(look, shop.environment))
    dry_run, *_ = again.splitlines()
    assert "600" in run(dry_run, shop.environment)


def test_a_transaction_that_nobody_ends(
    prometheus: Prometheus, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer leaves one open on partition 1; Kafka's own tool, as the runbook has it, ends it."""
    monkeypatch.setenv("PATH", install_tools(tmp_path / "bin"))
    producer = Producer({"bootstrap.servers": shop.floor.broker, "transactional.id": "watched-checkout",
                         "transaction.timeout.ms": 600_000})  # fmt: skip
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(shop.site_topic, b"never committed", b"somebody", 1)
    assert producer.flush(20) == 0
    stuck = {("OpenTransactionHanging", "1")}
    wait_until(lambda: stuck <= firing(prometheus), lambda: f"{prometheus.alerts()}\n{shop.said()}", WELL)
    assert {p for p, seconds in seen(prometheus, "Open transactions").items() if seconds > 3} == {"1"}
    wait_until(lambda: seen(prometheus, "Oldest record that waits")["1"] > 5, shop.said, WELL)
    wait_until(lambda: "1" in moving(prometheus), shop.said, WELL)  # time goes on without its events: no stall

    # what the page says; what is to be put in is in the alert's labels
    labels = next(of for name, _, of in prometheus.alerts() if name == "OpenTransactionHanging")
    environment = shop.environment | {"TOPIC": labels["topic"], "PARTITION": labels["partition"]}
    whose = next(block for block in blocks("OpenTransactionHanging", "sh", "Diagnosis") if "describe-producers" in block)
    said = run(whose, environment)
    assert "watched-checkout" in said
    (abort,) = blocks("OpenTransactionHanging", "sh", "Mitigation")
    run(abort, environment | {"START_OFFSET": start_offset(said)})

    wait_until(lambda: not firing(prometheus) & stuck, lambda: f"{prometheus.alerts()}\n{shop.said()}", WELL)
    wait_until(lambda: moving(prometheus) == {"0", "1", "2", "3"}, shop.said, WELL)


def start_offset(said: str) -> str:
    """`CurrentTransactionStartOffset` of the producer that has a transaction open."""
    head, *rows = [line.split() for line in said.splitlines() if line.strip()]
    at = head.index("CurrentTransactionStartOffset")
    return next(row[at] for row in rows if len(row) > at and row[at].isdigit())
