"""Tests of rules, for whoever writes rules: what happens and what must follow, as plain text, under a virtual clock.

    case: an abandoned cart
      10:00  ada  Product Added  product_id=p1
      10:30  ada  enters behavior_cart_abandon because of time
      10:31  ada  Order Completed
      10:31  ada  exits behavior_cart_abandon because of Order Completed

A case is run over the engine itself, in milliseconds, without a broker. Texts in, values out: nothing here reads a
file; `segue test` does. The same parts serve tests written in Python: `event` and `VirtualPartition`.

layout, words, times   a file cut into parts, a line into words, times read and written
sayings, parse         lines to a `Case`, or every mistake with its place
events, virtual        rows from events; one partition of an engine under a clock that is told the time
run, compare, telling  a case in four ways; expected against what happened; in words
"""

from segue.testing.cases import Arrives, Case, Changes, Event, IsIn, Line, Quiet
from segue.testing.compare import Differs, Row
from segue.testing.events import event
from segue.testing.parse import RulesNamed, read_cases, rules_named
from segue.testing.run import CaseResult, run_case
from segue.testing.virtual import VirtualPartition

__all__ = [
    "Arrives",
    "Case",
    "CaseResult",
    "Changes",
    "Differs",
    "Event",
    "IsIn",
    "Line",
    "Quiet",
    "Row",
    "RulesNamed",
    "VirtualPartition",
    "event",
    "read_cases",
    "rules_named",
    "run_case",
]
