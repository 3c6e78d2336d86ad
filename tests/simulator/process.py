"""One worker's process: the worker's own code, wired as in the app, its threads and its event loop taken in turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulator.consumer import Consumer
from tests.simulator.producer import Producer
from tests.simulator.scene import FOLDER, Scene
from tests.simulator.store import Folder, SimulatedStore

from segue.errors import Unreachable
from segue_agents.codecs.learner import Learner
from segue_agents.commit.committer import TransactionLost, make_committer
from segue_agents.outside import Outside
from segue_agents.transport.assignment import Assignment
from segue_agents.transport.clients import producer_config
from segue_agents.transport.lane import Signal
from segue_agents.transport.session import Session
from segue_agents.worker.clock import Clock, Ticker
from segue_agents.worker.loop import Worker
from segue_agents.worker.watchdog import Verdict

QUEUED_BATCHES = 2


class Crash(BaseException):
    """kill -9."""


class Place:
    """Slot's interface, without a lock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = FOLDER / name

    def partition_folder(self, index: int) -> Folder:
        return self.folder / f"partition-{index}"

    def release(self) -> None:
        pass


class Counts:
    """Metrics' interface; counters only."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}

    def add(self, name: str, amount: float, *_labels: str) -> None:
        self.totals[name] = self.totals.get(name, 0) + amount

    def set(self, name: str, value: float, *_labels: str) -> None:
        pass

    def observe(self, name: str, value: float, times: int = 1) -> None:
        pass

    def observe_all(self, name: str, values: Any) -> None:
        pass

    def forget(self, _partition: int) -> None:
        pass


class NoGarbage:
    """Garbage's interface: the collector belongs to the whole run."""

    def loaded(self) -> None:
        pass

    def committed(self) -> None:
        pass


class NoBar:
    """RestoreProgress's interface."""

    def __call__(self, _partition: int, _share: float) -> None:
        pass

    def close(self) -> None:
        pass


