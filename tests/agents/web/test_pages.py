"""Requests to answers: forms, headers, what the documents promise."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.agents.web.made import NOW_MS, partition, restoring, status, stopped

from segue_agents.logs.recent import KEPT, TEXT_LENGTH, Line, Recent
from segue_agents.settings import Settings
from segue_agents.status import RuleFile, Rules, Status, shown_settings
from segue_agents.web.access import Access, Caller
from segue_agents.web.html import DARK, LIGHT, STYLE, render
from segue_agents.web.pages import Answer, Asked, Pages, document

DOCS = Path(__file__).parents[3] / "docs" / "operate"
HOSTILE = '"><script>alert(1)</script><b onload=x>&amp;'


def pages(shown: Status | None = None, **settings: Any) -> Pages:
    found = shown or status()
    return Pages(Access(Settings(**settings), {}), lambda: found, lambda: b"segue_ready 1.0\n")


def ask(path: str, accept: str = "*/*", method: str = "GET", shown: Status | None = None, **query: list[str]) -> Answer:
    return pages(shown).answer(Asked(method, path, query, accept, Caller(host="127.0.0.1")))


class Read(HTMLParser):
    """Checks that elements close in their order, and keeps what was met."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.met: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.met.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/status", "text/html,application/xhtml+xml", "text/html"), ("/status", "application/json", "application/json"),
        ("/status", "*/*", "application/json"), ("/status.json", "text/html", "application/json"),
        ("/metrics", "*/*", "text/plain; version=0.0.4"), ("/livez", "*/*", "text/plain"), ("/healthz", "*/*", "text/plain"),
        ("/readyz", "*/*", "text/plain"), ("/startupz", "*/*", "text/plain"),
    ],
)  # fmt: skip
def test_each_page_in_its_form(path: str, accept: str, kind: str) -> None:
    """Kept by nobody, of the kind it says, and without a word about the software that made it."""
    answer = ask(path, accept)
    assert (answer.status, answer.headers["Content-Type"].startswith(kind)) == (200, True)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "segue"


def test_a_page_for_people_may_do_nothing_but_be_shown() -> None:
    """No script, no frame, no form, nothing from elsewhere: by the policy, and by what is on it."""
    answer = ask("/status", "text/html")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy.pop("style-src").startswith("'sha256-")
    assert set(policy.values()) == {"'none'"}
    assert policy.keys() == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert answer.headers["X-Frame-Options"] == "DENY"
    met = Read(answer.body.decode()).met
    assert not {"script", "iframe", "form", "img", "link", "object"} & {name for name, _ in met}
    assert not any(key.startswith("on") or key in ("style", "src") for _, attributes in met for key in attributes)
    assert all(str(a["href"]).startswith("/") for _, a in met if "href" in a)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "FOO"])
