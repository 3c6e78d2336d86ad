"""The rules, the source declarations, and the schemas that the records in the topics are written with."""

from __future__ import annotations

import json
from collections.abc import Mapping

import segue_schemas
from segue.catalog import Catalog
from segue.errors import ContractError
from segue.plan import Plan
from segue.plan.layout import evidence_of, own_events
from segue.plan.lookback import exactness, lookback_ms
from segue.plan.report import leaves_behind
from segue.rules.pretty import text_of
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.codecs.registry import Registry, registry_of
from segue_agents.doctor.facts import LooksBack, Rules, Sample, Source
from segue_agents.rule_files import load_catalog, load_plan
from segue_agents.settings import Settings

_FOR_EVER = 1 << 62


def sources(settings: Settings) -> dict[str, Source]:
    """Topic -> its source. Raises ContractError."""
    return {
        s.topic: Source(s.name, s.retention_ms, s.lateness_ms, segue_schemas.full_name(dict(s.schema)))
        for s in load_catalog(settings.sources).sources
    }


def ids(settings: Settings) -> dict[str, int]:
    """Of ids.yaml. Raises SchemaFileError."""
    return segue_schemas.schema_ids(settings.sources)


def plan(settings: Settings) -> Plan:
    """Raises RuleError, ContractError, ConfigError."""
    return load_plan(settings.rules, settings.sources)


def rules(of: Plan) -> Rules:
    """How many segments, how far they look back, and which only the warehouse can answer."""
    looks_back: dict[str, LooksBack] = {}
    warehouse_only = {}
    for index, segment in enumerate(of.segments):
        leaves = sorted(leaves_behind(of, index))
        kind, why = exactness(of, leaves)
        if kind == "warehouse only":
            warehouse_only[segment.name] = why
        for leaf in leaves:
            back = LooksBack(lookback_ms(of, leaf), segment.name, text_of(of.leaf_conditions[leaf]))
            for topic in _topics(of, leaf):
                if topic not in looks_back or _reach(back) > _reach(looks_back[topic]):
                    looks_back[topic] = back
    return Rules(len(of.segments), looks_back, warehouse_only)


def _reach(back: LooksBack) -> int:
    return _FOR_EVER if back.ms is None else back.ms


def _topics(of: Plan, leaf: int) -> set[str]:
    """Whose events the leaf reads."""
    read = [e.events for e in evidence_of(of.leaves[leaf], of.streams, of.totals)]
    names = {name for events in (*read, *own_events(of.leaves[leaf])) for name in events.names}
    return {of.catalog.sources[i].topic for name in names for i in of.catalog.source_indexes(name)}


# --- schemas


def registry(settings: Settings) -> str:
    """Asks for a schema, whichever. Raises Unavailable, ConfigError."""
    _open(settings).fetch(1)
    return settings.registry


def _open(settings: Settings) -> Registry:
    found = registry_of(settings)
    assert found is not None, "there is none to ask"
    return found


def schemas(settings: Settings, of: Plan, samples: Mapping[str, Sample]) -> dict[tuple[str, int], str]:
    """(topic, schema id) -> why a worker cannot read it, '' if it can. Raises Unavailable."""
    catalog: Catalog = of.catalog
    known = ids(settings) if settings.registry == "none" else {}
    asked = None if settings.registry == "none" else _open(settings)
    found = {}
    for i, source in enumerate(catalog.sources):
        for schema_id in sorted(samples.get(source.topic, Sample()).schema_ids):
            if asked is None:
                own = known.get(segue_schemas.full_name(dict(source.schema)))
                found[source.topic, schema_id] = "" if schema_id == own else f"ids.yaml has {own} for this source"
            else:
                decoder = ColumnDecoder(i, source, of.inputs[i], {})
                found[source.topic, schema_id] = _registered(asked, decoder, schema_id)
    return found


def _registered(asked: Registry, decoder: ColumnDecoder, schema_id: int) -> str:
    answer = asked.fetch(schema_id)
    if answer is None:
        return "the registry has no schema of this id"
    subject = f"{decoder.source.topic}-value"
    if answer.subjects and subject not in answer.subjects:
        return f"it is registered under {', '.join(sorted(answer.subjects)[:3])}, and not under {subject}"
    if answer.type != "AVRO":
        return f"it is {answer.type[:20]}, not Avro"
    try:
        decoder.learn(schema_id, json.loads(answer.schema))
    except ContractError as error:
        return error.what
    except (ValueError, RecursionError):
        return "it is not JSON"
    return ""
