"""What a worker touches outside itself: Kafka's clients, the disk, clocks, threads.

Everything that does so is handed an `Outside`. A worker's is the real one, the defaults; the simulator of the tests
stands in for all of it, so that the same code runs over a simulated Kafka and a failure can be had again from one number.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer

from segue_agents.state.store import Store
from segue_agents.transport.clients import topic_identity

CONNECTS_WITHIN_S: Final = 1.0


def connected_producer(config: dict[str, Any]) -> Producer:
    """A producer; one of transactions with its connection up.

    `init_transactions` looks for its coordinator at once, and without a connection again only 500 ms later.
    """
    producer = Producer(config)
    if "transactional.id" in config:
        with suppress(KafkaException):  # init_transactions will say what is wrong
            producer.list_topics(timeout=CONNECTS_WITHIN_S)
    return producer


async def on_a_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Away from the event loop, which goes on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


def in_background(function: Callable[..., None], *arguments: Any) -> threading.Thread:
    """A thread of its own, named after the function and started; `join` waits for it."""
    name = f"segue {getattr(function, '__qualname__', 'background')}"
    thread = threading.Thread(target=function, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


def wall_ms() -> int:
    """The wall's clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Outside:
    """The defaults are the real thing."""

    consumer: Callable[[dict[str, Any]], Any] = Consumer
    """configuration -> a confluent_kafka.Consumer"""
    producer: Callable[[dict[str, Any]], Any] = connected_producer
    """configuration -> a confluent_kafka.Producer"""
    topic_identity: Callable[[dict[str, Any], str], tuple[str, str]] = topic_identity
    """a client's configuration, topic -> (the cluster's id, the topic's id); '' for one that is not known"""
    open_store: Callable[[Path], Store] = Store
    """folder -> its store. Raises StoreBroken"""
    monotonic: Callable[[], float] = time.monotonic
    """seconds, for intervals and deadlines"""
    wall_ms: Callable[[], int] = wall_ms
    sleep: Callable[[float], None] = time.sleep
    """seconds"""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    """seconds, on the event loop"""
    chance: Callable[[], float] = random.random
    """from 0 to 1, evenly: for pauses"""
    apart: Callable[..., Awaitable[Any]] = on_a_thread
    """function, arguments -> its result"""
    background: Callable[..., Any] = in_background
    """function, arguments -> something to `join`"""
