"""`segue demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from segue_agents.cli.manners import is_quiet, say
from segue_agents.cli.places import example_rules

SPEED: Final = 360.0
"""half an hour is five seconds"""


def demo(
    realtime: Annotated[bool, typer.Option("--realtime", help="Event time runs with the clock.")] = False,
    speed: Annotated[float, typer.Option(help="How many times faster than the clock event time runs.")] = SPEED,
    seconds: Annotated[float | None, typer.Option(help="End after so long; default: at ^C.")] = None,
    seed: Annotated[int, typer.Option(help="Another number, another day in the shop.")] = 1,
    rules: Annotated[Path | None, typer.Option(help="Rules of your own instead of examples/shop.")] = None,
) -> None:
    """A real Kafka, a worker and a simulated shop: changes as they come, in words. Leaves nothing behind.

    Examples:
        segue demo                          until ^C; half an hour of the shop in five seconds
        segue demo --seconds 30             ends by itself
        segue demo --rules my-rules         your own rules over the shop's events
    """
    from rich.console import Console

    from segue_agents.demo.run import DemoOptions, next_steps, run_demo

    if speed <= 0:
        raise typer.BadParameter("must be more than 0", param_hint="--speed")
    options = DemoOptions(rules or example_rules("shop"), 1.0 if realtime else speed, seconds, seed)
    tally = run_demo(options, out=Console(highlight=False), log=Console(stderr=True, highlight=False, quiet=is_quiet()))
    say(next_steps(tally, options.rules))
