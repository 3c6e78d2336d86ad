"""Results as a page with charts, and two results beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from bench.charts import Bar, bars
from bench.results import spread

FIGURES: Final = (("events_per_s", "events/s"), ("cpu_s_per_million", "CPU, µs an event"), ("peak_mb", "memory, MB"))


def write(found: list[dict[str, Any]], docs: Path) -> None:
    """docs/performance.md and docs/performance-*.svg; of each scenario the newest result counts."""
    scenarios = newest(found)
    docs.mkdir(exist_ok=True)
    for key, title in FIGURES:
        drawn = [bar for s in scenarios.values() for bar in _bars(s, key)]
        if drawn:
            (docs / f"performance-{key.replace('_', '-')}.svg").write_text(bars(title, drawn), encoding="utf-8")
    (docs / "performance.md").write_text("\n".join(page(scenarios)) + "\n", encoding="utf-8")


def newest(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of a scenario -> its newest figures, with the `sitting` they are from."""
    out: dict[str, dict[str, Any]] = {}
    for result in sorted(found, key=lambda r: str(r["at"])):
        for name, figures in result["scenarios"].items():
            out[name] = {**figures, "sitting": result}
    return out


def page(scenarios: dict[str, dict[str, Any]]) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "# Performance", "",
        "Made by `python -m bench report` from `bench/results/`; not to be edited. Each figure is the median of its runs,",
        "with the least and the greatest. In every run of workers each change was compared with what it should be, and all",
        "were identical. Machines differ: only figures of one sitting may be compared.", "",
        "| scenario | events/s | CPU, µs an event | memory, MB | changes an event | runs | sitting |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, s in scenarios.items():
        if spread(s["runs"], "events_per_s") is None:
            continue
        lines.append(_row(f"{s['title']} (`{s.get('command', name)}`)", s["runs"], s["sitting"]))
        for peer, runs in s.get("peers", {}).items():
            lines += [_row(f"the same, {peer}{_wrong(runs)}", runs, s["sitting"]), _ratios(peer, s["runs"], runs)]
    if not any(s.get("peers") for s in scenarios.values()):
        lines += ["", "No peer was run: its tools were not given (`--workload FOLDER`)."]
    for key, title in FIGURES:
        lines += ["", f"![{title}](performance-{key.replace('_', '-')}.svg)"] if _any(scenarios, key) else []
    for name, s in scenarios.items():
        if spread(s["runs"], "events_per_s") is None:
            command = s.get("command", name)
            lines += ["", f"## {s['title']}", "", *_figures(s["runs"]), "", f"`python -m bench run {command}`"]
    return [*lines, "", "## To see it again", "",
            "`make bench` runs the short scenarios, `make bench-full` all others, `python -m bench run NAME` one.", "",
            *_sittings(s["sitting"] for s in scenarios.values())]  # fmt: skip


def compared(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines: the ratio new to old of each figure that both have; in brackets the least and the greatest of the ratios."""
    lines = [f"{old['commit']} ({old['at']}) -> {new['commit']} ({new['at']})"]
    if (old["machine"], old["cpus"]) != (new["machine"], new["cpus"]):
        lines.append("The machines differ: these ratios say little.")
    for name, after in new["scenarios"].items():
        before = old["scenarios"].get(name)
        for key in _keys(after["runs"]) if before else ():
            a, b = spread(before["runs"], key), spread(after["runs"], key)
            if a and b and min(a) > 0:
                lines.append(f"{name:16} {key:24} {b[0] / a[0]:6.2f} x  ({b[1] / a[2]:.2f} to {b[2] / a[1]:.2f})")
    return lines


def _row(title: str, runs: list[dict[str, Any]], sitting: dict[str, Any]) -> str:
    cells = [_cell(spread(runs, key)) for key, _ in FIGURES]
    made = [run["changes"] / run["events"] for run in runs if run.get("changes") and run.get("events")]
    cells.append(f"{made[0]:.2f}" if made else "")
    return f"| {title} | {' | '.join(cells)} | {len(runs)} | {sitting['at'][:10]}, {sitting['commit']} |"


def _ratios(peer: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """Of the medians."""
    cells = []
    for key, _ in FIGURES:
        a, b = spread(ours, key), spread(theirs, key)
        cells.append(f"**{a[0] / b[0]:.2f} x**" if a and b and b[0] else "")
    return f"| **Segue to {peer}** | {' | '.join(cells)} | | | |"


def _wrong(runs: list[dict[str, Any]]) -> str:
    """What an engine that is not exact leaves out or has too many."""
    missing, extra = (max(run.get(key, 0) for run in runs) for key in ("missing", "extra"))
    return f" ({missing:,} changes missing, {extra:,} too many)" if missing or extra else ""


def _cell(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return ""
    median, least, greatest = map(_number, found)
    return median if least == greatest else f"{median} ({least} to {greatest})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _figures(runs: list[dict[str, Any]]) -> list[str]:
    rows = [f"| {key.replace('_', ' ')} | {_cell(spread(runs, key))} |" for key in _keys(runs)]
    return ["| figure | median (least to greatest) |", "|---|---|", *rows]


def _keys(runs: list[dict[str, Any]]) -> list[str]:
    return [k for k, v in runs[0].items() if isinstance(v, int | float) and not isinstance(v, bool)] if runs else []


def _any(scenarios: dict[str, dict[str, Any]], key: str) -> bool:
    return any(spread(s["runs"], key) for s in scenarios.values())


def _bars(scenario: dict[str, Any], key: str) -> list[Bar]:
    out = []
    beside = [(f"  {peer}", runs) for peer, runs in scenario.get("peers", {}).items()]
    for label, runs in ((scenario["title"], scenario["runs"]), *beside):
        if (found := spread(runs, key)) is not None:
            out.append(Bar(label, *found, peer=runs is not scenario["runs"]))
    return out


def _sittings(found: Iterable[dict[str, Any]]) -> list[str]:
    lines = {}
    for s in found:
        versions = ", ".join(f"{name} {number}" for name, number in s["versions"].items())
        changed = " with changes" if s["changed"] else ""
        machine = f"{s['cpus']} CPUs {s['machine']}, {s['system']}"
        lines[s["at"]] = f"- {s['at']}: commit {s['commit']}{changed}, {machine}, Python {s['python']}, {versions}"
    return [lines[at] for at in sorted(lines)]
