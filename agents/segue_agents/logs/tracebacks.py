"""Tracebacks without people's values: where an error came from, line by line, and its text only where we know what is in it.

Frames never show variables. And the text of an error is left out unless it cannot quote an event: `KeyError: 'ada'` and
`ValueError: invalid literal for int(): '4 Elm Street'` are how values get into logs.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from typing import Final

from segue.errors import SegueError

WITHHELD: Final = "(its text is left out, as it may quote an event; log_exception_text=true shows it)"
_FRAMES: Final = 100
_PLAIN: Final = (SegueError, OSError, ImportError, MemoryError, RecursionError)
"""their texts are written by us, by the system, or name code"""
_PLAIN_NAMES: Final = frozenset({"KafkaException", "KafkaError"})
"""librdkafka's; by name, as not every command has it imported"""


def text_of(error: BaseException, *, whole: bool = False) -> str:
    """`KeyError: (its text is left out ...)`, `FileNotFoundError: [Errno 2] ...`. `whole`: leave nothing out."""
    kind = type(error)
    said = str(error)
    if said and not (whole or isinstance(error, _PLAIN) or kind.__name__ in _PLAIN_NAMES):
        said = WITHHELD
    return f"{kind.__qualname__}: {said}" if said else kind.__qualname__


def lines_of(error: BaseException, *, whole: bool = False) -> Iterator[str]:
    """A traceback as Python prints it, with the errors it came from; no variables, no texts that may quote."""
    chain: list[tuple[str, BaseException]] = []
    seen: set[int] = set()
    at: BaseException | None = error
    why = ""
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        chain.append((why, at))
        if at.__cause__ is not None:
            at, why = at.__cause__, "The above exception was the direct cause of the following exception:"
        else:
            at, why = (
                None if at.__suppress_context__ else at.__context__,
                ("During handling of the above exception, another exception occurred:"),
            )
    for i, (_, one) in enumerate(reversed(chain)):
        if i:
            yield chain[len(chain) - i][0]
        yield "Traceback (most recent call last):"
        frames = traceback.StackSummary.extract(traceback.walk_tb(one.__traceback__), limit=-_FRAMES, capture_locals=False)
        for frame in frames.format():
            yield from frame.rstrip("\n").split("\n")
        yield text_of(one, whole=whole)


def print_without_values(error: BaseException) -> None:
    """To standard error."""
    print("\n".join(lines_of(error)), file=sys.stderr)
