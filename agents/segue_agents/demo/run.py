"""The demo, wired: broker, topics, a worker as its own process, the shop as producer, a consumer of the changes.

Nothing in it is special to the demo but the shop and the speed of time: the worker is `segue run`, the events travel
as any producer's do, the changes are read as any consumer reads them. Everything lives below one temporary folder.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from segue.errors import Unreachable
from segue.plan import Plan
from segue_agents.demo.child import Child
from segue_agents.demo.clock import ShopClock
from segue_agents.demo.narrator import Line, Narrator
from segue_agents.demo.shop import ShopEvent, people_names, possessives, shop_events
from segue_agents.embedded import Broker
from segue_agents.embedded.server import free_ports
from segue_agents.publish import EventPublisher
from segue_agents.rule_files import load_plan
from segue_agents.tail import ChangeTail

WORKER_READY_WITHIN_S: Final = 60
"""it takes 2 to 4 s; a busy machine may take many times that"""
LOOK_EVERY_S: Final = 0.05
TICK_EVERY_MS: Final = 100
TICKS_LAG_MS: Final = 1_000
"""of the wall's clock: an event that is on its way for less than that is not late"""
EVENTS_LAG_MS: Final = 500
"""likewise: events are published that much after their time, as by any producer; so a worker whose ticks are a little
behind does not take them for ones of the future, which at 360 times the speed would be a matter of 0.8 s"""
PARTITIONS: Final = 4
CHANGES_TOPIC: Final = "segment-changes"
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `segue demo` was asked for."""

    rules: Path
    speed: float
    """how many times faster than the clock; 1: real time"""
    seconds: float | None
    """ends by itself after so long; None: goes on until ^C"""
    seed: int


@dataclass(slots=True)
class Tally:
    """What happened, for the last words."""

    events: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    """segment -> how many"""
    last: Line | None = None


def run_demo(options: DemoOptions, out: Console, log: Console) -> Tally:
    """Runs until the seconds are over or ^C. Changes go to `out`, all else to `log`. Leaves no process and no file."""
    plan = load_plan(options.rules)
    tally = Tally()
    with (
        _terminated_like_interrupted(),
        tempfile.TemporaryDirectory(prefix="segue-demo-") as below,
        Broker(Path(below) / "broker", progress=lambda line: _say(log, line)) as broker,
    ):
        clock = ShopClock(origin_ms=_wall_ms(), speed=options.speed)
        (port,) = free_ports(1)
        with _worker(options, clock, broker.bootstrap, port, Path(below)) as worker:
            _say(log, "starting a worker: segue run")
            metrics = f"http://127.0.0.1:{port}/metrics"
            _wait_for_worker(worker, metrics)
            with contextlib.suppress(KeyboardInterrupt):
                _say(log, f"Kafka at {broker.bootstrap}, metrics at {metrics}")
                _say(log, _about_time(options))
                _open_shop(options, clock, broker.bootstrap, plan, worker, out, tally)
            _say(log, "\nclosing: the worker commits what it has, then Kafka stops")
    return tally


def next_steps(tally: Tally, rules: Path) -> str:
    """The last words: what was seen, and what to try next."""
    with contextlib.suppress(ValueError):
        rules = rules.relative_to(Path.cwd())
    seen = ", ".join(f"{n} of {segment}" for segment, n in tally.changes.most_common())
    example = rules.parent / "events.jsonl" if (rules.parent / "events.jsonl").exists() else "events.jsonl"
    steps = (
        (f"segue check {rules}", "what each rule keeps and costs"),
        (f"segue replay {example} --rules {rules}", "the same engine over a file, no broker"),
        ("segue up", "a Kafka that stays; then, each in a terminal of its own:"),
        (f"segue run --rules {rules}", "a worker; any Kafka with --broker host:9092"),
        ("segue watch", "the changes"),
        ('segue send "Product Viewed" --person ada product_id=42', "one event"),
    )
    width = max(len(command) for command, _ in steps)
    told = "\n".join(f"  {command:{width}}  {what}" for command, what in steps)
    return f"{tally.events} events, {tally.changes.total()} changes{f': {seen}' if seen else ''}.\n\nNext:\n{told}"


def _open_shop(
    options: DemoOptions, clock: ShopClock, bootstrap: str, plan: Plan, worker: Child, out: Console, tally: Tally
) -> None:
    """Publishes each event when the shop's clock reaches it, and prints each change as it comes."""
    narrator = Narrator(plan.segments, possessives())
    events = shop_events(clock.shop_ms(_wall_ms()), options.seed)
    until = None if options.seconds is None else time.monotonic() + options.seconds
    person_width = max(map(len, people_names()))
    with contextlib.ExitStack() as clients:
        with _interrupted_afterwards():
            publisher = clients.enter_context(contextlib.closing(EventPublisher(bootstrap, plan.catalog)))
            tail = clients.enter_context(ChangeTail(bootstrap, CHANGES_TOPIC, from_beginning=True))
        waiting = next(events)
        while until is None or time.monotonic() < until:
            waiting = _publish_due(publisher, events, waiting, clock.shop_ms(_wall_ms() - EVENTS_LAG_MS), tally)
            for change in tail.read(LOOK_EVERY_S):
                line = narrator.line(change)
                out.print(_coloured(line, person_width, narrator.segment_width), soft_wrap=True)
                tally.changes[line.segment] += 1
            if worker.return_code is not None:
                raise Unreachable(f"The worker ended with code {worker.return_code}.", worker.last_words())


