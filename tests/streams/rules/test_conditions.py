"""What conditions mean: a table of texts and the trees they become, there and back."""

from __future__ import annotations

import pytest
from tests.streams.rules.reading import condition_of

from segue.catalog import Catalog
from segue.rules import canonical_text, text_of
from segue.rules.canonical import leaf_key
from segue.rules.pretty import KEYWORDS
from segue.rules.tree import (
    Absence,
    Aggregate,
    Ago,
    AllOf,
    And,
    AnyOf,
    Bucket,
    Calendar,
    Compare,
    Condition,
    Consents,
    Count,
    Events,
    First,
    Last,
    NoneOf,
    Not,
    Or,
    Pick,
    Sequence,
    Session,
    SinceEvents,
    SinceTime,
    Trait,
)

_MINUTE, _DAY = 60_000, 86_400_000
_VIEWED, _ADDED, _ORDERED = Events(("product_viewed",)), Events(("product_added",)), Events(("order_completed",))
_GIFT = Compare("gift", "=", (True,))


def _viewed(where: Compare | AllOf | AnyOf | NoneOf) -> Condition:
    return Count(Events(("product_viewed",), where), ">=", 1)


_CONDITIONS: list[tuple[str, Condition]] = [
    ("did product_viewed", Count(_VIEWED, ">=", 1)),
    ('did "Product Viewed" ever', Count(_VIEWED, ">=", 1)),
    ("did product_viewed in the last 90 s", Count(_VIEWED, ">=", 1, window=Last(90_000))),
    ("did product_viewed in the last 2 weeks", Count(_VIEWED, ">=", 1, window=Last(14 * _DAY))),
    ("did product_viewed in the last 1.5 hours", Count(_VIEWED, ">=", 1, window=Last(90 * _MINUTE))),
    ("did (product_viewed or order_completed)", Count(Events(("order_completed", "product_viewed")), ">=", 1)),
    ("did (product_viewed or product_viewed)", Count(_VIEWED, ">=", 1)),
    ("did count", Count(Events(("count",)), ">=", 1)),
    ("not not did product_viewed", Count(_VIEWED, ">=", 1)),
    ("count(product_viewed) >= 5 in the last 7 days", Count(_VIEWED, ">=", 5, window=Last(7 * _DAY))),
    ("count(product_viewed) between 2 and 5", Count(_VIEWED, "between", 2, 5)),
    (
        "count(product_viewed or product_added where gift = true) > 3",
        Count(Events(("product_added", "product_viewed"), _GIFT), ">", 3),
    ),
    ("product_added then no order_completed within 30 minutes", Absence(_ADDED, _ORDERED, 30 * _MINUTE)),
    (
        "product_added then no order_completed within 30 min, restarting on (product_removed or product_viewed)",
        Absence(_ADDED, _ORDERED, 30 * _MINUTE, Events(("product_removed", "product_viewed"))),
    ),
    (
        "product_added where gift = true then no (order_completed where gift = true) within 1 day restarting on count",
        Absence(Events(("product_added",), _GIFT), Events(("order_completed",), _GIFT), _DAY, Events(("count",))),
    ),
    ('did product_viewed where category in ("a", "b")', _viewed(Compare("category", "in", ("a", "b")))),
    ("did product_viewed where price not in (1, 2.5)", _viewed(Compare("price", "not in", (1, 2.5)))),
    ('did product_viewed where category starts with "sho"', _viewed(Compare("category", "starts with", ("sho",)))),
    ("did product_viewed where images is not known", _viewed(NoneOf(Compare("images", "is known", ())))),
    ("did product_viewed where price > -1e3", _viewed(Compare("price", ">", (-1000.0,)))),
    (r'did product_viewed where category = "\"\\"', _viewed(Compare("category", "=", ('"\\',)))),
    # `and` after a filter: a field goes on with the filter, the start of a condition ends it
    ("did product_viewed where gift = true and price > 3", _viewed(AllOf((_GIFT, Compare("price", ">", (3,)))))),
    ("did product_viewed where gift = true and did product_added", And((_viewed(_GIFT), Count(_ADDED, ">=", 1)))),
    (
        "did product_viewed where gift = true and not (did product_added)",
        And((_viewed(_GIFT), Not(Count(_ADDED, ">=", 1)))),
    ),
    (
        "did product_viewed where gift = true or product_added then no order_completed within 1 day",
        Or((_viewed(_GIFT), Absence(_ADDED, _ORDERED, _DAY))),
    ),
    (
        "did product_viewed where gift = true and (product_added or product_viewed) then no count within 1 day",
        And((_viewed(_GIFT), Absence(Events(("product_added", "product_viewed")), Events(("count",)), _DAY))),
    ),
    (
        "did product_viewed where gift = true and count(product_added) >= 2",
        And((_viewed(_GIFT), Count(_ADDED, ">=", 2))),
    ),
    (
        "did product_viewed where price < 9 and not (gift = true and not (price > 3))",
        _viewed(AllOf((Compare("price", "<", (9,)), NoneOf(AllOf((_GIFT, NoneOf(Compare("price", ">", (3,))))))))),
    ),
    (
        "did product_viewed where not (gift = true or price > 3) and price < 9",
        _viewed(AllOf((NoneOf(AnyOf((_GIFT, Compare("price", ">", (3,))))), Compare("price", "<", (9,))))),
    ),
    (
        "did product_viewed and (did product_added and did order_completed)",
        And((Count(_VIEWED, ">=", 1), Count(_ADDED, ">=", 1), Count(_ORDERED, ">=", 1))),
    ),
    (
        "did product_viewed or did product_added and did order_completed",
        Or((Count(_VIEWED, ">=", 1), And((Count(_ADDED, ">=", 1), Count(_ORDERED, ">=", 1))))),
    ),
]

