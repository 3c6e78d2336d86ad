"""docs/operate: every command, flag, variable and link in it exists, and what can be run is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from segue_agents.cli.application import app
from segue_agents.config.reading import OTHER_VARIABLES
from segue_agents.settings import ENVIRONMENT_PREFIX, table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "operate"
PAGES = sorted(FOLDER.rglob("*.md"))
SCRIPTED = [FOLDER / f"{name}.md" for name in ("deploy", "upgrade", "backup", "rotate-secrets", "move-partitions")]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(segue [^`]+)`")
_COMMAND = re.compile(r"(?:^|[|;&(] *|\$ )(?:/\S+/)?segue ((?:[^#\n|;&)]|\\\n)+)", re.MULTILINE)
_VARIABLE = re.compile(r"\bSEGUE_[A-Z0-9_]+\b")
_LINK = re.compile(r"\]\(([^)#\s]+)?(#[^)\s]+)?\)")


def command_lines(text: str) -> Iterator[str]:
    """Whatever comes after `segue ` in shell blocks and in inline code."""
    for language, block in _FENCE.findall(text):
        # of a console what a person types, and not what is answered
        typed = (
            "\n".join(line[2:] for line in block.splitlines() if line.startswith("$ ")) if language == "console" else block
        )
        if language in ("sh", "console"):
            yield from (found.strip() for found in _COMMAND.findall(typed))
    yield from (found.removeprefix("segue ") for found in _INLINE.findall(_FENCE.sub("", text)))


def unknown(line: str, tree: object = None) -> str | None:
    """What of a command line the application does not have; None if it has all of it."""
    command = tree or typer.main.get_command(app)
    words = [w for w in re.split(r"\s+", line.replace("\\\n", " ").strip()) if w]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"there is no `segue {line}`: no command {words[0]!r}" if words[0].islower() else None
        command = command.commands[words.pop(0)]
    flags = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    given = {word.split("=", 1)[0] for word in words if re.fullmatch(r"--[a-z][a-z-]*(=.*)?|-[a-z]", word)}
    return f"`segue {line}` has no {', '.join(sorted(given - flags))}" if given - flags else None


def known_variables() -> set[str]:
    names = {ENVIRONMENT_PREFIX + row.name.upper() for row in table()}
    return names | {f"{ENVIRONMENT_PREFIX}{row.name.upper()}_FILE" for row in table() if row.secret} | set(OTHER_VARIABLES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(FOLDER)))
def test_commands_and_variables_exist(page: Path) -> None:
    """Those of Segue; a variable of librdkafka's properties begins with SEGUE_KAFKA_."""
    text = page.read_text(encoding="utf-8")
    assert [said for line in command_lines(text) if (said := unknown(line))] == []
    named = {name for name in _VARIABLE.findall(text) if not name.startswith("SEGUE_KAFKA_") and not name.endswith("_")}
    assert named - known_variables() == set()


def test_an_unknown_command_would_be_found() -> None:
    """The check itself: words and flags that there are not."""
    lines = list(command_lines("```sh\nsegue up --nonsense\nsudo x | segue nonsense\n```\nand `segue gaps acept`"))
    assert lines == ["up --nonsense", "nonsense", "gaps acept"]
    assert all(unknown(line) for line in lines)
    assert unknown("gaps accept site-events:3 --to 42") is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(FOLDER)))
def test_links_lead_somewhere(page: Path) -> None:
    """Files that are there, and headings that are in them."""
    for target, heading in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {target}"
        if heading and path.suffix == ".md":
            assert heading[1:] in {slug(h) for h in re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)}


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_index_has_every_page() -> None:
    """README.md links each page of the folder."""
    linked = {target for target, _ in _LINK.findall((FOLDER / "README.md").read_text(encoding="utf-8"))}
    assert {page.name for page in FOLDER.glob("*.md")} - {"README.md"} - linked == set()


@pytest.mark.parametrize("page", SCRIPTED, ids=lambda page: page.name)
def test_shell_blocks_are_shell(page: Path, tmp_path: Path) -> None:
    """A shell reads each without a complaint."""
    for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "sh" and not all("=" in line for line in block.splitlines()):
            said = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False, timeout=20)
            assert said.returncode == 0, f"{block}\n{said.stderr}"


def test_alerts_become_prometheus_rules_as_the_page_says(tmp_path: Path) -> None:
    """The loop of deploy.md, with `kubectl apply` left out, makes one object of each file of rules, its groups unchanged."""
    text = (FOLDER / "deploy.md").read_text(encoding="utf-8")
    (loop,) = [block for _, block in _FENCE.findall(text) if "PrometheusRule" in block]
    said = subprocess.run(["bash", "-c", loop.replace("| kubectl apply -f -", "")], cwd=ROOT, capture_output=True, text=True,
                          check=True, timeout=20)  # fmt: skip
    made = {o["metadata"]["name"]: o for o in yaml.safe_load_all(said.stdout) if o}
    files = sorted((ROOT / "monitoring" / "rules").glob("*.yml"))
    assert files
    assert {name: o["spec"] for name, o in made.items()} == {
        f"segue-{file.stem}": yaml.safe_load(file.read_text(encoding="utf-8")) for file in files
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_a_token_is_rotated_as_the_page_says(tmp_path: Path) -> None:
    """The new one first, the old one second, in one move; and the worker reads such a file."""
    from segue_agents.web.access import read_token_file

    text = (FOLDER / "rotate-secrets.md").read_text(encoding="utf-8")
    (script,) = [block for _, block in _FENCE.findall(text) if "web-token.new" in block]
    token = tmp_path / "web-token"
    token.write_text("0123456789abcdef" * 4 + "\n")
    group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
    script = script.replace("/etc/segue/secrets", shlex.quote(str(tmp_path))).replace("chgrp segue", f"chgrp {group}")
    subprocess.run(["bash", "-ec", script], check=True, timeout=20)
    new, old = read_token_file(token)
    assert old == "0123456789abcdef" * 4
    assert new != old
    assert token.stat().st_mode & 0o777 == 0o640
