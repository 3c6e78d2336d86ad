"""librdkafka's own mock of a cluster, out of the wheel: answers requests with the errors it is told to.

It isolates no transaction and drops old data: good for protocol errors, and for nothing else. It is reached by ctypes,
in the library that confluent_kafka has loaded already.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka

API_KEYS = {
    "Produce": 0, "FindCoordinator": 10, "InitProducerId": 22, "AddPartitionsToTxn": 24, "AddOffsetsToTxn": 25, "EndTxn": 26,
    "TxnOffsetCommit": 28,
}  # fmt: skip
PRODUCER = 0
TRANSACTION = b"transaction"


@cache
def _library() -> Any:
    site = Path(confluent_kafka.__file__).parent
    found = [*site.parent.glob("confluent_kafka.libs/librdkafka*.so*"), *site.glob(".dylibs/librdkafka*.dylib")]
    assert found, "this build of confluent_kafka brings no librdkafka of its own"
    library = ctypes.CDLL(str(found[0]))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_new", pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_topic_create", ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
        ("rd_kafka_mock_coordinator_set", ctypes.c_int, [pointer, text, text, number]),
        ("rd_kafka_mock_broker_set_down", ctypes.c_int, [pointer, number]),
        ("rd_kafka_mock_broker_set_up", ctypes.c_int, [pointer, number]),
        ("rd_kafka_mock_broker_set_rtt", ctypes.c_int, [pointer, number, ctypes.c_int]),
        ("rd_kafka_mock_push_request_errors_array", None, [pointer, ctypes.c_int16, ctypes.c_size_t, pointer]),
        ("rd_kafka_mock_clear_request_errors", None, [pointer, ctypes.c_int16]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """One cluster of `brokers` brokers, numbered from 1. Topics are there when they are asked for."""

    def __init__(self, brokers: int = 1) -> None:
        self._library = _library()
        said = ctypes.create_string_buffer(512)
        self._client = self._library.rd_kafka_new(PRODUCER, self._library.rd_kafka_conf_new(), said, len(said))
        assert self._client, said.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def answer(self, api: str, errors: Sequence[int]) -> None:
        """The next requests of the kind are answered with these, one each, and not carried out."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, API_KEYS[api], len(errors), codes)

    def answer_rightly(self, api: str) -> None:
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, API_KEYS[api])

    def coordinate(self, transactional_id: str, broker: int) -> None:
        """Which broker coordinates the id."""
        set_ = self._library.rd_kafka_mock_coordinator_set
        assert set_(self._cluster, TRANSACTION, transactional_id.encode(), broker) == 0

    def slow(self, broker: int, round_trip_ms: int) -> None:
        assert self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, round_trip_ms) == 0

    def down(self, broker: int) -> None:
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, broker) == 0

    def up(self, broker: int) -> None:
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, broker) == 0

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


@contextmanager
def mock_cluster(brokers: int = 1) -> Iterator[MockCluster]:
    cluster = MockCluster(brokers)
    try:
        yield cluster
    finally:
        cluster.close()
