"""Why a person is, or is not, in a segment: `explain` gives a tree of values, `text` the words for it."""

from segue.engine.explain.build import explain, segment_index
from segue.engine.explain.history import Happened, Log, columns_of
from segue.engine.explain.text import text
from segue.engine.explain.values import Evidence, Exit, Explanation, Finding, LastChange, Membership, Seen

__all__ = [
    "Evidence",
    "Exit",
    "Explanation",
    "Finding",
    "Happened",
    "LastChange",
    "Log",
    "Membership",
    "Seen",
    "columns_of",
    "explain",
    "segment_index",
    "text",
]
