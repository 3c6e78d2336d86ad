"""Logs: one line an event that matters, JSON on a pipe and colours on a terminal, and nobody's id or deeds in it.

Everything a worker says goes through one renderer: our events (`events` is their list), and what Faust, librdkafka
and Python say of themselves, as the event `library_says`. A person who has to be named is named by `pseudonyms`.
"""

from __future__ import annotations

import faulthandler
import io
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, TextIO

import faust
import structlog

from segue_agents.logs import pseudonyms
from segue_agents.logs.recent import Recent
from segue_agents.logs.tracebacks import lines_of, text_of
from segue_agents.settings import Settings

_log = structlog.get_logger(__name__)
SAID_AGAIN_AFTER_S: Final = 10.0


def configure_logs(settings: Settings, stream: TextIO | None = None, recent: Recent | None = None) -> None:
    """From now on logs go to `stream`, standard error if None, as the settings say; uncaught errors too. `recent` hears of
    every line."""
    stream = sys.stderr if stream is None else stream
    as_json = writes_json(settings, stream)
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
        if as_json
        else (structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="ts", pad_event_to=0))
    )
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            _Tracebacks(whole=settings.log_exception_text),
            _ordered,
            *([] if recent is None else [recent]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    _hear_libraries(level, whole=settings.log_exception_text)
    sys.excepthook = _uncaught
    threading.excepthook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    show_stacks_on_signal(stream)


def writes_json(settings: Settings, stream: TextIO | None = None) -> bool:
    """Whether `auto` means JSON: for whoever is no terminal."""
    if settings.log_format == "auto":
        return not (sys.stderr if stream is None else stream).isatty()
    return settings.log_format == "json"


def name_persons(settings: Settings) -> None:
    """Logs name persons by the app's secret: the settings', else one kept below data_dir, made at the first start."""
    if settings.log_secret is not None:
        pseudonyms.use_secret(settings.log_secret.reveal())
        return
    folder = settings.data_dir / settings.app_id
    try:
        pseudonyms.use_secret(pseudonyms.stored_secret(folder))
    except OSError as error:  # a full disk is no reason not to start
        _log.warning(
            "log_secret_not_kept",
            folder=str(folder),
            error=error.strerror or type(error).__name__,
            do="until the next start persons have names in the log that no other process knows",
        )


def show_stacks_on_signal(stream: TextIO | None = None) -> None:
    """SIGUSR1 prints every thread's stack, a worker's that hangs too, and no variables; SIGUSR2 does nothing."""
    with suppress(io.UnsupportedOperation, AttributeError, ValueError):  # not a file, or not the main thread
        faulthandler.enable(stream or sys.stderr)
        faulthandler.register(signal.SIGUSR1, stream or sys.stderr, all_threads=True)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)


class Host(faust.Worker):
    """Faust's worker, whose SIGUSR1 would print everybody's variables, and whose SIGUSR2 would wait for a debugger."""

    def install_signal_handlers(self) -> None:
        """Faust's for the ends, ours for the rest."""
        self.loop.add_signal_handler(signal.SIGINT, self._on_sigint)
        self.loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)
        show_stacks_on_signal()


class _Tracebacks:
    """`exc_info` becomes the key `exception`, without people's values."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        given = event.pop("exc_info", None)
        error = given if isinstance(given, BaseException) else (given[1] if isinstance(given, tuple) else sys.exc_info()[1])
        if given and error is not None:
            event["exception"] = "\n".join(lines_of(error, whole=self._whole))
        return event


def _ordered(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """What all lines have comes first."""
    return {"ts": event.pop("ts"), "level": event.pop("level"), "event": event.pop("event"), **event}


def _uncaught(kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    if kind is not SystemExit and error is not None:
        _log.critical("uncaught", thread=threading.current_thread().name, exc_info=error)


# --- what others say


def _hear_libraries(level: int, *, whole: bool) -> None:
    root = logging.getLogger()
    root.handlers = [_Relay(whole=whole)]
    root.setLevel(max(level, logging.WARNING))
    librdkafka = logging.getLogger("librdkafka")
    librdkafka.filters.clear()
    if level <= logging.DEBUG:
        librdkafka.setLevel(logging.DEBUG)  # what the property `debug` asks for
    else:
        librdkafka.addFilter(_Seldom(SAID_AGAIN_AFTER_S))
    # what mode's services say of a crash, we say ourselves
    logging.getLogger("segue_agents").setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(True)


class _Relay(logging.Handler):
    """Lines of the standard library's logging, as events of ours."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self._whole = whole

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a line that cannot be made is said to be so."""
        try:
            said = self._said(record)
        except Exception as error:  # noqa: BLE001 (a library's mistake in its log is not ours to fail on)
            said = f"a line that cannot be formatted: {text_of(error)}"
        _log.log(record.levelno, "library_says", library=record.name, says=said, exc_info=record.exc_info)

    def _said(self, record: logging.LogRecord) -> str:
        if not self._whole:
            if isinstance(record.args, tuple):
                record.args = tuple(_Shy(a) if isinstance(a, BaseException) else a for a in record.args)
            elif isinstance(record.args, Mapping):
                record.args = {k: _Shy(a) if isinstance(a, BaseException) else a for k, a in record.args.items()}
        said = record.getMessage()
        if record.name == "asyncio" and not self._whole:
            return said.partition("\n")[0]  # below come reprs, of tasks and what they died of
        return said


class _Shy:
    """An error among a line's arguments."""

    def __init__(self, error: BaseException) -> None:
        self._said = text_of(error)

    def __str__(self) -> str:
        return self._said

    __repr__ = __str__


class _Seldom(logging.Filter):
    """A broker that is away fails every connection attempt of every client: said once in a while."""

    def __init__(self, every_s: float) -> None:
        super().__init__()
        self._every_s = every_s
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """By the first word, librdkafka's facility."""
        word, now = record.getMessage().split(" ", 1)[0], time.monotonic()
        if now - self._said.get(word, -self._every_s) < self._every_s:
            return False
        self._said[word] = now
        return True
