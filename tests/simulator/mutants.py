"""Bugs planted in the worker's own code, each of which the simulator has to find.

A mutant is a few lines that somebody could have written: a call left out, a check that was thought to be superfluous,
two steps in the other order. Each is a context manager that puts the wrong thing in the right one's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import msgspec
from tests.simulator.consumer import GroupMetadata

from segue.engine import PartitionState
from segue_agents.commit.committer import TransactionLost, Transactions
from segue_agents.state import changelog, recovery
from segue_agents.state.changelog import Changelog
from segue_agents.state.standing import AHEAD, BEHIND, EQUAL, Standing
from segue_agents.state.store import Store
from segue_agents.transport.session import Session
from segue_agents.worker.loop import Worker
from segue_agents.worker.owned import Owned

Original = Any
"""the function that was there"""
MUTANTS: Final[dict[str, Callable[[ExitStack], None]]] = {}
ALSO: Final[dict[str, tuple[str, str]]] = {}
"""mutant -> a fault, point and kind, without which it cannot show: then every run has it"""


@contextmanager
def _instead(owner: Any, name: str, make: Callable[[Original], Any]) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, make(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def _mutant(
    owner: Any, name: str, also: tuple[str, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The function below, which is given the original first, takes the place of `owner.name`."""

    def register(wrong: Callable[..., Any]) -> Callable[..., Any]:
        def make(original: Original) -> Any:
            def instead(*arguments: Any, **named: Any) -> Any:
                return wrong(original, *arguments, **named)

            return instead

        if also is not None:
            ALSO[wrong.__name__] = also
        MUTANTS[wrong.__name__] = lambda stack: stack.enter_context(_instead(owner, name, make))
        return wrong

    return register


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With this bug."""
    with ExitStack() as stack:
        MUTANTS[name](stack)
        yield


# --- the commit


@_mutant(Transactions, "commit")
def offsets_are_not_sent(commit: Original, self: Transactions, offsets: Any, group: Any) -> None:
    commit(self, [], group)


@_mutant(Transactions, "commit")
def an_unknown_end_is_taken_for_done(commit: Original, self: Transactions, offsets: Any, group: Any) -> None:
    try:
        commit(self, offsets, group)
    except TransactionLost as lost:
        if lost.stage != "commit":
            raise
        self.open()


@_mutant(Transactions, "commit", ("send_offsets", "pause"))
def the_group_does_not_fence(commit: Original, self: Transactions, offsets: Any, group: Any) -> None:
    """As clients do that send offsets without saying which generation they are of."""
    commit(self, offsets, GroupMetadata(group.group, "", "", -1))


@_mutant(Worker, "_finish")
def states_are_stored_before_the_commit(finish: Original, self: Worker, dirty: list[Owned]) -> None:
    """With the checkpoint that was there, as a store does that knows nothing of transactions."""
    for owned in dirty:
        owned.store.write(owned.encoded(), owned.store.checkpoint() or owned.checkpoint())
    finish(self, dirty)


@_mutant(Owned, "moved")
def offsets_are_one_too_high(moved: Original, self: Owned) -> dict[str, int]:
    return {topic: offset + 1 for topic, offset in moved(self).items()}


@_mutant(Owned, "note")
def a_checkpoint_forgets_the_clock(note: Original, self: Owned, batch: Any, *others: Any) -> None:
    note(self, batch, *others)
    self.clock_key = 0


@_mutant(Owned, "committed")
def the_balance_counts_one_more(committed: Original, self: Owned, *others: Any) -> None:
    committed(self, *others)
    self.totals = {name: n + 1 for name, n in self.totals.items()}


@_mutant(Owned, "note")
def states_moved_by_time_are_not_saved(note: Original, self: Owned, batch: Any, step: Any, *others: Any) -> None:
    step.touched.intersection_update(batch.person)
    note(self, batch, step, *others)


@_mutant(Worker, "_forget")
async def a_rebuild_keeps_what_is_in_memory(_forget: Original, self: Worker) -> None:
    await self._outside.apart(self._committer.drop)


# --- partitions that come and go


@_mutant(Session, "_on_lost", ("poll", "pause"))
def a_lost_partition_is_kept(_on_lost: Original, self: Session, _consumer: Any, _lost: Any) -> None:
    pass


@_mutant(Session, "_on_revoke")
def a_revoked_partition_is_kept(_on_revoke: Original, self: Session, _consumer: Any, _revoked: Any) -> None:
    pass


@_mutant(Worker, "take")
async def batches_of_an_older_epoch_are_taken(take: Original, self: Worker, signal: Any) -> None:
    owned = self.owned.get(signal.batch.partition)
    if owned is not None:
        object.__setattr__(signal, "epoch", owned.epoch)
    await take(self, signal)


@_mutant(Worker, "release")
async def a_handover_commits_offsets_without_states(
    release: Original, self: Worker, going: Any, group: Any, _keep: bool
) -> Any:
    for index in going:
        if index in self.owned:
            self.owned[index].touched.clear()
    return await release(self, going, group, True)


@_mutant(Session, "_doubt", ("restore", "pause"))
def an_overtaken_restore_refuses(_doubt: Original, self: Session, refused: Any) -> None:
    raise refused.error


# --- the store and its recovery


@_mutant(Store, "_must_end", ("store_scan", "broken"))
def a_short_scan_is_believed(_must_end: Original, self: Store, _last: bytes) -> None:
    """And nobody counts."""


@_mutant(recovery, "judge")
def a_store_that_is_behind_is_believed(judge: Original, *arguments: Any) -> Standing:
    return EQUAL if (found := judge(*arguments)) is BEHIND else found


@_mutant(PartitionState, "restore")
def a_timer_is_dropped_at_a_restore(restore: Original, self: PartitionState, stored: Any) -> None:
    restore(self, [row for row in stored if row[0].endswith(b"1")])


@_mutant(changelog, "changelog_config")
def aborted_states_are_restored(config: Original, settings: Any, _isolation: str) -> Any:
    return config(settings, "read_uncommitted")


@_mutant(Changelog, "bounds")
def a_restore_ends_at_an_open_transaction(bounds: Original, self: Changelog, partition: int) -> tuple[int, int]:
    self._all, before = self._committed, self._all
    try:
        return tuple(bounds(self, partition))  # type: ignore[return-value]
    finally:
        self._all = before


@_mutant(Changelog, "read")
def a_replay_begins_one_record_late(read: Original, self: Changelog, partition: int, start: int, end: int) -> Any:
    return read(self, partition, start + 1, end)


def _store_ahead(stack: ExitStack) -> None:
    """Two bugs, each of which the other hides: states and offsets are stored before the commit, and that is believed."""

    def finish(original: Original) -> Any:
        def instead(self: Worker, dirty: list[Owned]) -> None:
            for owned in dirty:
                at = msgspec.structs.replace(owned.checkpoint(), changelog_offset=owned.changelog_offset)
                owned.store.write(owned.encoded(), at)
            original(self, dirty)

        return instead

    def judge(original: Original) -> Any:
        return lambda *arguments: EQUAL if (found := original(*arguments)) is AHEAD else found

    stack.enter_context(_instead(Worker, "_finish", finish))
    stack.enter_context(_instead(recovery, "judge", judge))


MUTANTS["a_store_that_is_ahead_is_believed"] = _store_ahead


@_mutant(Transactions, "_doubt", ("end_txn", "delayed"))
def a_producer_is_used_on_after_a_repeated_end(_doubt: Original, self: Transactions, *_: Any) -> None:
    return None


@_mutant(Transactions, "is_open")
def a_partition_is_admitted_after_a_drop(*_: Any) -> Any:
    """In its place is a method, which is true."""
