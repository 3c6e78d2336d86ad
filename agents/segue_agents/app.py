"""The Faust app: a channel of batches, the agent that works them off, the services around, and /metrics.

    app = create_app(settings)       # `faust -A module:app worker` runs it as well
    code = run_worker(settings)      # what `segue run` does

Faust gives the life cycle, agents, timers and web pages. Its own consumer, producer and tables do not start, so tables,
`group_by` and `ask` are not to be had in this app; agents on channels, tasks, timers and pages are.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Any, Final

import faust
import mode
import structlog
from faust.app.base import BootStrategy

import segue_schemas
from segue.engine import Engine
from segue.errors import NotAllowed, SegueError
from segue.plan import Plan
from segue_agents.codecs.changes import ChangeEncoder
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.codecs.learner import Learner
from segue_agents.codecs.registry import registry_of
from segue_agents.codecs.schemas import Schemas
from segue_agents.codecs.schemas_on_disk import SchemaFolder
from segue_agents.commit.committer import make_committer
from segue_agents.config.kafka import risks
from segue_agents.logs import Host, configure_logs, name_persons, writes_json
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside
from segue_agents.rights import check_rights
from segue_agents.rule_files import load_plan
from segue_agents.settings import Settings
from segue_agents.state.progress import RestoreProgress
from segue_agents.state.slot import Slot
from segue_agents.topics import ready_topics
from segue_agents.transport.assignment import Assignment
from segue_agents.transport.clients import given_properties, producer_config, try_clients
from segue_agents.transport.lane import Signal
from segue_agents.transport.session import Session
from segue_agents.transport.source import SignalSource
from segue_agents.worker.clock import Clock, Ticker
from segue_agents.worker.loop import Worker

CHANGE_SCHEMA: Final = "segue.SegmentChange"
QUEUED_BATCHES: Final = 2
_log = structlog.get_logger(__name__)


class OwnTransport(BootStrategy):
    """Starts agents, web and services, and nothing of Faust's that speaks to Kafka."""

    enable_kafka = False


class SegueApp(faust.App):
    """A Faust app that boots without Faust's own consumer and producer."""

    BootStrategy = OwnTransport
    segue: Worker
    source: SignalSource


def create_app(settings: Settings, plan: Plan | None = None) -> SegueApp:
    """Everything wired, nothing started. `plan`: of the settings' rules, when they have been read.

    Raises RuleError, ContractError, ConfigError, StateError.
    """
    plan = plan or load_plan(settings.rules, settings.sources)
    engine = Engine(plan)
    metrics = Metrics()
    metrics.say_build(engine.program.layout.id)
    _say_rules(plan, engine.program.layout.id)
    slot = Slot.take(settings.data_dir, settings.app_id, settings.slot)
    outside = Outside()
    schemas = _schemas(settings, slot, metrics, outside)
    clock = Clock.of(settings, outside)
    committer = make_committer(producer_config(settings, slot.name), outside,
                               lambda why: metrics.add("producer_recycled_total", 1, why))
    encoder = ChangeEncoder(plan, segue_schemas.schema_ids()[CHANGE_SCHEMA], settings.output_format)
    app = _faust_app(settings, slot)
    batches = app.channel(maxsize=QUEUED_BATCHES)
    worker = Worker(settings, plan, encoder, committer, clock, metrics, outside, on_rebuild=lambda: session.end())  # noqa: PLW0108 (not made yet)
    ticker = Ticker(settings, clock, outside, lambda: session.owned) if settings.clock == "ticks" else None
    assignment = Assignment(settings, engine, plan.catalog, metrics, RestoreProgress(outside.monotonic), outside)
    source = SignalSource(app, batches, worker, outside)
    session = source.session = Session(
        settings, slot, worker, committer, _decoders(settings, engine, schemas), assignment, clock, metrics, outside,
        source, ticker,
    )

    # a crash must end the process: the default supervisor would restart the agent, and its batch would be gone
    @app.agent(batches, name="segmentation", supervisor_strategy=mode.CrashingSupervisor)
    async def segmentation(signals: AsyncIterable[Signal]) -> None:
        await worker.work(signals)

    @app.page("/metrics")
    async def page(view: Any, _request: Any) -> Any:
        return view.bytes(metrics.page(), content_type="text/plain; version=0.0.4")

    if ticker is not None:
        app.service(ticker)  # type: ignore[arg-type]
    app.service(source)  # type: ignore[arg-type]
    app.segue, app.source = worker, source
    return app


