"""What a worker is doing, as one frozen value: read by the probes, the status page and `segue status`.

`Standing` knows the worker and its parts and makes the value; what it reads is one number, one flag, or a collection
copied in one go (timers are counted again if need be), so that it may be asked from any thread, also while the event loop
is stuck. Who shows a `Status` reads nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from segue.plan import Plan
from segue.rules.files import read_file
from segue_agents.config.kafka import TABLE
from segue_agents.config.kafka import shown as shown_properties
from segue_agents.logs.recent import Line, Recent
from segue_agents.outside import Outside
from segue_agents.rule_files import read_rules
from segue_agents.settings import Settings, table
from segue_agents.version import installed_version
from segue_agents.worker.breaker import Trip
from segue_agents.worker.loop import Worker
from segue_agents.worker.owned import Owned
from segue_agents.worker.watchdog import Signs

LOOP_LIMIT_S: Final = 30.0
"""an event loop that stands still for so long is stuck; a batch takes milliseconds, a full collection seconds"""
WATCHDOG_LIMIT_S: Final = 30.0
"""it asks every second"""
SECRET_FILES: Final = frozenset({"kafka_config", "registry_config", "web_token_file"})
"""files with secrets in them: that they are set is shown, not where"""

PartitionState = Literal["restoring", "running", "waits_for_disk", "stopped"]
WorkerState = Literal["starting", "restoring", "running", "stopping", "failed"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why the breaker has stopped a partition. Without the refused record's own words."""

    topic: str
    offset: int
    reason: str
    rejected: int
    records: int
    """among how many they were refused"""
    to_do: str


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition index of this worker's; None: not known while its state is not back."""

    partition: int
    state: PartitionState
    restored_ratio: float
    """0 to 1"""
    engine_time_ms: int | None
    lag_records: dict[str, int] | None
    """by topic; None while it does not run"""
    persons: int | None
    persons_in_memory: int | None
    timers_pending: int | None
    last_commit_ms: int | None
    """since this worker has it"""
    stopped: Stopped | None


@dataclass(frozen=True, slots=True)
class Commits:
    """Of this process."""

    guarantee: str
    count: int
    rebuilds: int
    """how often everything uncommitted was dropped and worked off again"""
    last_ms: int | None
    last_duration_s: float | None
    waiting_s: float | None
    """how long the oldest uncommitted batch has been waiting; None: nothing waits"""
    expected_within_s: float
    """a commit that is longer on its way than a transaction may last is in trouble"""


