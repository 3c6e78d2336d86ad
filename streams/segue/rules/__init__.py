"""The rule language: text -> tree -> checked tree. Files come as (name, text) pairs; nothing here reads a disk.

files      YAML documents with the place of every text
parse      a text of the language by grammar.lark, into syntax; messages says what could not be read
documents  one document into a Segment or a Feature; conditions checks the texts in it
check      all documents together: parse_rules
tree       what comes out; canonical and pretty turn it into text again
"""

from segue.rules.canonical import canonical_rule, canonical_text
from segue.rules.check import parse_rules
from segue.rules.documents import PREFIXES
from segue.rules.pretty import text_of
from segue.rules.tree import Feature, RuleSet, Segment

__all__ = ["PREFIXES", "Feature", "RuleSet", "Segment", "canonical_rule", "canonical_text", "parse_rules", "text_of"]
