"""Conditions to checked tree. Where a part is wrong the others are checked all the same."""

from __future__ import annotations

from typing import Final, cast

from segue import limits
from segue.catalog import Catalog, Field
from segue.errors import Problem
from segue.rules import canonical, pretty, syntax, tree, windows
from segue.rules.checking import CALLED, Checker, listed, suggestion
from segue.rules.files import Scalar
from segue.rules.messages import quoted

_NUMBERS_ONLY: Final = ("sum", "avg", "min", "max")


class ConditionChecker(Checker):
    """Checks `when` or `enter`. The segments it names are noted in `references`."""

    def __init__(self, catalog: Catalog, scalar: Scalar, problems: list[Problem]) -> None:
        super().__init__(catalog, scalar, problems)
        self.references: list[syntax.Word] = []

    def condition(self, node: syntax.Node) -> tree.Condition | None:
        """Of a node from `parse_condition`."""
        match node:
            case syntax.Group():
                items = [self.condition(i) for i in node.items]
                good = [i for i in items if i is not None]
                if len(good) < len(items):
                    return None
                return canonical.all_of(good) if node.every else canonical.any_of(good)
            case syntax.Negated():
                return self._negated(node)
            case syntax.InSegment():
                self.references.append(node.name)
                return tree.InSegment(node.name.text)
            case syntax.Trait():
                return self._trait(node)
            case syntax.Consents():
                return self._consents(node)
            case syntax.Bucket():
                return self._bucket(node)
            case _:
                return self._of_events(node)

    def _negated(self, node: syntax.Negated) -> tree.Condition | None:
        inner = node.item
        if isinstance(inner, syntax.Trait) and inner.held is not None and inner.start == node.start:
            self.refuse(
                inner.held,
                "'is not known' takes no 'for': what is known once is known for ever",
                "Leave 'for ...' out.",
            )
            return None
        item = self.condition(inner)
        return None if item is None else canonical.negation(item)

    def _of_events(self, node: syntax.Node) -> tree.Condition | None:
        match node:
            case syntax.Count():
                return self._count(node)
            case syntax.Aggregate():
                return self._aggregate(node)
            case syntax.Pick():
                return self._pick(node)
            case syntax.First():
                return self._first(node)
            case syntax.Sequence():
                return self._sequence(node)
            case syntax.Absence():
                return self._absence(node)
        raise AssertionError(f"no condition: {node}")

    def _count(self, node: syntax.Count) -> tree.Condition | None:
        events = self.events(node.events)
        numbers = self._counted(node, "a count", "Write 'did E' for at least one and 'did not E' for none.")
        window, good = windows.checked(self, node.window)
        if events is None or numbers is None or not good:
            return None
        upper = numbers[1] if node.op == "between" else None
        return tree.Count(events, cast("tree.Operator", node.op), numbers[0], upper, window)

    def _counted(self, node: syntax.Count | syntax.Aggregate, what: str, hint: str) -> tuple[int, ...] | None:
        """Whole numbers that something counted can be compared with; refuses what is always or never true."""
        for number in node.numbers:
            if not isinstance(number.value, int):
                self.refuse(number, f"{what} is compared with a whole number", "Leave the fraction out.")
                return None
            if number.value > limits.COUNT:
                self.refuse(
                    number,
                    f"{number.value} is more than can be counted to, {limits.COUNT}",
                    f"Compare with at most {limits.COUNT}.",
                )
                return None
        bounds = tuple(n.value for n in node.numbers if isinstance(n.value, int))
        low, high = bounds[0], bounds[-1]
        never = (
            (low < 0 and node.op in ("=", "<="))
            or (low <= 0 and node.op == "<")
            or (node.op == "between" and (high < low or high < 0))
        )
        always = (low < 0 and node.op in (">", "!=")) or (low <= 0 and node.op == ">=")
        if never or always or low < 0:
            verdict = f"{what} is {'never' if never else 'always'} {pretty.comparison_text(node.op, low, high)}"
            self.refuse(_numbers(node), verdict if never or always else f"{what} is never below 0", hint)
            return None
        return bounds

    def _aggregate(self, node: syntax.Aggregate) -> tree.Condition | None:
        events = self.events(node.events)
        field = self.field(node.field, self.known(node.events))
        good = field is not None and self._aggregable(node, field)
        numbers = self._aggregated(node)
        window, window_good = windows.checked(self, node.window)
        if events is None or numbers is None or not good or not window_good:
            return None
        function, op = cast("tree.AggregateFunction", node.function), cast("tree.Operator", node.op)
        return tree.Aggregate(function, events, node.field.text, op, numbers, window)

    def _aggregable(self, node: syntax.Aggregate, field: Field) -> bool:
        if node.function in _NUMBERS_ONLY and field.type != "number":
            hint = "'distinct(E.f)' counts different values, 'count(E)' counts events."
            self.refuse(node.field, f"{node.function!r} needs a number; {field.name!r} is {CALLED[field.type]}", hint)
            return False
        if field.type == "other":
            self.refuse(
                node.field, f"{field.name!r} is neither text nor number; its values cannot be compared", "Use another."
            )
            return False
        return True

    def _aggregated(self, node: syntax.Aggregate) -> tuple[float, ...] | None:
        if node.function == "distinct":
            return self._counted(node, "a number of different values", "Write 'distinct(E.f) >= 1' or more.")
        numbers = tuple(float(n.value) if isinstance(n.value, str) else n.value for n in node.numbers)
        if node.op == "between" and numbers[0] > numbers[1]:
            text = pretty.comparison_text("between", numbers[1], numbers[0])
            self.refuse(_numbers(node), "the smaller number comes first", f"Write '{text}'.")
            return None
        return numbers

    def _pick(self, node: syntax.Pick) -> tree.Condition | None:
        events = self.events(node.events)
        field = self.field(node.field, self.known(node.events))
        good = field is not None and self.fits(node, field)
        window, window_good = windows.checked(self, node.window)
        if events is None or not good or not window_good:
            return None
        values = tuple(v.value for v in node.values)
        return tree.Pick(node.which, events, node.field.text, cast("tree.FieldOperator", node.op), values, window)

    def _first(self, node: syntax.First) -> tree.Condition | None:
        events = self.events(node.events)
        window, good = windows.checked(self, node.window, windows.NO_FIRST)
        return None if events is None or not good else tree.First(events, window)

    def _sequence(self, node: syntax.Sequence) -> tree.Condition | None:
        first, second = self.events(node.first), self.events(node.second)
        within_ms = self.duration(node.within)
        same = self._same(node.same, node.first, node.second)
        window, good = windows.checked(self, node.window, windows.NO_PATTERN)
        if first is None or second is None or within_ms is None or not same or not good:
            return None
        return tree.Sequence(first, second, within_ms, _text(node.same), window)

    def _absence(self, node: syntax.Absence) -> tree.Condition | None:
        first, missing = self.events(node.first), self.events(node.missing)
        within_ms = self.duration(node.within)
        restart = None if node.restarting_on is None else self.events(node.restarting_on)
        restart_good = (restart is None) == (node.restarting_on is None)
        same = self._same(node.same, node.first, node.missing, node.restarting_on)
        window, good = windows.checked(self, node.window, windows.NO_PATTERN)
        if first is None or missing is None or within_ms is None or not restart_good or not same or not good:
            return None
        return tree.Absence(first, missing, within_ms, restart, _text(node.same), window)

    def _same(self, word: syntax.Word | None, *events: syntax.Events | None) -> bool:
        """Whether `with the same f` can be told of all these events; of unknown events it is not asked."""
        names = sorted({n for e in events if e is not None for n in self.known(e)})
        if word is None or not names:
            return True
        field = self.field(word, names, "Only a field that all events of the pattern share can be the same.")
        if field is not None and field.type == "other":
            self.refuse(word, f"{field.name!r} is neither text nor number and cannot be compared", "Use another field.")
        return field is not None and field.type != "other"

    def _trait(self, node: syntax.Trait) -> tree.Condition | None:
        field = self._stated(node)
        good = field is not None and self.fits(node, field)
        held_ms = None if node.held is None else self.duration(node.held)
        if not good or (held_ms is None) != (node.held is None):
            return None
        values = tuple(v.value for v in node.values)
        return tree.Trait(node.kind, node.name.text, cast("tree.FieldOperator", node.op), values, held_ms)

    def _stated(self, node: syntax.Trait) -> Field | None:
        """The field that states the trait or the score."""
        profile = self.catalog.profile
        if node.kind == "score":
            if profile.score_event is None:
                self.refuse(node.name, "no source declares scores", "Add 'scores:' to a source's declaration.")
                return None
            field = self.catalog.fields_of(profile.score_event)[profile.score]
            return Field(f"score.{node.name.text}", field.path, field.type)
        if not profile.traits:
            self.refuse(node.name, "no source declares traits", "Add 'traits:' to a source's declaration.")
            return None
        known = profile.traits.get(node.name.text)
        if known is None:
            hint = suggestion(node.name.text, profile.traits, f"Traits are {listed(profile.traits)}.")
            self.refuse(node.name, f"unknown trait {quoted(node.name.text)}", hint)
            return None
        return Field(f"trait.{known.name}", known.path, known.type)

    def _consents(self, node: syntax.Consents) -> tree.Condition | None:
        if self.catalog.profile.consent_event is None:
            self.refuse(node, "no source declares consents", "Add 'consents:' to a source's declaration.")
            return None
        if not node.purpose.text.strip():
            self.refuse(node.purpose, "this purpose has no name", "Write it, as in 'consents to email_marketing'.")
            return None
        return tree.Consents(node.purpose.text)

    def _bucket(self, node: syntax.Bucket) -> tree.Condition | None:
        numbers = [float(p.value) for p in node.percents]
        whole = syntax.Node(node.percents[0].start, node.percents[-1].end)
        if node.op not in ("<", ">=", "between"):
            self.refuse(
                node,
                f"{node.op!r} does not go with 'bucket'",
                "Write '< 10%' and '>= 10%': together they are everybody, and nobody is in both.",
            )
        elif not all(0 <= n <= 100 for n in numbers):
            self.refuse(whole, "shares lie between 0% and 100%", "Write a share such as 10%.")
        else:
            low, high = {"<": (0.0, numbers[0]), ">=": (numbers[0], 100.0), "between": (numbers[0], numbers[-1])}[node.op]
            if low < high and (low, high) != (0, 100):
                return tree.Bucket(node.salt.text, low, high)
            who = "everybody" if low < high else "nobody"
            hint = "Write '< 10%', '>= 10%' or 'between 10% and 20%', the smaller share first."
            self.refuse(whole, f"this bucket holds {who}", hint)
        return None


def _text(word: syntax.Word | None) -> str | None:
    return None if word is None else word.text


def _numbers(node: syntax.Count | syntax.Aggregate) -> syntax.Node:
    return syntax.Node(node.numbers[0].start, node.numbers[-1].end)
