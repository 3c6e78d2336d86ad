"""The world the tests are made of: three sources, their events, units of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segue.catalog import Catalog

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
T0 = 1_790_000_000_000


def record(name: str, events: Sequence[str], *more: tuple[str, str]) -> dict[str, object]:
    return {
        "type": "record",
        "name": name,
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "user", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "event", "type": {"type": "enum", "name": name + "Event", "symbols": list(events)}},
            {"name": "item", "type": ["null", "string"]},
            {"name": "price", "type": ["null", "double"]},
            *({"name": field, "type": ["null", kind]} for field, kind in more),
        ],
    }


CATALOG = Catalog.from_declarations(
    [
        {
            "source": "site",
            "topic": "site",
            "schema": record("Site", ["view", "add", "remove", "buy", "idle"]),
            "person": "user",
            "event": "event",
            "time": "at",
            "id": "id",
            "order": 1,
            "lateness": "24 hours",
        },
        {
            "source": "email",
            "topic": "email",
            "schema": record("Email", ["open", "click", "view"]),
            "person": "user",
            "event": "event",
            "time": "at",
            "id": "id",
            "order": 2,
            "lateness": "24 hours",
        },
        {
            "source": "profile",
            "topic": "profile",
            "schema": record(
                "Profile",
                ["identify", "score_updated", "consent_updated"],
                ("plan", "string"),
                ("age", "double"),
                ("score_name", "string"),
                ("score", "double"),
                ("purpose", "string"),
                ("granted", "boolean"),
            ),
            "person": "user",
            "event": "event",
            "time": "at",
            "id": "id",
            "order": 3,
            "lateness": "24 hours",
            "traits": {"events": ["identify"], "fields": ["plan", "age"]},
            "scores": {"event": "score_updated", "name": "score_name", "value": "score"},
            "consents": {"event": "consent_updated", "purpose": "purpose", "granted": "granted"},
        },
    ]
)


DEDUPLICATING = Catalog(tuple(replace(s, deduplicate_ms=DAY) for s in CATALOG.sources))
"""The same, and every source drops what is told twice within a day."""
