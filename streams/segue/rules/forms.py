"""The table of conditions: every leaf, clause and window of the language, with its meaning, its edge and an example.

The reference page is printed from it (language.py), and tests hold it against the grammar: every keyword occurs in a
form, and every example is a condition that parses to the node its form names.
In `syntax`, capitals are what the author fills in and [brackets] what may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Form:
    """One thing that can be written."""

    name: str
    syntax: str
    """one way a line"""
    meaning: str
    edge: str
    """what people ask about: the borders of the meaning"""
    example: str
    """a whole condition, or for a key a whole document"""
    node: str
    """the class of tree.py that the example, its window or its filter becomes"""


EVENTS: Final = (
    Form(
        "did",
        "did E [where F] [WINDOW]",
        "At least one such event lies in the window.",
        "Without a window: ever, as far as the history goes back.",
        'did product_viewed where category = "shoes" in the last 7 days',
        "Count",
    ),
    Form(
        "did not",
        "did not E [where F] [WINDOW]",
        "No such event lies in the window.",
        "By itself it is true of people nobody has ever seen; it then needs `universe`, or a second condition "
        "joined by `and`.",
        "did checkout_started in the last 1 day and did not order_completed since checkout_started",
        "And",
    ),
    Form(
        "count",
        "count(E [where F]) OP NUMBER [WINDOW]\ncount(E [where F]) between NUMBER and NUMBER [WINDOW]",
        "So many such events lie in the window. OP is one of `>=` `>` `=` `!=` `<` `<=`; both ends of "
        "`between` belong to it.",
        "It can become true by time alone, as events leave the window: `= 2` after there were three. NUMBER "
        "goes up to 1000.",
        "count(product_viewed where price >= 50) >= 3 in the last 24 hours",
        "Count",
    ),
    Form(
        "first E",
        "first E [where F] [WINDOW]",
        "The very first such event of the person lies in the window: who is new.",
        "It is the first one ever, not the first in the window. Not with `since E` and not with a session. No "
        "exit resets it.",
        "first order_completed in the last 7 days",
        "First",
    ),
    Form(
        "last( ).field",
        "last(E [where F]).FIELD TEST [WINDOW]",
        "The newest such event in the window has a field that passes the test. TEST is what can stand behind a "
        "field in a filter.",
        "Only that one event is asked: if its field is missing, or there is no event, every test is false. To "
        "ask the newest of "
        "some, put the filter into the brackets.",
        'last(order_completed where total > 5).country = "FR"',
        "Pick",
    ),
    Form(
        "first( ).field",
        "first(E [where F]).FIELD TEST [WINDOW]",
        "The same of the oldest such event in the window.",
        "With a window it is the oldest one in the window, not the first ever.",
        'first(page).utm_source = "newsletter"',
        "Pick",
    ),
)

_NOTHING: Final = "Events whose field is missing take no part. Of no event at all it is false, whatever it is compared with."
AGGREGATES: Final = (
    Form(
        "sum",
        "sum(E.FIELD [where F]) OP NUMBER [WINDOW]",
        "The field's values over the window's events, added up, compare so.",
        "Events whose field is missing take no part. Of no event at all the sum is 0. The field must be a number.",
        'sum(order_completed.total where country = "US") > 200 since 2026-01-01',
        "Aggregate",
    ),
    Form(
        "avg",
        "avg(E.FIELD [where F]) OP NUMBER [WINDOW]",
        "The mean of the values compares so.",
        _NOTHING,
        "avg(order_completed.total) between 20 and 50 in the last 365 days",
        "Aggregate",
    ),
    Form(
        "min",
        "min(E.FIELD [where F]) OP NUMBER [WINDOW]",
        "The smallest of the values compares so.",
        _NOTHING,
        "min(product_viewed.price) >= 100 in the last 30 days",
        "Aggregate",
    ),
    Form(
        "max",
        "max(E.FIELD [where F]) OP NUMBER [WINDOW]",
        "The largest of the values compares so.",
        _NOTHING,
        "max((product_viewed or product_added).price) < 20 in the last 30 days",
        "Aggregate",
    ),
    Form(
        "distinct",
        "distinct(E.FIELD [where F]) OP NUMBER [WINDOW]",
        "The number of different values compares so. The field may be a text, a number, or true and false.",
        "A missing field is no value. 10 and 10.0 are one value; texts differ by case. Of no event the number is 0.",
        "distinct(product_viewed.product_id) >= 3 in the last 7 days",
        "Aggregate",
    ),
)

PATTERNS: Final = (
    Form(
        "A then B",
        "A [where F] then B [where F] within D [with the same FIELD] [WINDOW]",
        "B came after an A, less than D later. That is a match, at the time of B. True from a match on: with a "
        "window for as "
        "long as the newest match lies in it, without one for ever.",
        "A must be earlier than B in time: at the same millisecond there is no match, and at exactly D there is none.",
        "product_viewed then order_completed within 3 days in the last 30 days",
        "Sequence",
    ),
    Form(
        "A then no B",
        "A [where F] then no B [where F] within D [with the same FIELD] [, restarting on R [where F]] [WINDOW]",
        "D has passed since A without a B. That is a match, at the time of A + D. Each further A starts D "
        "again. True from the "
        "match until the next B, or until the match leaves the window.",
        "A B at exactly A + D is too late to prevent the match, and takes it back at once.",
        "product_added then no order_completed within 1 day in the last 7 days",
        "Absence",
    ),
    Form(
        "with the same",
        "with the same FIELD",
        "The pattern holds for each value of the field by itself: this product was viewed and this product was bought.",
        "All events of the pattern must have the field, with one type. An event whose field is missing takes "
        "no part: nothing "
        "equals nothing is not a match.",
        "product_viewed then order_completed within 3 days with the same product_id",
        "Sequence",
    ),
    Form(
        "restarting on",
        "[,] restarting on R [where F]",
        "While the clock of `then no` runs, each R starts it again.",
        "An R does not start a clock that does not run: only an A does. It stands behind `with the same`.",
        "product_added then no order_completed within 2 hours with the same cart_id, restarting on product_removed",
        "Absence",
    ),
)

PEOPLE: Final = (
    Form(
        "trait",
        "trait.NAME TEST\ntrait.NAME is known\ntrait.NAME is not known",
        "The newest value that was stated of the person passes the test. TEST is what can stand behind a field in a filter.",
        "Newest by the time of the statement, not of its arrival. While nothing was stated, every test is false, `!=` and "
        "`not in` too: ask `is not known` if you want these people.",
        'trait.country in ("FR", "BE") and trait.email is known',
        "And",
    ),
    Form(
        "for",
        "trait.NAME TEST for D\nscore.NAME TEST for D",
        "The test has been true without a break for D or longer.",
        "A statement of the same truth is no break: 'trial' stated again goes on. It becomes true at exactly D.",
        'trait.plan = "trial" for 7 days',
        "Trait",
    ),
    Form(
        "score",
        "score.NAME TEST",
        "The newest value of the score, as a model sent it, passes the test. Any name can be asked for.",
        "While there is none, every test is false. A misspelt name is simply never known: names of scores are not declared.",
        "score.purchase > 0.8 and did product_viewed in the last 7 days",
        "And",
    ),
    Form(
        "consents to",
        "consents to PURPOSE",
        "The newest decision of the person about the purpose is a grant.",
        "Of decisions in the same millisecond a withdrawal wins. Without any decision it is false.",
        "consents to email_marketing",
        "Consents",
    ),
    Form(
        "bucket",
        'bucket("SALT") < P%\nbucket("SALT") >= P%\nbucket("SALT") between P% and P%',
        "The person belongs to this share of all people, picked by a hash of the salt and the person: hold-outs and tests.",
        "The same person and salt give the same share for ever; another salt deals everybody anew. The lower end belongs to "
        "`between`, the upper does not: 0% to 10% and 10% to 20% have nobody in common.",
        'bucket("spring test") >= 10% and did signed_up in the last 30 days',
        "And",
    ),
    Form(
        "in a segment",
        "in SEGMENT\nnot in SEGMENT",
        "The person is in that segment at this moment.",
        "Segments that need each other in a circle are refused. `not in` by itself needs `universe`.",
        "in behavior_high_intent and did email_opened in the last 2 days",
        "And",
    ),
)

JOINED: Final = (
    Form(
        "and",
        "C and C",
        "Both are true.",
        "`and` binds closer than `or`: `a or b and c` is `a or (b and c)`.",
        "did page between 30 days and 90 days ago and did not page in the last 30 days",
        "And",
    ),
    Form(
        "or",
        "C or C",
        "At least one of them is true.",
        "Behind a filter, `or` and `and` go on with the filter if a field and its test follow, else with the "
        "next condition.",
        "did signed_up in the last 7 days or did signed_in in the last 1 day",
        "Or",
    ),
    Form(
        "not",
        "not C\nnot (C and C)",
        "It is not true.",
        'What is unknown is false, so its `not` is true: `not trait.country = "FR"` holds for people without a country, '
        '`trait.country != "FR"` does not.',
        "not in behavior_high_intent",
        "Not",
    ),
)

WINDOWS: Final = (
    Form(
        "in the last",
        "in the last D",
        "From D ago until now.",
        "An event leaves at exactly its time + D. Days are 24 hours, not days of the calendar.",
        "did order_completed in the last 7 days",
        "Last",
    ),
    Form(
        "between ... ago",
        "between D and D ago",
        "From the longer time ago until the shorter time ago. The shorter one comes first.",
        "An event comes in at exactly its time + the shorter and leaves at its time + the longer, by time alone.",
        "count(product_viewed) >= 2 between 540 days and 720 days ago",
        "Ago",
    ),
    Form(
        "since a date",
        "since YEAR-MONTH-DAY\nsince YEAR-MONTH-DAYTHOUR:MINUTE[:SECOND][+HOUR:MINUTE or Z]",
        "From that instant on; the instant itself belongs to it.",
        "A date is midnight UTC, and a time is UTC, unless it says by how much it is ahead, as in `2026-01-01T00:00+01:00`.",
        "sum(order_completed.total) >= 1000 since 2026-01-01",
        "SinceTime",
    ),
    Form(
        "since an event",
        "since E [where F]",
        "What came after the newest E.",
        "If there was no E, everything. Events of the same millisecond come in the order of the history: by source, then as "
        "written there. Not for patterns and `first E`.",
        "count(product_added) >= 3 since order_completed",
        "SinceEvents",
    ),
    Form(
        "today",
        "today [in ZONE]",
        "Since midnight, where the zone is.",
        "ZONE is a name such as Europe/Paris or America/New_York; without one it is UTC. A day has 23 or 25 hours when the "
        "clocks change. At midnight everything leaves at once.",
        "did email_link_clicked today in Europe/Paris",
        "Calendar",
    ),
    Form(
        "this week",
        "this week [in ZONE]",
        "Since midnight from Sunday to Monday, where the zone is.",
        "Weeks begin on Monday. There is no 'this month': months differ in length; write `in the last 30 days`.",
        "distinct(order_completed.order_id) >= 2 this week in Europe/Paris",
        "Calendar",
    ),
    Form(
        "in the session",
        "in the session with gap D",
        "The newest run of these very events in which no two neighbours are D or more apart.",
        "It ends when D has passed since its newest event. Only the events of the condition itself, filter "
        "included, make and "
        "keep up the session. Not for patterns and `first E`.",
        "count(product_viewed) >= 5 in the session with gap 30 minutes",
        "Session",
    ),
    Form(
        "ever",
        "ever",
        "All of the history; the same as no window.",
        "The history begins where the topics do.",
        "did order_refunded ever",
        "None",
    ),
)

FILTERS: Final = (
    Form(
        "equal or not",
        'FIELD = "text"\nFIELD != NUMBER\nFIELD = true\nFIELD = false',
        "The field is this value, or is another one.",
        "Texts must agree letter by letter, case included. A missing field is neither.",
        'did product_viewed where category = "shoes"',
        "Compare",
    ),
    Form(
        "larger, smaller",
        "FIELD > NUMBER",
        "The number is larger, at least as large, smaller, at most as large.",
        "Only numbers have an order. For a range write it twice: `price >= 3 and price <= 5`.",
        "did order_completed where total >= 100 in the last 90 days",
        "Compare",
    ),
    Form(
        "in and not in",
        "FIELD in (VALUE, VALUE, ...)\nFIELD not in (VALUE, VALUE, ...)",
        "The field is one of the values, or is known and none of them.",
        "A missing field is not `not in`.",
        'did product_viewed where brand not in ("Acme", "Umbra")',
        "Compare",
    ),
    Form(
        "contains, starts with",
        'FIELD contains "text"\nFIELD starts with "text"',
        "The text has this part in it, or at its beginning.",
        "Case counts. There are no patterns with stars and no regular expressions.",
        'did page where path starts with "/blog/"',
        "Compare",
    ),
    Form(
        "is known",
        "FIELD is known\nFIELD is not known",
        "The field has a value, or has none.",
        "The only test a list or a record can be put to, and the only one that is true of a missing field.",
        "did order_completed where coupon is not known",
        "NoneOf",
    ),
    Form(
        "and, or, not",
        "where F and F\nwhere F or F\nwhere not F\nwhere (F or F) and F",
        "Filters are joined like conditions.",
        'A missing field makes the test false and so its `not` true: `not brand = "Acme"` takes events without a brand.',
        'did product_viewed where (category = "shoes" or category = "boots") and price > 80',
        "AllOf",
    ),
)
