"""Rule files to a checked RuleSet, or everything that is wrong with them at once.

Two passes. The first reads each document by itself (documents.py). The second looks at the documents together:
names given twice, segments and features that do not exist, circles. Problems come in the order of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segue import limits
from segue.catalog import Catalog
from segue.errors import Problem, RuleError
from segue.rules import tree
from segue.rules.checking import suggestion
from segue.rules.documents import PREFIXES, Named, read_feature, read_segment
from segue.rules.files import Document, read_file
from segue.rules.messages import quoted
from segue.rules.order import ordered

_HINTS = 100
"""names compared with all others for a suggestion; each costs up to 10,000 comparisons"""


def parse_rules(files: Iterable[tuple[str, str]], catalog: Catalog, prefixes: Sequence[str] = PREFIXES) -> tree.RuleSet:
    """The rules of (file name, text) pairs, checked against the catalog. Raises RuleError with all problems."""
    return _Rules(catalog, prefixes).parse(files)


class _Rules:
    def __init__(self, catalog: Catalog, prefixes: Sequence[str]) -> None:
        self.catalog = catalog
        self.prefixes = prefixes
        self.problems: list[Problem] = []
        self.segments: dict[str, Named] = {}
        self.features: dict[str, Named] = {}
        self.hints_left = _HINTS
        self.unread = False
        """part of the files could not be read: a name not found may well stand there"""

    def parse(self, files: Iterable[tuple[str, str]]) -> tree.RuleSet:
        places: dict[str, int] = {}
        for name, text in files:
            places.setdefault(name, len(places))
            documents, problems = read_file(name, text)
            self.problems.extend(problems)
            self.unread = self.unread or bool(problems)
            for document in documents:
                self._read(document)
        order = self._check_together()
        if self.problems:
            self.problems.sort(key=lambda p: (places[p.file], p.line, p.column))
            raise RuleError(self.problems)
        segments = [self.segments[n].rule for n in order]
        features = [self.features[n].rule for n in sorted(self.features)]
        return tree.RuleSet(
            tuple(s for s in segments if isinstance(s, tree.Segment)),
            tuple(f for f in features if isinstance(f, tree.Feature)),
        )

    def _read(self, document: Document) -> None:
        kinds = [k for k in ("segment", "feature") if k in document.entries]
        if len(kinds) != 1:
            first = next(iter(document.entries.values())).key
            what = "both 'segment' and 'feature'" if kinds else "neither 'segment' nor 'feature'"
            self.problems.append(
                first.whole(
                    f"this rule has {what}",
                    "Give each rule one of them, as its first line; '---' on a line of its own separates two rules.",
                )
            )
        elif kinds[0] == "segment":
            self._add(read_segment(document, self.catalog, self.prefixes, self.problems), self.segments)
        else:
            self._add(read_feature(document, self.catalog, self.problems), self.features)

    def _add(self, read: Named | None, known: dict[str, Named]) -> None:
        if read is None:
            return
        name = read.name.value
        if name in known:
            there = known[name].name.whole("")
            self.problems.append(
                read.name.whole(
                    f"{quoted(name)} is already the name of another rule, in {there.file}:{there.line}",
                    "Give one of them another name.",
                )
            )
        else:
            known[name] = read

    def _check_together(self) -> list[str]:
        """The order of the segments."""
        if len(self.segments) > limits.SEGMENTS:
            last = list(self.segments.values())[limits.SEGMENTS].name
            self.problems.append(last.whole(f"more than {limits.SEGMENTS} segments", "Remove those nobody uses."))
        if not self.unread:
            self._check_names()
        uses = {n: [w.text for _, w in s.references if w.text in self.segments] for n, s in self.segments.items()}
        order, circles = ordered(uses)
        for circle in circles:
            self._report(circle)
        return order

    def _check_names(self) -> None:
        for segment in self.segments.values():
            for scalar, word in segment.references:
                if word.text not in self.segments:
                    hint = (
                        f"{word.text!r} is a feature; 'in' takes a segment."
                        if word.text in self.features
                        else self._hint(word.text, self.segments, "Segments are the rules that begin with 'segment:'.")
                    )
                    self.problems.append(scalar.problem(word.start, word.end, f"unknown segment {quoted(word.text)}", hint))
            for attached in segment.attached:
                if attached.value not in self.features:
                    hint = self._hint(attached.value, self.features, "Features are the rules that begin with 'feature:'.")
                    self.problems.append(attached.whole(f"unknown feature {quoted(attached.value)}", hint))

    def _report(self, circle: list[str]) -> None:
        """At the place where the circle's first segment names the second."""
        following = circle[1 % len(circle)]
        scalar, word = next((s, w) for s, w in self.segments[circle[0]].references if w.text == following)
        shown = circle if len(circle) <= _HINTS else [*circle[:_HINTS], "..."]
        self.problems.append(
            scalar.problem(
                word.start,
                word.end,
                "segments that need each other: " + " -> ".join([*shown, circle[0]]),
                "Take one of the 'in' away.",
            )
        )

    def _hint(self, word: str, known: Iterable[str], otherwise: str) -> str:
        self.hints_left -= 1
        return suggestion(word, known, otherwise) if self.hints_left >= 0 else otherwise
