"""How lines look, and what never gets into one: variables, texts that quote, what libraries say of errors."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException

from segue.errors import ConfigError
from segue_agents.logs import pseudonyms
from segue_agents.logs.setup import configure_logs, name_persons, writes_json
from segue_agents.logs.tracebacks import WITHHELD, lines_of, text_of
from segue_agents.settings import Secret, Settings

ADA = "ada@example.org"


@dataclass
class Said:
    """A log that is configured, and what it said."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    def configure(self, **given: object) -> None:
        configure_logs(Settings(**{"log_format": "json", **given}), self.stream)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def said() -> Iterator[Said]:
    root, ours = logging.getLogger(), logging.getLogger("segue_agents")
    librdkafka = logging.getLogger("librdkafka")
    before = root.handlers[:], root.level, ours.level, librdkafka.level, librdkafka.filters[:]
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield Said()
    root.handlers[:], root.level, ours.level, librdkafka.level, librdkafka.filters[:] = before
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)
    structlog.reset_defaults()


def failing() -> Exception:
    """With a person in variables, in its text, in its cause's, in its context's."""
    person = ADA
    try:
        try:
            {}[person]
        except KeyError as error:
            raise ValueError(f"no {person}") from error
    except ValueError:
        try:
            int(person)
        except ValueError as error:
            return error


def test_a_line_is_an_object_with_its_keys_in_order(said: Said) -> None:
    """ts, level, event first; nothing that is no JSON stops a line."""
    said.configure()
    structlog.get_logger().info("partition_ready", partition=3, how="go", folder=Path("/x"))
    assert list(said.lines[0]) == ["ts", "level", "event", "partition", "how", "folder"]
    assert said.lines[0] | {"ts": ""} == {"ts": "", "level": "info", "event": "partition_ready", "partition": 3, "how": "go",
                                          "folder": "/x"}  # fmt: skip
    assert str(said.lines[0]["ts"]).endswith("Z")


def test_auto_is_console_on_a_terminal_alone(said: Said) -> None:
    """And colours are for terminals."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert writes_json(Settings(), io.StringIO())
    assert not writes_json(Settings(), Terminal())
    assert not writes_json(Settings(log_format="console"), io.StringIO())
    terminal = Terminal()
    configure_logs(Settings(), terminal)
    structlog.get_logger().warning("rebuild", stage="commit")
    assert "\x1b[" in terminal.getvalue()
    said.configure(log_format="console")
    structlog.get_logger().warning("rebuild", stage="commit")
    assert "\x1b[" not in said.text
    assert "rebuild stage=commit" in said.text


@pytest.mark.parametrize(("level", "events"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_said(level: str, events: int, said: Said) -> None:
    """Ours and the libraries'."""
    said.configure(log_level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), name)("rebuild")
    assert len(said.lines) == events
    logging.getLogger("aiohttp.access").info("GET /persons/%s", ADA)
    assert len(said.lines) == events


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_says_where_and_not_whom(as_json: bool, said: Said) -> None:
    """Lines of code, kinds of errors and how they are connected; neither variables nor texts."""
    said.configure(log_format="json" if as_json else "console")
    structlog.get_logger().error("worker_failed", exc_info=failing())
    text = str(said.lines[0]["exception"]) if as_json else said.text
    assert ADA not in said.text
    for one in ("in failing", "int(person)", f"ValueError: {WITHHELD}", f"KeyError: {WITHHELD}",
                "The above exception was the direct cause", "During handling of the above exception"):  # fmt: skip
        assert one in text
    said.configure(log_exception_text=True)
    structlog.get_logger().error("worker_failed", exc_info=failing())
    assert ADA in said.text


