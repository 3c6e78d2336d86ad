"""A state that is larger than Kafka takes is said, once more tried, and given up; and what the changelog is asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from structlog.testing import capture_logs
from tests.agents.worker.conftest import App

from segue.errors import ConfigError
from segue.limits import STATE_BYTES
from segue_agents.commit.committer import RESTART_EXIT_CODE, make_committer
from segue_agents.commit.reactions import TooLarge
from segue_agents.logs.pseudonyms import pseudonym
from segue_agents.outside import Outside
from segue_agents.topics import check_changelog, ready_topics, state_topic
from segue_agents.transport.clients import producer_config

PERSON = b"ada@example.org"
GUARANTEES = pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])


def alter(app: App, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": app.settings.bootstrap})  # kept: without it nothing would be answered
    admin.incremental_alter_configs([resource])[resource].result(20)


def send(app: App, guarantee: Any, state: bytes) -> None:
    committer = make_committer(producer_config(dataclasses.replace(app.settings, guarantee=guarantee), "0"), Outside(),
                               lambda _: None)
    consumer = Consumer({"bootstrap.servers": app.settings.bootstrap, "group.id": app.settings.app_id})
    committer.open()
    try:
        committer.produce(state_topic(app.settings.app_id), 0, PERSON, state)
        committer.checkpoint_follows()
        committer.commit([], consumer.consumer_group_metadata())
    finally:
        consumer.close()
        committer.drop()


def said(lost: TooLarge, size: int, topic: str) -> None:
    assert f"A record of {size} bytes for {topic} partition 0" in lost.what
    assert pseudonym(PERSON) in lost.what
    assert PERSON.decode() not in str(lost)
    assert "max.message.bytes" in lost.to_do


@GUARANTEES
def test_what_the_broker_refuses_is_named(app: App, guarantee: str) -> None:
    """Topic, partition, size, and whose as a hash only; by a topic that takes less than it should."""
    topic = state_topic(app.settings.app_id)
    alter(app, topic, "max.message.bytes", "2000")
    lost = None
    for taken in range(1, 20):  # the broker applies it a moment later: until then it takes the record, and has it
        try:
            send(app, guarantee, hashlib.shake_256(b"").digest(50_000))
        except TooLarge as error:
            lost = error
            break
        assert len(app.records(topic)) == taken
        time.sleep(0.5)
    assert lost is not None
    said(lost, 50_000, topic)


@GUARANTEES
def test_what_may_not_be_sent_is_named(app: App, guarantee: str) -> None:
    """Above the limit nothing is even sent."""
    with pytest.raises(TooLarge) as caught:
        send(app, guarantee, bytes(STATE_BYTES + 1))
    said(caught.value, STATE_BYTES + 1, state_topic(app.settings.app_id))


@GUARANTEES
def test_a_large_state_goes_into_the_changelog(app: App, guarantee: str) -> None:
    """Far more than the 1 MB that a topic takes by default, and incompressible."""
    send(app, guarantee, hashlib.shake_256(b"").digest(STATE_BYTES - (64 << 10)))
    assert [m.key() for m in app.records(state_topic(app.settings.app_id))] == [PERSON]


def test_a_worker_gives_up_the_second_time(app: App) -> None:
    """A state of 17 MB is no smaller after a rebuild."""
    plant = (
        "from segue_agents.worker.owned import Owned\n"
        "encoded = Owned.encoded\n"
        "Owned.encoded = lambda self: [(p, s + bytes(17 << 20)) for p, s in encoded(self)]\n"
    )
    app.publish(5, persons=1)
    app.start(plant=plant)
    assert app.exit_code() == RESTART_EXIT_CODE
    assert app.said("is too large") >= 1
    assert app.said("rebuild ") == 1, app.log("0").read_text()
    assert "p0" not in app.log("0").read_text().split("is too large")[-1]


def ready_for(seconds: float, app: App) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ready_topics(app.settings)


@pytest.mark.parametrize("policy", ["compact,delete", "delete"])
def test_a_changelog_that_loses_states_is_refused(app: App, policy: str) -> None:
    """By the real broker's word; with the command that mends it."""
    assert ready_topics(app.settings) == 2
    alter(app, state_topic(app.settings.app_id), "cleanup.policy", policy)
    with pytest.raises(ConfigError, match=f"cleanup.policy={policy}") as caught:
        ready_for(10, app)  # the broker learns of it a moment later
    assert "--add-config cleanup.policy=compact" in caught.value.to_do


@pytest.mark.parametrize(("config", "warns"), [
    ({}, False),  # not allowed to ask
    ({"cleanup.policy": "compact", "max.message.bytes": str(STATE_BYTES)}, False),
    ({"cleanup.policy": "compact", "max.message.bytes": "1048588"}, True),
])  # fmt: skip
def test_a_changelog_that_takes_less_is_warned_of(config: dict[str, str], warns: bool) -> None:
    """One made by an earlier version, say."""
    with capture_logs() as logged:
        check_changelog("t", config)
    assert [line["event"] for line in logged] == ["states_limited"] * warns
