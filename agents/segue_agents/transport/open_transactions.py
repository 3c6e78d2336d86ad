"""Transactions of others that stay open on the inputs.

A read_committed reader stops at the first record of an open transaction (the last stable offset). One that its producer
never ends stops the partition without any error: no lag grows that the reader could see. librdkafka's statistics have
both ends, so how long the reader has been held up can be told (KIP-664 has the cure).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog

from segue_agents.metrics import Metrics

SAID_EVERY_S: Final = 60.0
_log = structlog.get_logger(__name__)

Partition = tuple[str, int]


class OpenTransactions:
    """Fed with a consumer's statistics; says since when a partition is held up."""

    def __init__(self, metrics: Metrics, alarm_after_s: float) -> None:
        """`alarm_after_s`: how long a transaction may take; the log names what takes longer."""
        self._metrics = metrics
        self._alarm_after_s = alarm_after_s
        self._held: dict[Partition, tuple[int, float]] = {}
        """partition -> the offset it stands at, and since when"""
        self._said: dict[Partition, float] = {}

    def look(self, statistics: Mapping[str, Any], now_s: float) -> dict[Partition, float]:
        """Seconds by partition held up, as of the monotonic time `now_s`."""
        held: dict[Partition, float] = {}
        for topic, of_topic in statistics.get("topics", {}).items():
            for name, of in of_topic.get("partitions", {}).items():
                # -1 is the client's own partition for what has none; offsets below 0 are not known yet
                index, stable, high = int(name), of.get("ls_offset", -1), of.get("hi_offset", -1)
                if index < 0 or of.get("fetch_state") != "active":
                    continue
                seconds = self._seconds((topic, index), stable, 0 <= stable < high, now_s)
                self._metrics.set("open_transaction_seconds", seconds, topic, str(index))
                if seconds:
                    held[topic, index] = seconds
        return held

    def _seconds(self, where: Partition, stable: int, is_open: bool, now_s: float) -> float:
        if not is_open:
            self._held.pop(where, None)
            return 0.0
        offset, since = self._held.get(where, (-1, now_s))
        if offset != stable:
            since = now_s
        self._held[where] = stable, since
        seconds = now_s - since
        if seconds >= self._alarm_after_s and now_s - self._said.get(where, -SAID_EVERY_S) >= SAID_EVERY_S:
            self._said[where] = now_s
            _log.warning("transaction_open", topic=where[0], partition=where[1], offset=stable, seconds=round(seconds),
                         do="nothing behind it can be read: kafka-transactions.sh find-hanging names its producer, "
                            "abort ends it")
        return seconds

    def forget(self, indexes: set[int]) -> None:
        """Partitions that have gone to another worker."""
        for where in [w for w in self._held if w[1] in indexes]:
            del self._held[where]