@pytest.mark.parametrize(("error", "text"), [
    (ConfigError("app_id is 'a/b'.", "Use letters."), "ConfigError: app_id is 'a/b'.\nUse letters."),
    (FileNotFoundError(2, "No such file", "/x"), "FileNotFoundError: [Errno 2] No such file: '/x'"),
    (KafkaException(KafkaError(KafkaError.NO_ERROR)), "KafkaException: KafkaError"),
    (ImportError("no module x"), "ImportError: no module x"),
    (KeyError(ADA), f"KeyError: {WITHHELD}"), (TypeError(ADA), f"TypeError: {WITHHELD}"),
    (AssertionError(), "AssertionError"),
    (UnicodeDecodeError("utf-8", ADA.encode(), 0, 1, "x"), f"UnicodeDecodeError: {WITHHELD}"),
])  # fmt: skip
def test_only_texts_that_cannot_quote_are_said(error: Exception, text: str) -> None:
    """Ours, the system's, librdkafka's."""
    assert text_of(error).startswith(text)
    assert ADA not in text_of(error)


def test_errors_that_go_round_in_a_circle_come_to_an_end() -> None:
    """Each is said once."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert list(lines_of(first)).count("Traceback (most recent call last):") == 2


def test_what_libraries_say_goes_the_same_way(said: Said) -> None:
    """Faust's, asyncio's and Python's own; errors among their words lose their texts."""
    said.configure()
    logging.getLogger("faust.agents.agent").error("Crashed reason=%r", failing(), exc_info=failing())
    logging.getLogger("faust").error("Crashed %(why)s", {"why": failing()})
    never = f"Task exception was never retrieved\nfuture: <Task exception=KeyError('{ADA}')>"
    logging.getLogger("asyncio").error(never)  # as asyncio does
    logging.getLogger("x").error("%d", "no number")
    logging.getLogger("mode").info("nothing that matters")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a warning", stacklevel=1)
    logging.getLogger("segue_agents.transport.source").critical("what mode says of a crash, which we say ourselves")
    assert [(line["event"], line["library"], line["level"]) for line in said.lines] == [
        ("library_says", "faust.agents.agent", "error"), ("library_says", "faust", "error"),
        ("library_says", "asyncio", "error"), ("library_says", "x", "error"), ("library_says", "py.warnings", "warning"),
    ]  # fmt: skip
    assert said.lines[2]["says"] == "Task exception was never retrieved"
    assert "cannot be formatted" in str(said.lines[3]["says"])
    assert "in failing" in str(said.lines[0]["exception"])
    assert ADA not in said.text


def test_a_thread_that_dies_says_so_and_not_of_whom(said: Said) -> None:
    """As the event `uncaught`; the main thread likewise."""
    said.configure()

    def dies(person: str = ADA) -> None:
        raise KeyError(person)

    thread = threading.Thread(target=dies, name="reader")
    thread.start()
    thread.join(10)
    sys.excepthook(ValueError, failing(), None)
    assert [(line["event"], line["level"]) for line in said.lines] == [("uncaught", "critical")] * 2
    assert "in dies" in str(said.lines[0]["exception"])
    assert ADA not in said.text


def test_librdkafka_repeats_itself_seldom(said: Said) -> None:
    """By its facility, once in ten seconds; at debug all of it."""
    said.configure()
    for _ in range(5):
        logging.getLogger("librdkafka").error("FAIL [thrd:x]: Connect failed")
    logging.getLogger("librdkafka").error("REQTMOUT [thrd:x]: Timed out")
    assert len(said.lines) == 2
    said.configure(log_level="debug")
    for _ in range(5):
        logging.getLogger("librdkafka").debug("BROKER [thrd:x]: something")
    assert len(said.lines) == 7


def test_persons_are_named_by_the_apps_secret(tmp_path: Path, said: Said) -> None:
    """The settings', else the one below data_dir, made once; a full disk is no reason not to start."""
    said.configure()
    name_persons(Settings(log_secret=Secret("x" * 16)))
    given = pseudonyms.pseudonym(ADA.encode())
    kept = Settings(data_dir=tmp_path)
    name_persons(kept)
    first = pseudonyms.pseudonym(ADA.encode())
    name_persons(Settings(log_secret=Secret("x" * 16)))
    assert pseudonyms.pseudonym(ADA.encode()) == given != first
    name_persons(kept)
    assert pseudonyms.pseudonym(ADA.encode()) == first
    (tmp_path / "file").write_text("")
    name_persons(Settings(data_dir=tmp_path / "file"))
    assert [line["event"] for line in said.lines] == ["log_secret_not_kept"]
