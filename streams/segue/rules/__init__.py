"""The rule language: text -> tree -> checked tree. Files come as (name, text) pairs; nothing here reads a disk.

files      YAML documents with the place of every text
parse      a text of the language by grammar.lark, into syntax (build); messages and slips say what could not be read
documents  one document into a Segment or a Feature; conditions, windows and checking check the texts in it
check      all documents together: parse_rules
tree       what comes out; canonical and pretty turn it into text again
forms      the language as a table, conditions first; language prints the reference page from it, schema is for editors
"""

from segue.rules.canonical import canonical_rule, canonical_text, leaf_key
from segue.rules.check import parse_rules
from segue.rules.documents import PREFIXES
from segue.rules.language import reference_markdown
from segue.rules.pretty import text_of
from segue.rules.schema import rule_schema
from segue.rules.tree import Feature, RuleSet, Segment

__all__ = [
    "PREFIXES",
    "Feature",
    "RuleSet",
    "Segment",
    "canonical_rule",
    "canonical_text",
    "leaf_key",
    "parse_rules",
    "reference_markdown",
    "rule_schema",
    "text_of",
]
