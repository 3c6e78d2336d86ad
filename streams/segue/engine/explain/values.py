"""What an explanation is made of. Frozen, plain values: `dataclasses.asdict` of them is the JSON form.

Times are milliseconds since the epoch. `until_ms` is always: when it changes if nothing more happens; None: never.
`since_ms` of a condition needs the log and is None without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segue.records import Value

Kind = Literal["all of", "any of", "not all of", "none of", "leaf", "segment"]


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that makes a condition so."""

    at_ms: int
    event: str | None
    """snake_case; None where there is only a state to ask, which keeps times and no names"""
    id: str | None
    """the producer's, where the log has one"""
    value: Value
    """of the field that the condition reads, if it reads one"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a leaf goes by."""

    says: str
    """'3 of 5 needed', 'sum 74.20', '"trial", stated 09:00'"""
    value: Value = None
    """the number that is compared, the newest value, the decision; None: there is none"""
    at_ms: int | None = None
    """when the value was stated, the pattern matched or was begun"""
    needs: str = ""
    """of what is not true: what must happen for it, as in '2 more product_viewed'"""
    before_ms: int | None = None
    """and by when: then more would be needed, or it begins anew"""
    events: tuple[Seen, ...] = ()
    """oldest first: the newest few"""
    more: int = 0
    """how many others there are, older than these"""
    flags: tuple[str, ...] = ()
    """where the answer is bounded or not yet whole"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition, and whether it is so."""

    kind: Kind
    text: str
    """as a rule would say it"""
    holds: bool
    since_ms: int | None
    until_ms: int | None
    evidence: Evidence | None = None
    """of a leaf"""
    items: tuple[Finding, ...] = ()
    """of the four kinds that join others"""
    segment: Membership | None = None
    """of a segment; None as well where it stands further up already, or too deep"""


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest jump of a membership."""

    at_ms: int
    sequence: int
    cause: str | None
    """as changes have it; None where only a state was asked"""
    event: Seen | None
    """the one that caused it"""
    revokes: str | None
    """the id of the change that a correction took back"""


@dataclass(frozen=True, slots=True)
class Exit:
    """One of the ways out of an enter/exit segment."""

    text: str
    """'order_completed', '7 days after entering'"""
    at_ms: int | None
    """when it comes by itself; None: it needs an event, or the person is not inside"""


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a person is in a segment, and why."""

    segment: str
    version: int
    title: str
    inside: bool
    since_ms: int | None
    """of the last change; None: the person has never been inside"""
    until_ms: int | None
    last_change: LastChange | None
    form: Literal["when", "enter"]
    condition: Finding
    """what `when` or `enter` says, the universe included"""
    exits: tuple[Exit, ...]
    """in the order in which they come by themselves, those that need an event last"""
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a person is, or is not, in a segment as of a time."""

    person: str
    at_ms: int
    known: bool
    """whether anything that a rule reads has ever happened"""
    membership: Membership
