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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from segue_agents.state.store import Store
from segue_agents.transport.clients import topic_identity


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
    producer: Callable[[dict[str, Any]], Any] = Producer
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