_2026 = 1_767_225_600_000  # 2026-01-01T00:00Z
_WIDE: list[tuple[str, Condition]] = [
    # windows
    ("did product_viewed since 2026-01-01", Count(_VIEWED, ">=", 1, window=SinceTime(_2026))),
    ("did product_viewed since 2026-01-01T00:00Z", Count(_VIEWED, ">=", 1, window=SinceTime(_2026))),
    ("did product_viewed since 2026-01-01T01:30+01:00", Count(_VIEWED, ">=", 1, window=SinceTime(_2026 + 30 * _MINUTE))),
    ("did product_viewed since 2026-01-01T00:00:01.5", Count(_VIEWED, ">=", 1, window=SinceTime(_2026 + 1_500))),
    ("did product_viewed since 1970-01-01", Count(_VIEWED, ">=", 1, window=SinceTime(0))),
    (
        "did product_viewed between 7 days and 30 days ago",
        Count(_VIEWED, ">=", 1, window=Ago(7 * _DAY, 30 * _DAY)),
    ),
    (
        "count(product_viewed) between 2 and 5 between 90 min and 1 day ago",
        Count(_VIEWED, "between", 2, 5, Ago(90 * _MINUTE, _DAY)),
    ),
    ("did not product_viewed since order_completed", Not(Count(_VIEWED, ">=", 1, window=SinceEvents(_ORDERED)))),
    (
        "did product_viewed where price < 9 since order_completed where gift = true and price > 3 and did product_added",
        And(
            (
                Count(
                    Events(("product_viewed",), Compare("price", "<", (9,))),
                    ">=",
                    1,
                    window=SinceEvents(Events(("order_completed",), AllOf((_GIFT, Compare("price", ">", (3,)))))),
                ),
                Count(_ADDED, ">=", 1),
            )
        ),
    ),
    ("did product_viewed today", Count(_VIEWED, ">=", 1, window=Calendar("day", "UTC"))),
    ("did product_viewed today in America/New_York", Count(_VIEWED, ">=", 1, window=Calendar("day", "America/New_York"))),
    ("did product_viewed today in Etc/GMT+5", Count(_VIEWED, ">=", 1, window=Calendar("day", "Etc/GMT+5"))),
    ("count(product_viewed) = 2 this week in Europe/Paris", Count(_VIEWED, "=", 2, None, Calendar("week", "Europe/Paris"))),
    ("did product_viewed in the session with gap 30 minutes", Count(_VIEWED, ">=", 1, window=Session(30 * _MINUTE))),
    # aggregates
    (
        "sum(order_completed.price where gift = true) > 200 since 2026-01-01",
        Aggregate("sum", Events(("order_completed",), _GIFT), "price", ">", (200,), SinceTime(_2026)),
    ),
    (
        "avg((product_viewed or product_added).price) between 2 and 5.5 in the last 7 days",
        Aggregate("avg", Events(("product_added", "product_viewed")), "price", "between", (2, 5.5), Last(7 * _DAY)),
    ),
    ("min(product_viewed.price) < -1.5", Aggregate("min", _VIEWED, "price", "<", (-1.5,))),
    ("max(product_viewed.price) != 0 ever", Aggregate("max", _VIEWED, "price", "!=", (0,))),
    ("sum(product_viewed.price) < 5", Aggregate("sum", _VIEWED, "price", "<", (5,))),
    ("distinct(product_viewed.product_id) >= 3", Aggregate("distinct", _VIEWED, "product_id", ">=", (3,))),
    ("distinct(product_viewed.gift) = 2 today", Aggregate("distinct", _VIEWED, "gift", "=", (2,), Calendar("day", "UTC"))),
    (
        "distinct((product_viewed or order_completed where price > 3).category where gift = true) = 0",
        Aggregate(
            "distinct",
            Events(("order_completed", "product_viewed"), AllOf((Compare("price", ">", (3,)), _GIFT))),
            "category",
            "=",
            (0,),
        ),
    ),
    # one event's field, and the first event
    (
        'last(order_completed where price > 5).category = "x" in the last 7 days',
        Pick("last", Events(("order_completed",), Compare("price", ">", (5,))), "category", "=", ("x",), Last(7 * _DAY)),
    ),
    ("first(order_completed).price >= 3", Pick("first", _ORDERED, "price", ">=", (3,))),
    (
        'first(product_added or product_viewed).category not in ("a", "b") since order_completed',
        Pick(
            "first",
            Events(("product_added", "product_viewed")),
            "category",
            "not in",
            ("a", "b"),
            SinceEvents(_ORDERED),
        ),
    ),
    ("last(order_completed).images is not known", Not(Pick("last", _ORDERED, "images", "is known", ()))),
    (
        'last(order_completed).category starts with "x" today',
        Pick("last", _ORDERED, "category", "starts with", ("x",), Calendar("day", "UTC")),
    ),
    ("first order_completed", First(_ORDERED)),
    (
        "first (order_completed where gift = true) in the last 7 days",
        First(Events(("order_completed",), _GIFT), Last(7 * _DAY)),
    ),
    ("first order_completed where gift = true today", First(Events(("order_completed",), _GIFT), Calendar("day", "UTC"))),
    ("first (order_completed or product_viewed)", First(Events(("order_completed", "product_viewed")))),
    # patterns
    ("product_viewed then order_completed within 3 days", Sequence(_VIEWED, _ORDERED, 3 * _DAY)),
    (
        (
            "product_viewed where gift = true then (order_completed or count where gift = true) within 3 days "
            "with the same product_id in the last 30 days"
        ),
        Sequence(
            Events(("product_viewed",), _GIFT),
            Events(("count", "order_completed"), _GIFT),
            3 * _DAY,
            "product_id",
            Last(30 * _DAY),
        ),
    ),
    (
        "product_added then no order_completed within 1 day, with the same product_id, restarting on count since 2026-01-01",
        Absence(_ADDED, _ORDERED, _DAY, Events(("count",)), "product_id", SinceTime(_2026)),
    ),
    (
        "product_added then no order_completed within 1 day this week",
        Absence(_ADDED, _ORDERED, _DAY, window=Calendar("week", "UTC")),
    ),
    # what is known of the person
    ('trait.plan = "trial"', Trait("trait", "plan", "=", ("trial",))),
    ('trait.plan not in ("a", "b") for 7 days', Trait("trait", "plan", "not in", ("a", "b"), 7 * _DAY)),
    ("trait.age > 17 and trait.age <= 25", And((Trait("trait", "age", ">", (17,)), Trait("trait", "age", "<=", (25,))))),
    ("trait.member = true", Trait("trait", "member", "=", (True,))),
    ("trait.badges is known", Trait("trait", "badges", "is known", ())),
    ("trait.plan is not known", Not(Trait("trait", "plan", "is known", ()))),
    ("not trait.plan is known for 7 days", Not(Trait("trait", "plan", "is known", (), 7 * _DAY))),
    ("score.purchase > 0.8 for 2 hours", Trait("score", "purchase", ">", (0.8,), 120 * _MINUTE)),
    ("consents to email_marketing", Consents("email_marketing")),
    (r'consents to "the \"newsletter\""', Consents('the "newsletter"')),
    ('bucket("salt") < 10%', Bucket("salt", 0, 10)),
    ('bucket("salt") >= 12.5 %', Bucket("salt", 12.5, 100)),
    ('bucket("a b") between 10% and 20%', Bucket("a b", 10, 20)),
    ('bucket("") between 0% and 20%', Bucket("", 0, 20)),
    # a condition begins behind a filter
    *(
        (f"did product_viewed where gift = true and {text}", And((_viewed(_GIFT), meaning)))
        for text, meaning in [
            ("first order_completed in the last 7 days", First(_ORDERED, Last(7 * _DAY))),
            ("first (order_completed)", First(_ORDERED)),
            ("first(order_completed).price > 3", Pick("first", _ORDERED, "price", ">", (3,))),
            ("last(order_completed).price > 3", Pick("last", _ORDERED, "price", ">", (3,))),
            ("sum(order_completed.price) > 3", Aggregate("sum", _ORDERED, "price", ">", (3,))),
            ("distinct(order_completed.price) > 3", Aggregate("distinct", _ORDERED, "price", ">", (3,))),
            ("trait.age > 3", Trait("trait", "age", ">", (3,))),
            ("score.x > 3", Trait("score", "x", ">", (3,))),
            ("consents to x", Consents("x")),
            ('consents to "x"', Consents("x")),
            ('bucket("x") < 5%', Bucket("x", 0, 5)),
            ("product_added then order_completed within 1 day", Sequence(_ADDED, _ORDERED, _DAY)),
            ("not(trait.age > 3)", Not(Trait("trait", "age", ">", (3,)))),
            ("not consents to x", Not(Consents("x"))),
        ]
    ),
    # a filter or a test that ends with a value, then a condition
    (
        "last(order_completed).price > 3 and did product_added",
        And((Pick("last", _ORDERED, "price", ">", (3,)), Count(_ADDED, ">=", 1))),
    ),
    ("trait.age > 3 or first order_completed", Or((Trait("trait", "age", ">", (3,)), First(_ORDERED)))),
]