def run_worker(settings: Settings, plan: Plan | None = None) -> int:
    """Runs a worker until SIGTERM or SIGINT, or until it fails; returns the exit code. Raises what prevents a start.

    `plan`: as for `create_app`.
    """
    configure_logs(settings)
    name_persons(settings)
    try:
        _say_risks(settings)
        try_clients(settings)
        check_rights(settings)
        partitions = ready_topics(settings)
        app = create_app(settings, plan)
    except SegueError as error:
        return _exit_code(_all_missing(settings, error), settings)
    _log.info("worker_starts", app_id=settings.app_id, partitions=partitions, pid=os.getpid(),
              web=f"http://{app.conf.web_host}:{app.conf.web_port}/metrics")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    host = Host(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
    host.spinner = None
    failure: BaseException | None = None
    try:
        loop.run_until_complete(host.start())
    except asyncio.CancelledError:
        pass
    except Exception as error:  # noqa: BLE001 (told apart below)
        failure = error
    finally:
        with suppress(Exception):  # it raises what the crash was, which we have
            # after a signal `start` returns when the stop has only begun: this waits for the drain
            host.stop_and_shutdown()
    failure = app.segue.failed or failure or host.crash_reason
    _log.info("worker_stopped", failed=failure is not None)
    return _exit_code(_all_missing(settings, failure), settings)


def _all_missing(settings: Settings, failure: BaseException | None) -> BaseException | None:
    """What Kafka refused may say `a topic` and not which: it is asked once more, for all rights that are missing."""
    if not isinstance(failure, NotAllowed):
        return failure
    try:
        check_rights(settings)
    except NotAllowed as all_of_them:
        return all_of_them
    except SegueError:
        pass
    return failure


def _say_risks(settings: Settings) -> None:
    for name, says in risks(given_properties(settings)):
        _log.warning("kafka_property_risky", property=name, says=says)


def _say_rules(plan: Plan, layout: str) -> None:
    _log.info("rules_loaded", segments=len(plan.segments), layout=layout)
    for segment in plan.segments:
        _log.debug("segment_loaded", segment=segment.name, rule_version=segment.version)


def _exit_code(failure: BaseException | None, settings: Settings) -> int:
    if failure is None:
        return 0
    if not isinstance(failure, SegueError):
        _log.error("worker_failed", exit_code=1, exc_info=failure)
        return 1
    if writes_json(settings):
        _log.error("worker_failed", exit_code=failure.exit_code, error=failure.what, do=failure.to_do)
    else:
        print(f"segue: {failure}", file=sys.stderr)  # a terminal shows it better in its own lines
    return failure.exit_code


def _faust_app(settings: Settings, slot: Slot) -> SegueApp:
    return SegueApp(
        settings.app_id,
        broker="kafka://127.0.0.1:1",  # never opened
        datadir=str(slot.folder / "faust"),
        web_host=settings.web_host,
        web_port=settings.web_port or _free_port(settings.web_host),
        topic_disable_leader=True,
        autodiscover=False,
        Worker=Host,
    )


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as taken:
        return int(taken.getsockname()[1])


def _schemas(settings: Settings, slot: Slot, metrics: Metrics, outside: Outside) -> Schemas | None:
    registry = registry_of(settings)
    return None if registry is None else Schemas(registry, SchemaFolder(slot.folder, registry.url), metrics, outside)


def _decoders(settings: Settings, engine: Engine, schemas: Schemas | None) -> dict[str, Learner]:
    """With a registry the ids of ids.yaml mean nothing: another schema may have them there."""
    ids = segue_schemas.schema_ids(settings.sources)
    plan = engine.plan
    return {
        source.topic: Learner(ColumnDecoder(i, source, plan.inputs[i], {} if schemas is not None else {
            ids[segue_schemas.full_name(dict(source.schema))]: source.schema}), schemas)
        for i, source in enumerate(plan.catalog.sources)
    }
