"""`segue dead-letters`: what was refused, one record of it, and sending it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.errors import ConfigError
from segue_agents.cli.manners import say
from segue_agents.cli.places import (
    AppOption,
    BrokerOption,
    JsonLinesOption,
    JsonOption,
    KafkaConfigOption,
    SourcesOption,
    connection,
    find_registry,
    parse_time_ms,
    write_json,
    write_table,
    written_time,
)
from segue_agents.cli.progress import Steps

if TYPE_CHECKING:
    from segue_agents.dead_letters.letter import Letter

SHOWN_BYTES = 4_096

commands = typer.Typer(name="dead-letters", no_args_is_help=True,
                       help="Records that took no part: list them, look at one, send them again.")


@commands.command("ls")
def ls(
    each: Annotated[bool, typer.Option("--each", help="Single ones, the newest first, instead of groups.")] = False,
    reason: Annotated[str, typer.Option(help="Only those refused for this.")] = "",
    topic: Annotated[str, typer.Option(help="Only those from this topic.")] = "",
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only those written to the dead letters since.")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="At most so many lines.")] = 50,
    as_json: JsonLinesOption = False,
    app_id: AppOption = None,
    broker: BrokerOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """List them by reason, topic and partition, or one by one. Never says whose they are or what they hold.

    Examples:
        segue dead-letters ls                                       how many of each kind
        segue dead-letters ls --each --reason undecodable -n 10     the newest ten of a kind, one by one
        segue dead-letters ls --since 2026-11-24T16:00:00Z --json   for a program
    Next: `segue dead-letters show PARTITION:OFFSET`, with one of the places listed.
    """
    from segue_agents.dead_letters.overview import Selection, group, newest, was_retried
    from segue_agents.dead_letters.reading import read_letters, read_retried

    settings = connection(app_id, broker, kafka_config)
    selection, since_ms = Selection(reason, topic), None if since is None else parse_time_ms(since)
    retried = read_retried(settings)
    letters = (letter for letter in read_letters(settings, since_ms) if selection.takes(letter))
    if each:
        chosen = newest(letters, limit)
        rows = [_line(letter) | {"retried": was_retried(letter, retried)} for letter in chosen]
    else:
        rows = [asdict(g) | {"example": str(g.example)} for g in group(letters, retried)[:limit]]
    if as_json:
        write_json(*rows)
    elif not rows:
        say("None.")
    else:
        write_table([{n: _cell(n, v) for n, v in row.items()} for row in rows])


@commands.command("show")
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `ls` names it.")],
    as_json: JsonOption = False,
    app_id: AppOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Show one: why it was refused and what to do, its headers, key and value. This prints what a person did.

    Examples:
        segue dead-letters show 3:1041             as `segue dead-letters ls --each` names it
        segue dead-letters show 3:1041 --json      with everything in hexadecimal too
    Next: `segue dead-letters retry PARTITION:OFFSET`, when what refused it is mended.
    """
    from segue_agents.dead_letters.letter import Place
    from segue_agents.dead_letters.reading import read_letter

    letter = read_letter(connection(app_id, broker, kafka_config, sources), Place.of(place))
    if as_json:
        write_json(_whole(letter, sources))
    else:
        for line in _described(letter, sources):
            typer.echo(line)


@commands.command("retry")
def retry(
    places: Annotated[list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]...", help="As `ls` names them.")] = None,
    reason: Annotated[str, typer.Option(help="All refused for this.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    as_json: JsonOption = False,
    app_id: AppOption = None,
    broker: BrokerOption = None,
    sources: SourcesOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Send them to the topics they came from, as they were, each once however often this runs.

    Examples:
        segue dead-letters retry 3:1041                              one
        segue dead-letters retry --reason unknown_schema --dry-run   how many of a kind would be sent
        segue dead-letters retry --all                               all there are
    Next: `segue dead-letters ls`, which shows those that were refused again.
    """
    from segue_agents.dead_letters.letter import Place
    from segue_agents.dead_letters.retry import Choice
    from segue_agents.dead_letters.retry import retry as send

    if sum((bool(places), bool(reason), everything)) != 1:
        raise ConfigError("Which dead letters are to be sent again?",
                          "Name places, or --reason REASON, or --all: one of the three.")
    choice = Choice(frozenset(map(Place.of, places or ())), reason)
    with Steps() as steps:
        done = send(connection(app_id, broker, kafka_config, sources), choice, dry_run=dry_run,
                    progress=lambda n: steps(f"{n:,} sent"))
    if as_json:
        write_json({"sent": done.sent, "already_sent": done.already, "dry_run": dry_run})
        return
    for topic, letters in sorted(done.sent.items()):
        typer.echo(f"{topic}  {letters:,} {'would be sent' if dry_run else 'sent'}")
    if done.already:
        say(f"{done.already:,} of those chosen were sent before and are left alone.")
    if not done.sent:
        say("Nothing to send.")


def _line(letter: Letter) -> dict[str, Any]:
    return {"place": str(letter.place), "at_ms": letter.at_ms, "reason": letter.reason, "topic": letter.topic,
            "partition": letter.partition, "offset": letter.offset, "bytes": len(letter.value or b""),
            "detail": letter.detail}


def _cell(name: str, value: Any) -> tuple[str, str]:
    """Heading and text."""
    if name.endswith("_ms"):
        return name.removesuffix("_ms"), written_time(value)
    return name, ("yes" if value else "") if isinstance(value, bool) else str(value)


def _whole(letter: Letter, sources: Path | None) -> dict[str, Any]:
    from segue_agents.codecs.rows import Undecodable
    from segue_agents.dead_letters.value import decode_value
    from segue_agents.dead_letters.words import words

    try:
        decoded, why = decode_value(letter.value, letter.topic, sources, find_registry(None)), None
    except Undecodable as error:
        decoded, why = None, str(error)
    means, to_do = words(letter.reason)
    return _line(letter) | {
        "means": means, "to_do": to_do, "key_hex": None if letter.key is None else letter.key.hex(),
        "headers": [[n, None if v is None else v.hex()] for n, v in letter.headers],
        "notes": {n: letter.note(n) for n, _ in letter.notes},
        "value_hex": None if letter.value is None else letter.value.hex(), "decoded": decoded, "not_decoded": why,
    }


def _described(letter: Letter, sources: Path | None) -> Iterator[str]:
    from segue_agents.dead_letters.value import hex_dump

    found = _whole(letter, sources)
    yield f"{letter.place}  {letter.reason or 'not ours'}  {written_time(letter.at_ms)}"
    yield f"  {found['means']}"
    if letter.detail:
        yield f"  {letter.detail}"
    yield f"  {found['to_do']}"
    if letter.topic:
        yield f"\nfrom     {letter.topic} partition {letter.partition} offset {letter.offset}"
    for name, value in _pairs(letter):
        yield f"{name}: {value}"
    yield f"key      {_readable(letter.key)}"
    if letter.value is None:
        yield "value    none"
        return
    yield f"value    {len(letter.value):,} bytes"
    yield from ("  " + line for line in hex_dump(letter.value, SHOWN_BYTES))
    if found["decoded"] is None:
        yield f"It does not decode: {found['not_decoded']}."
    else:
        yield json.dumps(found["decoded"], indent=2, ensure_ascii=False)


def _pairs(letter: Letter) -> Sequence[tuple[str, str]]:
    return [(f"header   {n}", _readable(v)) for n, v in letter.headers] + [
        (f"note     {n}", letter.note(n)) for n, _ in letter.notes
    ]


def _readable(value: bytes | None) -> str:
    if value is None:
        return "none"
    text = value.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else f"hex {value.hex(' ')}"
