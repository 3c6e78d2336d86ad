"""Every form of the language, at its edges: a rule, a plain history of one person, when she is in."""

from __future__ import annotations

from tests.streams.engine.world import MINUTE

Row = tuple[float, str] | tuple[float, str, dict[str, object]]
"""(minutes after T0, event, its fields)"""


MS = 1 / MINUTE
VIEWS: list[Row] = [(0, "view"), (10, "view"), (10, "view"), (50, "view")]
PRICES: list[Row] = [(0, "buy", {"price": 10.0, "item": "a"}), (1, "buy"), (2, "buy", {"price": 20.0, "item": "b"})]
A_VIEW: list[Row] = [(0, "view")]

FORMS: list[tuple[str, list[Row], dict[float, bool]]] = [
    # windows
    ("did view in the last 1 hour", A_VIEW, {-MS: False, 0: True, 60 - MS: True, 60: False}),
    ("did view between 10 minutes and 1 hour ago", A_VIEW, {10 - MS: False, 10: True, 60 - MS: True, 60: False}),
    ("did view since 2026-09-21T14:13:20Z", A_VIEW, {0: True, 99: True}),
    ("did view since 2026-09-21T14:13:20.001Z", A_VIEW, {0: False, 99: False}),
    ("count(view) >= 2 since buy", [(0, "view"), (1, "buy"), (1, "view"), (2, "view")], {1: False, 2: True}),
    ("count(view) = 1 since buy", A_VIEW, {0: True}),
    ("count(view) = 2 in the session with gap 10 minutes", VIEWS, {10: True, 20 - MS: True, 20: False, 50: False}),
    ("count(view) = 4 in the session with gap 41 minutes", VIEWS, {50: True, 91 - MS: True, 91: False}),
    ("did view today", A_VIEW, {0: True, 586: True, 587: False}),  # T0 is 14:13:20
    ("did view today in Europe/Paris", A_VIEW, {466: True, 467: False}),
    ("did view this week", A_VIEW, {9_000: True, 9_227: False}),  # a Monday
    # counts
    ("count(view) >= 4", VIEWS, {10: False, 50: True}),
    ("count(view) between 2 and 3", VIEWS, {0: False, 10: True, 50: False}),
    ("count(view or add) != 1", VIEWS, {-1: False, 0: False, 10: True}),
    ("did not view in the last 1 hour", [(0, "view"), (70, "idle")], {59: False, 60: True}),
    # filters
    ('did (view where item = "a")', [(0, "view", {"item": "a"}), (1, "view", {"item": None})], {0: True}),
    ('did (view where item != "a")', [(0, "view"), (1, "view", {"item": "b"})], {0: False, 1: True}),
    ('did (view where not item = "a")', [(0, "view"), (1, "view", {"item": "a"})], {0: True}),
    ('did (view where item not in ("a", "b"))', [(0, "view"), (1, "view", {"item": "c"})], {0: False, 1: True}),
    ('did (view where item contains "%")', [(0, "view", {"item": "ab"}), (1, "view", {"item": "a%"})], {0: False, 1: True}),
    ('did (view where item starts with "_")', [(0, "view", {"item": "a"}), (1, "view", {"item": "_"})], {0: False, 1: True}),
    ('did (view where item starts with "")', [(0, "view"), (1, "view", {"item": ""})], {0: False, 1: True}),
    ("did (buy where price > 9.5 and price <= 10)", PRICES, {0: True}),
    ("did (buy where item is not known)", PRICES, {0: False, 1: True}),
    ("did (consent_updated where granted = false)", [(0, "consent_updated", {"granted": False})], {0: True}),
    # aggregates
    ("sum(buy.price) = 30", PRICES, {0: False, 2: True}),
    ("sum(buy.price) = 0", [(0, "view")], {0: True}),
    ("avg(buy.price) = 15", PRICES, {0: False, 2: True}),
    ("avg(buy.price) <= 100", [(0, "view"), (1, "buy")], {0: False, 1: False}),
    ("min(buy.price) = 10", PRICES, {0: True, 2: True}),
    ("max(buy.price) between 11 and 20", PRICES, {0: False, 2: True}),
    ("max(buy.price) < 15 in the last 1 hour", PRICES, {1: True, 2: False, 61: False}),
    ("distinct(buy.item) = 2", PRICES, {1: False, 2: True}),
    ("sum(buy.price) > 0.3", [(i, "buy", {"price": 0.1}) for i in range(3)], {1: False, 2: True}),
    # picks
    ('last(view).item = "b"', [(0, "view", {"item": "b"}), (1, "view")], {0: True, 1: False}),
    ('last(view).item != "b"', [(0, "view", {"item": "a"}), (0, "view", {"item": "b"})], {0: False}),
    ('first(view).item = "a" in the last 1 hour', [(0, "view"), (5, "view", {"item": "a"})], {5: False, 60: True}),
    ('first(view where item is known).item = "a"', [(0, "view"), (5, "view", {"item": "a"})], {5: True}),
    ("first view in the last 1 hour", VIEWS, {50: True, 60: False}),
    ("first view", VIEWS, {-1: False, 99: True}),
    # A then B
    ("view then buy within 5 minutes", [(0, "view"), (5 - MS, "buy")], {4: False, 5: True, 999: True}),
    ("view then buy within 5 minutes", [(0, "view"), (5, "buy")], {5: False}),
    ("view then buy within 5 minutes", [(0, "view"), (0, "buy")], {0: False}),
    ("view then view within 5 minutes", [(0, "view"), (1, "view")], {0: False, 1: True}),
    (
        "view then buy within 5 minutes with the same item in the last 1 hour",
        [(0, "view", {"item": "a"}), (1, "view"), (2, "buy"), (3, "buy", {"item": "a"})],
        {2: False, 3: True, 63: False},
    ),
    # A then no B
    ("add then no buy within 30 minutes", [(0, "add")], {30 - MS: False, 30: True, 999: True}),
    ("add then no buy within 30 minutes", [(0, "add"), (30 - MS, "buy")], {30: False}),
    ("add then no buy within 30 minutes", [(0, "add"), (30, "buy")], {30 - MS: False, 30: False}),
    ("add then no buy within 30 minutes", [(0, "add"), (30 + MS, "buy")], {30: True, 31: False}),
    ("add then no buy within 30 minutes", [(0, "add"), (10, "add")], {30: False, 40: True}),
    ("add then no buy within 30 minutes", [(0, "add"), (31, "add"), (32, "buy")], {31: True, 32: False, 61: False}),
    ("add then no buy within 30 minutes, restarting on remove", [(0, "add"), (10, "remove")], {30: False, 40: True}),
    ("add then no buy within 30 minutes, restarting on remove", [(0, "remove")], {30: False}),
    ("add then no buy within 30 minutes, restarting on remove", [(0, "add"), (1, "buy"), (2, "remove")], {60: False}),
    ("add then no buy within 30 minutes, restarting on remove", [(0, "add"), (30, "remove"), (40, "remove")], {30: True}),
    (
        "add then no buy within 30 minutes, restarting on remove in the last 10 minutes",
        [(0, "add"), (20, "remove"), (45, "remove"), (76, "remove")],
        {74: False, 75: True, 85 - MS: True, 85: False, 106: False},
    ),
    ("add then no buy within 30 minutes in the last 5 minutes", [(0, "add"), (31, "add")], {34: True, 35: False, 61: True}),
    (
        "add then no buy within 30 minutes with the same item",
        [(0, "add", {"item": "a"}), (1, "add", {"item": "b"}), (2, "add"), (3, "buy", {"item": "a"})],
        {30: False, 31: True},
    ),
    # what is known of people
    ('trait.plan != "a"', [(0, "identify", {"age": 3.0}), (1, "identify", {"plan": "b"})], {0: False, 1: True}),
    ('trait.plan = "b"', [(0, "identify", {"plan": "b"}), (1, "identify", {"age": 3.0})], {1: True}),
    (
        "trait.age > 18 for 1 hour",
        [(0, "identify", {"age": 20.0}), (30, "identify", {"age": 30.0}), (90, "identify", {"age": 3.0})],
        {60 - MS: False, 60: True, 90 - MS: True, 90: False},
    ),
    ("score.p > 0.5", [(0, "score_updated", {"score_name": "q", "score": 0.9})], {0: False}),
    ("score.p > 0.5", [(0, "score_updated", {"score_name": "p", "score": 0.9})], {0: True}),
    (
        "consents to mail",
        [(0, "consent_updated", {"purpose": "mail", "granted": True}), (1, "consent_updated", {"purpose": "mail"})],
        {1: True},
    ),
    (
        "consents to mail",
        [(0, "consent_updated", {"purpose": "mail", "granted": x}) for x in (False, True)],
        {0: False},
    ),
    # together
    ("universe: seen in the last 1 hour\nwhen: did not buy", A_VIEW, {0: True, 60 - MS: True, 60: False}),
    ("did view and (did buy or not did add)", [(0, "view"), (1, "add"), (2, "buy")], {0: True, 1: False, 2: True}),
    # enter and exit
    ("enter: did view\nexit: buy", [(0, "view"), (1, "buy"), (2, "buy"), (3, "view")], {0: True, 2: False, 3: True}),
    ("enter: did (view or buy)\nexit: buy", [(0, "buy"), (1, "buy")], {0: True, 1: False}),
    ("enter: did view\nexit: 1 hour after entering", [(0, "view"), (30, "view"), (60, "view")], {60 - MS: True, 60: True}),
    ("enter: did view\nexit: 1 hour after entering", [(0, "view"), (30, "view")], {60: False, 200: False}),
    (
        "enter: did view\nexit: buy, or 1 hour after entering",
        [(0, "view"), (1, "buy"), (2, "view"), (61, "idle")],
        {1: False, 2: True, 62 - MS: True, 62: False},
    ),
    ("enter: did view in the last 1 hour\nexit: buy", A_VIEW, {9_999: True}),
    # what is no history of the segment is not reset by its exit; it stays true and does not rise
    ("enter: first view and count(view) < 3\nexit: buy", [(0, "view"), (1, "buy"), (2, "view")], {0: True, 2: False}),
    (
        "enter: add then no buy within 30 minutes\nexit: click",
        [(0, "add"), (10, "click"), (30, "click"), (31, "add")],
        {29: False, 30: False, 61: True},
    ),
]
"""(a condition or the lines of a file, events, whether she is in so many minutes after T0)"""


def file_of(rule: str) -> str:
    """The rule file of a form; a condition is of everybody who was ever seen."""
    lines = rule if rule.startswith(("enter", "universe")) else f"universe: seen in the last 1000 days\nwhen: {rule}"
    return f"segment: segment_x\n{lines}\n"
