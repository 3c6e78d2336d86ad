"""What an error does to a transaction: a table, row by row, of three reactions.

What a broker's error code is to a transaction librdkafka decides, request by request, and marks on the error; so the
table needs four classes and not a hundred codes. `tests/agents/commit/protocol_errors.txt` holds the codes: one row for
each request and code, each of them tried on librdkafka's own mock of a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal

from confluent_kafka import KafkaError

from segue.errors import NotAllowed, SegueError
from segue.limits import STATE_BYTES
from segue_agents.transport.refusals import refusal

RESTART_EXIT_CODE: Final = 75
"""EX_TEMPFAIL: whoever supervises the process should start it again"""

Stage = Literal["open", "produce", "send_offsets", "commit"]
Class = Literal["retriable", "abortable", "fatal", "other"]


class Reaction(Enum):
    """What to do about an error."""

    REPEAT = "the same call again: nothing is decided yet"
    ABORT = "end the transaction, then go on from the committed offsets with a new producer"
    REPLACE = "touch this producer no more; go on from the committed offsets with a new one"


REACTIONS: Final[Mapping[tuple[Stage, Class], Reaction]] = {
    ("open", "retriable"): Reaction.REPEAT,
    ("open", "abortable"): Reaction.REPLACE,
    ("open", "fatal"): Reaction.REPLACE,
    ("open", "other"): Reaction.REPLACE,
    ("produce", "retriable"): Reaction.ABORT,
    ("produce", "abortable"): Reaction.ABORT,
    ("produce", "fatal"): Reaction.REPLACE,
    ("produce", "other"): Reaction.ABORT,
    # _TIMED_OUT: a second call may never come back (seen over a connection that was half open), nor may an abort
    ("send_offsets", "retriable"): Reaction.REPLACE,
    ("send_offsets", "abortable"): Reaction.ABORT,
    ("send_offsets", "fatal"): Reaction.REPLACE,
    ("send_offsets", "other"): Reaction.ABORT,
    # _TIMED_OUT: neither aborted nor begun anew can it be, only asked again
    ("commit", "retriable"): Reaction.REPEAT,
    # as after REQUEST_TIMED_OUT on EndTxn: it may have been committed all the same
    ("commit", "abortable"): Reaction.REPLACE,
    ("commit", "fatal"): Reaction.REPLACE,
    ("commit", "other"): Reaction.REPLACE,
}


class TransactionLost(SegueError):
    """The transaction in hand did not come to a certain end. What it held is read and worked off again."""

    exit_code = RESTART_EXIT_CODE

    def __init__(self, stage: Stage, error: Any, reaction: Reaction) -> None:
        super().__init__(f"The transaction was lost at {stage}: {said(error)}.", "It is worked off again.")
        self.stage = stage
        self.error = error
        self.reaction = reaction


class TooLarge(TransactionLost):
    """A record that is larger than may be sent, or than its topic takes. Worked off again it will be no smaller."""

    def __init__(self, stage: Stage, error: Any, reaction: Reaction, record: str) -> None:
        """`record`: which one, without saying whose."""
        super().__init__(stage, error, reaction)
        self.args = (f"{record or 'A record'} is too large: {said(error)}.",)
        self.what = self.args[0]
        self.to_do = (
            f"Set max.message.bytes={STATE_BYTES} of the topic. A state above that has too many entries: see `keep: last n`"
            ", the longest windows, and who sends so many events under one id."
        )


class Refused(TransactionLost):
    """A right is missing. It will be so again, unless somebody gives it meanwhile."""

    exit_code = NotAllowed.exit_code

    def __init__(self, stage: Stage, error: Any, reaction: Reaction, right: str) -> None:
        """`right`: which, as in `Write on topic 'x'`."""
        super().__init__(stage, error, reaction)
        self.not_allowed = refusal(right)
        self.args = (f"{self.not_allowed.what} ({said(error)})",)
        self.what, self.to_do = self.args[0], self.not_allowed.to_do


FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED})  # noqa: SLF001 (librdkafka's own codes)
"""not marked at all when AddOffsetsToTxn or TxnOffsetCommit is answered so, and yet as final as elsewhere"""


def classify(error: Any) -> Class:
    """The class of a KafkaError, from what librdkafka marks it with, but for fencing."""
    if error.fatal() or error.code() in FENCED:
        return "fatal"
    if error.txn_requires_abort():
        return "abortable"
    return "retriable" if error.retriable() else "other"


def said(error: Any) -> str:
    """An error in words, a KafkaError with its name."""
    return f"{error.name()} {error.str()}" if hasattr(error, "name") else str(error)
