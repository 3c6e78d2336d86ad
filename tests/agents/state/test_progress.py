"""What is shown of a restore."""

from __future__ import annotations

import io

from rich.console import Console
from structlog.testing import capture_logs

from segue_agents.state.progress import BAR_AFTER_S, SAY_EVERY_S, RestoreProgress


class Hand:
    """A clock set by hand, seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_log_lines_are_seldom() -> None:
    """Without a terminal: one line a partition and five seconds, none for a quick restore."""
    hand, out = Hand(), io.StringIO()
    progress = RestoreProgress(hand, Console(file=out))
    with capture_logs() as logged:
        for tick in range(121):
            hand.now = tick / 10
            progress(3, tick / 121)
            progress(4, min(1.0, tick / 40))
        progress(3, 1.0)
    lines = [(line["partition"], line["seconds"], line["percent"]) for line in logged]
    assert lines == [(3, SAY_EVERY_S, 41.3), (3, 2 * SAY_EVERY_S, 82.6)]
    assert out.getvalue() == ""


def test_a_bar_on_a_terminal() -> None:
    """It names the partition, comes only after a moment, and leaves nothing behind; no log lines beside it."""
    hand, out = Hand(), io.StringIO()
    progress = RestoreProgress(hand, Console(file=out, force_terminal=True, width=80))
    with capture_logs() as logged:
        progress(7, 0.1)
        assert out.getvalue() == ""
        hand.now = 2 * BAR_AFTER_S
        progress(7, 0.5)
        assert "restoring partition 7" in out.getvalue()
        progress(7, 1.0)
        progress(8, 0.0)
        hand.now = 20 * SAY_EVERY_S
        progress(8, 0.5)
        progress.close()
    assert logged == []
    assert "\x1b[?25h" in out.getvalue()  # the cursor is back
