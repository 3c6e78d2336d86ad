"""Schemas of a registry kept on disk, one file an id, so that a worker starts while the registry is down.

An id stands for one schema for ever, so a file is written once and never changed; all of them may be lost. They are of one
registry: another address has a folder of its own. What we write ourselves is below `written`, by subject: there the schema
is known and the id is not.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

_log = structlog.get_logger(__name__)


class SchemaFolder:
    """Files `<id>.json` below a worker's folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder / "schemas" / hashlib.sha256(url.encode()).hexdigest()[:16]

    def load(self) -> dict[int, tuple[str, frozenset[str]]]:
        """id -> the schema as text, the subjects. What cannot be read is removed, and said."""
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                row = json.loads(path.read_text(encoding="utf-8"))
                if row["id"] != int(path.stem) or row["sha256"] != _digest(row["schema"]):
                    raise ValueError("it is damaged")
                found[row["id"]] = (row["schema"], frozenset(map(str, row["subjects"])))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                _log.warning("kept_schema_removed", file=str(path), error=str(error))
                with suppress(OSError):
                    path.unlink()
        return found

    def keep(self, schema_id: int, schema: str, subjects: frozenset[str]) -> None:
        """One more, whole or not at all. A disk that takes nothing is said, and no reason to stop."""
        row = {"id": schema_id, "schema": schema, "subjects": sorted(subjects), "sha256": _digest(schema)}
        _write(self.folder / f"{schema_id}.json", row)

    def written_id(self, subject: str, schema: str) -> int | None:
        """The id that `keep_written` was told last, if that was of this schema."""
        try:
            row = json.loads(self._written(subject).read_text(encoding="utf-8"))
            return row["id"] if row["sha256"] == _digest(schema) and isinstance(row["id"], int) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_written(self, subject: str, schema: str, schema_id: int) -> None:
        """The id that we write under; as `keep`."""
        _write(self._written(subject), {"subject": subject, "id": schema_id, "sha256": _digest(schema)})

    def _written(self, subject: str) -> Path:
        return self.folder / "written" / f"{subject}.json"


def _write(path: Path, row: dict[str, Any]) -> None:
    half = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps(row), encoding="utf-8")
        half.replace(path)
    except OSError as error:
        _log.warning("schema_not_kept", file=str(path), error=os.strerror(error.errno or 0))


def _digest(schema: str) -> str:
    return hashlib.sha256(schema.encode()).hexdigest()
