"""The Faust app: a channel of batches, the agent that works them off, the services around, and the web port.

    app = create_app(settings)       # `faust -A module:app worker` runs it as well
    code = run_worker(settings)      # what `segue run` does

Faust gives the life cycle, agents and timers. Its own consumer, producer, tables and web server do not start, so tables,
`group_by`, `ask` and `@app.page` are not to be had in this app; agents on channels, tasks, timers and services are.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Final

import faust
import mode
import structlog
from faust.app.base import BootStrategy

import segue_schemas
from segue.engine import Engine
from segue.errors import NotAllowed, SegueError
from segue.plan import Plan
from segue_agents.codecs.changes import SCHEMA_NAME, ChangeEncoder
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.codecs.learner import Learner
from segue_agents.codecs.registry import registry_of, schema_text
from segue_agents.codecs.schemas import Schemas
from segue_agents.codecs.schemas_on_disk import SchemaFolder
from segue_agents.codecs.written_schema import written_schema_id
from segue_agents.commit.committer import make_committer
from segue_agents.config.kafka import risks
from segue_agents.logs.recent import Recent
from segue_agents.logs.setup import Host, configure_logs, name_persons, writes_json
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside, wall_ms
from segue_agents.rule_files import load_plan
from segue_agents.security.rights import check_rights
from segue_agents.settings import Settings
from segue_agents.state.progress import RestoreProgress
from segue_agents.state.slot import Slot
from segue_agents.status import Standing, rules_of
from segue_agents.targets import write_target
from segue_agents.topics import ready_topics
from segue_agents.transport.assignment import Assignment
from segue_agents.transport.clients import given_properties, producer_config, try_clients
from segue_agents.transport.lane import Signal
from segue_agents.transport.session import Session
from segue_agents.transport.source import SignalSource
from segue_agents.web.access import Access
from segue_agents.web.address import Address, forget_address, write_address
from segue_agents.web.pages import Pages
from segue_agents.web.probes import is_ready
from segue_agents.web.server import WebServer, listen
from segue_agents.worker.clock import Clock, Ticker
from segue_agents.worker.gauges import Gauges
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
    slot: Slot


def create_app(
    settings: Settings, plan: Plan | None = None, recent: Recent | None = None, access: Access | None = None
) -> SegueApp:
    """Everything wired, nothing started; the slot and the web port are taken. `plan`: of the settings' rules, when they
    have been read. `recent`: what the log's warnings and errors go to. `access`: to the web port, when that has been read.

    With a registry it is asked for the id of the changes' schema, which may take seconds.
    Raises RuleError, ContractError, ConfigError, StateError, Unreachable.
    """
    access = access or Access(settings, os.environ)
    plan = plan or load_plan(settings.rules, settings.sources)
    engine = Engine(plan)
    metrics = Metrics()
    metrics.say_build(engine.program.layout.id)
    _say_rules(plan, engine.program.layout.id)
    slot = Slot.take(settings.data_dir, settings.app_id, settings.slot)
    outside = Outside()
    schemas, schema_id = _schemas(settings, slot, metrics, outside)
    clock = Clock.of(settings, outside)
    committer = make_committer(producer_config(settings, slot.name), outside,
                               lambda why: metrics.add("producer_recycled_total", 1, why))
    encoder = ChangeEncoder(plan, schema_id, settings.output_format)
    app = _faust_app(settings, slot)
    batches = app.channel(maxsize=QUEUED_BATCHES)
    worker = Worker(settings, plan, encoder, committer, clock, metrics, outside, on_rebuild=lambda: session.end())  # noqa: PLW0108 (not made yet)
    ticker = None if settings.clock == "none" else Ticker(
        settings, clock, outside, lambda: session.owned,
        lambda index, ms: metrics.set("heartbeat_timestamp_seconds", ms / 1000, str(index), "written"),
    )
    assignment = Assignment(settings, engine, plan.catalog, metrics, RestoreProgress(outside.monotonic), outside)
    source = SignalSource(app, batches, worker, outside)
    session = source.session = Session(
        settings, slot, worker, committer, _decoders(settings, engine, schemas), assignment, clock, metrics, outside,
        source, ticker,
    )

    gauges = Gauges(settings, plan, metrics, clock, outside, worker.owned, lambda: session.lag.waiting,
                    lambda: is_ready(standing.status()))

    # a crash must end the process: the default supervisor would restart the agent, and its batch would be gone
    @app.agent(batches, name="segmentation", supervisor_strategy=mode.CrashingSupervisor)
    async def segmentation(signals: AsyncIterable[Signal]) -> None:
        await worker.work(signals)

    standing = Standing(settings, slot.name, rules_of(plan, engine.program.layout.id, settings.rules), worker, session,
                        assignment, source, recent or Recent(outside.wall_ms), outside)
    pages = Pages(access, standing.status, metrics.page)
    app.web_server(WebServer(access, pages, listen(settings.web_host, settings.web_port), standing.beat, gauges.look))
    if ticker is not None:
        app.service(ticker)  # type: ignore[arg-type]
    app.service(source)  # type: ignore[arg-type]
    app.segue, app.source, app.slot = worker, source, slot
    return app


def run_worker(settings: Settings, plan: Plan | None = None) -> int:
    """Runs a worker until SIGTERM or SIGINT, or until it fails; returns the exit code. Raises what prevents a start.

    `plan`: as for `create_app`.
    """
    recent = Recent(wall_ms)
    configure_logs(settings, recent=recent)
    name_persons(settings)
    try:
        _say_risks(settings)
        access = Access(settings, os.environ)  # what is wrong with it is said before Kafka is asked for anything
        try_clients(settings)
        check_rights(settings)
        partitions = ready_topics(settings)
        app = create_app(settings, plan, recent, access)
    except SegueError as error:
        return _exit_code(_all_missing(settings, error), settings)
    url = str(app.web_server_url)
    _log.info("worker_starts", app_id=settings.app_id, partitions=partitions, pid=os.getpid(), web=f"{url}/metrics")
    certificate = None if settings.web_tls_cert is None else str(settings.web_tls_cert.absolute())
    write_address(app.slot.folder, Address(url, os.getpid(), certificate))
    target = write_target(settings, app.slot.name, url)
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
        forget_address(app.slot.folder)
    failure = app.segue.failed or failure or host.crash_reason
    if failure is None:
        target.unlink(missing_ok=True)
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
        topic_disable_leader=True,
        autodiscover=False,
        Worker=Host,
    )


def _schemas(settings: Settings, slot: Slot, metrics: Metrics, outside: Outside) -> tuple[Schemas | None, int]:
    """Those of a registry, if there is one; and the id under which changes are written."""
    registry = registry_of(settings)
    if registry is None:
        return None, segue_schemas.schema_ids()[CHANGE_SCHEMA]
    folder = SchemaFolder(slot.folder, registry.url)
    schema_id = 0  # JSON has none
    if settings.output_format == "avro":
        text = schema_text(segue_schemas.load_schema(SCHEMA_NAME))
        schema_id = written_schema_id(registry, folder, f"{settings.output_topic}-value", text, metrics, outside,
                                      register=settings.auto_register_schemas)
    return Schemas(registry, folder, metrics, outside), schema_id


def _decoders(settings: Settings, engine: Engine, schemas: Schemas | None) -> dict[str, Learner]:
    """With a registry the ids of ids.yaml mean nothing: another schema may have them there."""
    ids = segue_schemas.schema_ids(settings.sources)
    plan = engine.plan
    return {
        source.topic: Learner(ColumnDecoder(i, source, plan.inputs[i], {} if schemas is not None else {
            ids[segue_schemas.full_name(dict(source.schema))]: source.schema}), schemas)
        for i, source in enumerate(plan.catalog.sources)
    }
