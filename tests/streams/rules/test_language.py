"""The table of the language against the grammar, the parser and the page printed from it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from lark import Lark

import segue_schemas
from segue.catalog import Catalog
from segue.rules import documents, forms, language, parse_rules, pretty, tree
from segue.rules.forms import Form

_ROOT = Path(__file__).parents[3]
_PAGE = _ROOT / "docs" / "rule-language.md"
_OTHERS = (
    "segment: behavior_high_intent\nwhen: count(product_viewed) >= 5 in the last 7 days\n",
    "feature: recent_views\nkeep: last 20 product_viewed.product_id in the last 7 days\n",
)


@pytest.fixture(scope="module")
def packaged() -> Catalog:
    """The sources that come with Segue."""
    return Catalog.from_declarations(segue_schemas.load_declarations())


def _condition(text: str, catalog: Catalog) -> tree.Condition:
    file = f"segment: segment_a\nuniverse: seen in the last 1 day\nwhen: >\n  {text}\n---\n{_OTHERS[0]}"
    rules = parse_rules([("f.yaml", file)], catalog)
    condition = next(s.when for s in rules.segments if s.name == "segment_a")
    assert condition is not None
    return condition


def _keywords() -> set[str]:
    grammar = (_ROOT / "streams/segue/rules/grammar.lark").read_text(encoding="utf-8")
    parser = Lark(grammar, parser="lalr", start=["condition", "exit", "keep", "universe"])
    patterns = [t.pattern.value for t in parser.terminals]
    return {p.removesuffix(r"\b") for p in patterns if re.fullmatch(r"[a-z]+\\b", p)}


def test_every_keyword_of_the_grammar_is_in_the_table() -> None:
    """A word that the parser knows occurs in the syntax of a form, so that the page tells of it."""
    written = {word for form in language.FORMS for word in re.findall(r"\b[a-z]+\b", form.syntax)}
    assert _keywords() <= written


def test_the_words_that_take_quotes_are_the_keywords() -> None:
    """The printer quotes events called like a word of the grammar, all of them and no other."""
    assert _keywords() == pretty.KEYWORDS


@pytest.mark.parametrize(
    "form", [f for _, _, section in language.SECTIONS for f in section if f not in language.KEYS], ids=lambda f: f.name
)
def test_an_example_is_what_its_form_says(form: Form, packaged: Catalog) -> None:
    """Each example is a condition of the packaged sources and becomes the node that the form names."""
    condition = _condition(form.example, packaged)
    if form in forms.WINDOWS:
        found: object = condition.window  # type: ignore[union-attr]  # each of these has one
    elif form in forms.FILTERS:
        found = condition.events.where  # type: ignore[union-attr]
    else:
        found = condition
    assert (type(found).__name__ if found is not None else "None") == form.node
    assert _condition(pretty.text_of(condition), packaged) == condition


def test_every_node_has_a_form() -> None:
    """No condition, window or filter of the tree is missing from the page."""
    named = {f.node for f in language.FORMS}
    nodes = [*tree.Condition.__args__, *tree.Window.__args__, *tree.Filter.__args__]
    leaves = {"Trait", "Consents", "Sequence", "Absence", "First", "Pick", "Aggregate", "Count"}
    assert leaves <= named
    assert {n.__name__ for n in nodes} - named <= {"Bucket", "InSegment", "AnyOf"}  # in the examples, joined by others


@pytest.mark.parametrize("form", language.KEYS, ids=lambda f: f.name)
def test_a_key_s_example_is_a_document(form: Form, packaged: Catalog) -> None:
    """Each key's example is a whole document that has the key."""
    head = form.example.partition("\n")[0]
    others = [o for o in _OTHERS if not o.startswith(head)]
    rules = parse_rules([("f.yaml", "---\n".join([form.example, *others]))], packaged)
    assert any(line.startswith(f"{form.name}: ") for line in form.example.splitlines())
    kinds = {type(r).__name__ for r in (*rules.segments, *rules.features) if head.endswith(r.name)}
    assert kinds == {form.node}


def test_every_key_is_in_the_table() -> None:
    """The page has every key that a document may have."""
    assert {f.name for f in language.SEGMENT_KEYS} == set(documents.SEGMENT_KEYS)
    assert {f.name for f in language.FEATURE_KEYS} | {"title"} == set(documents.FEATURE_KEYS)


def test_the_page_is_the_table(packaged: Catalog) -> None:
    """docs/rule-language.md is printed from the table; SEGUE_WRITE_GOLDEN=1 prints it anew."""
    page = language.reference_markdown(packaged)
    if os.environ.get("SEGUE_WRITE_GOLDEN"):
        _PAGE.write_text(page, encoding="utf-8")
    assert _PAGE.read_text(encoding="utf-8") == page


def test_the_page_s_first_rules_are_rules(packaged: Catalog) -> None:
    """The file shown at the head of the page is taken as it stands."""
    shown = re.findall(r"```yaml\n(.*?)```", language.reference_markdown(), re.DOTALL)[0]
    assert len(parse_rules([("page", shown)], packaged).segments) == 2


def test_links_inside_the_page_lead_somewhere() -> None:
    """Every link to a heading has its heading, as GitHub names them, and no two headings share a name."""
    page = language.reference_markdown()
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = [language.anchor(h) for h in headings]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= set(anchors)
