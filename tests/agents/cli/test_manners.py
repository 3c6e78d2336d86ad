"""What all commands do alike: help that teaches, data apart from messages, JSON, colours, exit codes, completion."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

import segue_agents.cli
from segue.errors import SegueError
from segue_agents.cli.application import app
from segue_agents.cli.manners import INTERRUPTED, Command, Group, Lesson, as_json
from segue_agents.commit.reactions import RESTART_EXIT_CODE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operate" / "cli.md").read_text(encoding="utf-8")
RULES, EVENTS = "examples/shop", "examples/events.jsonl"
SAYS_JSON = (
    f"check {RULES}", "test examples/rules", f"explain bob hot_lead {EVENTS} --rules {RULES}",
    f"replay {EVENTS} --rules {RULES}",
    f"sql hot_lead --rules {RULES}", "down", "config show", "config check", "doctor --broker 127.0.0.1:1",
)  # fmt: skip
"""with --json, and without a broker"""


def commands() -> dict[str, Any]:
    """`dead-letters ls` -> the command, of all there are, groups too."""
    found: dict[str, Any] = {}

    def walk(command: Any, name: str) -> None:
        found[name] = command
        for below, one in getattr(command, "commands", {}).items():
            walk(one, f"{name} {below}".strip())

    walk(typer.main.get_command(app), "")
    return found


COMMANDS = commands()


def segue(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60, env=os.environ | environment,
    )  # fmt: skip


def in_process(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr; a process a command would take minutes."""
    with pytest.raises(SystemExit) as ended:
        segue_agents.cli.main(list(arguments))
    return int(ended.value.code or 0), *capsys.readouterr()


# --- every command


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends well, says what the command does, and shows it in use: an example that begins with its name."""
    code, out, err = in_process(capsys, *name.split(), "--help")
    assert (code, err) == (0, "")
    command = COMMANDS[name]
    assert command.help
    if name and isinstance(command, Group) and not command.invoke_without_command:
        return  # its commands have them
    assert isinstance(command, Command | Group)
    assert "Examples:" in out
    examples = command.lesson.examples.splitlines()
    assert all(f"segue {name.split(maxsplit=1)[0] if name else ''}".strip() in line for line in examples)
    assert any(f"segue {name}".strip() in line for line in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_have_only_options_that_there_are(name: str) -> None:
    """Each command line among the examples and what comes next names a command, and options of it."""
    lesson = COMMANDS[name].lesson
    said = [line for line in lesson.examples.splitlines() if "segue" in line]
    for text in [*said, *re.findall(r"`(segue [^`]*)`", lesson.next)]:
        words = shlex.split(re.split(r"\s{3,}| [|<>] |\)", text[text.index("segue") :])[0])[1:]
        named = max((n for n in COMMANDS if words[: len(n.split())] == n.split()), key=len)
        assert named or words[0].isupper(), text
        options = {flag for p in COMMANDS[named].params for flag in (*p.opts, *p.secondary_opts)} | {"--help", "--json"}
        assert {w.partition("=")[0] for w in words if w.startswith("-") and w != "-"} <= options, text


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if not isinstance(c, Group) or c.invoke_without_command])
def test_an_unknown_option_is_refused_with_a_hint(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 on standard error; a mistyped one is told what it may have been meant to be."""
    option = next((flag for p in COMMANDS[name].params for flag in p.opts if len(flag) > 6 and flag[0] == "-"), "--help")
    code, out, err = in_process(capsys, *name.split(), f"{option[:-2]}{option[-1]}{option[-2]}x")
    assert (code, out) == (2, "")
    assert "No such option" in err
    assert option in err
    assert "-h" in err


