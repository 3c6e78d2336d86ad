"""The wheel of timers: persons by the bucket of time in which something may happen to them without an event.

An entry is only a reminder: the state says when the person is really due. So an entry may be stale, and one person may
have several; nothing is ever looked for in a bucket to be taken out.
"""

from __future__ import annotations

import heapq


class Wheel:
    """Bucket number -> persons. A bucket is 2**limits.WHEEL_SHIFT ms."""

    def __init__(self) -> None:
        self._persons: dict[int, dict[bytes, None]] = {}
        self._order: list[int] = []

    def schedule(self, person: bytes, bucket: int) -> None:
        """One entry more, at most one a person and bucket."""
        entries = self._persons.get(bucket)
        if entries is None:
            self._persons[bucket] = {person: None}
            heapq.heappush(self._order, bucket)
        else:
            entries[person] = None

    def until(self, last: int) -> list[int]:
        """Buckets up to `last`, in order. Few: those that were taken are gone."""
        passed = []
        while self._order and self._order[0] <= last:
            passed.append(heapq.heappop(self._order))
        for bucket in passed:
            heapq.heappush(self._order, bucket)
        return passed

    def of(self, bucket: int) -> dict[bytes, None]:
        """The persons of a bucket, to be looked at."""
        return self._persons[bucket]

    def take(self, bucket: int) -> dict[bytes, None]:
        """The persons of a bucket, which is empty then, and may be filled again."""
        persons = self._persons[bucket]
        self._persons[bucket] = {}
        return persons

    def tidy(self) -> None:
        """Forgets the first buckets as far as they are empty."""
        while self._order and not self._persons[self._order[0]]:
            del self._persons[heapq.heappop(self._order)]

    def __len__(self) -> int:
        return sum(map(len, self._persons.values()))
