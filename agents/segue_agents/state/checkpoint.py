"""How far a partition has come: the record that ties states, offsets and time together.

One is written to the changelog in every transaction of the partition, and one to the store with every write. It
names the offsets before and after (the *link*), so that a transaction torn apart is seen: the next offsets of the last
checkpoint are the committed offsets, or the state is not that of those offsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from segue.errors import StateError

KEY: Final = b"\xffsegue"
"""of the checkpoint among the persons' keys; 0xff is in no UTF-8, so no person can have it"""

Offsets = Mapping[str, int]
"""topic -> the offset to go on from"""


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Encoded as a MessagePack map, so that fields can be added."""

    layout_id: str
    """of the plan whose states these are"""
    clock_key: int
    """the merger's position in time"""
    engine_time_ms: int
    offsets: dict[str, int]
    """the inputs' and the clock's, after"""
    previous: dict[str, int]
    """before"""
    consumed: int = 0
    """records passed by the transaction"""
    changes: int = 0
    """changes it brought"""
    states: int = 0
    """states it wrote"""
    totals: dict[str, int] = {}
    """the balance of the partition since its first record: what was consumed, and what became of it"""
    changelog_offset: int = 0
    """store only: everything before it in the changelog is in the store"""
    whole: bool = True
    """store only: False while a restore is under way"""
    persons: int = -1
    """with a stored state, after it; -1: not counted"""
    members: list[int] | None = None
    """per segment of the layout: the persons whose state says that they are in it; None: not counted"""
    newest_ms: dict[str, int] = {}
    """topic -> the time of the newest event applied"""
    heartbeat_ms: int = 0
    """when the newest tick applied was written; without ticks, the newest event; 0: none"""
    written_ms: int = 0
    """store only: the wall's time of the write, by which a copy too old to be caught up is known; 0: not noted"""

    def encode(self) -> bytes:
        """The value of the record."""
        return msgspec.msgpack.encode(self)


# made at the import, as in layouts
_decode_checkpoint: Final = msgspec.msgpack.Decoder(type=Checkpoint).decode


def decode_checkpoint(value: bytes) -> Checkpoint:
    """Raises StateError for what is no checkpoint."""
    try:
        return _decode_checkpoint(value)
    except msgspec.MsgspecError as error:
        raise StateError(f"A checkpoint cannot be read: {error}.", "It was written by another version?") from error
