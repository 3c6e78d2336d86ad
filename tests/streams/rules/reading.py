"""One condition read as the whole of a rule."""

from __future__ import annotations

from segue.catalog import Catalog
from segue.rules import parse_rules
from segue.rules.tree import Condition


def condition_of(text: str, catalog: Catalog) -> Condition:
    block = "\n".join(f"  {line}" for line in text.split("\n"))
    rules = parse_rules([("f.yaml", f"segment: segment_a\nuniverse: seen in the last 1 day\nwhen: |\n{block}\n")], catalog)
    found = rules.segments[0].when
    assert found is not None
    return found