def test_events_called_like_words_of_the_language() -> None:
    """In quotes every keyword is an event's name, wherever an event can stand, and the printer sets the quotes."""
    names = sorted(KEYWORDS | {"2nd_visit"})
    schema = {
        "type": "record",
        "name": "T",
        "fields": [{"name": n, "type": t} for n, t in (("p", "string"), ("e", "string"), ("t", "long"), ("f", "long"))],
    }
    declaration = {"source": "s", "topic": "s", "order": 1, "person": "p", "event": "e", "time": "t", "schema": schema}
    catalog = Catalog.from_declarations([{**declaration, "events": names}])
    for one, other in zip(names, [*names[1:], names[0]], strict=True):
        a, b = Events((one,)), Events((other,))
        both = Events(tuple(sorted((one, other))), Compare("f", "=", (1,)))
        leaves = [
            Count(a, ">=", 1, window=SinceEvents(b)),
            Count(both, "=", 2),
            First(a),
            Pick("first", both, "f", "=", (1,)),
            Aggregate("sum", a, "f", ">", (1,)),
            Sequence(a, b, 1_000, "f"),
            Absence(a, b, 1_000, both),
        ]
        for leaf in leaves:
            for condition in (leaf, And((Count(both, ">=", 1), leaf)), Or((leaf, Not(leaf)))):
                assert condition_of(text_of(condition), catalog) == condition
    assert condition_of("did first since since and did then", catalog)  # where no keyword fits, none is read


