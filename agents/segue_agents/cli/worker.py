"""`segue run`: a worker. Its flags are the settings, read off their class, so that there is one list of them."""

from __future__ import annotations

import gc
import os
from typing import Any

import typer

from segue_agents.cli.places import with_broker
from segue_agents.cli.setting_flags import END_WITH_PARENT, takes_settings
from segue_agents.settings import Loaded


@takes_settings(END_WITH_PARENT)
def run(**given: Any) -> None:
    """Run a worker: events in, membership changes out, until ^C. Any Kafka will do; topics that lack are created."""
    prepare_process()
    from segue_agents.app import run_worker
    from segue_agents.rule_files import load_plan, refuse_warehouse_only

    if given.pop("end_with_parent"):
        from segue_agents.demo.child import end_with_parent

        end_with_parent()
    file = given.pop("config")
    loaded = Loaded.of(given, os.environ, file)
    settings = with_broker(loaded.settings, loaded.origins.get("bootstrap"))
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
