"""The generator's events in topics of a run's own, read by declarations of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.generator import TOPICS, Shape, generate

REFERENCE = Path(__file__).parent / "reference"
PARTITIONS = 4


def topics(suffix: str) -> tuple[str, ...]:
    """The input topics of a run, in the order of generator.TOPICS."""
    return tuple(f"{topic}{suffix}" for topic in TOPICS)


def declare(suffix: str, folder: Path) -> Path:
    """The reference sources over the run's own topics, below `folder`; returns their folder."""
    shutil.copytree(REFERENCE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for file in (folder / "sources").iterdir():
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("-events\n", f"-events{suffix}\n"), encoding="utf-8")
    return folder / "sources"


def fill(bootstrap: str, suffix: str, shape: Shape, times: int = 1) -> int:
    """Makes the topics and fills them; returns how many records.

    `times`: that many generations one after the other, each of its own seed and days, so that a backlog may be long.
    """
    names = topics(suffix)
    admin = AdminClient({"bootstrap.servers": bootstrap})  # kept until the answers are there: they end with it
    for future in admin.create_topics([NewTopic(t, PARTITIONS, 1) for t in names]).values():
        future.result()
    producer = Producer({
        "bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 50, "partitioner": "murmur2_random",
        "queue.buffering.max.messages": 1_000_000, "enable.idempotence": True,
    })  # fmt: skip
    count = 0
    for part in range(times):
        events = generate(shape.later(part))
        count += len(events.value)
        rows = zip(events.source.tolist(), events.time_ms.tolist(), events.person, events.value, strict=True)
        for i, (source, time_ms, person, value) in enumerate(rows):
            while True:
                try:
                    producer.produce(names[source], value, person, timestamp=time_ms)
                    break
                except BufferError:
                    producer.poll(0.1)
            if i % 20_000 == 0:
                producer.poll(0)
    if left := producer.flush(60):
        raise SystemExit(f"{left} records of {count} could not be written to {bootstrap} within 60 s: is it up?")
    return count


def drop(bootstrap: str, suffix: str) -> None:
    """Deletes every topic of a run."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    delete(bootstrap, [t for t in admin.list_topics(timeout=10).topics if suffix in t])


def delete(bootstrap: str, names: Sequence[str]) -> None:
    """Deletes these topics, which are there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in (admin.delete_topics(list(names)) if names else {}).values():
        future.result()
