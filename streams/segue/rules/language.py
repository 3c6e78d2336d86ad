"""The language as one table, and the reference page printed from it.

`FORMS` is all that can be written: the conditions of forms.py and the keys of a rule file. The JSON Schema
(schema.py) takes its descriptions from here, docs/rule-language.md is `reference_markdown()` word for word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from segue import limits
from segue.catalog import Catalog, Field
from segue.rules import forms
from segue.rules.forms import Form

SEGMENT_KEYS: Final = (
    Form(
        "segment",
        "segment: PREFIX_NAME",
        "The name of the segment; a document with it is one.",
        "It begins with one of the prefixes (segment_, behavior_, engagement_, campaign_, demographic_, lifecycle_, score_, "
        "hot_), then small letters, digits and underscores. No two rules have one name.",
        "segment: behavior_high_intent\nwhen: count(product_viewed) >= 5 in the last 7 days\n",
        "Segment",
    ),
    Form(
        "version",
        "version: NUMBER",
        "1, 2, 3 ...; it travels with each change. Without it: 1.",
        "Whoever changes what a rule means must raise it: a rule that changed under its old version is refused "
        "at the start.",
        "segment: behavior_high_intent\nversion: 2\nwhen: count(product_viewed) >= 8 in the last 7 days\n",
        "Segment",
    ),
    Form(
        "title",
        "title: TEXT",
        "A line for people.",
        "It decides nothing.",
        "segment: hot_now\ntitle: Is on the site at this moment\nwhen: did page in the last 5 minutes\n",
        "Segment",
    ),
    Form(
        "owner",
        "owner: TEXT",
        "The team to ask.",
        "It decides nothing.",
        "segment: hot_now\nowner: onsite-team\nwhen: did page in the last 5 minutes\n",
        "Segment",
    ),
    Form(
        "purpose",
        "purpose: NAME",
        "What the segment is used for, such as `email_marketing`; it travels along.",
        "It does not ask for consent by itself; write `and consents to email_marketing` where people must have agreed.",
        "segment: hot_now\npurpose: personalisation\nwhen: did page in the last 5 minutes\n",
        "Segment",
    ),
    Form(
        "tags",
        "tags: [WORD > WORD > WORD, ...]",
        "Paths to find the segment by.",
        "They decide nothing. None may stand there twice.",
        "segment: hot_now\ntags: [behavior > browsing > now, team > onsite]\nwhen: did page in the last 5 minutes\n",
        "Segment",
    ),
    Form(
        "when",
        "when: CONDITION",
        "People are in the segment exactly as long as the condition is true.",
        "A segment has `when`, or `enter` with `exit`, never both.",
        "segment: engagement_email\nwhen: did (email_opened or email_link_clicked) in the last 2 days\n",
        "Segment",
    ),
    Form(
        "enter",
        "enter: CONDITION",
        "People enter when the condition becomes true, and stay until `exit` says so, true or not.",
        "After an exit only later events count towards entering again: the condition starts from nothing. What "
        "is no history of "
        "events (traits, scores, consents, buckets, `first E`, other segments) is not forgotten. While somebody is inside, "
        "nothing enters again.",
        "segment: behavior_cart_abandon\n"
        "enter: product_added then no order_completed within 30 minutes, restarting on product_removed\n"
        "exit: order_completed, or 7 days after entering\n",
        "Segment",
    ),
    Form(
        "exit",
        "exit: E [where F], or E [where F]\nexit: D after entering\nexit: E, or D after entering",
        "What ends the stay: one of the events, or the time after entering, whichever comes first.",
        "It takes events, not conditions. The event that ends the stay does not count towards entering again.",
        "segment: campaign_welcome\nenter: did signed_up\nexit: (unsubscribed or order_completed), or 14 days "
        "after entering\n",
        "Segment",
    ),
    Form(
        "universe",
        "universe: seen in the last D",
        "Of whom the rule speaks at all: people with any event in the last D. It is joined to the condition by `and`.",
        "A rule that is true of somebody without any event (`did not E` by itself, `sum(...) < 5`, a bucket by "
        "itself) needs it, "
        "for there is no end of such people. Who has not been seen for D leaves.",
        "segment: lifecycle_silent\nuniverse: seen in the last 90 days\nwhen: did not order_completed in the last 30 days\n",
        "Segment",
    ),
    Form(
        "attach",
        "attach: [FEATURE, ...]",
        "Features whose values each change of the segment carries, so that whoever writes the email need not ask back.",
        "Values are as of the time of the change, oldest first.",
        "segment: behavior_high_intent\nwhen: count(product_viewed) >= 5 in the last 7 days\nattach: [recent_views]\n",
        "Segment",
    ),
)

FEATURE_KEYS: Final = (
    Form(
        "feature",
        "feature: NAME",
        "The name of a feature: values kept per person that are no segment; a document with it is one.",
        "Small letters, digits and underscores.",
        "feature: recent_views\nkeep: last 20 product_viewed.product_id in the last 7 days\n",
        "Feature",
    ),
    Form(
        "keep",
        "keep: last NUMBER E.FIELD [where F] [in the last D]\nkeep: last NUMBER E.FIELD [where F] [since E [where F]]",
        "The newest so many values of the field: of the window, or since the newest of another event.",
        f"At most {limits.FEATURE_VALUES}. Events whose field is missing take a place but give no value. No other windows.",
        "feature: abandoned_cart\nkeep: last 50 product_added.product_id since order_completed\n",
        "Feature",
    ),
)

SECTIONS: Final = (
    (
        "Conditions over events",
        "What the person did. `WINDOW` is one of the windows below; without one: ever.",
        forms.EVENTS,
    ),
    (
        "Numbers over events",
        (
            "One number of many events. `OP NUMBER` can be `between NUMBER and NUMBER`, both ends included. Of "
            "several events: "
            "`sum((a or b).field) > 3`."
        ),
        forms.AGGREGATES,
    ),
    (
        "Patterns",
        "Two events, one after the other. A window holds the time of the match, not of the events.",
        forms.PATTERNS,
    ),
    (
        "What is known about the person",
        "Stated by sources, not counted from events: these have no window, and no exit makes them forgotten.",
        forms.PEOPLE,
    ),
    ("Joining conditions", "Brackets wherever they help.", forms.JOINED),
    ("Windows", "Which of the events count, as of now. A condition has one window at most.", forms.WINDOWS),
    (
        "Filters",
        (
            "Behind `where`: which events are meant, by their fields. A filter stands behind the event, inside "
            "the brackets or "
            "behind them. **A missing field makes every test false**, `!=` and `not in` too; only `is not known` finds it."
        ),
        forms.FILTERS,
    ),
    (
        "Keys of a segment",
        "One document of a rule file. All but `segment` and `when` (or `enter` and `exit`) can be left out.",
        SEGMENT_KEYS,
    ),
    (
        "Keys of a feature",
        "A document of its own; segments name it under `attach`. It may have a `title`, too.",
        FEATURE_KEYS,
    ),
)
FORMS: Final = tuple(form for _, _, section in SECTIONS for form in section)
KEYS: Final = (*SEGMENT_KEYS, *FEATURE_KEYS)

_TERMS: Final = (
    (
        "**E**, A, B, R",
        (
            "an event: `order_completed`, the producer's `Order Completed` in small letters with underscores. The "
            "name in quotes "
            'works too; an event called like a word of this language needs them: `did "first"`. Several in '
            "brackets are either of "
            "them: `(email_opened or email_link_clicked)`"
        ),
    ),
    ("**FIELD**", "a property of the event, as its contract names it: `price`, `product_id`"),
    ("**F**", 'a filter: `price > 80 and category = "shoes"`'),
    ("**C**", "a condition"),
    (
        "**D**",
        (
            "a duration: `90 seconds`, `30 minutes`, `2 hours`, `7 days`, `2 weeks`. A day is 24 hours. No months "
            f"and years: they differ in length. At most {limits.DURATION_MS // 86_400_000} days"
        ),
    ),
    ("**WINDOW**", "which events count: `in the last 7 days`, `today in Europe/Paris`, `since order_completed`"),
    ("**OP**", "`>=` `>` `=` `!=` `<` `<=`"),
    ("**VALUE**", 'a number, a "text", `true` or `false`. A quote inside a text is `\\"`, a backslash `\\\\`'),
    (
        "**now**",
        (
            "every moment. A condition is a question to the person's history up to now, now included. The answer is kept "
            "up to date, and a change comes at the very moment the answer turns"
        ),
    ),
)
_LIMITS: Final = (
    f"{limits.RULE_FILE_BYTES // 1024} kB a file, {limits.RULE_NODES} conditions and filters a rule, "
    f"{limits.RULE_DEPTH} levels of brackets, {limits.SEGMENTS:,} segments.\n"
    "What a rule keeps of a person is bounded too; `segue check` says what it costs."
)
_CALLED: Final = {"string": "text", "number": "number", "boolean": "true or false", "other": "only `is known`"}

_INTRO: Final = """\
# The rule language

