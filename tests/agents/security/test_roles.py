"""Each of the other roles does all its commands with exactly its rights, on a Kafka that denies everything else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.agents.security.allowing import Allowing
from tests.agents.security.forked import ForkedApp
from tests.agents.security.secured import USER, Secured, add_user, written
from tests.agents.worker.conftest import wait_until
from typer.testing import CliRunner, Result

from segue.errors import NotAllowed
from segue_agents.cli.application import app as cli
from segue_agents.security.rights import Right, Role, rights_of
from segue_agents.settings import Settings
from segue_agents.topics import create_topics, dead_letters_topic, needed_topics, state_topic

GAPS = 4


class Roles:
    """An app, and a user for each role with the role's rights."""

    def __init__(self, secured: Secured, prefix: str, folder: Path) -> None:
        self.secured, self.folder = secured, folder
        self.app = ForkedApp(secured.plain, prefix, folder)
        self._given: list[tuple[Allowing, list[Right]]] = []
        self.give(USER, Role.WORKER, self.app.settings)

    def give(self, user: str, role: Role, settings: Settings) -> Path:
        """Its kafka_config."""
        if user != USER:
            add_user(self.secured.plain, user)
        allowing, rights = Allowing(self.secured.plain, f"User:{user}"), rights_of(role, settings)
        allowing.give(rights)
        self._given.append((allowing, rights))
        below = self.folder / user
        below.mkdir(exist_ok=True)
        return written(below, self.secured.scram_config(user))

    def command(self, role: Role, *arguments: str) -> Result:
        """As the role's user."""
        settings = self.app.settings
        config = self.give(f"{settings.app_id}-{role}", role, settings)
        given = {"BOOTSTRAP": self.secured.scram, "KAFKA_CONFIG": config, "APP_ID": settings.app_id,
                 "SOURCES": settings.sources, "SESSION_TIMEOUT_MS": 1_000}  # fmt: skip
        return CliRunner().invoke(cli, list(arguments), env=os.environ | {f"SEGUE_{n}": str(v) for n, v in given.items()})

    def work(self) -> None:
        """A worker works everything off, and ends."""
        self.app.start(bootstrap=self.secured.scram, kafka_config=self.folder / USER / "kafka.properties",
                       session_timeout_ms=1_000)  # fmt: skip
        self.app.wait_for_all()
        assert self.app.end() == 0

    def close(self) -> None:
        self.app.kill_all()
        for allowing, rights in self._given:
            allowing.take(rights)


@pytest.fixture
def roles(secured: Secured, topic_prefix: str, tmp_path: Path) -> Iterator[Roles]:
    made = Roles(secured, topic_prefix, tmp_path)
    yield made
    made.close()


def test_a_producer_sends_and_a_consumer_watches(roles: Roles) -> None:
    """Neither does what the other does."""
    send = ("send", "Product Viewed", "--person", "ada", "--sources", str(roles.app.settings.sources))
    for i in range(3):
        sent = roles.command(Role.PRODUCER, *send, f"product_id={i}")
        assert sent.exit_code == 0, sent.output
    roles.work()
    watching = ("watch", "--from-beginning", "-n", "1", "--topic", roles.app.settings.output_topic)
    watched = roles.command(Role.CONSUMER, *watching)
    assert watched.exit_code == 0 and "ada" in watched.output
    refused = roles.command(Role.PRODUCER, *watching)
    assert isinstance(refused.exception, NotAllowed)
    assert f"Read on topic {roles.app.settings.output_topic!r}" in str(refused.exception)
    assert "segue acls consumer" in str(refused.exception)
    refused = roles.command(Role.CONSUMER, *send)
    assert isinstance(refused.exception, NotAllowed)
    assert "segue acls producer" in str(refused.exception)


def test_an_operator_looks_after_gaps_and_dead_letters(roles: Roles) -> None:
    """Lists, sends again, finds a gap, passes over it."""
    topic = roles.app.catalog.sources[0].topic
    roles.app.publish(30)
    garbage = Producer({"bootstrap.servers": roles.secured.plain})
    garbage.produce(topic, b"no event", b"p", 0)
    assert not garbage.flush(20)
    roles.work()
    listed = roles.command(Role.OPERATOR, "dead-letters", "ls")
    assert listed.exit_code == 0 and topic in listed.output
    sent = roles.command(Role.OPERATOR, "dead-letters", "retry", "--all")
    assert sent.exit_code == 0 and topic in sent.output, sent.output
    assert roles.command(Role.OPERATOR, "gaps").exit_code == 0
    admin = AdminClient({"bootstrap.servers": roles.secured.plain})
    for future in admin.delete_records([TopicPartition(topic, p, -1) for p in range(2)]).values():
        future.result(20)
    wait_until(lambda: roles.command(Role.OPERATOR, "gaps").exit_code == GAPS, "the gap")
    accepted = roles.command(Role.OPERATOR, "gaps", "accept")
    assert accepted.exit_code == 0 and topic in accepted.output, accepted.output + str(accepted.exception)
    assert roles.command(Role.OPERATOR, "gaps").exit_code == 0


def test_an_admin_creates_the_topics_and_a_worker_may_not(roles: Roles, secured: Secured) -> None:
    """Which is said, with the way out."""
    settings = Settings(
        bootstrap=secured.scram, app_id=f"{roles.app.settings.app_id}-new", output_topic=f"{roles.app.prefix}new",
        sources=roles.app.settings.sources,
    )  # fmt: skip
    as_worker = roles.give(USER, Role.WORKER, settings)
    with pytest.raises(NotAllowed, match="to create it") as caught:
        create_topics(_by(settings, as_worker), 2)
    assert "segue acls admin" in caught.value.to_do
    admin = roles.give(f"{settings.app_id}-admin", Role.ADMIN, settings)
    made = create_topics(_by(settings, admin), 2)
    assert {state_topic(settings.app_id), dead_letters_topic(settings.app_id), settings.output_topic} <= set(made)
    assert set(made) < set(needed_topics(settings))
    assert create_topics(_by(settings, admin), 2) == []


def _by(settings: Settings, config: Path) -> Settings:
    return Settings(bootstrap=settings.bootstrap, app_id=settings.app_id, output_topic=settings.output_topic,
                    sources=settings.sources, kafka_config=config)  # fmt: skip
