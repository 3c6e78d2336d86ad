"""A small shop to write rules against: three sources, a handful of events and fields of every type."""

from __future__ import annotations

from typing import Any

import pytest

from segue.catalog import Catalog


def _nullable(avro_type: Any) -> dict[str, Any]:
    return {"type": ["null", avro_type], "default": None}


_PROPERTIES = {
    "product_id": "string",
    "category": "string",
    "price": "double",
    "quantity": "int",
    "gift": "boolean",
    "images": {"type": "array", "items": "string"},
}
_TRACK = {
    "source": "track",
    "topic": "track",
    "order": 1,
    "person": "user_id",
    "event": "event",
    "time": "time",
    "properties": "properties",
    "events": ["Product Viewed", "Product Added", "Product Removed", "Order Completed", "Count"],
    "schema": {
        "type": "record",
        "name": "shop.Track",
        "fields": [
            {"name": "user_id", "type": "string"},
            {"name": "event", "type": "string"},
            {"name": "time", "type": "long"},
            {
                "name": "properties",
                "type": {
                    "type": "record",
                    "name": "Properties",
                    "fields": [{"name": n, **_nullable(t)} for n, t in _PROPERTIES.items()],
                },
            },
        ],
    },
}
_MAIL = {
    "source": "mail",
    "topic": "mail",
    "order": 2,
    "person": "person",
    "event": "event",
    "time": "time",
    "events": ["Email Opened", "Email Clicked"],
    "schema": {
        "type": "record",
        "name": "shop.Mail",
        "fields": [
            {"name": "person", "type": "string"},
            {"name": "event", "type": "string"},
            {"name": "time", "type": "long"},
            {"name": "campaign_id", "type": "string"},
            {"name": "quantity", "type": "string"},
        ],
    },
}
_PROFILE = {
    "source": "profile",
    "topic": "profile",
    "order": 3,
    "person": "person",
    "event": "event",
    "time": "time",
    "events": ["Identify", "Score Updated", "Consent Updated"],
    "traits": {"events": ["Identify"], "fields": ["plan", "age", "member", "badges"]},
    "scores": {"event": "Score Updated", "name": "score_name", "value": "score"},
    "consents": {"event": "Consent Updated", "purpose": "purpose", "granted": "granted"},
    "schema": {
        "type": "record",
        "name": "shop.Profile",
        "fields": [
            {"name": "person", "type": "string"},
            {"name": "event", "type": "string"},
            {"name": "time", "type": "long"},
            {"name": "plan", **_nullable("string")},
            {"name": "age", **_nullable("int")},
            {"name": "member", **_nullable("boolean")},
            {"name": "badges", **_nullable({"type": "array", "items": "string"})},
            {"name": "score_name", **_nullable("string")},
            {"name": "score", **_nullable("double")},
            {"name": "purpose", **_nullable("string")},
            {"name": "granted", **_nullable("boolean")},
        ],
    },
}


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The shop."""
    return Catalog.from_declarations([_TRACK, _MAIL, _PROFILE])


@pytest.fixture(scope="session")
def plain() -> Catalog:
    """A shop whose sources state neither traits nor scores nor consents."""
    return Catalog.from_declarations([_TRACK])
