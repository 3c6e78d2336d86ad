"""Stored results become a page, charts and ratios."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from bench import results
from bench.peers import parsed
from bench.report import compared, write
from bench.scenarios import SCENARIOS


def result(at: str, *speeds: int, peer: tuple[int, ...] = ()) -> dict[str, Any]:
    def runs(found: tuple[int, ...]) -> list[dict[str, Any]]:
        return [{"events_per_s": s, "cpu_s_per_million": 1e6 / s, "peak_mb": 300} for s in found]

    short: dict[str, Any] = {"title": "short & sweet", "n": len(speeds), "runs": runs(speeds)}
    if peer:
        short["peers"] = {"Kafka Streams": runs(peer)}
    restore = {"title": "a restore", "n": 1, "runs": [{"persons_per_s": 500_000}]}
    return {**results.sitting(), "at": at, "scenarios": {"short": short, "restore": restore}}


def test_a_page_shows_medians_spreads_and_commands(tmp_path: Path) -> None:
    """Of the newest result, and of the peer beside it."""
    old, new = result("2026-01-01T00:00:00Z", 1), result("2026-01-02T00:00:00Z", 100, 300, 200, peer=(50, 60, 70))
    write([new, old], tmp_path)
    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "| short & sweet (`short`) | 200 (100 to 300) |" in page
    assert "| the same, Kafka Streams | 60.00 (50.00 to 70.00) |" in page
    assert "| **Segue to Kafka Streams** | **3.33 x** | **0.30 x** | **1.00 x** |" in page
    assert "`python -m bench run restore`" in page
    for chart in tmp_path.glob("*.svg"):
        ET.parse(chart)
        assert f"({chart.name})" in page


def test_a_page_says_when_no_peer_ran(tmp_path: Path) -> None:
    """And how one would."""
    write([result("2026-01-01T00:00:00Z", 1)], tmp_path)
    assert "No peer was run" in (tmp_path / "performance.md").read_text(encoding="utf-8")


def test_two_results_are_compared_as_ratios() -> None:
    """Median to median; the least is the slowest new run to the fastest old one."""
    lines = compared(result("2026-01-01T00:00:00Z", 100, 110, 120), result("2026-01-02T00:00:00Z", 200, 220, 240))
    assert "2.00 x  (1.67 to 2.40)" in next(line for line in lines if "events_per_s" in line)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    """And what is none is told."""
    kept = result("2026-01-01T00:00:00Z", 1)
    file = results.path_of(kept, tmp_path)
    results.save(kept, file)
    assert results.load(file) == kept
    file.write_text("[]")
    with pytest.raises(SystemExit, match="is no result"):
        results.load(file)


def test_the_peers_line_is_read() -> None:
    """And silence is told."""
    line = ("kstreams 2 thr: committed rc 143; 2499735 events; wall 16.1s (155,262/s), with start-up 18.0s; "
            "cpu 27.0s (10.8 s/M; user 24.1); rss 812 MB; broker cpu 0.0s; load before 0.10\n"
            "CHECK out-kstreams: 9 changes, oracle 9, identical 9, missing 0, extra 0")  # fmt: skip
    found = parsed(line)
    assert (found["events_per_s"], found["cpu_s_per_million"], found["peak_mb"]) == (155_262, 10.8, 812)
    for silent in ("identical 9, missing 0, extra 0", line.replace("identical 9, missing 0", "identical 0, missing 9")):
        with pytest.raises(SystemExit, match="said nothing"):
            parsed(silent)


def test_names_of_scenarios_are_different() -> None:
    """A result has one place for each."""
    assert len({s.name for s in SCENARIOS}) == len(SCENARIOS)
