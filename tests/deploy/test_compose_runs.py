"""docker-compose.yml without Docker: its variables and commands start the same broker, registry, worker and shop."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from tests.deploy.conftest import SERVICES, Running, Stack
from tests.deploy.files import seconds
from tests.deploy.image import UID, first_process

from segue_agents.tail import ChangeTail

CHANGE_WITHIN_S = 120


@pytest.mark.timeout(600)
def test_what_the_file_describes_runs(stack: Stack) -> None:
    """Kafka, registry, init, worker and shop, by their own variables, commands and health checks, of what the Dockerfile
    builds: the broker is the one described, topics and schemas are there, the shop's events become changes, and each ends in
    its time. One test, so that all this is started once."""
    client = AdminClient({"bootstrap.servers": stack.here("kafka:29092")})
    the_broker_is_the_one_described(stack, client)
    a_program_on_the_host_gets_in(stack)
    init_has_made_topics_and_schemas(stack, client)
    with stack.run("worker") as worker:
        stack.wait_until_healthy("worker", worker)
        the_worker_is_shut_in(stack, worker)
        with stack.run("shop") as shop:
            changes_come_out(stack, worker, shop)
            assert shop.terminate(seconds(SERVICES["shop"]["stop_grace_period"])) == 0, stack.last_words("shop")
        assert worker.terminate(seconds(SERVICES["worker"]["stop_grace_period"])) == 0, stack.last_words("worker")
    said = [json.loads(line) for line in stack.log("worker").read_text().splitlines() if line.startswith("{")]
    assert "worker_stopped" in {line["event"] for line in said}, "it was not killed"


def the_broker_is_the_one_described(stack: Stack, client: AdminClient) -> None:
    """What the image's wrapper made of the variables is what the broker says of itself; the image's own are gone."""
    resource = ConfigResource(ResourceType.BROKER, SERVICES["kafka"]["environment"]["KAFKA_NODE_ID"])
    config = client.describe_configs([resource])[resource].result(30)
    for name, value in SERVICES["kafka"]["environment"].items():
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS":
            assert config[name.removeprefix("KAFKA_").lower().replace("_", ".")].value == stack.here(value), name
    meta = (stack.folder / "kafka" / "meta.properties").read_text()
    assert f"cluster.id={SERVICES['kafka']['environment']['CLUSTER_ID']}" in meta


def a_program_on_the_host_gets_in(stack: Stack) -> None:
    """The listener for this machine names an address of this machine, not one of the containers' network."""
    address = stack.here("HOST://127.0.0.1:9092").removeprefix("HOST://")
    (broker,) = AdminClient({"bootstrap.servers": address}).list_topics(timeout=30).brokers.values()
    assert f"{broker.host}:{broker.port}" == address


def init_has_made_topics_and_schemas(stack: Stack, client: AdminClient) -> None:
    """All topics with the partitions of the settings, the changelog compacted, every schema under its topic's name."""
    topics = {name: len(t.partitions) for name, t in client.list_topics(timeout=30).topics.items()}
    wanted = {"site-events", "email-events", "profile-updates", "segment-changes"}
    wanted |= {f"segue-shop-{kind}" for kind in ("state", "clock", "dead-letters")}
    assert {name: count for name, count in topics.items() if name in wanted} == dict.fromkeys(wanted, 4)
    resource = ConfigResource(ResourceType.TOPIC, "segue-shop-state")
    assert client.describe_configs([resource])[resource].result(30)["cleanup.policy"].value == "compact"
    with urllib.request.urlopen(stack.here("http://registry:8080/apis/ccompat/v7/subjects"), timeout=30) as answer:
        subjects = set(json.load(answer))
    assert {f"{t}-value" for t in ("site-events", "email-events", "profile-updates", "segment-changes")} <= subjects


def the_worker_is_shut_in(stack: Stack, worker: Running) -> None:
    """Where this process may do what Docker does, the worker is not root, has no capabilities, and is PID 1."""
    if not worker.inside:
        return
    told = Path(f"/proc/{first_process(worker.process)}/status").read_text()
    status = dict(line.split(":\t", 1) for line in told.splitlines())
    assert status["Uid"].split() == [str(UID)] * 4
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0
    assert status["NSpid"].split()[-1] == "1"
    assert (stack.folder / "worker" / "shop" / "0").is_dir(), "its state is where the volume is"


def changes_come_out(stack: Stack, worker: Running, shop: Running) -> None:
    """Carts are abandoned: events, time that passes, and the way out."""
    found: set[str] = set()
    until = time.monotonic() + CHANGE_WITHIN_S
    with ChangeTail(stack.here("kafka:29092"), "segment-changes", from_beginning=True) as tail:
        while "behavior_cart_abandon" not in found and time.monotonic() < until:
            assert worker.process.poll() is None, stack.last_words("worker")
            assert shop.process.poll() is None, stack.last_words("shop")
            found |= {change["segment"] for change in tail.read(1.0)}
    assert "behavior_cart_abandon" in found, stack.last_words("worker") + stack.last_words("shop")