def test_a_mistyped_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, and the one it is near to."""
    code, out, err = in_process(capsys, "docter")
    assert (code, out) == (2, "")
    assert "Did you mean 'doctor'?" in err


def test_every_command_that_answers_has_json() -> None:
    """All but a show, a worker and scripts; those that print JSON anyway take the flag."""
    without = {n for n, c in COMMANDS.items() if "--json" not in {flag for p in c.params for flag in p.opts}}
    groups = {n for n, c in COMMANDS.items() if isinstance(c, Group) and not c.invoke_without_command}
    assert without - groups <= {"run", "demo", "completion", "schema", "config pseudonym", "schema rules"}


@pytest.mark.parametrize("command", SAYS_JSON)
def test_json_is_json_and_nothing_else(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of standard output is an object; `--format json`, as it was called, says the same."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SEGUE_BROKER_DIR", str(tmp_path))
    _, out, _ = in_process(capsys, *shlex.split(command), "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert found
    assert all(isinstance(record, dict) for record in found)
    if command != "doctor --broker 127.0.0.1:1":
        _, again, _ = in_process(capsys, *shlex.split(command), "--format", "json")
        assert len(again.splitlines()) == len(found)


@pytest.mark.parametrize(
    ("given", "read"),
    [("--format json", "--json"), ("a --format=json b", "a --json b"), ("--format text -n 3", "-n 3"),
     ("-- --format json", "-- --format json"), ("--output-format json", "--output-format json")],
)  # fmt: skip
def test_the_old_name_of_json(given: str, read: str) -> None:
    """It stays what it was."""
    assert as_json(given.split()) == read.split()


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """-q leaves the data, and takes the messages; an error is said all the same."""
    loud, quiet = (segue("check", RULES, *flags) for flags in ((), ("-q",)))
    assert (loud.stdout, loud.returncode, quiet.returncode) == (quiet.stdout, 0, 0)
    assert "6 segments" in loud.stderr
    assert quiet.stderr == ""
    assert "There are no rules at nowhere" in segue("check", "nowhere", "-q").stderr


def test_a_docstring_in_its_parts() -> None:
    """Text, examples as they stand, what comes next."""
    lesson = Lesson.of("""Do it.

    More of it.

    Examples:
        segue it          so
        segue it --that   or so
    Next: `segue other`
    """)
    assert lesson == ("Do it.\n\nMore of it.", "segue it          so\nsegue it --that   or so", "`segue other`")
    assert Lesson.of(None) == ("", "", "")


# --- terminals


def on_a_terminal(command: str, **environment: str) -> tuple[str, str]:
    """What comes on standard output, a pipe, and on standard error, a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "segue_agents.cli", *shlex.split(command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=theirs, cwd=ROOT, env=os.environ | {"TERM": "xterm-256color"} | environment,
    ) as process:  # fmt: skip
        os.close(theirs)
        assert process.stdout is not None
        out, said, until = b"", b"", time.monotonic() + 60
        open_ = {ours, process.stdout.fileno()}
        while open_ and time.monotonic() < until:
            for fd in select.select(list(open_), [], [], 1.0)[0]:
                try:
                    read = os.read(fd, 65_536)
                except OSError:  # a terminal whose other side is closed
                    read = b""
                if not read:
                    open_.discard(fd)
                elif fd == ours:
                    said += read
                else:
                    out += read
        process.wait(10)
    os.close(ours)
    return out.decode(), said.decode()


def test_a_person_is_told_what_comes_next() -> None:
    """After a success, at a terminal, on standard error; not in a pipe, not with -q, not after a failure."""
    out, said = on_a_terminal(f"check {RULES}")
    assert "Next: `segue test rules`" in said
    assert "Next:" not in out + segue("check", RULES).stderr
    assert "Next:" not in on_a_terminal(f"check {RULES} -q")[1]
    assert "Next:" not in on_a_terminal("check nowhere")[1]


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m|\x1b\[[0-9;]*38;")


def test_colours() -> None:
    """At a terminal and with FORCE_COLOR; not with NO_COLOR, not in a pipe; a dumb terminal gets no escape at all."""
    assert COLOUR.search(on_a_terminal("chekc")[1])
    assert not COLOUR.search(on_a_terminal("chekc", NO_COLOR="1")[1])
    assert "\x1b" not in on_a_terminal("chekc", TERM="dumb")[1]
    assert "\x1b" not in segue("chekc").stderr
    assert COLOUR.search(segue("doctor", "--broker", "127.0.0.1:1", FORCE_COLOR="1").stdout)


def test_progress_of_a_long_replay(tmp_path: Path) -> None:
    """A bar at a terminal, taken away after; plain lines on a dumb one and in a pipe; the same data each time."""
    file = tmp_path / "many.jsonl"
    lines = (ROOT / EVENTS).read_text().splitlines(keepends=True)
    with file.open("w") as out:
        for _ in range(40):
            out.writelines(lines)
    plant = "import segue_agents.cli.progress as p; p.SAY_EVERY_S = 0.05; import segue_agents.cli as c; c.main()"
    command = [sys.executable, "-c", plant, "replay", str(file), "--rules", RULES]
    piped = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=110)
    told = [int(n) for n in re.findall(rf"replaying {re.escape(str(file))}: (\d+)%, \d+ s", piped.stderr)]
    assert told
    assert told == sorted(told)
    assert max(told) > 0


