"""What is planted into a worker's process before it starts: places where it dies, and bugs the checker has to find.

The product has no code for it. Kafka's producer is replaced by a subclass before anything of Segue is imported; the
rest is wrapped by name, and a name that is gone is an error, not a fault that never happens.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import confluent_kafka
import msgspec

STACKS_SIGNAL: Final = signal.SIGXCPU
"""nobody else has a handler for it"""
POINTS: Final = (
    "changes.before", "changes.after", "states.before", "offsets.before", "offsets.after", "commit.before", "commit.after",
    "store.before", "store.after", "restore.before", "restore.after", "open.before", "open.after", "scan",
)  # fmt: skip
"""named places of a worker's way: before and after it produces changes, sends offsets, ends the transaction (EndTxn),
writes the store, writes a piece of a restore; before the states go out; around a producer's beginning; within the scan
of timers"""
MUTANTS: Final = (
    "skip_send_offsets", "state_before_commit", "reuse_producer", "short_scan", "ignore_lost", "drop_timer", "lose_change",
    "not_atomic",
)  # fmt: skip


class Fuse:
    """Dies at the n-th passing of its point; with `sleep_s` it only stands still there, once."""

    def __init__(self, point: str, count: int, sleep_s: float = 0.0) -> None:
        assert point in POINTS, point
        self.point, self.left, self.sleep_s = point, count, sleep_s

    def passes(self, point: str) -> None:
        if point != self.point:
            return
        self.left -= 1
        if self.left == 0:
            if self.sleep_s:
                time.sleep(self.sleep_s)
            else:
                print(f"chaos: died at {point}", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, count: int, sleep_s: float = 0.0) -> None:
    """Called in the worker's process, before Segue is imported."""
    fuse = Fuse(point, count, sleep_s)
    passes = fuse.passes
    area = point.split(".", maxsplit=1)[0]
    if area in ("changes", "states", "offsets", "commit", "open"):
        confluent_kafka.Producer = _producer(area, passes)
    elif area in ("store", "restore"):
        _around_write(area, passes)
    else:
        _around_scan(passes)


def _transactional(config: Any) -> bool:
    return "transactional.id" in (config or {})


def _producer(area: str, passes: Callable[[str], None]) -> type:
    real = confluent_kafka.Producer

    class Planted(real):  # type: ignore[misc, valid-type]
        def commit_transaction(self, *arguments: Any) -> Any:
            passes("commit.before")
            done = super().commit_transaction(*arguments)
            passes("commit.after")
            return done

        def send_offsets_to_transaction(self, *arguments: Any) -> Any:
            passes("offsets.before")
            done = super().send_offsets_to_transaction(*arguments)
            passes("offsets.after")
            return done

        def init_transactions(self, *arguments: Any) -> Any:
            passes("open.before")
            done = super().init_transactions(*arguments)
            passes("open.after")
            return done

    if area in ("changes", "states"):  # a call per record, so only where it is asked for

        def produce(self: Any, topic: str, *arguments: Any, **named: Any) -> None:
            internal = topic.startswith("segue-")
            if not internal:
                passes("changes.before")
            elif topic.endswith("-state"):
                passes("states.before")
            real.produce(self, topic, *arguments, **named)
            if not internal:
                passes("changes.after")

        Planted.produce = produce  # type: ignore[attr-defined]
    return Planted


def _around_write(area: str, passes: Callable[[str], None]) -> None:
    from segue_agents.state.store import Store

    name = {"store": "write", "restore": "replay"}[area]
    real = getattr(Store, name)

    def write(self: Any, *arguments: Any, **named: Any) -> None:
        passes(f"{area}.before")
        real(self, *arguments, **named)
        passes(f"{area}.after")

    setattr(Store, name, write)


def _around_scan(passes: Callable[[str], None]) -> None:
    from segue_agents.state.store import Store

    real = Store.pieces

    def pieces(self: Any) -> Any:
        for piece in real(self):
            for _ in piece:
                passes("scan")
            yield piece

    Store.pieces = pieces  # type: ignore[method-assign]


def skew(offset_ms: int, step_ms: int, after_s: float) -> None:
    """The process's wall clock is off, and jumps once."""
    real_ns, started = time.time_ns, time.monotonic()

    def time_ns() -> int:
        jumped = step_ms if time.monotonic() - started > after_s else 0
        return real_ns() + (offset_ms + jumped) * 1_000_000

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


def stacks(folder: str) -> None:
    """Every thread's stack goes into a file when the signal comes; Faust has SIGUSR1 and prints people's data at it."""
    import faulthandler
    from pathlib import Path

    faulthandler.register(STACKS_SIGNAL, Path(folder, f"stacks-{os.getpid()}").open("w"), all_threads=True)  # noqa: SIM115


def short_poll(max_poll_ms: int) -> None:
    """The time a worker may go without a poll."""
    from segue_agents.transport import clients

    real = clients.source_config

    def source_config(*arguments: Any) -> dict[str, Any]:
        return {**real(*arguments), "max.poll.interval.ms": max_poll_ms}

    clients.source_config = source_config


# --- bugs


