"""What the changes should be, worked out a second time: the engine in one go over each partition, read from the topics.

No worker, no store, no commit, no cache, no restart has a part in it; so what these do to a change shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

import segue_schemas
from segue.engine import Engine, Merger
from segue.plan import Plan
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.rule_files import load_plan

Changes = Counter[tuple[str, str, str, int]]
_BATCH = 5_000


def decoders(plan: Plan, sources: Path) -> list[ColumnDecoder]:
    """One a source, in the catalog's order."""
    ids = segue_schemas.schema_ids(sources)
    return [
        ColumnDecoder(i, s, plan.inputs[i], {ids[segue_schemas.full_name(dict(s.schema))]: s.schema})
        for i, s in enumerate(plan.catalog.sources)
    ]


def expected(bootstrap: str, rules: Path, sources: Path, partitions: int) -> Changes:
    """(person, segment, change, at) of every change, counted."""
    plan = load_plan(rules, sources)
    engine = Engine(plan)
    found: Changes = Counter()
    for index in range(partitions):
        merger, partition = Merger(plan.catalog, index), engine.partition(index)
        for decoder in decoders(plan, sources):
            for messages in read(bootstrap, decoder.source.topic, index):
                merger.feed(decoder.source_index, decoder.decode(messages))
            merger.at_end(decoder.source_index)
        while (batch := merger.take(_BATCH)) is not None:
            for change in partition.step(batch).changes:
                name = plan.segments[change.segment].name
                found[change.person.decode(), name, ("exited", "entered")[change.entered], change.at_ms] += 1
    return found


def read(bootstrap: str, topic: str, partition: int) -> Sequence[list[Any]]:
    """A partition's messages, whole, in batches."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "bench-read", "enable.auto.commit": False, "check.crcs": True,
    })  # fmt: skip
    end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
    consumer.assign([TopicPartition(topic, partition, 0)])
    batches: list[list[Any]] = []
    while not batches or batches[-1][-1].offset() < end - 1:
        if end == 0:
            break
        messages = [m for m in consumer.consume(_BATCH, 1.0) if not m.error()]
        batches += [messages] if messages else []
    consumer.close()
    return batches