def _publish_due(
    publisher: EventPublisher, events: Iterator[ShopEvent], waiting: ShopEvent, now_ms: int, tally: Tally
) -> ShopEvent:
    while waiting.time_ms <= now_ms:
        publisher.publish(waiting.event)
        tally.events += 1
        waiting = next(events)
    publisher.poll()
    return waiting


def _worker(options: DemoOptions, clock: ShopClock, bootstrap: str, port: int, below: Path) -> Child:
    arguments = ["run", "--broker", bootstrap, "--rules", str(options.rules), "--data-dir", str(below / "worker")]
    arguments += ["--web-port", str(port), "--partitions", str(PARTITIONS), "--end-with-parent"]
    arguments += ["--log-format", "console"]  # when it fails its last lines are shown
    arguments += ["--clock-speed", str(clock.speed), "--clock-origin-ms", str(clock.origin_ms)]
    arguments += ["--clock-interval-ms", str(TICK_EVERY_MS), "--clock-delay-ms", str(round(TICKS_LAG_MS * clock.speed))]
    return Child(arguments, below / "worker.log")


def _wait_for_worker(worker: Child, metrics: str) -> None:
    until = time.monotonic() + WORKER_READY_WITHIN_S
    while time.monotonic() < until:
        if worker.return_code is not None:
            raise Unreachable(f"The worker ended with code {worker.return_code} while it started.", worker.last_words())
        with contextlib.suppress(OSError):
            urllib.request.urlopen(metrics, timeout=1).close()
            return
        time.sleep(0.1)
    raise Unreachable(f"The worker did not answer within {WORKER_READY_WITHIN_S} s.", worker.last_words())


def _about_time(options: DemoOptions) -> str:
    if options.speed == 1:
        return "The shop opens in real time: a cart counts as abandoned after 30 minutes. ^C ends the demo.\n"
    seconds = 1800 / options.speed
    return f"The shop opens; its clock runs {options.speed:g} times as fast: half an hour is {seconds:g} s. ^C ends.\n"


def _coloured(line: Line, person_width: int, segment_width: int) -> str:
    colour = "green" if line.verb == "entered" else "yellow"
    text = line.text(person_width, segment_width).replace("[", r"\[")
    return text.replace(line.verb, f"[{colour}]{line.verb}[/{colour}]", 1)


def _say(log: Console, line: str) -> None:
    log.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A SIGTERM or a closed terminal ends the demo as ^C does: in good order. ^C too, where a shell had it ignored."""
    with _handled_by(_interrupt):
        yield


@contextlib.contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """A ^C meanwhile counts when it is over: a client of librdkafka that is being made turns it into a TypeError."""
    came: list[int] = []
    with _handled_by(lambda number, _frame: came.append(number)):
        yield
    if came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = [signal.signal(number, handler) for number in _ENDINGS]
    try:
        yield
    finally:
        for number, previous in zip(_ENDINGS, before, strict=True):
            signal.signal(number, previous)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
