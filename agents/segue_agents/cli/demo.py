"""`segue demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from segue_agents.cli.manners import is_quiet, say
from segue_agents.cli.places import RegistryOption, connection, example_rules, find_registry

SPEED: Final = 360.0
"""half an hour is five seconds"""


CROWD: Final = 10
"""120 people: some two events in ten seconds"""


def demo(
    realtime: Annotated[bool, typer.Option("--realtime", help="Event time runs with the clock.")] = False,
    speed: Annotated[float, typer.Option(help="How many times faster than the clock event time runs.")] = SPEED,
    seconds: Annotated[float | None, typer.Option(help="End after so long; default: at ^C.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another number, another day in the shop.")] = None,
    rules: Annotated[Path | None, typer.Option(help="Rules of your own instead of examples/shop.")] = None,
    broker: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The shop alone, in real time, into this Kafka: for a worker of yours."),
    ] = None,
    registry: RegistryOption = None,
    crowd: Annotated[int, typer.Option(min=1, max=10_000, help="With --broker: people of each of 12 characters.")] = CROWD,
) -> None:
    """A real Kafka, a worker and a simulated shop: changes as they come, in words. Leaves nothing behind.

    Examples:
        segue demo                                  until ^C; half an hour of the shop in five seconds
        segue demo --seconds 30                     ends by itself
        segue demo --rules my-rules                 your own rules over the shop's events
        segue demo --broker 127.0.0.1:9092          the shop alone, into a Kafka of yours
    """
    if broker is not None:
        if rules is not None or speed != SPEED:
            raise typer.BadParameter("is the shop alone, in real time: leave out --rules and --speed", param_hint="--broker")
        _shop_alone(broker, registry, seconds, seed, crowd)
        return
    from rich.console import Console

    from segue_agents.demo.run import DemoOptions, next_steps, run_demo

    if speed <= 0:
        raise typer.BadParameter("must be more than 0", param_hint="--speed")
    options = DemoOptions(rules or example_rules("shop"), 1.0 if realtime else speed, seconds, 1 if seed is None else seed)
    tally = run_demo(options, out=Console(highlight=False), log=Console(stderr=True, highlight=False, quiet=is_quiet()))
    say(next_steps(tally, options.rules))


def _shop_alone(broker: str, registry: str | None, seconds: float | None, seed: int | None, crowd: int) -> None:
    from segue_agents.demo.traffic import Traffic, run_traffic
    from segue_agents.publish import EventPublisher
    from segue_agents.rule_files import load_catalog
    from segue_agents.transport.clients import common_config

    catalog, asked, settings = load_catalog(), find_registry(registry), connection(None, broker, None)

    def publisher() -> EventPublisher:
        return EventPublisher(settings.bootstrap, catalog, None, common_config(settings), asked)

    say(f"The shop opens: {12 * crowd} people, in real time, into {broker}. ^C ends.")
    sent = run_traffic(Traffic(seconds, seed, crowd), publisher, say)
    say(f"{sent} events.")
