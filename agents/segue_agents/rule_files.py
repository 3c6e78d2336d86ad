"""A folder of rule files, read for the rule language, which itself opens no file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import segue_schemas
from segue.catalog import Catalog
from segue.errors import ConfigError, ContractError
from segue.limits import RULE_FILE_BYTES
from segue.plan import Plan, compile_plan
from segue.plan.lookback import exactness
from segue.plan.report import leaves_behind
from segue.rules import parse_rules

SUFFIXES: Final = (".yaml", ".yml")


def read_rules(path: Path) -> list[tuple[str, str]]:
    """(name, text) of a rule file, or of every *.yaml below a folder, in the order of their names.

    The name is the path as the user would type it, so that an error's `file:line:column` can be clicked.
    Raises ConfigError when there is nothing to read or a file cannot be rules.
    """
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and _is_meant(f, path) and f.is_file())
        if not files:
            raise ConfigError(f"The folder {path} holds no rule file.", "Rule files end in .yaml.")
    elif path.exists():
        files = [path]
    else:
        raise ConfigError(f"There are no rules at {path}.", "Name a rule file or a folder of them with --rules.")
    return [(str(file), _read(file)) for file in files]


def load_plan(rules: Path, sources: Path | None = None) -> Plan:
    """The rules at a path, checked against the contracts and compiled. `sources`: the packaged ones when None.

    Raises RuleError with everything that is wrong, ContractError, ConfigError.
    """
    catalog = load_catalog(sources)
    return compile_plan(parse_rules(read_rules(rules), catalog), catalog)


def refuse_warehouse_only(plan: Plan) -> None:
    """Raises ConfigError for segments that look back further than the log can give: a worker would be silently wrong."""
    found = [(s.name, *exactness(plan, sorted(leaves_behind(plan, i)))) for i, s in enumerate(plan.segments)]
    beyond = [(name, reason) for name, kind, reason in found if kind == "warehouse only"]
    if beyond:
        names = ", ".join(name for name, _ in beyond)
        raise ConfigError(
            f"{names}: warehouse only. {beyond[0][1]}.",
            "Take it out of this worker's rules and ask the warehouse, or state a longer 'retention' in the source's "
            "declaration if its topic keeps that much.",
        )


def load_catalog(sources: Path | None = None) -> Catalog:
    """The sources that the contracts declare. Raises ContractError."""
    try:
        return Catalog.from_declarations(segue_schemas.load_declarations(sources))
    except segue_schemas.SchemaFileError as error:
        raise ContractError(str(error), "Mend the file, or name another folder with --sources.") from error


def _is_meant(file: Path, folder: Path) -> bool:
    # an editor's `.#rule.yaml` or a checkout's `.git` is nobody's rule
    return not any(part.startswith(".") for part in file.relative_to(folder).parts)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(RULE_FILE_BYTES + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", "Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from error
    if len(raw) > RULE_FILE_BYTES:
        raise ConfigError(f"{file} is longer than {RULE_FILE_BYTES} bytes.", "Split it into several files.")
    return text.removeprefix("\ufeff")