Everything that can be written in a rule, and what it means to the millisecond. To begin, read [rules](rules.md); this page
is printed from the table that the parser is tested against, and its examples run.

A rules folder holds `*.yaml` files. A file is one or more documents, separated by a line `---`; a document is a segment or a
feature. `segue check FOLDER` says everything that is wrong at once, with the place underlined and what to write instead.

```yaml
segment: behavior_cart_abandon
title: Left something in the cart
enter: product_added then no order_completed within 30 minutes, restarting on product_removed
exit: order_completed, or 7 days after entering
attach: [abandoned_cart]
---
feature: abandoned_cart
keep: last 50 product_added.product_id since order_completed
---
segment: hot_lead
when: >
  count(product_viewed) >= 5 in the last 7 days
  and consents to email_marketing
  and not in behavior_cart_abandon
```

## How to read this page

Capitals are yours to fill in, `[brackets]` can be left out.

{terms}
**What is missing passes no test.** A field that an event does not have, a trait nobody stated: every test of it is false,
`!=` and `not in` too. `is not known` asks for it.

**The order of arrival plays no part.** Events count at their own time; one that comes late takes its place
([time](time.md)).

**Limits.** {limits}
"""


def reference_markdown(catalog: Catalog | None = None) -> str:
    """The reference page. With a catalog, its events, fields and traits stand at the end."""
    terms = "".join(f"| {name} | {meaning} |\n" for name, meaning in _TERMS)
    parts = [_INTRO.format(terms=f"| | |\n|---|---|\n{terms}", limits=_LIMITS), _overview()]
    for title, intro, section in SECTIONS:
        parts.append(f"## {title}\n\n{intro}\n")
        parts.extend(_form(form) for form in section)
    if catalog is not None:
        parts.append(_names(catalog))
    return "\n".join(parts)


def _overview() -> str:
    rows = "".join(
        f"| [{title}](#{anchor(title)}) | {' · '.join(f'[{f.name}](#{anchor(f.name)})' for f in section)} |\n"
        for title, _, section in SECTIONS
    )
    return f"| | |\n|---|---|\n{rows}"


def _form(form: Form) -> str:
    """A heading, how it is written, what it means, its edge, an example."""
    language = "yaml" if form in KEYS else "text"
    return (
        f"### {form.name}\n\n```text\n{form.syntax}\n```\n\n{form.meaning}\n\n*Edge:* {form.edge}\n\n"
        f"*Example:*\n\n```{language}\n{form.example.rstrip()}\n```\n"
    )


def anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _names(catalog: Catalog) -> str:
    """What rules may name."""
    lines = ["## Names of the packaged sources\n", "With contracts of your own, these are others.\n"]
    for source in catalog.sources:
        events = ", ".join(f"`{e}`" for e in source.events.values())
        lines.append(f"**{source.name}** has the events {events}. Their fields: {_fields(source.fields)}.\n")
    if catalog.profile.traits:
        lines.append(f"**Traits**: {_fields(catalog.profile.traits)}.\n")
    return "\n".join(lines)


def _fields(fields: Mapping[str, Field]) -> str:
    return ", ".join(f"`{f.name}` ({_CALLED[f.type]})" for f in fields.values())
