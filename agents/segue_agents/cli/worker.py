"""`segue run`: a worker. Its flags are the settings, read off their class, so that there is one list of them."""

from __future__ import annotations

import gc
import inspect
import os
from typing import Annotated, Any

import typer

from segue_agents.cli.places import find_broker
from segue_agents.settings import ENVIRONMENT_PREFIX, Row, Settings, table


def run(**given: Any) -> None:
    """Run a worker: events in, membership changes out, until ^C. Any Kafka will do; topics that lack are created."""
    prepare_process()
    from segue_agents.app import run_worker
    from segue_agents.rule_files import load_plan, refuse_warehouse_only

    if given.pop("end_with_parent"):
        from segue_agents.demo.child import end_with_parent

        end_with_parent()
    settings = Settings.load(given | {"bootstrap": find_broker(given["bootstrap"])}, os.environ)
    # a mistake in a rule is said before anything is started
    plan = load_plan(settings.rules, settings.sources)
    refuse_warehouse_only(plan)
    raise typer.Exit(run_worker(settings, plan))


def prepare_process() -> None:
    """Before the heavy imports, which make hundreds of thousands of objects and no garbage: collecting meanwhile is a
    tenth of their time. `worker.memory` has the collector from then on. And numpy's linear algebra, which nothing here
    calls, would start a thread a core with buffers of its own."""
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _parameter(row: Row) -> inspect.Parameter:
    flag = "--broker" if row.name == "bootstrap" else "--" + row.name.replace("_", "-")
    variable = ENVIRONMENT_PREFIX + row.name.upper()
    annotation: Any
    if row.type is bool:
        declared = typer.Option(f"{flag}/--no-{flag[2:]}", help=_says(row, variable))
        annotation = Annotated[bool | None, declared]
    else:
        declared = typer.Option(flag, metavar=_metavar(row), help=_says(row, variable))
        annotation = Annotated[str | None, declared]
    return inspect.Parameter(row.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _says(row: Row, variable: str) -> str:
    if row.name == "bootstrap":
        return f"Kafka's address; default: what `segue up` runs. ({variable})"
    default = "" if row.default is None else f" Default {row.default}."
    return f"{row.says[0].upper()}{row.says[1:]}.{default} ({variable})".replace("..", ".")


def _metavar(row: Row) -> str:
    return "|".join(row.choices) or (row.unit or "VALUE").upper()


def _signature() -> inspect.Signature:
    parent = inspect.Parameter(
        "end_with_parent", inspect.Parameter.KEYWORD_ONLY, default=False,
        annotation=Annotated[bool, typer.Option("--end-with-parent", hidden=True)],
    )  # fmt: skip
    return inspect.Signature([*map(_parameter, table()), parent])


run.__signature__ = _signature()  # type: ignore[attr-defined]
run.__annotations__ = {name: p.annotation for name, p in _signature().parameters.items()}