def test_a_bar_at_a_terminal(tmp_path: Path) -> None:
    """It comes after a while and is taken away; a dumb terminal gets lines; quiet nothing."""
    code = (
        "import sys, time\n"
        "import segue_agents.cli.progress as p\n"
        "p.SAY_EVERY_S = p.BAR_AFTER_S = 0.05\n"
        "with p.watched('counting', lambda: 0.5): time.sleep(0.6)\n"
        "with p.Steps() as steps: steps('first'); time.sleep(0.2); steps('second'); time.sleep(0.2)\n"
        "print('data')\n"
    )
    file = tmp_path / "work.py"
    file.write_text(code)

    def run(**environment: str) -> tuple[str, str]:
        ours, theirs = pty.openpty()
        done = subprocess.run([sys.executable, str(file)], stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=60,
                              env=os.environ | {"TERM": "xterm-256color"} | environment)  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while select.select([ours], [], [], 1.0)[0] and (read := os.read(ours, 65_536)):
                said += read
        except OSError:
            pass
        os.close(ours)
        return done.stdout.decode(), said.decode()

    out, said = run()
    assert out == "data\n"
    assert "counting" in said
    assert "50 %" in said
    assert "second" in said
    assert "\x1b[" in said
    out, said = run(TERM="dumb")
    assert "counting: 50%, 0 s" in said
    assert "\x1b" not in said


# --- exit codes and signals


def test_the_page_has_every_exit_code() -> None:
    """docs/operate/cli.md names each that a command can end with, and no other."""

    def all_below(kind: type[SegueError]) -> set[int]:
        return {kind.exit_code}.union(*(all_below(k) for k in kind.__subclasses__()))

    ours = {0, INTERRUPTED, RESTART_EXIT_CODE} | all_below(SegueError)
    table = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert {int(code) for code in table} == ours
    assert len(table) == len(ours)


def test_interrupted_is_130() -> None:
    """^C ends a command with 128 + SIGINT, without a traceback."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job's may be ignored
    code += "import segue_agents.cli as c; c.main(['replay', '-', '--rules', 'examples/shop', '--json'])"
    event = (ROOT / EVENTS).read_bytes().splitlines(keepends=True)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"".join(event))
        process.stdin.flush()
        time.sleep(1.5)
        for _ in range(10):  # what it hits while modules are still being imported may be lost there
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                break
        said = process.stderr.read().decode()
        assert process.wait(1) == INTERRUPTED
    assert "Traceback" not in said
    assert signal.SIGINT + 128 == INTERRUPTED


def test_a_reader_that_has_enough_is_no_failure() -> None:
    """`segue ... | head -1`: exit 0 and not a word."""
    code = f"{sys.executable} -m segue_agents.cli replay {EVENTS} --rules {RULES} | head -c 1; echo $PIPESTATUS"
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].endswith("0")


# --- completion


def test_the_completion_of_bash_completes() -> None:
    """The script it prints, in a real bash: commands and options."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = segue("completion", "bash").stdout

    def completed(*words: str) -> set[str]:
        asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _segue_completion segue; "
        code = (
            f'segue() {{ {sys.executable} -m segue_agents.cli "$@"; }}\n{script}\n{asked} printf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        code = code.replace(
            "_SEGUE_COMPLETE=complete_bash $1", f"_SEGUE_COMPLETE=complete_bash {sys.executable} -m segue_agents.cli"
        )
        done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert {"doctor", "down", "demo", "dead-letters"} <= completed("segue", "d")
    assert completed("segue", "check", "--aga") == {"--against"}
    assert completed("segue", "completion", "z") == {"zsh"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, nothing else."""
    code, out, err = in_process(capsys, "completion", shell)
    assert (code, err) == (0, "")
    assert "_SEGUE_COMPLETE" in out
