"""The newest warnings and errors of the log, for the status page: what a terminal nobody watches has scrolled away.

Stands in structlog's chain as its last processor before the renderer. It keeps a few named facts of a line, never the
line: what may speak of a person, such as a refused record's detail or a traceback, is none of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

KEPT: Final = 50
TEXT_LENGTH: Final = 300
"""characters of a fact"""
LEVELS: Final = frozenset({"warning", "error", "critical"})
FACTS: Final = frozenset({
    "again_in_s", "do", "error", "failed", "file", "folder", "id", "ids_pending", "kind", "library", "max_message_bytes",
    "offset", "partition", "partitions", "reason", "records", "says", "seconds", "set_aside", "slot", "source", "stage",
    "topic", "verdict", "why",
})  # fmt: skip
TOLD_ELSEWHERE: Final = {"partition_stopped": frozenset({"error"})}
"""its error quotes what was wrong with a record; the partition's own row says why it is stopped"""


@dataclass(frozen=True, slots=True)
class Line:
    """One warning or error."""

    time_ms: int
    level: str
    event: str
    facts: dict[str, str]


class Recent:
    """The newest KEPT of them. From any thread."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._lines: deque[Line] = deque(maxlen=KEPT)

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """structlog's: looks at a line and passes it on as it is."""
        level = str(event.get("level", method))
        if level in LEVELS:
            name = str(event.get("event", ""))
            wanted = FACTS - TOLD_ELSEWHERE.get(name, frozenset())
            self._keep(level, name, {key: event[key] for key in event if key in wanted})
        return event

    def lines(self) -> tuple[Line, ...]:
        """The newest first."""
        return tuple(reversed(self._lines.copy()))

    def _keep(self, level: str, event: str, facts: dict[str, Any]) -> None:
        said = {key: str(value)[:TEXT_LENGTH] for key, value in facts.items()}
        self._lines.append(Line(self._wall_ms(), level, event, said))
