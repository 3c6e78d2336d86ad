"""What the checks judge: plain values, as they were at one moment. A case of a test is one of these, written down.

A fact that could not be had is `Unknown`, with the reason; the checks that need it say so, and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from segue_agents.settings import Settings

Partition = tuple[str, int]
"""topic, index"""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for a fact."""

    why: str
    fix: str = ""
    unreachable: bool = False
    """nothing answers there at all"""
    told: bool = False
    """another finding says so already: whoever needs this is skipped"""


NOT_ASKED: Final = Unknown("it was not asked", told=True)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a figure becomes a finding."""

    free_share: float = 0.1
    """of the disk, below which it is said"""
    free_bytes: int = 1 << 30
    """below which it is a problem"""
    skew_ms: int = 1_000
    """between two clocks"""
    transaction_open_s: float = 60.0
    """the age at which an open transaction hangs: Kafka's default timeout for one"""
    looks_apart_s: float = 2.0
    """between the two looks that tell what moves from what stands"""


@dataclass(frozen=True, slots=True)
class Versions:
    """Of this machine."""

    segue: str
    python: tuple[int, int, int]
    librdkafka: str
    client: str
    """confluent-kafka"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What answered."""

    cluster_id: str
    brokers: int
    answered_ms: float
    operations: frozenset[str] | None
    """what the principal may do to the cluster; None: Kafka does not say"""


@dataclass(frozen=True, slots=True)
class Topic:
    """As described. `error`: why it is not, as in UNKNOWN_TOPIC_OR_PART."""

    partitions: int = 0
    replicas: int = 0
    """of the partition that has the fewest"""
    leaderless: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    """partitions with a replica that is not in sync"""
    operations: frozenset[str] | None = None
    error: str = ""

    @property
    def exists(self) -> bool:
        """Whether it was described."""
        return not self.error


@dataclass(frozen=True, slots=True)
class Member:
    """Of the group."""

    client_id: str
    host: str
    instance: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Group:
    """The consumer group; without members and state when there is none yet."""

    state: str
    members: tuple[Member, ...]
    operations: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Ends:
    """Offsets of a partition: the first; where a read_committed reader's world ends; the one after the last."""

    low: int
    stable: int
    high: int


@dataclass(frozen=True, slots=True)
class Look:
    """Offsets at one moment."""

    at_s: float
    ends: Mapping[Partition, Ends]
    committed: Mapping[Partition, int]
    """the group's; a partition without one is not there"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest records of a topic's partitions."""

    records: int = 0
    without_key: int = 0
    murmur2: int = 0
    """records with a key that lie where murmur2 says, as Kafka's Java clients do it"""
    crc32: int = 0
    """that lie where CRC-32 says, as librdkafka does by default"""
    schema_ids: frozenset[int] = frozenset()
    """that stand before the values, in Confluent's framing"""
    unframed: int = 0
    """values that have no such framing"""
    newest_ms: int | None = None
    """the newest record's timestamp"""
    by_broker: bool = False
    """whether that is the broker's own (LogAppendTime)"""
    looked_ms: int = 0
    """what this machine's clock showed then"""


@dataclass(frozen=True, slots=True)
class Disk:
    """Where the state lies."""

    folder: str
    """of data_dir, or the nearest folder above it that exists"""
    exists: bool
    writable: bool
    free_bytes: int
    total_bytes: int
    filesystem: str
    """`ext4`, `nfs4`; '' where that cannot be told"""
    state_bytes: int
    slots: Mapping[str, int | None]
    """slot of the app -> the process that holds it, None for none"""


@dataclass(frozen=True, slots=True)
class LooksBack:
    """How far the rules look back into a topic."""

    ms: int | None
    """None: for ever"""
    segment: str
    condition: str


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules at the path of the settings."""

    segments: int
    looks_back: Mapping[str, LooksBack]
    """topic -> the furthest"""
    warehouse_only: Mapping[str, str]
    """segment -> why"""


@dataclass(frozen=True, slots=True)
class Source:
    """What a declaration says of its topic."""

    name: str
    retention_ms: int | None
    lateness_ms: int
    schema_name: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. Only the settings are always known."""

    settings: Settings
    thresholds: Thresholds = field(default_factory=Thresholds)
    versions: Versions | Unknown = NOT_ASKED
    cluster: Cluster | Unknown = NOT_ASKED
    apis: Mapping[int, int] | Unknown = NOT_ASKED
    """number of a Kafka API -> the highest version that all brokers asked speak"""
    broker_config: Mapping[str, str] | Unknown = NOT_ASKED
    topics: Mapping[str, Topic] | Unknown = NOT_ASKED
    """inputs and the app's own, in that order"""
    topic_configs: Mapping[str, Mapping[str, str]] | Unknown = NOT_ASKED
    """of those that exist"""
    group: Group | Unknown = NOT_ASKED
    first: Look | Unknown = NOT_ASKED
    second: Look | Unknown = NOT_ASKED
    samples: Mapping[str, Sample] | Unknown = NOT_ASKED
    open_since_ms: Mapping[Partition, int] | Unknown = NOT_ASKED
    """partition held up -> the timestamp of the first record of the open transaction"""
    skew_ms: float | Unknown | None = None
    """how far the broker's clock is ahead of this machine's; None: not measured"""
    disk: Disk | Unknown = NOT_ASKED
    rules: Rules | Unknown = NOT_ASKED
    sources: Mapping[str, Source] | Unknown = NOT_ASKED
    """topic -> its declaration"""
    ids: Mapping[str, int] | Unknown = NOT_ASKED
    """of ids.yaml"""
    registry: str | Unknown = NOT_ASKED
    """the address that answered"""
    schemas: Mapping[tuple[str, int], str] | Unknown = NOT_ASKED
    """(topic, id of a schema in its newest records) -> why a worker cannot read it; '' if it can"""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics of all sources, in the catalog's order."""
        return () if isinstance(self.sources, Unknown) else tuple(self.sources)
