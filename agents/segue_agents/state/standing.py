"""What a store found at a start is good for: a table.

A store is looked at from three sides: whose it is, what the group has committed, and what the changelog can still give.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

import msgspec

from segue_agents.state.checkpoint import Checkpoint, Offsets
from segue_agents.topics import DELETE_RETENTION_MS

CAUGHT_UP_WITHIN_MS: Final = DELETE_RETENTION_MS * 5 // 6
"""a copy older than that may have missed tombstones, and would bring back persons that were erased; four hours short of
the tombstones' time, for clocks that disagree"""


class Owner(msgspec.Struct, frozen=True):
    """Whose states a store has. Kept in it."""

    app_id: str
    partition: int
    cluster: str = ""
    """id of the Kafka; '' here and below: not known"""
    topic: str = ""
    """id of the changelog topic, which one made anew has not"""


decode_owner: Final = msgspec.msgpack.Decoder(type=Owner).decode
"""raises msgspec.MsgspecError; made at the import, as in layouts"""


class Way(Enum):
    """What becomes of the store."""

    GO = "taken as it is"
    REPLAY = "the changelog's tail is replayed over it"
    WIPE = "removed, and restored whole"
    SET_ASIDE = "renamed, and restored whole"


class Standing(NamedTuple):
    """A row."""

    event: str
    """of its log line"""
    way: Way
    when: str


EQUAL: Final = Standing("store_current", Way.GO, "its offsets are the committed ones")
BEHIND: Final = Standing("store_behind", Way.REPLAY, "it stands before the committed offsets")
HALF_RESTORED: Final = Standing("store_half_restored", Way.REPLAY, "a restore was cut short: it goes on where it was")
MISSING: Final = Standing("store_missing", Way.WIPE, "there is none, or nothing in it")
AHEAD: Final = Standing("store_ahead", Way.WIPE, "it stands behind the committed offsets: what it has was never committed")
NO_OFFSETS: Final = Standing("store_without_offsets", Way.WIPE, "the group has no committed offsets to hold it against")
OTHER_TOPICS: Final = Standing("store_of_other_topics", Way.WIPE, "it names topics without a committed offset")
UNREACHED: Final = Standing("store_unreached", Way.SET_ASIDE, "the changelog begins behind where it stands")
TOO_OLD: Final = Standing("store_too_old", Way.WIPE, "it is behind, and was written so long ago that tombstones may be gone")
DOUBTFUL: Final = Standing("store_doubtful", Way.WIPE, "with the changelog's tail it is not what the checkpoints say")
CHANGELOG_CUT: Final = Standing("store_beyond_changelog", Way.SET_ASIDE,
                                "the changelog ends before where it stands: it was cut or made anew")
FOREIGN: Final = Standing("store_foreign", Way.SET_ASIDE, "it is of another app, partition, Kafka or changelog topic")
DAMAGED: Final = Standing("store_damaged", Way.SET_ASIDE,
                          "it cannot be opened or read, or has another number of persons than it says")
TABLE: Final = (EQUAL, BEHIND, HALF_RESTORED, MISSING, AHEAD, NO_OFFSETS, OTHER_TOPICS, UNREACHED, TOO_OLD, DOUBTFUL,
                CHANGELOG_CUT, FOREIGN, DAMAGED)


def judge(
    stored: Checkpoint | None, owner: Owner | None, here: Owner, committed: Offsets, bounds: tuple[int, int],
    now_ms: int, exactly_once: bool,
) -> Standing:
    """The row of a store that can be opened. `owner` None: written before there were owners.

    `bounds`: the changelog's first offset and the one after its last. Without exactly-once the committed offsets follow
    the checkpoints and may lag, so they say nothing, and the tail is always looked at.
    """
    if owner is not None and _another(owner, here):
        return FOREIGN
    if stored is None:
        return MISSING
    low, high = bounds
    if stored.changelog_offset > high:
        return CHANGELOG_CUT
    standing = _from_offsets(stored, committed, exactly_once)
    if standing.way is not Way.REPLAY:
        return standing
    if 0 < stored.changelog_offset < low:
        return UNREACHED
    if stored.written_ms and now_ms - stored.written_ms > CAUGHT_UP_WITHIN_MS:
        return TOO_OLD
    return standing


def _from_offsets(stored: Checkpoint, committed: Offsets, exactly_once: bool) -> Standing:
    if not stored.whole:
        return HALF_RESTORED if committed or not exactly_once else NO_OFFSETS
    if not exactly_once:
        return BEHIND
    if not committed:
        return NO_OFFSETS
    if not stored.offsets.keys() <= committed.keys():
        return OTHER_TOPICS
    if any(offset > committed[topic] for topic, offset in stored.offsets.items()):
        return AHEAD
    return EQUAL if stored.offsets == dict(committed) else BEHIND


def _another(owner: Owner, here: Owner) -> bool:
    if (owner.app_id, owner.partition) != (here.app_id, here.partition):
        return True
    return any(a and b and a != b for a, b in ((owner.cluster, here.cluster), (owner.topic, here.topic)))