class Thread:
    """What `background` gives: run when its turn comes, at the latest when somebody waits for it."""

    def __init__(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._work: tuple[Callable[..., None], tuple[Any, ...]] | None = (function, arguments)

    def join(self, _timeout: float | None = None) -> None:
        work, self._work = self._work, None
        if work is not None:
            work[0](*work[1])

    def is_alive(self) -> bool:
        return self._work is not None


async def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError(f"{work} waits for something that the simulator does not give")


class Process:
    """From its start to its end; a restart is another one."""

    def __init__(self, world: Any, name: str, scene: Scene) -> None:
        self.name, self.dead, self.ended = name, False, False
        self.busy = False
        """inside one of its steps, which waits for something or is paused"""
        self.failure: BaseException | None = None
        self.consumers: list[Consumer] = []
        self.threads: list[Thread] = []
        self._world, self._open, self._stopping = world, False, False
        self._signals: deque[Signal] = deque()
        self._not_before_s = 0.0
        self._meanwhile: Callable[[], None] | None = None
        """what the session does while its batch waits"""
        outside = self.outside = Outside(
            consumer=lambda config: Consumer(world, self, config), producer=lambda config: Producer(world, self, config),
            topic_identity=lambda _config, topic: ("simulated", topic),
            open_store=lambda folder: SimulatedStore(world, self, folder),
            monotonic=lambda: world.now_s, wall_ms=world.cluster.now_ms,
            sleep=lambda seconds: world.wait(self, seconds, lambda: False),
            chance=world.chance.random, pause=self._pause, apart=_apart, background=self._background,
        )
        settings, metrics = scene.settings, Counts()
        self.metrics = metrics
        place: Any = Place(name)
        clock = Clock.of(settings, outside)
        committer = make_committer(producer_config(settings, name), outside)
        self.worker = Worker(settings, scene.plan, scene.encoder, committer, clock, metrics, outside,  # type: ignore[arg-type]
                             on_rebuild=self._end_session)
        self.worker._garbage = NoGarbage()  # type: ignore[assignment]
        self.ticker = Ticker(settings, clock, outside, self._owned) if settings.clock == "ticks" else None
        bar: Any = NoBar()
        assignment = Assignment(settings, scene.engine, scene.plan.catalog, metrics, bar, outside)  # type: ignore[arg-type]
        plain: dict[str, Any] = dict(scene.decoders)
        decoders = {topic: Learner(decoder) for topic, decoder in plain.items()}
        self.session = Session(settings, place, self.worker, committer, decoders, assignment, clock, metrics,  # type: ignore[arg-type]
                               outside, self, self.ticker)

    def _end_session(self) -> None:
        self.session.end()

    def _owned(self) -> list[int]:
        return self.session.owned

    async def _pause(self, seconds: float) -> None:
        """The agent waits; the commit's timer goes on, and the session that waits for room on the channel."""
        self._world.wait(self, seconds, lambda: False)
        drive(self.worker.commit_when_due())
        if self._meanwhile is not None and self._world.chance.random() < 0.3:
            self._meanwhile()

    def _background(self, function: Callable[..., None], *arguments: Any) -> Thread:
        thread = Thread(function, arguments)
        if self._world.chance.random() < 0.5:
            thread.join()
        else:
            self.threads.append(thread)
        return thread

    # --- its steps

    def step(self) -> None:
        """One of the things it could do next."""
        if self.busy:
            return
        self.busy = True
        try:
            self._one_of(self._world.chance.random())
        except Crash:
            self._world.bury(self)
        except BaseException as error:  # noqa: BLE001 (as in the app: it ends the process)
            self._fail(error)
        finally:
            self.busy = False

    def _one_of(self, chance: float) -> None:
        self._watch()
        if self.threads and chance < 0.5:
            self.threads.pop(0).join()
        elif self._signals and chance < 0.5:
            self.work_off()
        elif self._open and chance < 0.65 and self.worker.owned:
            drive(self.worker.commit_when_due())
        elif self.ticker is not None and chance < 0.75 and self.session.owned:
            self.ticker.tick(self.session.owned)
        else:
            self._turn()

    def _turn(self) -> None:
        """A step of the source's thread."""
        try:
            self._next_of_session()
        except (TransactionLost, Unreachable):
            self._close()

    def _next_of_session(self) -> None:
        if self._stopping:
            self._close()
            self.ended = True
        elif self._open and not self.session.over:
            self.session.turn()
        elif self._open:
            self._close()
        elif self._world.now_s >= self._not_before_s:
            self._open = True
            self.session.open()

    def _close(self) -> None:
        self.session.close()
        self._open = False
        self._not_before_s = self._world.now_s + self._world.chance.random()

    def _watch(self) -> None:
        """A step of the watchdog's thread."""
        verdict = self.worker.watchdog.verdict(self._world.now_s)
        if verdict is Verdict.EXIT:
            self._world.trace("watchdog", self.name, verdict.name)
            raise Crash
        if verdict is not Verdict.WELL:
            self._world.trace("watchdog", self.name, verdict.name)
            self.session.end()
            drive(self.worker.start_over("watchdog", verdict.value))

    def _fail(self, error: BaseException) -> None:
        """The app stops: the session is closed, which commits nothing any more."""
        self.failure = self.failure or error
        self.worker.failed = self.worker.failed or error
        self._world.trace("failed", self.name, repr(error))
        self.ended = True
        try:
            self._close()
        except Crash:
            self._world.bury(self)
        except BaseException as again:  # noqa: BLE001 (said in the log, no more)
            self._world.trace("failed_again", self.name, repr(again))

    def stop(self) -> None:
        """SIGTERM: drained with its next turn."""
        self._stopping = True

    def work_off(self) -> None:
        """The agent takes a batch."""
        drive(self.worker.take(self._signals.popleft()))

    # --- the bridge

    def put(self, signal: Signal, meanwhile: Callable[[], None]) -> None:
        """The channel holds two; then the agent has to take one first."""
        while len(self._signals) >= QUEUED_BATCHES or (self._signals and self._world.chance.random() < 0.3):
            if self.worker.failed is not None:
                return
            self._meanwhile = meanwhile
            try:
                self.work_off()
            finally:
                self._meanwhile = None
        self._signals.append(signal)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """On the event loop, where the agent may be at a batch first."""
        if self._signals and self._world.chance.random() < 0.3:
            try:
                self.work_off()
            except BaseException:
                work.close()
                raise
        return drive(work)
