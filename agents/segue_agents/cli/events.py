"""`segue send`, `segue watch`: one event in, the changes out."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from typing import Annotated, Any, Final

import typer

from segue.catalog import Catalog, snake_case
from segue.errors import ConfigError
from segue_agents.cli.places import (
    BrokerOption,
    JsonLinesOption,
    JsonOption,
    KafkaConfigOption,
    RegistryConfigOption,
    RegistryOption,
    SourcesOption,
    connection,
    find_registry,
    parse_time_ms,
    write_json,
)

CALLS: Final = ("page", "identify", "alias")
"""events that are Segment calls of their own, not tracks"""


def send(
    event: Annotated[str, typer.Argument(help='As the producers call it: "Product Viewed".')],
    person: Annotated[str, typer.Option(help="Whose event it is.")],
    properties: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="product_id=42")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="When it happened; default: now.")] = None,
    message_id: Annotated[str | None, typer.Option(help="Default: a new one.")] = None,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    registry: RegistryOption = None,
    registry_config: RegistryConfigOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Publish one event as a producer would: Avro, Confluent framing, keyed by the person. Prints where it lies.

    Examples:
        segue send "Product Viewed" --person ada product_id=42
        segue send order_completed --person ada total=99.5 --at 2026-11-24T16:04:12Z
    Next: `segue watch`
    """
    from segue_agents.publish import EventPublisher
    from segue_agents.rule_files import load_catalog
    from segue_agents.transport.clients import common_config

    catalog = load_catalog(sources)
    event = declared_name(catalog, event)
    record: dict[str, Any] = {
        "type": event if event in CALLS else "track",
        "event": event,
        "userId": person,
        "messageId": message_id or str(uuid.uuid4()),
        "timestamp": time.time_ns() // 1_000_000 if at is None else parse_time_ms(at),
        "properties": dict(parse_property(text) for text in properties or []),
    }
    settings = connection(None, broker, kafka_config, sources)
    asked = find_registry(registry, registry_config)
    publisher = EventPublisher(settings.bootstrap, catalog, sources, common_config(settings), asked)
    with contextlib.closing(publisher):
        topic, partition, offset = publisher.publish_and_wait(record)
    if as_json:
        write_json({"topic": topic, "partition": partition, "offset": offset})
    else:
        typer.echo(f"{topic} {partition} {offset}")


def declared_name(catalog: Catalog, event: str) -> str:
    """The event as its contract writes it, from either spelling. Raises ConfigError for one that no contract names."""
    declared = [pair for source in catalog.sources for pair in source.events.items()]
    names = {written: raw for raw, snake in declared for written in (raw, snake)}
    if event in names:
        return names[event]
    near = catalog.suggest(snake_case(event))
    raise ConfigError(
        f"No contract names the event {event!r}.",
        f"Did you mean {names[near]!r}?" if near else f"Events: {', '.join(sorted(set(names.values())))}.",
    )


def parse_property(text: str) -> tuple[str, Any]:
    """`price=9.5` -> ("price", 9.5). What is not a JSON number, true, false or null is a string."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="properties")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    return name, value if isinstance(parsed, dict | list | str) else parsed


def watch(
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="The changes so far first.")] = False,
    limit: Annotated[int | None, typer.Option("-n", "--limit", min=1, help="Stop after so many.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    as_json: JsonLinesOption = False,
    topic: Annotated[str, typer.Option(help="The topic of the changes.")] = "segment-changes",
    broker: BrokerOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Follow the changes, each as it is committed, until ^C.

    Examples:
        segue watch                                from now on
        segue watch --from-beginning -n 10         the first ten there are
        segue watch --json | jq .segment           whole records, for a program
    """
    from segue_agents.tail import ChangeTail
    from segue_agents.transport.clients import common_config

    settings = connection(None, broker, kafka_config)
    ends = None if seconds is None else time.monotonic() + seconds
    seen = 0
    with ChangeTail(settings.bootstrap, topic, from_beginning=from_beginning, config=common_config(settings)) as tail:
        while (limit is None or seen < limit) and (ends is None or time.monotonic() < ends):
            for change in tail.read(timeout_s=0.2)[: None if limit is None else limit - seen]:
                sys.stdout.write((json.dumps(change, ensure_ascii=False) if as_json else in_short(change)) + "\n")
                seen += 1
            sys.stdout.flush()


def in_short(change: dict[str, Any]) -> str:
    """`2026-11-24 16:04:12Z  ada  entered  hot_lead  event`: what is known without the rules."""
    moment = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(change["at"] / 1000))
    return f"{moment}  {change['person_id']}  {change['change']:7}  {change['segment']}  {change['cause']}"
