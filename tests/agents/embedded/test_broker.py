"""The embedded broker, started for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from segue_agents.embedded import Broker, down, status, up


def create_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(10) == 0


def consume(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    read = [message.value() for message in consumer.consume(count, 10)]
    consumer.close()
    return read


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, within_s: float = 15) -> None:
    until = time.monotonic() + within_s
    while is_alive(pid):
        assert time.monotonic() < until, f"process {pid} still runs"
        time.sleep(0.05)


def test_what_was_written_is_read(broker: str, topic_prefix: str) -> None:
    """A record written to the tests' broker is read back."""
    topic = topic_prefix + "signals"
    create_topic(broker, topic)
    produce(broker, topic, [b"one", b"two"])
    assert consume(broker, topic, 2) == [b"one", b"two"]


def test_restart_keeps_the_data(tmp_path: Path) -> None:
    """A second broker over the same folder has what the first was given, and stopping leaves no process."""
    with Broker(tmp_path) as first:
        pid = first.pid
        create_topic(first.bootstrap, "kept")
        produce(first.bootstrap, "kept", [b"one"])
    assert pid is not None
    assert not is_alive(pid)
    with Broker(tmp_path) as second:
        produce(second.bootstrap, "kept", [b"two"])
        assert consume(second.bootstrap, "kept", 2) == [b"one", b"two"]


def test_dies_with_its_owner(tmp_path: Path) -> None:
    """A broker whose owner is killed outright ends too, though the thread that started it is long gone."""
    program = (
        "import pathlib, sys, threading, time\n"
        "from segue_agents.embedded import Broker\n"
        "broker = Broker(pathlib.Path(sys.argv[1]))\n"
        "starter = threading.Thread(target=broker.start); starter.start(); starter.join()\n"
        "time.sleep(0.5); print(broker.pid, flush=True); time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.stdout.close()
    assert is_alive(pid)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    wait_until_gone(pid)


def test_a_standing_broker(tmp_path: Path) -> None:
    """`up` twice is one broker, `status` tells of it, `down` ends it, and the next `up` has its data."""
    assert status(tmp_path) is None
    bootstrap = up(tmp_path)
    try:
        running = status(tmp_path)
        assert running is not None
        assert up(tmp_path) == running.bootstrap == bootstrap
        create_topic(bootstrap, "kept")
        produce(bootstrap, "kept", [b"one"])
        assert down(tmp_path)
        assert not is_alive(running.pid)
        assert status(tmp_path) is None
        assert not down(tmp_path)
        assert consume(up(tmp_path), "kept", 1) == [b"one"]
    finally:
        down(tmp_path)
