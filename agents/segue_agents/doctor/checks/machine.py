"""Of this machine and its files: the disk, the rules, the contracts, the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from segue_agents.doctor.facts import Disk, Facts, Sample, Source, Unknown
from segue_agents.doctor.findings import INCOMPATIBLE, UNREACHABLE, Check, Finding, Kind, fine

# --- the disk

NOT_WRITABLE = Kind("problem", "the worker could not write there", "Give its user the right to, or set data_dir.")
FULL = Kind(
    "problem",
    "{free} are free: a store that cannot be written pauses its partitions",
    "Make room, or set data_dir to a larger disk; the state may be deleted, it is restored from Kafka.",
)
LITTLE_ROOM = Kind(
    "warning",
    "{free} are free, {share:.0%} of the disk",
    "Make room: a store takes up to twice its size while it is compacted.",
)
STATE_NEEDS_ROOM = Kind(
    "warning",
    "{free} are free, and the state takes {state}: to compact it may take as much again",
    "Make room, or set data_dir to a larger disk.",
)
NETWORK = Kind(
    "warning",
    "it is on a network file system ({filesystem}): RocksDB is slow there, and locks may not hold",
    "Set data_dir to a disk of this machine.",
)
IN_MEMORY = Kind(
    "warning",
    "it is in memory ({filesystem}): a restart of the machine restores everything from Kafka",
    "Set data_dir to a disk, unless that is meant.",
)
_NETWORKS: Final = ("nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.s3fs", "virtiofs", "efs")
_GIB: Final = 1 << 30


def _size(n: int) -> str:
    for unit, bytes_ in (("GiB", _GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= bytes_:
            return f"{n / bytes_:.1f} {unit}"
    return f"{n} bytes"


def _disk(facts: Facts) -> Iterator[Finding]:
    disk, limits = cast("Disk", facts.disk), facts.thresholds
    free, share = _size(disk.free_bytes), disk.free_bytes / max(1, disk.total_bytes)
    if not disk.writable:
        yield NOT_WRITABLE.at(disk.folder)
    if disk.free_bytes < limits.free_bytes:
        yield FULL.at(disk.folder, free=free)
    elif share < limits.free_share:
        yield LITTLE_ROOM.at(disk.folder, free=free, share=share)
    elif disk.free_bytes < disk.state_bytes:
        yield STATE_NEEDS_ROOM.at(disk.folder, free=free, state=_size(disk.state_bytes))
    if disk.filesystem.startswith(_NETWORKS):
        yield NETWORK.at(disk.folder, filesystem=disk.filesystem)
    elif disk.filesystem in ("tmpfs", "ramfs"):
        yield IN_MEMORY.at(disk.folder, filesystem=disk.filesystem)
    held = ", ".join(f"{slot} (process {pid})" for slot, pid in disk.slots.items() if pid is not None)
    yield fine(f"{free} free, the state takes {_size(disk.state_bytes)}; slots in use: {held or 'none'}", disk.folder)


# --- rules and sources

RULES_WRONG = Kind("problem", "the rules cannot be used: {why}", "segue check {where}")
WAREHOUSE_ONLY = Kind(
    "problem",
    "warehouse only: {why}; a worker refuses to start",
    "Take it out of these rules and ask "
    "the warehouse (segue sql), or state a longer 'retention:' in the source if its topic keeps that much.",
)
SOURCES_WRONG = Kind("problem", "the source declarations cannot be used: {why}", "Mend the file, or set sources.")


def _rules(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.rules, Unknown):
        yield RULES_WRONG.at(str(facts.settings.rules), why=facts.rules.why)
        return
    for segment, why in facts.rules.warehouse_only.items():
        yield WAREHOUSE_ONLY.at(segment, why=why)
    yield fine(f"{facts.rules.segments} segments", str(facts.settings.rules))


def _sources(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.sources, Unknown):
        yield SOURCES_WRONG.at(str(facts.settings.sources or "packaged sources"), why=facts.sources.why)
        return
    yield fine(f"{len(facts.sources)} sources: {', '.join(s.name for s in facts.sources.values())}")


# --- schemas

NO_IDS = Kind(
    "problem",
    "there is no usable ids.yaml, and registry is none: no record can be decoded ({why})",
    "Put ids.yaml beside the sources, or set registry.",
)
NO_ID = Kind(
    "problem",
    "ids.yaml has no id for the schema of source {where}: {schema}",
    "Add the id the producers write, as in '{schema}: 5', or set registry.",
    INCOMPATIBLE,
)


def _ids(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.ids, Unknown):
        yield NO_IDS.at("ids.yaml", why=facts.ids.why)
        return
    for source in cast("Mapping[str, Source]", facts.sources).values():
        if source.schema_name not in facts.ids:
            yield NO_ID.at(source.name, schema=source.schema_name)


REGISTRY_AWAY = Kind(
    "problem",
    "the schema registry does not answer: {why}",
    "Check the address, registry_config and the way there. Workers go on with the schemas they keep on disk.",
    UNREACHABLE,
)
UNREADABLE = Kind(
    "problem",
    "its newest records have the schema id {id}, which a worker cannot read: {why}",
    "With registry=none, put the id into ids.yaml; else segue schema check. These records go to the dead letters.",
    INCOMPATIBLE,
)
UNFRAMED = Kind(
    "problem",
    "{unframed} of {records} sampled values are not in Confluent's framing (a zero byte, a schema id, Avro)",
    "Let the producer serialise with Confluent's Avro serialiser.",
    INCOMPATIBLE,
)


def _registry(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.registry, Unknown):
        yield REGISTRY_AWAY.at(facts.settings.registry, why=facts.registry.why)
        return
    yield fine("it answers", facts.settings.registry)


def _schemas(facts: Facts) -> Iterator[Finding]:
    schemas = cast("Mapping[tuple[str, int], str]", facts.schemas)
    for (topic, schema_id), why in schemas.items():
        if why:
            yield UNREADABLE.at(topic, id=schema_id, why=why)
    for topic in facts.inputs:
        sample = cast("Mapping[str, Sample]", facts.samples).get(topic, Sample())
        if sample.unframed:
            yield UNFRAMED.at(topic, unframed=sample.unframed, records=sample.records)
    yield fine(f"{len(schemas)} schema{'s' if len(schemas) != 1 else ''} in the newest records, all readable")


CHECKS: Final = (
    Check(
        "disk",
        "data_dir: writable, free space, kind of file system, size of the state, slots",
        ("disk",),
        _disk,
        (NOT_WRITABLE, FULL, LITTLE_ROOM, STATE_NEEDS_ROOM, NETWORK, IN_MEMORY),
        "",
    ),
    Check("sources", "whether the source declarations load", (), _sources, (SOURCES_WRONG,), ""),
    Check("rules", "whether the rules load, and the log can answer them", (), _rules, (RULES_WRONG, WAREHOUSE_ONLY), ""),
    Check(
        "schema-ids",
        "without a registry: ids.yaml has each source's schema",
        ("sources",),
        _ids,
        (NO_IDS, NO_ID),
        "each source's schema has an id",
        lambda facts: facts.settings.registry == "none",
    ),
    Check(
        "registry",
        "with a registry: whether it answers",
        (),
        _registry,
        (REGISTRY_AWAY,),
        "",
        lambda facts: facts.settings.registry != "none",
    ),
    Check(
        "schemas",
        "the schema ids in the newest records: whether a worker can read them as the sources declare",
        ("schemas", "samples"),
        _schemas,
        (UNREADABLE, UNFRAMED),
        "",
    ),
)
