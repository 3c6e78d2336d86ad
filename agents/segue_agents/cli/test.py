"""`segue test`: case files beside their rules, run over the engine under a virtual clock."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from segue.errors import ConfigError, Problem, RuleError
from segue.limits import CASE_FILE_BYTES
from segue_agents.cli.manners import is_quiet
from segue_agents.cli.places import JsonLinesOption, SourcesOption

if TYPE_CHECKING:
    from rich.console import Console

    from segue.catalog import Catalog
    from segue.engine import Engine
    from segue.testing import Case, CaseResult, RulesNamed

SUFFIX: Final = ".case"
UNREADABLE: Final = 2
_STYLES: Final = {" ": "", "-": "red", "+": "yellow"}


@dataclass(frozen=True, slots=True)
class Unread:
    """A case file that cannot be run."""

    file: str
    problems: tuple[Problem, ...]
    """empty when it is no mistake in a text, but `said` something else"""
    said: str


def run_cases(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Case files, or folders of them; default: here.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A rule file, or a folder of them; default: beside each case file.")
    ] = None,
    word: Annotated[str | None, typer.Option("-k", metavar="WORD", help="Only cases with this in their names.")] = None,
    as_json: JsonLinesOption = False,
    sources: SourcesOption = None,
) -> None:
    """Run case files: what happens, and who must enter or leave a segment when. Exit 1 if a case fails.

    Examples:
        segue test                          every case file from here down, with the rules beside each
        segue test rules -k abandon         only cases with that in their names
        segue test rules --json             one object a case, for CI
    Next: `segue run --rules rules`
    """
    from rich.console import Console

    from segue_agents.rule_files import load_catalog

    started = time.perf_counter()
    loader = _Loader(load_catalog(sources), rules)
    files = find_case_files(paths or [Path()])
    out = Console(highlight=False, soft_wrap=True)
    results: list[CaseResult] = []
    unread: list[Unread] = []
    for file in files:
        done, error = _run_file(loader, file, word)
        results += done
        unread += [error] if error else []
        if as_json:
            for line in (*map(as_dict, done), *([_error_as_dict(error)] if error else [])):
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            _print_ticks(out, file, done, error)
    if not results and not unread:
        raise ConfigError(f"No case has {word!r} in its name.", "-k looks at the names of files and of cases.")
    if not as_json:
        _print_failures(out, results, unread)
    took_ms = (time.perf_counter() - started) * 1_000
    if not is_quiet():
        typer.echo(summary(results, unread, took_ms), err=as_json)
    if unread or not all(r.passed for r in results):
        raise typer.Exit(UNREADABLE if unread else 1)


def find_case_files(paths: Sequence[Path]) -> list[Path]:
    """Every *.case of the paths, each once, in the order of the paths, then of names. Raises ConfigError for none."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            below = (f for f in path.rglob(f"*{SUFFIX}") if f.is_file())
            found |= dict.fromkeys(sorted(f for f in below if not _hidden(f.relative_to(path))))
        elif path.exists():
            found[path] = None
        else:
            raise ConfigError(f"There is nothing at {path}.", "Name a case file or a folder of them.")
    if not found:
        where = ", ".join(map(str, paths))
        raise ConfigError(f"There is no case file below {where}.", "Case files end in .case; docs/testing.md shows one.")
    return list(found)


def as_dict(result: CaseResult) -> dict[str, Any]:
    """A result, JSON-able."""
    return {
        "file": result.case.file,
        "case": result.case.name,
        "line": result.case.number,
        "status": "passed" if result.passed else "failed",
        "events": result.events,
        "changes": result.changes,
        "differences": [asdict(d) for d in result.differences],
        "bugs": list(result.bugs),
        "problems": [],
    }


def _error_as_dict(error: Unread) -> dict[str, Any]:
    first = error.problems[0].line if error.problems else 0
    problems = [asdict(p) for p in error.problems] or [{"what": error.said}]
    return {
        "file": error.file, "case": None, "line": first, "status": "error", "events": 0, "changes": 0,
        "differences": [], "bugs": [], "problems": problems,
    }  # fmt: skip


def summary(results: Sequence[CaseResult], unread: Sequence[Unread], took_ms: float) -> str:
    """`14 cases in 3 files: 13 passed, 1 failed (38 ms)`."""
    files = len({r.case.file for r in results})
    passed = sum(r.passed for r in results)
    parts = [f"{passed} passed"]
    if passed < len(results):
        parts.append(f"{len(results) - passed} failed")
    if unread:
        parts.append(f"{_many(len(unread), 'file')} could not be read")
    return f"{_many(len(results), 'case')} in {_many(files, 'file')}: {', '.join(parts)} ({took_ms:.0f} ms)"


