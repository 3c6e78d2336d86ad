"""A JSON Schema of rule files, so that editors complete keys and underline what cannot be one.

It knows a document's shape, not the language inside the texts: `segue check` does. Whatever the parser takes the
schema takes too; draft 7, because that is what editors read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from segue.rules.documents import (
    FEATURE_KEYS,
    FEATURE_NAME,
    LISTS,
    NAME_LENGTH,
    PREFIXES,
    SEGMENT_KEYS,
    SEGMENT_REST,
    VERSION_DIGITS,
)
from segue.rules.language import KEYS

_TEXT: Final = {"type": ["string", "number", "boolean"]}
"""a YAML editor takes `title: 2026` for a number and `title: yes` for a boolean; the parser takes both as text"""
_SAID: Final = r"\S"
"""not empty"""


def rule_schema(prefixes: Sequence[str] = PREFIXES) -> dict[str, Any]:
    """The schema of one document of a rule file, a segment or a feature."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A rule of Segue",
        "description": "A segment or a feature; documents are separated by '---'.",
        "type": "object",
        "oneOf": [{"$ref": "#/definitions/segment"}, {"$ref": "#/definitions/feature"}],
        "definitions": {
            "segment": {
                **_object(SEGMENT_KEYS, {"segment": f"^({'|'.join(prefixes)})_{SEGMENT_REST}$"}),
                "required": ["segment"],
                "oneOf": [{"required": ["when"]}, {"required": ["enter", "exit"]}],
                "dependencies": {"enter": ["exit"], "exit": ["enter"]},
            },
            "feature": {
                **_object(FEATURE_KEYS, {"feature": f"^{FEATURE_NAME}$"}),
                "required": ["feature", "keep"],
            },
        },
    }


def _object(keys: Sequence[str], patterns: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: {**_value(key, patterns.get(key)), **_said(key)} for key in keys},
    }


def _value(key: str, pattern: str | None) -> dict[str, Any]:
    if pattern is not None:
        return {"type": "string", "pattern": pattern, "maxLength": NAME_LENGTH}
    if key == "version":
        digits = f"^(?=.*[1-9])[0-9]{{1,{VERSION_DIGITS}}}$"
        return {"type": ["integer", "string"], "minimum": 1, "maximum": 10**VERSION_DIGITS - 1, "pattern": digits}
    if key in LISTS:
        item = {**_TEXT, "pattern": _SAID}
        return {"oneOf": [item, {"type": "array", "items": item, "uniqueItems": True}]}
    if key in ("when", "enter", "exit", "universe", "keep"):
        return {"type": "string", "pattern": _SAID}
    return {**_TEXT, "pattern": _SAID}


def _said(key: str) -> dict[str, Any]:
    """What an editor shows beside the key."""
    form = next(f for f in KEYS if f.name == key)
    lines = form.example.splitlines()
    examples = [line.partition(": ")[2] for line in lines if line.startswith(f"{key}: ")]
    if key in LISTS:
        return {"description": f"{form.meaning}\n{form.edge}"}
    return {"description": f"{form.meaning}\n{form.edge}", "examples": examples}
