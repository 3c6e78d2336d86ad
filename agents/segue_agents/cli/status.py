"""`segue status`: how the workers of an app stand, asked of themselves."""

from __future__ import annotations

import json
import os
import ssl
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

import typer

from segue.errors import ConfigError, SegueError, Unreachable
from segue_agents.cli.places import AppOption, JsonLinesOption, write_json, write_table, written_time

if TYPE_CHECKING:
    from segue_agents.web.address import Address

ANSWERS_WITHIN_S: Final = 5.0
ANSWER_BYTES: Final = 16 << 20
UrlOption = Annotated[
    str | None, typer.Option("--url", help="One worker's address, as in https://worker-0:6066; default: all workers here.")
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="The workers' folder of state; default: $SEGUE_DATA_DIR, else .segue.")
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", help="The status page's token; default: $SEGUE_WEB_TOKEN_FILE, else what "
                              "stands in $SEGUE_WEB_TOKEN.")
]  # fmt: skip
AuthorityOption = Annotated[Path | None, typer.Option("--ca", help="Who has signed its certificate (PEM), for --url.")]
CertificateOption = Annotated[Path | None, typer.Option("--cert", help="A certificate of yours (PEM), instead of a token.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="Its key (PEM); default: in the same file.")]


class NotWell(SegueError):
    """A worker is not ready, or has a partition that goes no further: a finding, exit code 1."""


def status(
    url: UrlOption = None, app_id: AppOption = None, data_dir: DataDirOption = None, token_file: TokenFileOption = None,
    ca: AuthorityOption = None, cert: CertificateOption = None, key: KeyOption = None,
    as_json: JsonLinesOption = False,
) -> None:  # fmt: skip
    """Show how workers stand: partitions, lag, restores, commits, the last errors. Exit code 1: something is not well.

    Examples:
        segue status                                                all workers of the app on this machine
        segue status --url https://worker-0:6066 --ca ca.pem        one elsewhere
        segue status --json | jq .partitions                        for a program
    """
    token = _token(token_file)
    asked: dict[str, tuple[str, ssl.SSLContext | None]]
    if url is not None:
        asked = {"": (url.rstrip("/"), _trust(ca, cert, key))}
    else:
        asked = {slot: (a.url, _trust_local(a, cert, key)) for slot, a in _addresses(app_id, data_dir).items()}
    found: list[dict[str, Any]] = []
    silent: list[str] = []
    for slot, (address, context) in asked.items():
        try:
            found.append(_ask(address, token, context))
        except Unreachable as error:
            if url is not None:
                raise
            silent.append(slot)
            typer.echo(f"segue: slot {slot}: {error.what} It was killed, or hangs.", err=True)
    if not found:
        raise Unreachable("None of the app's workers on this machine answers.", "Start one with `segue run`.")
    for worker in found:
        if as_json:
            write_json(worker)
        else:
            _show(worker)
    unwell = [w["slot"] for w in found if not w["ready"] or any(_bad(p) for p in w["partitions"])]
    if unwell or silent:
        raise NotWell(f"Not well: slot {', '.join([*unwell, *silent])}.",
                      "See its lines above, and its log; docs/operate/status.md says what they mean.")


# --- asking


def _addresses(app_id: str | None, data_dir: Path | None) -> dict[str, Address]:
    from segue_agents.settings import Settings
    from segue_agents.web.address import read_addresses

    settings = Settings.load({"app_id": app_id, "data_dir": data_dir}, os.environ)
    folder, app = settings.data_dir, settings.app_id
    found = read_addresses(folder, app)
    if not found:
        raise Unreachable(f"No worker of {app!r} is running here: nothing says so in {folder / app}.",
                          "Name its folder with --data-dir, its app with --app-id, or its address with --url.")
    return found


def _ask(url: str, token: str | None, context: ssl.SSLContext | None) -> dict[str, Any]:
    """Raises Unreachable, ConfigError."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is no address.", "Write it as in https://worker-0:6066.")
    request = Request(f"{url}/status.json", headers={"Accept": "application/json"})
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    # no proxy, and no redirection: the token is for the worker alone
    opener = build_opener(ProxyHandler({}), _NoRedirect, *([HTTPSHandler(context=context)] if context is not None else []))
    try:
        with opener.open(request, timeout=ANSWERS_WITHIN_S) as answer:
            found: dict[str, Any] = json.loads(answer.read(ANSWER_BYTES))
            return found
    except HTTPError as error:
        if error.code in (401, 403):
            raise ConfigError(f"{url} refuses to answer ({error.code}).",
                              "Give its token by --token-file or SEGUE_WEB_TOKEN, or a certificate by --cert.") from error
        raise Unreachable(f"{url} answers with {error.code}.", "Is that a worker of this version?") from error
    except URLError as error:
        raise Unreachable(f"{url} does not answer: {error.reason}.", "See the worker's log.") from error
    except (HTTPException, OSError, ValueError) as error:
        raise Unreachable(f"{url} does not answer as a worker: {type(error).__name__}.", "See the worker's log.") from error


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _token(file: Path | None) -> str | None:
    from segue_agents.web.access import TOKEN_VARIABLE, read_token_file, read_tokens

    named = os.environ.get("SEGUE_WEB_TOKEN_FILE")
    if file is not None or named:
        return read_token_file(file or Path(str(named)))[0]
    given = os.environ.get(TOKEN_VARIABLE)
    return read_tokens(given, TOKEN_VARIABLE)[0] if given else None


def _trust(authority: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    return _shows(_trusting(authority), cert, key)


def _trust_local(address: Address, cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The very certificate that the worker has written down, under whatever name."""
    if address.certificate is None:
        return None
    context = _trusting(Path(address.certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _shows(context, cert, key)


def _trusting(file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if file is None else str(file))
    except OSError as error:
        raise ConfigError(f"The certificates in {file} cannot be used: {error.strerror or error}.",
                          "It is a file in PEM.") from error


def _shows(context: ssl.SSLContext, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except OSError as error:
            raise ConfigError(f"The certificate in {cert} cannot be used: {error.strerror or error}.",
                              "Give --cert and --key as PEM files.") from error
    return context


# --- showing


def _bad(partition: dict[str, Any]) -> bool:
    return partition["state"] in ("stopped", "waits_for_disk")


def _show(worker: dict[str, Any]) -> None:
    commits = worker["commits"]
    waits = "" if commits["waiting_s"] is None else f", {commits['waiting_s']:.1f} s waiting"
    last = "none yet" if commits["last_ms"] is None else f"last {written_time(commits['last_ms'])}"
    typer.echo(f"{worker['app_id']} slot {worker['slot']}: {worker['state']}, {'' if worker['ready'] else 'not '}ready, "
               f"segue {worker['version']}, pid {worker['pid']}, up {worker['uptime_s']:.0f} s")
    typer.echo(f"  commits: {commits['count']:,}, {last}{waits}; rebuilds: {commits['rebuilds']}")
    for check in worker["checks"]["ready"]:
        if check["says"]:
            typer.echo(f"  {'note' if check['ok'] else 'NOT OK'} {check['name']}: {check['says']}")
    if worker["partitions"]:
        write_table([_row(p) for p in worker["partitions"]])
    for line in worker["recent"][:5]:
        facts = "; ".join(f"{name}: {value}" for name, value in line["facts"].items())
        typer.echo(f"  {written_time(line['time_ms'])} {line['level']} {line['event']} {facts}".rstrip())


def _row(p: dict[str, Any]) -> dict[str, tuple[str, str]]:
    def number(value: int | None) -> str:
        return "-" if value is None else f"{value:,}"

    def time(at_ms: int | None) -> str:
        return "-" if at_ms is None or not 0 < at_ms < 253_402_300_800_000 else written_time(at_ms)

    percent = f" {100 * p['restored_ratio']:.0f} %" if p["state"] == "restoring" else ""
    lag = None if p["lag_records"] is None else sum(p["lag_records"].values())
    return {
        "partition": ("  PARTITION", f"  {p['partition']}"), "state": ("STATE", p["state"] + percent),
        "lag": ("LAG", number(lag)), "persons": ("PERSONS", number(p["persons"])),
        "timers": ("TIMERS", number(p["timers_pending"])), "time": ("ENGINE TIME", time(p["engine_time_ms"])),
        "commit": ("LAST COMMIT", time(p["last_commit_ms"])),
    }  # fmt: skip
