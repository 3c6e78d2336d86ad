"""docker-compose.yml without Docker: its variables and commands start the same broker, registry, worker and shop."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from segue_agents.tail import ChangeTail
from tests.deploy.conftest import SERVICES, Stack
from tests.deploy.files import seconds

pytestmark = pytest.mark.timeout(400)
CHANGE_WITHIN_S = 120


def broker_config(bootstrap: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.BROKER, "1")
    found = AdminClient({"bootstrap.servers": bootstrap}).describe_configs([resource])[resource].result(30)
    return {name: str(entry.value) for name, entry in found.items()}


def test_the_broker_is_the_one_that_was_described(stack: Stack) -> None:
    """What the image's wrapper made of the variables is what the running broker says of itself, and no default of the image's."""
    config = broker_config(stack.here("kafka:29092"))
    for name, value in SERVICES["kafka"]["environment"].items():
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS":
            assert config[name.removeprefix("KAFKA_").lower().replace("_", ".")] == stack.here(value), name
    meta = (stack.folder / "kafka" / "meta.properties").read_text()
    assert f"cluster.id={SERVICES['kafka']['environment']['CLUSTER_ID']}" in meta


def test_a_program_on_the_host_gets_in(stack: Stack) -> None:
    """The listener for this machine names an address of this machine, not one of the containers' network."""
    client = AdminClient({"bootstrap.servers": stack.here("HOST://127.0.0.1:9092").removeprefix("HOST://")})
    (broker,) = client.list_topics(timeout=30).brokers.values()
    assert f"{broker.host}:{broker.port}" == stack.here("HOST://127.0.0.1:9092").removeprefix("HOST://")


def test_init_made_topics_and_schemas(stack: Stack) -> None:
    """All topics with the partitions of the settings, the changelog compacted, every schema under its topic's name."""
    client = AdminClient({"bootstrap.servers": stack.here("kafka:29092")})
    topics = {name: len(t.partitions) for name, t in client.list_topics(timeout=30).topics.items()}
    wanted = {"site-events", "email-events", "profile-updates", "segment-changes"}
    wanted |= {f"segue-shop-{kind}" for kind in ("state", "clock", "dead-letters")}
    assert {name: count for name, count in topics.items() if name in wanted} == dict.fromkeys(wanted, 4)
    resource = ConfigResource(ResourceType.TOPIC, "segue-shop-state")
    assert client.describe_configs([resource])[resource].result(30)["cleanup.policy"].value == "compact"
    with urllib.request.urlopen(stack.here("http://registry:8080/apis/ccompat/v7/subjects"), timeout=30) as answer:
        assert {"site-events-value", "email-events-value", "profile-updates-value", "segment-changes-value"} <= set(json.load(answer))


def test_the_shops_events_become_changes_and_the_worker_ends_in_time(stack: Stack) -> None:
    """Worker and shop, started as the file says: healthy by the file's check, changes come out, both end well on SIGTERM."""
    with stack.run("worker") as worker:
        stack.wait_until_healthy("worker", worker)
        with stack.run("shop") as shop, ChangeTail(stack.here("kafka:29092"), "segment-changes", from_beginning=True) as tail:
            found: set[str] = set()
            until = time.monotonic() + CHANGE_WITHIN_S
            while "behavior_cart_abandon" not in found and time.monotonic() < until and worker.poll() is shop.poll() is None:
                found |= {change["segment"] for change in tail.read(1.0)}
            assert "behavior_cart_abandon" in found, _last(stack.log("worker")) + _last(stack.log("shop"))
            assert _ended(shop, "shop") == 0, _last(stack.log("shop"))
        assert _ended(worker, "worker") == 0, _last(stack.log("worker"))
    said = [json.loads(line) for line in stack.log("worker").read_text().splitlines() if line.startswith("{")]
    assert "worker_stopped" in {line["event"] for line in said}, "its log is JSON, one object a line"


def _ended(process: subprocess.Popen[bytes], service: str) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(seconds(SERVICES[service]["stop_grace_period"]))


def _last(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) + "\n"