def mutate(name: str) -> None:
    """Plants a bug. Called before Segue is imported."""
    _MUTANTS[name]()


def _skip_send_offsets() -> None:
    class Skipping(confluent_kafka.Producer):  # type: ignore[misc]
        def send_offsets_to_transaction(self, *_arguments: Any) -> None:
            pass

    confluent_kafka.Producer = Skipping


def _not_atomic() -> None:
    """Changes by another producer, at once: what is worked off again is sent again."""
    real = confluent_kafka.Producer

    class Apart(real):  # type: ignore[misc, valid-type]
        def __init__(self, config: Any, *arguments: Any) -> None:
            super().__init__(config, *arguments)
            plain = {k: v for k, v in config.items() if not k.startswith("transaction")}
            self.apart = real(plain) if _transactional(config) else None

        def produce(self, topic: str, *arguments: Any, **named: Any) -> None:
            if self.apart is not None and not topic.startswith("segue-"):
                self.apart.produce(topic, *arguments, **named)
            else:
                super().produce(topic, *arguments, **named)

    confluent_kafka.Producer = Apart


def _lose_change() -> None:
    real, seen = confluent_kafka.Producer, [0]

    class Losing(real):  # type: ignore[misc, valid-type]
        def produce(self, topic: str, *arguments: Any, **named: Any) -> None:
            if not topic.startswith("segue-"):
                seen[0] += 1
                if seen[0] % 1_000 == 0:
                    return
            super().produce(topic, *arguments, **named)

    confluent_kafka.Producer = Losing


def _state_before_commit() -> None:
    """The store is written, and flushed, before the transaction ends; and one that is ahead is believed."""
    from segue_agents.state import recovery, standing
    from segue_agents.worker.owned import Owned

    real, judge = Owned.checkpoint, recovery.judge

    def checkpoint(self: Any) -> Any:
        made = real(self)
        self.store.write(self.encoded(), msgspec.structs.replace(made, changelog_offset=self.changelog_offset))
        self.store._db.flush()
        return made

    def believing(stored: Any, *arguments: Any) -> Any:
        found = judge(stored, *arguments)
        return standing.EQUAL if found is standing.AHEAD else found

    Owned.checkpoint = checkpoint  # type: ignore[method-assign]
    recovery.judge = believing


def _reuse_producer() -> None:
    from segue_agents.commit.committer import Transactions

    real = Transactions.open

    def open_once(self: Any) -> None:
        if self._producer is None:
            real(self)
        self._begun = False

    Transactions.open = open_once  # type: ignore[method-assign]
    Transactions.drop = lambda _self: None  # type: ignore[method-assign, assignment]


def _short_scan() -> None:
    """As one is that ends at a block it cannot read, and nobody counts."""
    from segue_agents.state.recovery import Recovery
    from segue_agents.state.store import Store

    real, fill = Store.pieces, Recovery._fill

    def pieces(self: Any) -> Any:
        for piece in real(self):
            yield piece[::2]

    def uncounted(self: Any, store: Any, partition: Any) -> int:
        found, checkpoint = fill(self, store, partition), store.checkpoint()
        return found if checkpoint is None else checkpoint.persons

    Store.pieces = pieces  # type: ignore[method-assign]
    Recovery._fill = uncounted  # type: ignore[method-assign]


def _ignore_lost() -> None:
    """And offsets without the member's generation, since the group alone would fence it."""
    import importlib

    real = confluent_kafka.Producer

    class Unfenced(real):  # type: ignore[misc, valid-type]
        def __init__(self, config: Any, *arguments: Any) -> None:
            super().__init__(config, *arguments)
            group = config.get("transactional.id", "").rsplit("-", 1)[0]
            self.anybody = confluent_kafka.Consumer({"bootstrap.servers": config["bootstrap.servers"], "group.id": group})

        def send_offsets_to_transaction(self, offsets: Any, _group: Any, *arguments: Any) -> None:
            super().send_offsets_to_transaction(offsets, self.anybody.consumer_group_metadata(), *arguments)

    confluent_kafka.Producer = Unfenced

    for module in ("segue_agents.transport.session", "segue_agents.transport.source"):
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for owner in vars(found).values():
            if isinstance(owner, type) and "_on_lost" in vars(owner):
                owner._on_lost = lambda *_: None  # type: ignore[attr-defined]
                return
    raise AttributeError("nothing has an _on_lost any more")


def _drop_timer() -> None:
    from segue.engine.wheel import Wheel

    real, seen = Wheel.take, [0]

    def take(self: Any, bucket: int) -> Any:
        kept = []
        for person in real(self, bucket):
            seen[0] += 1
            if seen[0] % 500:
                kept.append(person)
        return kept

    Wheel.take = take  # type: ignore[method-assign]


_MUTANTS: Final[dict[str, Callable[[], None]]] = {
    "skip_send_offsets": _skip_send_offsets, "state_before_commit": _state_before_commit, "reuse_producer": _reuse_producer,
    "short_scan": _short_scan, "ignore_lost": _ignore_lost, "drop_timer": _drop_timer, "lose_change": _lose_change,
    "not_atomic": _not_atomic,
}  # fmt: skip
assert tuple(_MUTANTS) == MUTANTS
