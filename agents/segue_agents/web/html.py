"""The status page: one document without scripts, whose only style is its own.

Everything that comes from outside (names, texts of errors) goes through `tag`, which escapes. The policy allows the one
style by its digest, so that nothing else runs even if something slipped through.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from segue_agents.status import PartitionStatus, Status
from segue_agents.web.probes import Check, alive, ready, started

LIGHT: Final = {"page": "#ffffff", "text": "#1b1f24", "soft": "#57606a", "line": "#d0d7de", "band": "#f6f8fa",
                "link": "#0550ae", "good": "#116329", "warn": "#7d4e00", "bad": "#a40e26"}  # fmt: skip
DARK: Final = {"page": "#0d1117", "text": "#e6edf3", "soft": "#9da7b3", "line": "#3d444d", "band": "#161b22",
               "link": "#79c0ff", "good": "#56d364", "warn": "#e3b341", "bad": "#ff938a"}  # fmt: skip
"""each colour of text stands out from `page` and from `band` by 4.5 to 1 (WCAG AA); a test works it out"""
REFRESH_S: Final = 5
_BY_STATE: Final = {"running": "good", "restoring": "warn", "starting": "warn", "waits_for_disk": "bad", "stopped": "bad",
                    "stopping": "warn", "failed": "bad"}  # fmt: skip


def _style() -> str:
    light, dark = ("".join(f"--{name}:{value};" for name, value in colours.items()) for colours in (LIGHT, DARK))
    return (
        f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
        "body{margin:0 auto;max-width:75rem;padding:1rem;background:var(--page);color:var(--text);"
        "font:1rem/1.5 system-ui,sans-serif}"
        "h1{font-size:1.4rem;margin:.5rem 0}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}"
        "a{color:var(--link)}:focus-visible{outline:3px solid var(--link);outline-offset:2px}"
        ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
        "th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}"
        "thead th{background:var(--band)}.number{text-align:right}caption{text-align:left;color:var(--soft)}"
        "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}dt{color:var(--soft)}dd{margin:0}"
        ".good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}.good,.warn,.bad{font-weight:600}"
        "code{font-family:ui-monospace,monospace;overflow-wrap:anywhere}.soft{color:var(--soft)}"
        "summary{cursor:pointer}"
    )


STYLE: Final = _style()
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *inside: str | None, **attributes: str) -> Markup:
    """An element. Text inside it is escaped, unless it is Markup; so are the attributes. `class_` is `class`."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    body = "".join(part if isinstance(part, Markup) else escape(part) for part in inside if part is not None)
    return Markup(f"<{name}{said}>{body}</{name}>")


def render(status: Status, refresh_s: int | None = None) -> str:
    """The whole page. `refresh_s`: the browser asks again so often."""
    title = f"{status.state} - {status.app_id}, slot {status.slot}"
    head = [Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'),
            tag("title", title), tag("style", Markup(STYLE))]  # fmt: skip
    if refresh_s is not None:
        head.append(Markup(f'<meta http-equiv="refresh" content="{refresh_s}">'))
    body = [tag("header", *_head(status, refresh_s)), tag("main", *_sections(status)), tag("footer", _footer())]
    return f'<!doctype html><html lang="en">{tag("head", *head)}{tag("body", *body)}</html>'


def _head(status: Status, refresh_s: int | None) -> list[Markup]:
    again = (tag("a", "Stop", href="/status") if refresh_s is not None
             else tag("a", f"Refresh every {REFRESH_S} s", href=f"/status?refresh={REFRESH_S}"))
    return [
        tag("h1", f"Segue: {status.app_id}, slot {status.slot} ", _state(status.state)),
        _facts(
            ("Version", status.version), ("Process", str(status.pid)),
            ("Started", f"{_time(status.started_ms)}, {_span(status.uptime_s)} ago"), ("As of", _time(status.now_ms)),
            ("Failed with", status.failure),
        ),
        tag("p", again),
    ]  # fmt: skip


def _sections(status: Status) -> list[Markup]:
    commits = status.commits
    took = f", took {commits.last_duration_s:.3f} s" if commits.last_duration_s is not None else ""
    return [
        tag("h2", "Probes"),
        _facts(("Alive", _verdict(alive(status))), ("Ready", _verdict(ready(status))),
               ("Started", _verdict(started(status)))),
        tag("h2", "Partitions"), _partitions(status.partitions),
        tag("h2", "Commits"),
        _facts(
            ("Guarantee", commits.guarantee.replace("_", " ")), ("Commits", f"{commits.count:,}"),
            ("Last", f"{_time(commits.last_ms)}{took}"),
            ("Waits to be committed", "nothing" if commits.waiting_s is None else f"for {_span(commits.waiting_s)}"),
            ("Dropped and done again", f"{commits.rebuilds:,} times"),
        ),
        tag("h2", "Rules"), *_rules(status),
        tag("h2", "Last warnings and errors"), _recent(status),
        tag("h2", "Settings"),
        tag("details", tag("summary", f"{len(status.settings)} settings"), _table(
            "As the worker has them; of files with secrets only that they are set.", ("Setting", "Value"),
            [(tag("code", name), tag("code", "" if value is None else str(value)))
             for name, value in status.settings.items()])),
    ]  # fmt: skip