@dataclass(frozen=True, slots=True)
class RuleFile:
    """As it was read at the start."""

    file: str
    sha256: str
    segments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the worker goes by, which is not what stands in the files if these have changed since."""

    layout: str
    segments: dict[str, int]
    """segment -> its version"""
    files: tuple[RuleFile, ...]


@dataclass(frozen=True, slots=True)
class Pulse:
    """What liveness goes by; seconds since something was last seen to happen, and the most there may be."""

    loop_s: float
    loop_limit_s: float
    watchdog_s: float | None
    watchdog_limit_s: float
    polled_s: float | None
    polled_limit_s: float
    waiting_s: float | None
    waiting_limit_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """A worker at one moment. Times are ms since the epoch."""

    app_id: str
    slot: str
    version: str
    pid: int
    now_ms: int
    started_ms: int
    uptime_s: float
    state: WorkerState
    failure: str | None
    """the kind of error that ends the worker"""
    joined: bool
    """it has a session, and the group has said which partitions are its"""
    producer_open: bool
    was_restored: bool
    """all states were back at least once since the start"""
    pulse: Pulse
    partitions: tuple[PartitionStatus, ...]
    commits: Commits
    rules: Rules
    settings: dict[str, Any]
    recent: tuple[Line, ...]
    """warnings and errors, the newest first"""

    @property
    def restoring(self) -> tuple[PartitionStatus, ...]:
        """Partitions whose state is not back."""
        return tuple(p for p in self.partitions if p.state == "restoring")


class SessionView(Protocol):
    """What is asked of a session; from any thread."""

    is_open: bool
    joined: bool
    assigned: tuple[int, ...]

    @property
    def lags(self) -> dict[tuple[str, int], int]:
        """Topic, index -> records that wait for their commit."""


class RestoreView(Protocol):
    """What is asked of an assignment; from any thread."""

    restoring: dict[int, float]


class SourceView(Protocol):
    """What is asked of the source; from any thread."""

    @property
    def stopping(self) -> bool:
        """It drains, or has."""


class Standing:
    """Asked how a worker stands. The event loop calls `beat` now and then, which is how one knows that it turns."""

    def __init__(
        self, settings: Settings, slot: str, rules: Rules, worker: Worker, session: SessionView, restore: RestoreView,
        source: SourceView, recent: Recent, outside: Outside,
    ) -> None:
        self._settings, self._slot, self._rules = settings, slot, rules
        self._worker, self._session, self._restore, self._source = worker, session, restore, source
        self._recent, self._outside = recent, outside
        self._shown = shown_settings(settings)
        self._started_ms, self._started_s = outside.wall_ms(), outside.monotonic()
        self._beat_s = self._started_s
        self._was_restored = False

    def beat(self) -> None:
        """On the event loop."""
        self._beat_s = self._outside.monotonic()

    def status(self) -> Status:
        """Now. From any thread."""
        now_s, worker, session = self._outside.monotonic(), self._worker, self._session
        joined = session.is_open and session.joined
        partitions = partitions_of(session.assigned, worker, self._restore.restoring, session.lags)
        restored = joined and all(p.state != "restoring" for p in partitions)
        self._was_restored = self._was_restored or restored
        failure = worker.failed
        state: WorkerState = (
            "failed" if failure is not None else "stopping" if self._source.stopping
            else "running" if restored else "restoring" if joined else "starting"
        )  # fmt: skip
        signs = worker.watchdog.signs(now_s)
        return Status(
            self._settings.app_id, self._slot, installed_version(), os.getpid(), self._outside.wall_ms(),
            self._started_ms, round(now_s - self._started_s, 1), state,
            type(failure).__name__ if failure is not None else None, joined, worker.producer_is_open,
            self._was_restored, self._pulse(now_s, signs), partitions, self._commits(signs), self._rules, self._shown,
            self._recent.lines(),
        )  # fmt: skip

    def _pulse(self, now_s: float, signs: Signs) -> Pulse:
        watchdog = self._worker.watchdog
        # the watchdog acts at its limit, and ends the process at the next: past both it has not, so it is stuck as well
        return Pulse(
            max(0.0, now_s - self._beat_s), LOOP_LIMIT_S, signs.asked_s, WATCHDOG_LIMIT_S,
            signs.polled_s, 2 * watchdog.poll_limit_s + WATCHDOG_LIMIT_S,
            signs.waiting_s, 2 * watchdog.limit_s + WATCHDOG_LIMIT_S,
        )  # fmt: skip

    def _commits(self, signs: Signs) -> Commits:
        worker = self._worker
        last_ms, last_s = worker.committed or (None, None)
        return Commits(
            self._settings.guarantee, worker.commits, worker.rebuilds, last_ms, last_s, signs.waiting_s,
            (self._settings.commit_interval_ms + self._settings.transaction_timeout_ms) / 1000,
        )


def partitions_of(
    assigned: tuple[int, ...], worker: Worker, restoring: Mapping[int, float], lags: Mapping[tuple[str, int], int]
) -> tuple[PartitionStatus, ...]:
    """How each stands, in their order."""
    owned, trips = dict(worker.owned), worker.trips
    shares = dict(restoring)
    found = []
    for index in assigned:
        has = owned.get(index)
        if has is None:
            share = min(shares.get(index, 0.0), 1.0)
            found.append(PartitionStatus(index, "restoring", share, None, None, None, None, None, None, None))
            continue
        trip = trips.get(index)
        state: PartitionState = "stopped" if trip is not None else "waits_for_disk" if has.store.pending else "running"
        found.append(PartitionStatus(
            index, state, 1.0, has.state.engine_time_ms, {t: n for (t, i), n in lags.items() if i == index} or None,
            has.persons + has.new_persons, len(has.state.states), _timers(has), has.committed_ms,
            None if trip is None else stopped(trip),
        ))  # fmt: skip
    return tuple(found)


def _timers(owned: Owned) -> int | None:
    """None when the wheel has turned under the count each time."""
    for _ in range(3):
        with suppress(RuntimeError):  # it is counted bucket by bucket, and the event loop adds some meanwhile
            return owned.state.timers_pending
    return None


def stopped(trip: Trip) -> Stopped:
    """A trip without `detail`, which may quote the record."""
    return Stopped(trip.topic, trip.offset, trip.reason, trip.rejected, trip.records, trip.to_do)


def rules_of(plan: Plan, layout: str, path: Path) -> Rules:
    """The rules of a plan and the files they came from. Raises ConfigError."""
    files = []
    for name, text in read_rules(path):
        documents, _ = read_file(name, text)
        segments = [d.entries["segment"].value.value for d in documents if "segment" in d.entries]
        files.append(RuleFile(name, hashlib.sha256(text.encode()).hexdigest(), tuple(segments)))
    return Rules(layout, {s.name: s.version for s in plan.segments}, tuple(files))


def shown_settings(settings: Settings) -> dict[str, Any]:
    """All of them, as JSON has them; of files with secrets only whether they are there."""
    shown: dict[str, Any] = {}
    for row in table():
        value = getattr(settings, row.name)
        if row.secret or row.name in SECRET_FILES:
            shown[row.name] = None if value is None else "set"
        else:
            shown[row.name] = str(value) if isinstance(value, Path) else value
    return shown | {f"{TABLE}.{name}": value for name, value in shown_properties(settings.kafka).items()}
