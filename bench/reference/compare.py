"""Compare a topic of Segue's JSON changes with the reference workload's oracle, change by change.

usage: compare.py TOPIC ORACLE.pickle [BOOTSTRAP]
The pickle is what the workload's own `oracle.py build` writes: (Counter of (user, segment, change, ts), ...).
Also checks that sequences run 1, 2, 3 ... per person and segment and that no change_id comes twice.
"""

from __future__ import annotations

import pickle
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, TopicPartition


def read_committed(topic: str, bootstrap: str) -> Iterator[bytes]:
    """Values of a topic from its beginning to its end, as a consumer sees them."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": f"compare-{uuid.uuid4()}", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True, "fetch.queue.backoff.ms": 5,
    })  # fmt: skip
    partitions = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
    consumer.assign(partitions)
    left = len(partitions)
    while left:
        for message in consumer.consume(5_000, 1.0):
            if message.error():
                left -= 1
            else:
                yield message.value()
    consumer.close()


def compare(topic: str, oracle: Path, bootstrap: str) -> dict[str, Any]:
    """The topic's changes beside those of the oracle's pickle."""
    return compared(topic, pickle.loads(oracle.read_bytes())[0], bootstrap)


def compared(topic: str, expected: Counter[tuple[str, str, str, int]], bootstrap: str) -> dict[str, Any]:
    """Counts of what is identical, missing, extra, out of sequence or doubled."""
    got: Counter[tuple[str, str, str, int]] = Counter()
    sequences: dict[tuple[str, str], int] = {}
    ids: set[str] = set()
    unordered = doubled = 0
    for value in read_committed(topic, bootstrap):
        change = msgspec.json.decode(value)
        person, segment = change["person_id"], change["segment"]
        got[person, segment, change["change"], change["at"]] += 1
        unordered += change["sequence"] != sequences.get((person, segment), 0) + 1
        sequences[person, segment] = change["sequence"]
        doubled += change["change_id"] in ids
        ids.add(change["change_id"])
    return {
        "changes": sum(got.values()), "expected": sum(expected.values()), "identical": sum((got & expected).values()),
        "missing": sum((expected - got).values()), "extra": sum((got - expected).values()),
        "out_of_sequence": unordered, "doubled_ids": doubled,
    }  # fmt: skip


if __name__ == "__main__":
    found = compare(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1:19092")
    print(msgspec.json.encode(found).decode())
    sys.exit(found["identical"] != found["expected"] or found["extra"] > 0 or found["out_of_sequence"] > 0)
