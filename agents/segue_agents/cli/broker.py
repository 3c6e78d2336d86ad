"""`segue up`, `segue down`: a broker of one's own that stays."""

from __future__ import annotations

from typing import Annotated

import typer

from segue_agents.cli.places import BrokerDirOption, broker_folder


def up(
    port: Annotated[int | None, typer.Option(help="Default: any free one.")] = None,
    data_dir: BrokerDirOption = None,
    registry: Annotated[
        bool, typer.Option("--registry", help="And a schema registry, Apicurio, beside it; prints its address too.")
    ] = False,
) -> None:
    """Start an Apache Kafka on this machine and leave it running; prints its address. Data is kept."""
    from segue_agents import embedded

    folder = broker_folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    bootstrap = embedded.up(folder, port, lambda line: typer.echo(line, err=True))
    typer.echo(bootstrap)
    if registry:
        url = embedded.registry_up(folder, lambda line: typer.echo(line, err=True))
        typer.echo(url)
        typer.echo(f"For all commands: `export SEGUE_REGISTRY={url}`, then `segue schema register`.", err=True)
    typer.echo(f"Its data is in {folder}. Next: `segue run --rules examples/shop`, `segue watch`.", err=True)


def down(data_dir: BrokerDirOption = None) -> None:
    """Stop the broker, and the registry, that `segue up` started. Their data stays for the next `segue up`."""
    from segue_agents import embedded

    stopped = embedded.down(broker_folder(data_dir))
    typer.echo("Stopped; the data is kept." if stopped else "None was running.", err=True)
