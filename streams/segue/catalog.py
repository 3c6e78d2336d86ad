"""Sources, event names, fields and their types, as the contracts declare them.

A *declaration* is the dict of one `schemas/sources/*.yaml` file whose `schema` has been replaced by
the Avro schema itself. The loader that reads the files lives with them (`segue_schemas`); this module
only gives them meaning, so that rules can be checked and bytes be decoded against the same thing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from segue.errors import ContractError
from segue.limits import DURATION_MS

FieldType = Literal["string", "number", "boolean", "other"]

_DURATION = re.compile(r"(\d+)\s*(ms|s|second|minute|hour|day)s?$")
_UNIT_MS = {"ms": 1, "s": 1_000, "second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


def snake_case(name: str) -> str:
    """`Product Viewed` -> `product_viewed`: how rules write a producer's event name."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def duration_ms(text: str) -> int:
    """`24 hours` -> 86_400_000. Raises ContractError."""
    found = _DURATION.match(text.strip())
    if not found:
        raise ContractError(f"{text!r} is not a duration.", "Write a number and a unit, as in '24 hours'.")
    return int(found[1]) * _UNIT_MS[found[2]]


@dataclass(frozen=True, slots=True)
class Field:
    """A property of an event: where it lies in the record, and what it can be compared with."""

    name: str
    path: tuple[str, ...]
    """record fields from the root, e.g. ("product_id",) or ("properties", "product_id")"""
    type: FieldType


@dataclass(frozen=True, slots=True)
class Profile:
    """Where traits, scores and consent decisions are stated: events and fields of one source, None where it has none."""

    trait_events: tuple[str, ...] = ()
    """snake_case; each of their `traits` that is not null is stated anew"""
    traits: Mapping[str, Field] = field(default_factory=dict)
    score_event: str | None = None
    score_name: str = ""
    """the field that names the score"""
    score: str = ""
    consent_event: str | None = None
    consent_purpose: str = ""
    """the field that names the purpose"""
    consent_granted: str = ""
    """the boolean field"""