@pytest.mark.parametrize("path", ["/status", "/livez", "/nothing"])
def test_there_is_nothing_to_change(path: str, method: str) -> None:
    answer = ask(path, method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_what_there_is_not() -> None:
    """Nothing of Faust's own pages either."""
    for path in ("/graph", "/stats", "/router/", "/table/", "/performance", "/status/", "/../etc/passwd"):
        assert ask(path).status == 404
    assert (ask("/").status, ask("/").headers["Location"]) == (302, "/status")


def test_who_may_not_is_told_how() -> None:
    """401 with the way in, 403 without one."""
    port = Pages(Access(Settings(), {"SEGUE_WEB_TOKEN": "t" * 20}), status, lambda: b"")
    answer = port.answer(Asked("GET", "/status", caller=Caller(host="127.0.0.1")))
    assert (answer.status, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")
    assert b"shop" not in answer.body
    assert port.answer(Asked("GET", "/readyz")).status == 200
    assert pages(web_auth="closed").answer(Asked("GET", "/status", caller=Caller(host="127.0.0.1"))).status == 403
    assert pages().answer(Asked("GET", "/status", caller=Caller(host="evil.example"))).status == 403


def test_probes_by_their_code() -> None:
    """503 with what is missing; 200 otherwise; ?verbose and ?exclude as Kubernetes has them."""
    away = status(producer_open=False, partitions=(restoring(0, 0.25),), state="restoring", was_restored=False)
    assert [ask(path, shown=away).status for path in ("/livez", "/healthz", "/readyz", "/startupz")] == [200, 200, 503, 503]
    body = ask("/readyz", shown=away).body.decode()
    assert "[-]producer failed: there is no producer that the broker has accepted\n" in body
    assert "[-]state failed: 25 %: 1 of 1 partitions" in body
    assert ask("/readyz", shown=away, exclude=["producer,state"]).status == 200
    assert ask("/readyz", shown=away, exclude=["producer", "state"]).status == 200
    assert ask("/readyz", shown=away, exclude=["state"]).status == 503
    assert ask("/livez", verbose=[""]).body.decode().splitlines()[-1] == "livez check passed"


# --- the document


def flat(value: Any, name: str = "") -> set[str]:
    """`partitions[].stopped.reason`; what stands under names that are data is `{}`."""
    if isinstance(value, dict):
        if name in ("settings", "rules.segments", "partitions[].lag_records", "recent[].facts"):
            return {name + "{}"}
        return set().union(*(flat(v, f"{name}.{k}" if name else k) for k, v in value.items())) or {name}
    if isinstance(value, list):
        return set().union(*(flat(v, name + "[]") for v in value)) or {name + "[]"}
    return {name}


def test_the_document_is_as_its_page_says() -> None:
    """Every field of the JSON stands in docs/operate/status.md, and no other."""
    full = status(partitions=(partition(0), stopped(1)), failure="GaveUp", waiting_s=1.0)
    answer = ask("/status.json", shown=full)
    page = (DOCS / "status.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| `([^`]+)` \|", page.partition("## The document")[2], re.MULTILINE)
    assert flat(json.loads(answer.body)) == set(said)
    assert len(said) == len(set(said))


def test_the_checks_are_as_their_page_says() -> None:
    """Each check of each probe has its row in docs/operate/probes.md."""
    page = (DOCS / "probes.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `/(\w+)` \| `(\w+)` \|", page, re.MULTILINE))
    found = document(status())["checks"]
    paths = {"live": "livez", "ready": "readyz", "started": "startupz"}
    assert rows == {(paths[probe], check.name) for probe, checks in found.items() for check in checks}


def test_what_is_on_the_page_is_what_is_in_the_document() -> None:
    """Partitions, rules, the last errors, settings."""
    shown = status(partitions=(partition(0), restoring(1, 0.25), stopped(2)))
    text = Read(render(shown)).text
    for part in ("shop, slot 0", "restoring 25 %", "at site-events offset 100: 1,001 of 1,001 records refused",
                 "mostly as undecodable. Mend the producer.", "1,234", "rules/keen.yaml", "behavior_keen v2",
                 "kafka_unreachable", "No Kafka answers", "commit_interval_ms", "2026-09-21", "1 min"):  # fmt: skip
        assert part in text, part


def test_names_cannot_become_markup() -> None:
    """Of apps, files, segments, settings, errors."""
    hostile = status(
        app_id=HOSTILE, failure=HOSTILE, settings={HOSTILE: HOSTILE},
        recent=(Line(NOW_MS, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),),
        rules=Rules(HOSTILE, {HOSTILE: 1}, (RuleFile(HOSTILE, HOSTILE, (HOSTILE,)),)),
        partitions=(replace(stopped(0, HOSTILE), lag_records={HOSTILE: 1}),),
    )  # fmt: skip
    found = Read(render(hostile))
    assert not {"script", "b"} & {name for name, _ in found.met}
    assert found.text.count(HOSTILE) >= 10


def test_a_page_may_refresh_itself() -> None:
    """When asked to, within bounds."""
    assert "http-equiv" not in ask("/status", "text/html").body.decode()
    for given, kept in (("5", "5"), ("0", "1"), ("99999", "3600")):
        assert f'<meta http-equiv="refresh" content="{kept}">' in ask("/status", "text/html", refresh=[given]).body.decode()
    for given in ("", "x", "-1", "٣", "9" * 50):
        assert "http-equiv" not in ask("/status", "text/html", refresh=[given]).body.decode()


def test_the_keyboard_and_readers_find_their_way() -> None:
    """A language, a title, headed tables that can be scrolled to, states as words."""
    found = Read(render(status(partitions=(stopped(0),))))
    tags = [name for name, _ in found.met]
    assert ("html", {"lang": "en"}) in found.met
    assert {"title", "main", "header", "h1", "h2"} <= set(tags)
    assert all(a.get("scope") in ("col", "row") for name, a in found.met if name == "th")
    regions = [a for name, a in found.met if a.get("class") == "scroll"]
    assert len(regions) == tags.count("table") >= 4
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in regions)
    assert "stopped" in found.text


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out(colours: dict[str, str]) -> None:
    """4.5 to 1 at least, by light and in the dark (WCAG AA)."""
    assert all(value in STYLE for value in colours.values())
    for name in ("text", "soft", "link", "good", "warn", "bad"):
        for ground in ("page", "band"):
            darker, lighter = sorted((luminance(colours[name]), luminance(colours[ground])))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (name, ground)


# --- what is kept out


def test_where_secrets_are_is_not_shown() -> None:
    """Files with secrets: only that they are set."""
    secret = Path("/run/secrets/kafka")
    shown = shown_settings(Settings(kafka_config=secret, registry_config=secret, web_token_file=secret))
    assert [shown[name] for name in ("kafka_config", "registry_config", "web_token_file")] == ["set"] * 3
    assert str(secret) not in render(status(settings=shown))


def test_of_a_log_line_only_named_facts_are_kept() -> None:
    """No traceback, no record's own words, nothing too long, and only so many lines."""
    recent = Recent(lambda: NOW_MS)
    event = {"level": "error", "event": "partition_stopped", "partition": 3, "error": "anna@example.com is no number",
             "person": "anna", "exc_info": ValueError("anna")}  # fmt: skip
    assert recent(None, "error", event) is event
    recent(None, "info", {"level": "info", "event": "fine"})
    recent(None, "warning", {"level": "warning", "event": "rebuild", "error": "x" * 1_000})
    newest, oldest = recent.lines()
    assert oldest == Line(NOW_MS, "error", "partition_stopped", {"partition": "3"})
    assert newest.facts == {"error": "x" * TEXT_LENGTH}
    for _ in range(3 * KEPT):
        recent(None, "warning", {"level": "warning", "event": "again"})
    assert len(recent.lines()) == KEPT
