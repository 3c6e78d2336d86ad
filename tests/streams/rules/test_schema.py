"""The JSON Schema of rule files takes what the parser takes and refuses what cannot be a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from segue.rules import language
from segue.rules.schema import rule_schema

_ROOT = Path(__file__).parents[3]
_SCHEMA = jsonschema.Draft7Validator(rule_schema())
_EXAMPLES = sorted((_ROOT / "examples").rglob("*.yaml"))


def _documents(text: str) -> list[Any]:
    return [d for d in yaml.safe_load_all(text) if d is not None]


def test_it_is_a_schema() -> None:
    """Draft 7 itself finds nothing wrong with it."""
    jsonschema.Draft7Validator.check_schema(rule_schema())


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda p: str(p.relative_to(_ROOT)))
def test_the_examples_are_valid(path: Path) -> None:
    """Every rule of the examples passes."""
    documents = _documents(path.read_text(encoding="utf-8"))
    assert documents
    for document in documents:
        _SCHEMA.validate(document)


@pytest.mark.parametrize("form", language.KEYS, ids=lambda f: f.name)
def test_the_reference_s_examples_are_valid(form: language.Form) -> None:
    """Every document of the reference page passes."""
    for document in _documents(form.example):
        _SCHEMA.validate(document)


@pytest.mark.parametrize(
    "text",
    [
        "segment: hot_a\nwhen: did page\nversion: '3'\ntitle: yes\nowner: 2026",
        "segment: hot_a\nwhen: did page\ntags: one\nattach: [recent_views]",
    ],
)
def test_what_the_parser_reads_as_text_passes(text: str) -> None:
    """YAML's own types of a value do not matter where the parser takes any text."""
    for document in _documents(text):
        _SCHEMA.validate(document)


@pytest.mark.parametrize(
    "text",
    [
        "segment: hot_a\nwhen: did page\ncolour: red",
        "segment: hot_a\nwen: did page",
        "segment: hot_a",
        "segment: hot_a\nwhen:",
        "segment: hot_a\nwhen: ''",
        "segment: hot_a\nwhen: [did page]",
        "segment: hot_a\nenter: did page",
        "segment: hot_a\nwhen: did page\nexit: page",
        "segment: hot_a\nwhen: did page\nenter: did page\nexit: page",
        "segment: cold_a\nwhen: did page",
        "segment: hot_A\nwhen: did page",
        "segment: hot_a\nwhen: did page\nversion: 0",
        "segment: hot_a\nwhen: did page\nversion: one",
        "segment: hot_a\nwhen: did page\ntags: [a, a]",
        "segment: hot_a\nwhen: did page\ntags: {a: b}",
        "feature: a",
        "feature: 1a\nkeep: last 1 page.path",
        "feature: a\nkeep: last 1 page.path\nwhen: did page",
        "feature: a\nsegment: hot_a\nkeep: last 1 page.path",
        "title: nothing",
        "- a",
        "just a text",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    """Unknown keys, missing keys, wrong names and wrong shapes are underlined."""
    assert all(not _SCHEMA.is_valid(document) for document in _documents(text))


def test_prefixes_are_configurable() -> None:
    """A house's own prefixes take the place of ours."""
    schema = jsonschema.Draft7Validator(rule_schema(prefixes=("vip",)))
    assert schema.is_valid({"segment": "vip_a", "when": "did page"})
    assert not schema.is_valid({"segment": "hot_a", "when": "did page"})


def test_every_key_says_what_it_is() -> None:
    """An editor has a sentence to show beside each key."""
    for kind in ("segment", "feature"):
        properties = rule_schema()["definitions"][kind]["properties"]
        assert all(p["description"] for p in properties.values())