class _Loader:
    """Finds and compiles the rules of case files; the same rules once."""

    def __init__(self, catalog: Catalog, rules: Path | None) -> None:
        self._catalog = catalog
        self._rules = rules
        self._engines: dict[tuple[tuple[str, str], ...], Engine] = {}

    def load(self, file: Path) -> tuple[Engine, tuple[Case, ...]]:
        """The cases of a file and an engine for them. Raises RuleError with all problems, ConfigError."""
        from segue.testing import read_cases, rules_named

        name, text = str(file), _read(file)
        try:
            engine = self._engine(tuple(self._texts(file, rules_named(name, text))))
        except RuleError as error:
            raise RuleError([*error.problems, *self._problems(name, text)]) from None
        return engine, read_cases(name, text, self._catalog, [s.name for s in engine.plan.segments])

    def _problems(self, name: str, text: str) -> tuple[Problem, ...]:
        from segue.testing import read_cases

        try:
            read_cases(name, text, self._catalog)
        except RuleError as error:
            return error.problems
        return ()

    def _engine(self, texts: tuple[tuple[str, str], ...]) -> Engine:
        from segue.engine import Engine
        from segue.plan import compile_plan
        from segue.rules import parse_rules

        if texts not in self._engines:
            self._engines[texts] = Engine(compile_plan(parse_rules(texts, self._catalog), self._catalog))
        return self._engines[texts]

    def _texts(self, file: Path, named: RulesNamed) -> Iterator[tuple[str, str]]:
        from segue_agents.rule_files import SUFFIXES, read_rules

        place = file.parent if self._rules is None else self._rules
        if named.inline:
            yield str(file), named.inline
        if named.files:
            folder = place.parent if place.is_file() else place
            for name in named.files:
                yield from read_rules(folder / name)
        elif not named.inline and self._rules is not None:
            yield from read_rules(place)
        elif not named.inline:
            beside = sorted(f for f in place.iterdir() if f.suffix in SUFFIXES and not _hidden(Path(f.name)))
            if not beside:
                raise ConfigError(
                    f"No rule file lies beside {file}.", "Name it in the file ('rules: ...') or the folder with --rules."
                )
            for rule_file in beside:
                yield from read_rules(rule_file)


def _run_file(loader: _Loader, file: Path, word: str | None) -> tuple[list[CaseResult], Unread | None]:
    from segue.testing import run_case

    try:
        engine, cases = loader.load(file)
    except RuleError as error:
        return [], Unread(str(file), error.problems, str(error))
    except ConfigError as error:
        return [], Unread(str(file), (), f"{file}: {error}")
    wanted = [c for c in cases if word is None or word.lower() in f"{file.name} {c.name}".lower()]
    return [run_case(engine, case) for case in wanted], None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(CASE_FILE_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", "Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from error


def _print_ticks(out: Console, file: Path, results: Sequence[CaseResult], error: Unread | None) -> None:
    from rich.text import Text

    if not results and not error:
        return
    passed, failed = ("✓", "✗") if _can_say("✓✗") else (".", "F")
    line = Text(f"{file}  ")
    for result in results:
        line.append(passed if result.passed else failed, "green" if result.passed else "bold red")
    if error:
        line.append("cannot be read", "bold red")
    out.print(line)


def _print_failures(out: Console, results: Sequence[CaseResult], unread: Sequence[Unread]) -> None:
    from rich.text import Text

    # a rule file that is wrong stops every case file beside it: it is said once
    said = dict.fromkeys(text for e in unread for text in ([p.render() for p in e.problems] or [e.said]))
    for text in said:
        out.print()
        out.print(Text(text))
    for result in results:
        if result.passed:
            continue
        out.print()
        out.print(Text(f"{result.case.file}:{result.case.number}: {result.case.name}", "bold"))
        if result.differences:
            width = len(str(max(line.number for line in result.case.lines)))
            for row in result.transcript:
                number = "" if row.number is None else str(row.number)
                out.print(Text(f"  {row.mark} {number:>{width}}  {row.text}", _STYLES[row.mark]))
        for bug in result.bugs:
            out.print(Text("  " + bug.replace("\n", "\n  "), "red"))
    if unread or not all(r.passed for r in results):
        out.print()


def _can_say(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _many(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
