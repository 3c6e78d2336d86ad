"""`segue topics`: what an app reads and writes, and its creation by somebody who may, before any worker runs."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from segue_agents.cli.manners import say
from segue_agents.cli.places import (
    AppOption,
    BrokerOption,
    JsonLinesOption,
    KafkaConfigOption,
    SourcesOption,
    connection,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    from segue_agents.settings import Settings

MISSING = 1
"""the exit code when a topic is not there"""
OutputTopicOption = Annotated[
    str | None, typer.Option("--output-topic", help="Of the changes; default: $SEGUE_OUTPUT_TOPIC, else segment-changes.")
]

commands = typer.Typer(name="topics", invoke_without_command=True)


class Topic(NamedTuple):
    """One that an app needs."""

    name: str
    partitions: int | None
    """None: it is not there"""
    config: dict[str, str]
    """what it is created with; inputs: the broker's defaults"""


@commands.callback()
def topics(
    context: typer.Context,
    as_json: JsonLinesOption = False,
    app_id: AppOption = None,
    output_topic: OutputTopicOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """List the topics an app needs, with their partitions and configuration. Exit 1 if one is missing.

    Examples:
        segue topics                               of the app `segue`
        segue topics --app-id shop --json          of another, for a program
    """
    if context.invoked_subcommand is not None:
        return
    found = _look(_settings(app_id, broker, kafka_config, sources, output_topic=output_topic))
    if as_json:
        write_json(*({"topic": t.name, "partitions": t.partitions, "config": t.config} for t in found))
    else:
        write_table([
            {"topic": ("TOPIC", t.name), "partitions": ("PARTITIONS", str(t.partitions or "missing")),
             "config": ("CREATED WITH", ", ".join(f"{k}={v}" for k, v in t.config.items()) or "the broker's defaults")}
            for t in found
        ])  # fmt: skip
    if not all(t.partitions for t in found):
        say("Some are missing. Next: `segue topics create`.")
        raise typer.Exit(MISSING)


@commands.command("create")
def create(
    partitions: Annotated[
        int | None, typer.Option(help="Of those that are missing, if none of the inputs is there; default: 4.")
    ] = None,
    app_id: AppOption = None,
    output_topic: OutputTopicOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
    as_json: JsonLinesOption = False,
) -> None:
    """Create what is missing; what is there stays as it is. For those who run workers with --no-create-topics.

    Examples:
        segue topics create                        of the app `segue`
        segue topics create --partitions 12        where no input is there yet
    Next: `segue topics`
    """
    import structlog

    from segue_agents.topics import ready_topics

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = _settings(app_id, broker, kafka_config, sources, output_topic=output_topic, partitions=partitions)
    before = {t.name for t in _look(settings) if t.partitions}
    count = ready_topics(settings)
    made = _look(settings)
    if as_json:
        write_json(*({"topic": t.name, "partitions": count, "created": t.name not in before} for t in made))
        return
    for topic in made:
        typer.echo(f"{topic.name}  {count} partitions  {'was there' if topic.name in before else 'created'}")


def _look(settings: Settings) -> list[Topic]:
    """Inputs, output and internal topics, as they are on the broker. Raises Unreachable."""
    from confluent_kafka.admin import AdminClient

    from segue_agents.topics import input_topics, topic_configs
    from segue_agents.transport.asking import partition_counts
    from segue_agents.transport.clients import common_config

    counts = partition_counts(AdminClient(common_config(settings)), settings.bootstrap)
    wanted: dict[str, dict[str, str]] = {**{topic: {} for topic in input_topics(settings)}, **topic_configs(settings)}
    return [Topic(name, counts.get(name), config) for name, config in wanted.items()]


def _settings(
    app_id: str | None, broker: str | None, kafka_config: Path | None, sources: Path | None, **more: Any
) -> Settings:
    """As a worker's, but that topics may be created: that is what this command is for."""
    settings = connection(app_id, broker, kafka_config, sources)
    given = {name: value for name, value in more.items() if value is not None}
    return dataclasses.replace(settings, create_topics=True, **given)
