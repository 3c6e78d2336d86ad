"""From where leaves look. A frame is a relation whose rows are (person, an instant, how much of the history is seen).

The question "who is in, as of T" has one row a person: `people`. A segment of `enter` and `exit` is looked at from
many places, its steps (stays.py), and its own leaves from each step once for every exit that may have come before.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from segue.warehouse.table import SEQ
from segue.warehouse.terms import above, at_most, column, equal, every, minus, rows_of, select


@dataclass(frozen=True, slots=True)
class Frame:
    """A relation of places. Queries call it `f`, and the rows they look at `h`."""

    name: str
    keys: tuple[str, ...]
    """what makes its rows different"""
    now: exp.Condition
    """the instant of a row"""
    steps: bool = False
    """whether rows see the history only up to their `upto`; else all of it"""
    scoped: bool = False
    """whether rows see nothing up to their `since` either"""

    def own_keys(self) -> list[exp.Column]:
        """The keys, in a query made by `over`."""
        return [column(k, "f" if self.steps else "h") for k in self.keys]

    def instant(self) -> exp.Condition:
        """The instant of a row."""
        return self.now.copy()

    def ago(self, ms: int) -> exp.Condition:
        """So long before the instant of a row."""
        return minus(self.instant(), ms)

    def over(self, rows: str, *, first: str = SEQ, last: str | None = SEQ) -> exp.Select:
        """The keys FROM rows AS h, with the frame where needed: the rows that each place sees.

        `first`: the column of h that must come after `since`; `last`: the one that must not come after `upto`.
        """
        query = select(*self.own_keys()).from_(rows_of(rows, "h"))
        if not self.steps:
            return query
        seen = None if last is None else at_most(column(last, "h"), column("upto", "f"))
        fresh = above(column(first, "h"), column("since", "f")) if self.scoped else None
        same = equal(column("person_id", "h"), column("person_id", "f"))
        return query.join(rows_of(self.name, "f"), on=every(same, seen, fresh))

    def from_self(self) -> exp.Select:
        """The keys FROM the frame AS f itself."""
        return select(*(column(k, "f") for k in self.keys)).from_(rows_of(self.name, "f"))

    def matching(self, other: str, *, here: str = "f") -> exp.Condition:
        """`f.key = other.key` for the keys."""
        return every(*(equal(column(k, here), column(k, other)) for k in self.keys))

    def joined(self, query: exp.Select, mark: str, *, left: bool = False) -> exp.Select:
        """A query made by `over` with the frame's row of another relation beside it, as `m`."""
        here = "f" if self.steps else "h"
        return query.join(rows_of(mark, "m"), on=self.matching("m", here=here), join_type="left" if left else "")