@dataclass(frozen=True, slots=True)
class Source:
    """One input topic with its contract."""

    name: str
    topic: str
    order: int
    """1..14: at equal times the source of the lower order comes first"""
    schema: Mapping[str, Any]
    """Avro, as parsed JSON"""
    person: tuple[str, ...]
    """field names; the first that is neither null nor empty must say what the record's key says, byte for byte. If none
    does the key stands"""
    event: str
    time: str
    id: str | None
    lateness_ms: int
    events: Mapping[str, str]
    """raw event name -> snake_case name"""
    fields: Mapping[str, Field]
    """property name -> field; the same for all events of the source"""
    profile: Profile | None = None
    retention_ms: int | None = None
    """how long the topic keeps events; None: not stated, taken to be for ever"""
    deduplicate_ms: int | None = None
    """records of one person and id whose times are at most so far apart are one event; None: each is its own"""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All sources, ordered; and what rules may name."""

    sources: tuple[Source, ...]

    @classmethod
    def from_declarations(cls, declarations: Iterable[Mapping[str, Any]]) -> Catalog:
        """Raises ContractError, naming the source, for anything missing, unknown or contradictory."""
        sources = tuple(sorted((_source(d) for d in declarations), key=lambda s: s.order))
        for attribute in ("name", "topic", "order"):
            seen = [getattr(s, attribute) for s in sources]
            for value in seen:
                if seen.count(value) > 1:
                    raise ContractError(f"Two sources share the {attribute} {value!r}.", "Give each its own.")
        if not sources:
            raise ContractError("No source is declared.", "Add a file to schemas/sources/.")
        if len(stating := [s.name for s in sources if s.profile is not None]) > 1:
            raise ContractError(
                f"The sources {' and '.join(stating)} both declare traits, scores or consents.",
                "Let one source state what is known about people.",
            )
        return cls(sources)

    @property
    def profile(self) -> Profile:
        """Where traits, scores and consents are stated; an empty one if no source does."""
        return next((s.profile for s in self.sources if s.profile is not None), Profile())

    def source_indexes(self, event: str) -> tuple[int, ...]:
        """Indexes of the sources that know the snake_case event."""
        return tuple(i for i, s in enumerate(self.sources) if event in s.events.values())

    def event_names(self) -> tuple[str, ...]:
        """All snake_case event names, sorted."""
        return tuple(sorted({e for s in self.sources for e in s.events.values()}))

    def suggest(self, event: str) -> str | None:
        """The known event name nearest to a misspelt one."""
        near = difflib.get_close_matches(event, self.event_names(), n=1)
        return near[0] if near else None

    def fields_of(self, event: str) -> Mapping[str, Field]:
        """Property name -> Field of an event (of all its sources together)."""
        return {n: f for i in self.source_indexes(event) for n, f in self.sources[i].fields.items()}


_KEYS = {
    "source",
    "topic",
    "schema",
    "person",
    "event",
    "time",
    "id",
    "order",
    "lateness",
    "properties",
    "events",
    "owner",
    "version",
    "title",
    "retention",
    "deduplicate",
    "traits",
    "scores",
    "consents",
}


def _source(d: Mapping[str, Any]) -> Source:
    name = d.get("source", "?")
    for key in ("source", "topic", "schema", "person", "event", "time", "order"):
        if key not in d:
            raise ContractError(f"Source {name!r} lacks {key!r}.", f"Add '{key}:' to its declaration.")
    for key in d:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise ContractError(
                f"Source {name!r} has the unknown key {key!r}.",
                f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(_KEYS))}.",
            )
    if not 1 <= int(d["order"]) <= 14:
        raise ContractError(f"Source {name!r}: order {d['order']} is not within 1..14.", "Choose another.")
    schema = d["schema"]
    columns = {f["name"]: f["type"] for f in schema["fields"]}
    properties = d.get("properties")
    person = tuple(p.strip() for p in str(d["person"]).split(" or "))
    special = {*person, d["event"], d["time"], d.get("id")}
    for used in special - {None}:
        if used not in columns:
            raise ContractError(
                f"Source {name!r} names the field {used!r}, which its schema {schema['name']} lacks.",
                f"Its fields are {', '.join(columns)}.",
            )
    for used in person:
        if field_type(columns[used]) not in ("string", "number"):
            raise ContractError(
                f"Source {name!r}: the field {used!r} cannot name a person: it is neither text nor a number.",
                "Name a field that holds what the key of the record holds.",
            )
    if properties:
        if properties not in columns:
            raise ContractError(f"Source {name!r}: no field {properties!r} holds properties.", "Check 'properties:'.")
        record = next(t for t in _branches(columns[properties]) if isinstance(t, Mapping))
        fields = {f["name"]: Field(f["name"], (properties, f["name"]), field_type(f["type"])) for f in record["fields"]}
    else:
        fields = {n: Field(n, (n,), field_type(t)) for n, t in columns.items() if n not in special}
    events = _events(d, columns[d["event"]])
    return Source(
        name=name,
        topic=d["topic"],
        order=int(d["order"]),
        schema=schema,
        person=person,
        event=d["event"],
        time=d["time"],
        id=d.get("id"),
        lateness_ms=duration_ms(str(d.get("lateness", "24 hours"))),
        events=events,
        fields=fields,
        profile=_profile(d, events, fields),
        retention_ms=duration_ms(str(d["retention"])) if "retention" in d else None,
        deduplicate_ms=_deduplicate_ms(d, columns),
    )


def _deduplicate_ms(d: Mapping[str, Any], columns: Mapping[str, Any]) -> int | None:
    """`deduplicate` of a declaration. Below the lateness an id could be used again while copies may still come."""
    if "deduplicate" not in d:
        return None
    source, within_ms = d["source"], duration_ms(str(d["deduplicate"]))
    lateness = str(d.get("lateness", "24 hours"))
    if d.get("id") is None:
        raise ContractError(
            f"Source {source!r} has 'deduplicate' but does not say which field is the id.", "Add 'id:', or remove it."
        )
    kinds = {t.get("type") if isinstance(t, Mapping) else t for t in _branches(columns[d["id"]])}
    if not kinds - {"null"} or not kinds <= {"null", "string", "int", "long"}:
        raise ContractError(
            f"Source {source!r} has 'deduplicate', and its id {d['id']!r} is neither a string nor a whole number.",
            "Name another field in 'id:', or remove 'deduplicate:'.",
        )
    if not duration_ms(lateness) <= within_ms <= DURATION_MS:
        raise ContractError(
            f"Source {source!r}: 'deduplicate: {d['deduplicate']}' is less than its lateness of {lateness}, or more than "
            f"{DURATION_MS // 86_400_000} days.",
            "A copy may come as late as any event: write at least the lateness.",
        )
    return within_ms


def _profile(d: Mapping[str, Any], events: Mapping[str, str], fields: Mapping[str, Field]) -> Profile | None:
    """`traits`, `scores` and `consents` of a declaration."""
    traits, scores, consents = (d.get(key) for key in ("traits", "scores", "consents"))
    if traits is None and scores is None and consents is None:
        return None

    def event(part: str, raw: Any) -> str:
        if raw not in events:
            raise ContractError(
                f"Source {d['source']!r}: {part!r} names the event {raw!r}, which it does not have.",
                f"Its events are {', '.join(events)}.",
            )
        return events[raw]

    def known(part: str, name: Any) -> str:
        if name not in fields:
            raise ContractError(
                f"Source {d['source']!r}: {part!r} names the field {name!r}, which it does not have.",
                f"Its fields are {', '.join(fields)}.",
            )
        return str(name)

    for part, held, keys in (
        ("traits", traits, {"events", "fields"}),
        ("scores", scores, {"event", "name", "value"}),
        ("consents", consents, {"event", "purpose", "granted"}),
    ):
        if held is not None and (not isinstance(held, Mapping) or set(held) != keys):
            raise ContractError(
                f"Source {d['source']!r}: {part!r} needs exactly the keys {', '.join(sorted(keys))}.", "Add them."
            )
    found = Profile()
    if traits:
        found = replace(
            found,
            trait_events=tuple(sorted(event("traits", e) for e in traits["events"])),
            traits={known("traits", n): fields[n] for n in traits["fields"]},
        )
    if scores:
        name, value = known("scores", scores["name"]), known("scores", scores["value"])
        found = replace(found, score_event=event("scores", scores["event"]), score_name=name, score=value)
    if consents:
        purpose, granted = known("consents", consents["purpose"]), known("consents", consents["granted"])
        found = replace(
            found,
            consent_event=event("consents", consents["event"]),
            consent_purpose=purpose,
            consent_granted=granted,
        )
    return found


def _events(d: Mapping[str, Any], event_type: Any) -> dict[str, str]:
    listed = d.get("events")
    if listed is None:
        enum = next((t for t in _branches(event_type) if isinstance(t, Mapping) and t.get("type") == "enum"), None)
        if enum is None:
            raise ContractError(
                f"Source {d['source']!r} does not say which events it has.",
                "List them under 'events:', or make the event field an Avro enum.",
            )
        listed = enum["symbols"]
    return {str(raw): snake_case(str(raw)) for raw in listed}


def _branches(avro_type: Any) -> list[Any]:
    return list(avro_type) if isinstance(avro_type, list) else [avro_type]


def field_type(avro_type: Any) -> FieldType:
    """What a rule can compare an Avro type with; nullable or not makes no difference."""
    kinds = set()
    for t in _branches(avro_type):
        base = t.get("type") if isinstance(t, Mapping) else t
        if base != "null":
            kinds.add(
                {
                    "string": "string",
                    "enum": "string",
                    "boolean": "boolean",
                    "int": "number",
                    "long": "number",
                    "float": "number",
                    "double": "number",
                }.get(str(base), "other")
            )
    return kinds.pop() if len(kinds) == 1 else "other"  # type: ignore[return-value]
