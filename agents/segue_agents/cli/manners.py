"""What all commands do alike, in one place: a command's file says what it does, and this how it behaves.

A command's docstring is its help. Two parts of it have a form, and are taken out of the text:

    Examples:                           printed below the options, as they stand
        segue check rules               what each rule keeps and costs
    Next: `segue run --rules rules`     below them; and after a success, to a person at a terminal

Every command gets `-q`. One that has `--json` takes `--format json` as well, as it was called once.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

EXAMPLES: Final = "Examples:"
NEXT: Final = "Next:"
INTERRUPTED: Final = 130
LOUD: Final = frozenset({"run"})
"""commands without -q: what a worker says is its log, which has settings of its own"""
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def say(line: str) -> None:
    """A message for a person, on standard error; nothing with -q. Data goes to standard output."""
    if not _quiet.get():
        typer.echo(line, err=True)


def is_quiet() -> bool:
    """Whether -q was given."""
    return _quiet.get()


class Lesson(NamedTuple):
    """A docstring in its parts."""

    text: str
    examples: str
    next: str

    @classmethod
    def of(cls, docstring: str | None) -> Lesson:
        """The examples are the lines below `Examples:` that are indented."""
        text, examples, after = [], [], ""
        inside = False
        for line in inspect.cleandoc(docstring or "").splitlines():
            if line.strip() == EXAMPLES:
                inside = True
            elif line.startswith(NEXT):
                inside, after = False, line.removeprefix(NEXT).strip()
            elif inside and (line.startswith("  ") or not line):
                examples.append(line)
            else:
                inside = False
                text.append(line)
        return cls("\n".join(text).strip(), inspect.cleandoc("\n" + "\n".join(examples)).rstrip(), after)

    def below(self) -> str:
        """What stands below the options."""
        parts = [f" {EXAMPLES}\n\n" + "\n".join(f"   {line}" for line in self.examples.splitlines())] * bool(self.examples)
        parts += [f" {NEXT} {self.next}"] * bool(self.next)
        return "".join(f"{part}\n\n" for part in parts)


class Command(TyperCommand):
    """A command with the manners of all."""

    def __init__(self, name: str | None, **given: Any) -> None:
        self.lesson = Lesson.of(given.pop("help", None))
        super().__init__(name, help=self.lesson.text, **given)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The options, and below them how it is used."""
        super().format_help(ctx, formatter)
        formatter.write(self.lesson.below())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """`--format json` is `--json`, where there is that and no --format."""
        return super().parse_args(ctx, _read(self, args))

    def invoke(self, ctx: Any) -> Any:
        """Runs it. A reader of standard output that has enough is no error."""
        with _told(self.lesson):
            return super().invoke(ctx)


class Group(TyperGroup):
    """Commands under one name; with the manners of all where it is a command itself."""

    def __init__(self, **given: Any) -> None:
        self.lesson = Lesson.of(given.pop("help", None))
        super().__init__(help=self.lesson.text, **given)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The commands, and below them how they are used."""
        super().format_help(ctx, formatter)
        formatter.write(self.lesson.below())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As a command's, where it is one."""
        return super().parse_args(ctx, _read(self, args))


def _read(command: Any, args: list[str]) -> list[str]:
    flags = {flag for p in command.params for flag in p.opts}
    return as_json(args) if "--json" in flags and "--format" not in flags else args


def as_json(args: Sequence[str]) -> list[str]:
    """`--format json` and `--format=json` become `--json`; `text` is what there is without."""
    given: Iterator[str] = iter(args)
    out: list[str] = []
    for arg in given:
        name, equals, value = arg.partition("=")
        if arg == "--":
            return [*out, arg, *given]
        if name != "--format":
            out.append(arg)
            continue
        value = value if equals else next(given, "")
        if value not in ("json", "text"):
            raise typer.BadParameter(f"{value!r} is neither json nor text", param_hint="--format")
        out += ["--json"] * (value == "json")
    return out


def teach(app: typer.Typer) -> None:
    """Gives all commands of an app these manners, those of its groups too. After the last one is added."""
    for command in app.registered_commands:
        command.cls = Command
        if command.name not in LOUD and command.callback is not None:
            command.callback = _takes_quiet(command.callback)
    for group in app.registered_groups:
        of = group.typer_instance
        if of is None:
            continue
        group.cls = of.info.cls = Group
        if of.info.invoke_without_command is True and of.registered_callback and of.registered_callback.callback:
            of.registered_callback.callback = _takes_quiet(of.registered_callback.callback)
        teach(of)


QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on standard error but errors.")]


def _takes_quiet(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with `-q`, unless it has one of its own."""
    signature = inspect.signature(command, eval_str=True)
    if "quiet" in signature.parameters:
        return command

    @functools.wraps(command)
    def quietly(*, quiet: bool, **given: Any) -> Any:
        _quiet.set(_quiet.get() or quiet)
        return command(**given)

    added = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=QuietOption)
    parameters = [*signature.parameters.values(), added]
    quietly.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    quietly.__annotations__ = {p.name: p.annotation for p in parameters}
    return quietly


@contextmanager
def _told(lesson: Lesson) -> Iterator[None]:
    """After a success a person at a terminal is told what comes next."""
    try:
        yield
    except typer.Exit as ended:
        if ended.exit_code:
            raise
    except BrokenPipeError:
        # `segue watch | head`. Standard output must not be flushed again on the way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    if lesson.next and sys.stderr.isatty():
        say(f"{NEXT} {lesson.next}")
