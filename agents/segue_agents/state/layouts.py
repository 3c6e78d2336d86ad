"""Which rules the states of a partition were written under.

A state carries the tag of its layout; the layout itself is one record per set of rules, written to the changelog and
the store in the first transaction under these rules, among the persons' keys. So states of earlier rules can be read
for as long as there are any, and a rule that has changed is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from segue.errors import StateError
from segue.plan.stored import Layout, changed_without_version

PREFIX: Final = b"\xffsegue-layout-"
"""of the records' keys; 0xff is in no UTF-8, so no person can have it"""


@dataclass(frozen=True, slots=True)
class Known:
    """A layout, and since when its leaves have been kept."""

    layout: Layout
    started_ms: dict[str, int]
    """leaf -> engine time at which it began, empty; leaves that have seen everything are absent"""

    @property
    def key(self) -> bytes:
        """Of its record."""
        return PREFIX + self.layout.tag

    def encode(self) -> bytes:
        """The value of its record."""
        return msgspec.msgpack.encode(self)


# made at the import: msgspec learns a class when it first decodes it, and two restores that do so at once crash it
_decode_known: Final = msgspec.msgpack.Decoder(type=Known).decode


def decode_known(value: bytes) -> Known:
    """Raises StateError for what is no such record."""
    try:
        return _decode_known(value)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StateError(f"The record of a layout cannot be read: {error}.", "Was it written by another version?") from error


def succession(
    known: Iterable[Known], written_under: str, layout: Layout, engine_time_ms: int, app_id: str
) -> tuple[Known, bool]:
    """(the layout of these rules, whether its record is still to be written) after states written under another one.

    `written_under`: the layout's id in the last checkpoint, '' at a first start. Raises StateError for a rule that was
    changed without a new version, and for states nobody can read.
    """
    if written_under in ("", layout.id):
        same = next((k for k in known if k.layout.id == layout.id), None)
        return (same, False) if same is not None else (Known(layout, {}), True)
    before = next((k for k in known if k.layout.id == written_under), None)
    if before is None:
        raise StateError(
            f"The state of app {app_id!r} was written under rules (layout {written_under}) of which nothing is known.",
            "Was it written by another version? Go on with that, or start under a new app_id, which reads all inputs again.",
        )
    if changed := changed_without_version(before.layout, layout):
        name, was, now = changed[0]
        others = len(changed) - 1
        more = f" So it is with {others} other{'s' * (others > 1)}." if others else ""
        raise StateError(
            f"The rule of {name!r} has changed, its version has not.{more}\n  it was:\n{_indented(was)}\n"
            f"  it is:\n{_indented(now)}",
            f"Give it 'version: {layout.rules[name][0] + 1}', or take the change back.",
        )
    started = {
        leaf: before.started_ms.get(leaf, 0) if leaf in before.layout.lookback_ms else engine_time_ms
        for leaf in layout.lookback_ms
    }
    return Known(layout, {leaf: at for leaf, at in started.items() if at}), True


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