def _partitions(partitions: Sequence[PartitionStatus]) -> Markup:
    if not partitions:
        return tag("p", "None. Other workers may have them all, or the group has not said yet.")
    rows = []
    for p in partitions:
        state = tag("span", _state(p.state), f" {100 * p.restored_ratio:.0f} %" if p.state == "restoring" else None)
        if p.stopped is not None:
            s = p.stopped
            state = tag("span", state, f" at {s.topic} offset {s.offset:,}: {s.rejected:,} of {s.records:,} records "
                        f"refused, mostly as {s.reason}. {s.to_do}")
        lag = None if p.lag_records is None else sum(p.lag_records.values())
        rows.append((str(p.partition), state, _number(lag), _time(p.engine_time_ms), _number(p.persons),
                     _number(p.persons_in_memory), _number(p.timers_pending), _time(p.last_commit_ms)))
    headings = ("Partition", "State", "Lag, records", "Engine time", "Persons", "In memory", "Timers", "Last commit")
    return _table("", headings, rows, numbers=frozenset({2, 4, 5, 6}))


def _rules(status: Status) -> Iterable[Markup]:
    rules = status.rules
    yield tag("p", "Layout ", tag("code", rules.layout), ", as read at the start.", class_="soft")
    rows = [
        (tag("code", f.file), tag("code", f.sha256[:12]),
         ", ".join(f"{name} v{rules.segments.get(name, 1)}" for name in f.segments) or "features only")
        for f in rules.files
    ]  # fmt: skip
    yield _table("", ("File", "SHA-256", "Segments"), rows)


def _recent(status: Status) -> Markup:
    if not status.recent:
        return tag("p", "None since the start.")
    colours = {"warning": "warn"}
    rows = [
        (_time(line.time_ms), tag("span", line.level, class_=colours.get(line.level, "bad")), tag("code", line.event),
         "; ".join(f"{key}: {value}" for key, value in line.facts.items()))
        for line in status.recent
    ]  # fmt: skip
    return _table("The newest first. The log has all of them.", ("Time", "Level", "Event", "Says"), rows)


def _footer() -> Markup:
    links = [tag("a", path, href=path) for path in ("/status.json", "/metrics", "/livez?verbose", "/readyz?verbose",
                                                    "/startupz?verbose")]  # fmt: skip
    spaced: list[str] = []
    for link in links:
        spaced += [link, " "]
    return tag("p", *spaced, "What each field means: docs/operate/status.md and docs/operate/probes.md.", class_="soft")


def _verdict(checks: list[Check]) -> Markup:
    failed = [f"{check.name}: {check.says}" for check in checks if not check.ok]
    noted = [f"{check.name}: {check.says}" for check in checks if check.ok and check.says]
    word = tag("span", "no" if failed else "yes", class_="bad" if failed else "good")
    return tag("span", word, *(f" - {said}" for said in (*failed, *noted)))


def _state(state: str) -> Markup:
    return tag("span", state.replace("_", " "), class_=_BY_STATE[state])


def _facts(*pairs: tuple[str, str | None]) -> Markup:
    return tag("dl", *(part for name, value in pairs if value is not None for part in (tag("dt", name), tag("dd", value))))


def _table(
    caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int] = frozenset()
) -> Markup:
    """Can be scrolled by the keyboard when it is wider than the window. The first column names the row."""

    def cell(name: str, at: int, text: str, **more: str) -> Markup:
        return tag(name, text, **more, **({"class_": "number"} if at in numbers else {}))

    head = tag("thead", tag("tr", *(cell("th", at, text, scope="col") for at, text in enumerate(headings))))
    body = tag("tbody", *(
        tag("tr", *(cell("td", at, text) if at else cell("th", at, text, scope="row") for at, text in enumerate(row)))
        for row in rows
    ))  # fmt: skip
    made = tag("table", tag("caption", caption) if caption else None, head, body)
    return tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=f"{headings[0]} table")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _time(at_ms: int | None) -> str:
    """UTC, to the second."""
    if at_ms is None or not 0 < at_ms < 253_402_300_800_000:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _span(seconds: float) -> str:
    """`3 d 4 h`, `5 min 6 s`, `7 s`."""
    left, parts = round(seconds), []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if left >= length:
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2]) or "0 s"
