"""`segue acls`: the rights an app needs of a Kafka that denies all others."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue_agents.cli.places import AppOption, BrokerOption, SourcesOption, write_table

if TYPE_CHECKING:
    from segue_agents.security.rights import Right


class AclsFormat(StrEnum):
    """How they are printed."""

    TABLE = "table"
    JSON = "json"
    KAFKA_ACLS = "kafka-acls"


class RoleName(StrEnum):
    """As `rights.Role`, which is not imported for `--help`."""

    WORKER = "worker"
    ADMIN = "admin"
    OPERATOR = "operator"
    PRODUCER = "producer"
    CONSUMER = "consumer"


def acls(
    role: Annotated[
        RoleName,
        typer.Argument(help="worker: segue run; admin: creates topics; operator: segue gaps, segue dead-letters; "
                            "producer: sends events; consumer: reads the changes."),
    ] = RoleName.WORKER,
    principal: Annotated[str, typer.Option(metavar="User:NAME", help="Whom they are for.")] = "User:segue",
    output: Annotated[
        AclsFormat, typer.Option("--format", help="kafka-acls: commands for Kafka's kafka-acls.sh; json: one object a line.")
    ] = AclsFormat.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
    slot: Annotated[
        list[str] | None,
        typer.Option(help="A worker's slot, once for each: their transactional ids by name. Default: by their prefix, which "
                          "holds for every app whose id begins so."),
    ] = None,
    group: Annotated[str, typer.Option(help="A consumer's group. Without it none, as for `segue watch`.")] = "",
    app_id: AppOption = None,
    sources: SourcesOption = None,
    output_topic: Annotated[str | None, typer.Option(help="Default: $SEGUE_OUTPUT_TOPIC, else segment-changes.")] = None,
    guarantee: Annotated[str | None, typer.Option(metavar="exactly_once|at_least_once", help="The worker's.")] = None,
    clock: Annotated[str | None, typer.Option(metavar="ticks|none", help="The worker's.")] = None,
    broker: BrokerOption = None,
) -> None:
    """Print the rights (ACLs) that an app needs, exactly: with any one fewer it does not run.

    Kafka is not asked: they follow from the settings and the sources.

    Examples:
        segue acls                                                      a worker's, as a table
        segue acls worker --principal User:segue --format kafka-acls    commands for Kafka's kafka-acls.sh
        segue acls consumer --json                                      of those who read the changes
    """
    from segue_agents.security.rights import Role, rights_of
    from segue_agents.settings import Settings

    given = {"app_id": app_id, "sources": sources, "output_topic": output_topic, "guarantee": guarantee, "clock": clock,
             "bootstrap": broker}
    settings = Settings.load(given, os.environ)
    rights = rights_of(Role(role), settings, slots=slot or (), group=group)
    if as_json or output is AclsFormat.JSON:
        for right in rights:
            typer.echo(json.dumps(as_acl(right, principal), ensure_ascii=False))
    elif output is AclsFormat.KAFKA_ACLS:
        for line in kafka_acls(rights, principal, settings.bootstrap):
            typer.echo(line)
    else:
        write_table([_row(right) for right in rights])


def as_acl(right: Right, principal: str) -> dict[str, Any]:
    """One ACL in Kafka's own terms, and what it is for."""
    return {
        "principal": principal, "host": "*", "permission": "allow", "operation": right.operation,
        "resource_type": right.resource, "resource": right.name, "pattern": right.pattern, "why": right.why,
    }  # fmt: skip


def kafka_acls(rights: Sequence[Right], principal: str, bootstrap: str) -> Iterator[str]:
    """One command a resource, to be run by somebody who may alter the cluster's ACLs."""
    operations: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        operations.setdefault((right.resource, right.name, right.pattern), []).append(right.operation)
    for (resource, name, pattern), allowed in operations.items():
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", "admin.properties", "--add"]
        words += ["--allow-principal", principal, *(w for o in allowed for w in ("--operation", o)), f"--{resource}", name]
        words += ["--resource-pattern-type", pattern] if pattern != "literal" else []
        yield shlex.join(words)


def _row(right: Right) -> dict[str, tuple[str, str]]:
    name = right.name + ("*" if right.pattern == "prefixed" else "")
    cells = {"operation": right.operation, "resource": right.resource, "name": name, "for": right.why}
    return {heading: (heading, text) for heading, text in cells.items()}
