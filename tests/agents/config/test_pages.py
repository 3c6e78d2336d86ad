"""docs/operate/settings.md and logs.md: their tables are printed from the code. SEGUE_WRITE_GOLDEN=1 prints them anew."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from segue_agents.config.kafka import REFUSED, RISKY
from segue_agents.config.reading import OTHER_VARIABLES, flag_of
from segue_agents.config.rows import Row
from segue_agents.logs.events import EVENTS, KEYS
from segue_agents.settings import Settings, table

DOCS = Path(__file__).parents[3] / "docs" / "operate"


def setting_row(row: Row) -> tuple[str, ...]:
    kind = " ".join(filter(None, (getattr(row.bare, "__name__", ""), row.unit)))
    kinds = {"bool": "true or false", "str": "text", "int": "number", "float": "number", "Path": "path", "Secret": "secret"}
    words = " or ".join(f"`{c}`" for c in row.choices) or " ".join(kinds.get(w, w) for w in kind.split())
    bounds = " to ".join(f"{b:g}" for b in (row.least, row.most) if b is not None)
    bounds = f", {'at least ' if row.most is None else ''}{bounds}" if bounds else ""
    default = str(row.default).lower() if isinstance(row.default, bool) else str(row.default)
    default = "" if row.default is None else f"`{default}`"
    flag = "none: a secret" if row.secret else f"`{flag_of(row.name)}`"
    variable = f"`{row.variable}`" + (f", `{row.variable}_FILE`" if row.secret else "")
    return f"`{row.name}`", words + bounds, default, row.says, flag, variable


TABLES = {
    ("settings.md", "settings"): (("setting", "type", "default", "what it is", "flag", "variable"),
                                  [setting_row(row) for row in table()]),
    ("settings.md", "refused"): (("property", "why, and what to do instead"),
                                 [(f"`{name}`", why) for name, why in REFUSED.items()]),
    ("settings.md", "risky"): (("property", "what it may cost"), [(f"`{name}`", why) for name, why in RISKY.items()]),
    ("settings.md", "variables"): (("variable", "what it is"), [(f"`{n}`", s) for n, s in OTHER_VARIABLES.items()]),
    ("logs.md", "events"): (("event", "level", "keys", "what it means"),
                            [(f"`{e.name}`", e.level, ", ".join(f"`{k}`" for k in e.keys), e.means) for e in EVENTS]),
    ("logs.md", "keys"): (("key", "what it holds"), [(f"`{key}`", holds) for key, holds in KEYS.items()]),
}  # fmt: skip


def printed(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


@pytest.mark.parametrize(("page", "name"), TABLES)
def test_a_table_of_the_docs_is_the_codes(page: str, name: str) -> None:
    """Between its two comments, to the letter."""
    path = DOCS / page
    begin, end = f"<!-- {name}: printed from the code -->\n\n", f"\n<!-- end of {name} -->"
    before, found, rest = path.read_text().partition(begin)
    assert found, f"{page} has no place for {name}"
    old, found, after = rest.partition(end)
    assert found
    wanted = printed(*TABLES[page, name])
    if os.environ.get("SEGUE_WRITE_GOLDEN"):
        path.write_text(before + begin + wanted + end + after)
    assert old == wanted or os.environ.get("SEGUE_WRITE_GOLDEN")


def test_the_files_of_the_docs_are_settings(tmp_path: Path) -> None:
    """Each block of TOML in the page loads as it stands, its secrets' files being there."""
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / "settings.md").read_text(), re.DOTALL)
    assert blocks
    for text in blocks:
        for path in re.findall(r'"(/[\w./-]+)"', text):
            there = tmp_path / path.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_text("a secret of the test")
            text = text.replace(path, str(there))  # noqa: PLW2901 (the block, with paths that exist)
        file = tmp_path / "segue.toml"
        file.write_text(text)
        assert tomllib.loads(text)
        Settings.load({}, {}, file)