@pytest.mark.parametrize(("text", "meaning"), [*_CONDITIONS, *_WIDE], ids=[t for t, _ in [*_CONDITIONS, *_WIDE]])
def test_condition(text: str, meaning: Condition, catalog: Catalog) -> None:
    """A condition means this tree, and printed it means the same."""
    assert condition_of(text, catalog) == meaning
    assert condition_of(text_of(meaning), catalog) == meaning


@pytest.mark.parametrize(
    "text",
    ["'); import os", "{0.__class__}", "__import__('os').system('id')", "${jndi:x}", "\n", "{{ 7 * 7 }}", "😀", "%s"],
)
def test_literals_stay_data(text: str, catalog: Catalog) -> None:
    """Whatever stands between quotes is the value and nothing else."""
    assert condition_of(f'did product_viewed where category = "{text}"'.replace("\n", "\n  "), catalog) == _viewed(
        Compare("category", "=", (text.replace("\n", "\n  "),))
    )


_SAME = [
    ("did product_viewed and did product_added", "(did product_added) and did product_viewed"),
    ("did product_viewed or did product_viewed", "did product_viewed"),
    ("did (product_viewed or product_added)", "did (product_added or product_viewed) ever"),
    ('did product_viewed where category in ("b", "a", "a")', 'did product_viewed where category in ("a", "b")'),
    ("did product_viewed where price = 5.0", "did product_viewed where price = 5"),
    ("did product_viewed where price > 1 and gift = true", "did product_viewed where gift = true and (price > 1)"),
    ("did product_viewed in the last 24 hours", "did product_viewed in the last 1 day"),
    ("not did product_viewed", "did not product_viewed"),
    ("did product_viewed since 2026-01-01", "did product_viewed since 2026-01-01T01:00+01:00"),
    ("did product_viewed today", "did product_viewed today in UTC"),
    (
        "did product_viewed since (order_completed where gift = true and price > 1)",
        "did product_viewed since order_completed where price > 1.0 and gift = true",
    ),
    ('bucket("x") between 0% and 10%', 'bucket("x") < 10.0 %'),
    ("sum(product_viewed.price) > 5.0", "sum(product_viewed.price) > 5"),
    ('trait.plan in ("b", "a", "b")', 'trait.plan in ("a", "b")'),
    ('last(count).category in ("b", "a")', 'last("count").category in ("a", "b") ever'),
    ("not not consents to x", 'consents to "x"'),
]


@pytest.mark.parametrize(("one", "other"), _SAME)
def test_canonical(one: str, other: str, catalog: Catalog) -> None:
    """Conditions of one meaning, written differently, have one canonical form."""
    assert canonical_text(condition_of(one, catalog)) == canonical_text(condition_of(other, catalog))


def test_a_leaf_and_its_negation_have_one_key(catalog: Catalog) -> None:
    """The key names the leaf: 16 hex digits, the same for what has one canonical form, and for its negation."""
    key = leaf_key(condition_of("did product_viewed", catalog))
    assert key == leaf_key(condition_of("did not product_viewed ever", catalog))
    assert key != leaf_key(condition_of("did product_added", catalog))
    assert len(key) == 16 and int(key, 16) >= 0


def test_canonical_form_of_leaves_is_stable(catalog: Catalog) -> None:
    """The texts and keys of leaves name stored state: a change here makes every state of theirs begin anew."""
    texts = {text: canonical_text(condition_of(text, catalog)) for text, _ in _WIDE[:3]}
    assert set(texts.values()) == {"did product_viewed since 2026-01-01", "did product_viewed since 2026-01-01T00:30:00Z"}
    assert leaf_key(condition_of("did product_viewed", catalog)) == "9a09e8ceb2310ec8"
