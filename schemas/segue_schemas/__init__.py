"""The contracts as data, and a small loader: what producers and consumers may rely on.

    sources/   one declaration per input topic: its schema, and which field is the person, the time, the name
    avro/      the records, one file per version; a published file never changes its meaning
    ids.yaml   schema ids for use without a registry
    examples/  per source records that must be taken, and records that must not, each with the reason

A folder of one's own with the same layout takes the place of this one: `load_declarations(folder)`,
where `folder` is its `sources/`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_HERE = Path(__file__).parent
_IDS = "ids.yaml"
_VERSIONED = re.compile(r"(.+)\.v([1-9][0-9]*)\.avsc")


class SchemaFileError(ValueError):
    """A file of a contracts folder that is missing or cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A record that a source takes, or one it must not take."""

    name: str
    valid: bool
    event: dict[str, Any]
    """in the Segment shape (valid), or the fields of the source's record (invalid)"""
    reason: str
    """why: the reject reason for an invalid one, '' for a valid one"""
    why: str
    """a sentence for people"""
    raw: bytes | None = None
    """the value's bytes instead of a record, for what no encoder would write"""
    key: str | None = None
    """the record's key; None with `valid` False means a record without one"""


def load_declarations(folder: Path | None = None) -> list[dict[str, Any]]:
    """Every `*.yaml` of a sources folder (default: ours) but ids.yaml, `schema` replaced by the Avro schema itself.

    A schema path is relative to the folder or to the one above it. Raises SchemaFileError.
    """
    folder = _HERE / "sources" if folder is None else Path(folder)
    files = sorted(p for p in folder.glob("*.yaml") if p.name != _IDS) if folder.is_dir() else []
    if not files:
        raise SchemaFileError(f"{folder} holds no source declarations (*.yaml).")
    return [_declaration(path) for path in files]


def load_schema(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The Avro schema `avro/<name>.avsc`, as in `segment_change.v1`. Raises SchemaFileError."""
    return _read_schema((_HERE if folder is None else Path(folder).parent) / "avro" / f"{name}.avsc")


def schema_versions(folder: Path | None = None) -> dict[str, dict[int, dict[str, Any]]]:
    """Name -> version -> Avro schema, of all `avro/<name>.v<version>.avsc` in the sources folder or beside it, in order.

    Raises SchemaFileError.
    """
    folder = _HERE / "sources" if folder is None else Path(folder)
    found = [(named[1], int(named[2]), path) for place in (folder, folder.parent) for path in (place / "avro").glob("*.avsc")
             if (named := _VERSIONED.fullmatch(path.name))]
    versions: dict[str, dict[int, dict[str, Any]]] = {}
    for name, version, path in sorted(found):
        versions.setdefault(name, {}).setdefault(version, _read_schema(path))
    return versions


def schema_ids(folder: Path | None = None) -> dict[str, int]:
    """Full name of a schema -> its id, from the ids.yaml in the sources folder or beside it. Raises SchemaFileError."""
    folder = _HERE / "sources" if folder is None else Path(folder)
    path = next((p for p in (folder / _IDS, folder.parent / _IDS) if p.is_file()), None)
    if path is None:
        raise SchemaFileError(f"There is no {_IDS} in {folder} or beside it.")
    ids = _mapping(path)
    if not all(isinstance(i, int) and 0 < i < 1 << 31 for i in ids.values()) or len(set(ids.values())) < len(ids):
        raise SchemaFileError(f"{path}: every schema needs an id of its own, from 1 to 2147483647.")
    return ids


def full_name(schema: dict[str, Any]) -> str:
    """`segue.SiteEvent`: what ids.yaml and a registry's subject call a record."""
    name, space = str(schema["name"]), schema.get("namespace")
    return f"{space}.{name}" if space and "." not in name else name


def examples(source: str) -> list[Example]:
    """The examples of one of our sources, valid ones first."""
    found = []
    for kind in ("valid", "invalid"):
        for path in sorted((_HERE / "examples" / source / kind).glob("*.json")):
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as e:
                raise SchemaFileError(f"{path}: {e}") from e
            if kind == "valid":
                found.append(Example(path.stem, True, data, "", ""))
            else:
                raw = bytes.fromhex(data["hex"]) if "hex" in data else None
                found.append(Example(path.stem, False, data.get("record", {}), data["reason"], data["why"], raw,
                                     data.get("key")))
    return found


def _declaration(path: Path) -> dict[str, Any]:
    declaration = _mapping(path)
    if isinstance(declaration.get("schema"), str):
        named = declaration["schema"]
        places = (path.parent / named, path.parent.parent / named)
        found = next((p for p in places if p.is_file()), None)
        if found is None:
            raise SchemaFileError(f"{path}: there is no schema file {named}, neither there nor one folder above.")
        declaration["schema"] = _read_schema(found)
    return declaration


def _read_schema(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise SchemaFileError(f"There is no schema file {path}.") from e
    except ValueError as e:
        raise SchemaFileError(f"{path}: {e}") from e
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SchemaFileError(f"{path}: the schema of a topic must be an Avro record.")
    return schema


def _mapping(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise SchemaFileError(f"{path}: {e}") from e
    if not isinstance(data, dict):
        raise SchemaFileError(f"{path}: a mapping is needed, as in 'source: site'.")
    return data
