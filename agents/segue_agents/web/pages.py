"""From a request to an answer, without a socket: which page, in which form, with which headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from segue_agents.status import Status
from segue_agents.web.access import Access, Caller
from segue_agents.web.html import CONTENT_SECURITY_POLICY, render
from segue_agents.web.probes import PROBES, alive, ready, report, started

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
ALWAYS: Final = {
    "Cache-Control": "no-store", "Connection": "close", "Server": "segue", "X-Content-Type-Options": "nosniff",
}  # fmt: skip
"""headers of every answer; the server's name instead of its software and version"""
ON_HTML: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip
REFUSED: Final = {
    "no token": (401, "A token is needed, or a client certificate.\n"),
    "no right": (403, "Only metrics and probes are served here (web_auth=closed).\n"),
    "wrong host": (403, "Ask for it by an address or as localhost; under other names a token is needed.\n"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as it matters."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    accept: str = ""
    caller: Caller = field(default_factory=Caller)
    has_body: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    headers: dict[str, str]


class Pages:
    """All pages of the port. What is not one of them does not exist."""

    def __init__(self, access: Access, status: Callable[[], Status], metrics: Callable[[], bytes]) -> None:
        self._access, self._status, self._metrics = access, status, metrics

    def answer(self, asked: Asked) -> Answer:
        """Never raises for what a client does."""
        if asked.method not in ("GET", "HEAD"):
            return _text(405, "Only GET and HEAD.\n", Allow="GET, HEAD")
        if asked.has_body:
            return _text(413, "A request here has no body.\n")
        verdict = self._access.judge(asked.path, asked.caller)
        if verdict != "yes":
            status, says = REFUSED[verdict]
            return _text(status, says, **({"WWW-Authenticate": 'Bearer realm="segue", Basic realm="segue"'}
                                          if status == 401 else {}))
        if asked.path in PROBES:
            return self._probe(asked)
        if asked.path == "/metrics":
            return _answer(200, self._metrics(), METRICS)
        if asked.path == "/status.json" or (asked.path == "/status" and "text/html" not in asked.accept):
            return _answer(200, msgspec.json.encode(document(self._status())), JSON)
        if asked.path == "/status":
            return _answer(200, render(self._status(), _refresh_s(asked.query)).encode(), HTML, **ON_HTML)
        if asked.path == "/":
            return _text(302, "See /status.\n", Location="/status")
        return _text(404, "There is no such page. There are /status, /metrics, /livez, /readyz and /startupz.\n")

    def _probe(self, asked: Asked) -> Answer:
        checks = PROBES[asked.path](self._status())
        excluded = [name for given in asked.query.get("exclude", ()) for name in given.split(",")]
        passed, body = report(asked.path[1:], checks, excluded, "verbose" in asked.query)
        return _text(200 if passed else 503, body)


def document(status: Status) -> dict[str, Any]:
    """As JSON: the fields of `Status`, and the three probes with their checks."""
    checks = {"live": alive(status), "ready": ready(status), "started": started(status)}
    return {
        **{name: all(check.ok for check in found) for name, found in checks.items()},
        "checks": checks,
        **msgspec.to_builtins(status),
    }


def _refresh_s(query: Mapping[str, Sequence[str]]) -> int | None:
    """`?refresh=5`, in seconds from 1 to 3,600."""
    given = (query.get("refresh") or [""])[0]
    return min(max(int(given), 1), 3_600) if given.isascii() and given.isdigit() and len(given) < 6 else None


def _text(status: int, text: str, **headers: str) -> Answer:
    return _answer(status, text.encode(), TEXT, **headers)


def _answer(status: int, body: bytes, content_type: str, **headers: str) -> Answer:
    return Answer(status, body, {**ALWAYS, "Content-Type": content_type, **headers})
