"""`segue up`, `segue down`: a broker of one's own that stays."""

from __future__ import annotations

from typing import Annotated

import typer

from segue_agents.cli.manners import say
from segue_agents.cli.places import BrokerDirOption, JsonOption, broker_folder, write_json
from segue_agents.cli.progress import Steps


def up(
    port: Annotated[int | None, typer.Option(help="Default: any free one.")] = None,
    data_dir: BrokerDirOption = None,
    registry: Annotated[
        bool, typer.Option("--registry", help="And a schema registry, Apicurio, beside it; prints its address too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start an Apache Kafka on this machine and leave it running; prints its address. Data is kept.

    Examples:
        segue up                        other commands find it by themselves
        segue up --port 9092            on a port of your choice
    Next: `segue run --rules examples/shop`, `segue watch`; `segue down` stops it.
    """
    from segue_agents import embedded

    folder = broker_folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    url = None
    with Steps() as steps:
        bootstrap = embedded.up(folder, port, steps)
        if registry:
            url = embedded.registry_up(folder, steps)
    if as_json:
        write_json({"bootstrap": bootstrap, "registry": url, "data_dir": str(folder)})
    else:
        typer.echo(bootstrap if url is None else f"{bootstrap}\n{url}")
    if url is not None:
        say(f"For all commands: `export SEGUE_REGISTRY={url}`, then `segue schema register`.")
    say(f"Its data is in {folder}.")


def down(data_dir: BrokerDirOption = None, as_json: JsonOption = False) -> None:
    """Stop the broker, and the registry, that `segue up` started. Their data stays for the next `segue up`.

    Examples:
        segue down
    """
    from segue_agents import embedded

    stopped = embedded.down(broker_folder(data_dir))
    if as_json:
        write_json({"stopped": stopped})
    say("Stopped; the data is kept." if stopped else "None was running.")
