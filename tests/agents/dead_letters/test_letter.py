"""Letters as values: what is read from a record's headers, and what is said of it."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.codecs.fake_registry import running

import segue_schemas
from segue.errors import ConfigError
from segue.records import Rejected, RejectReason
from segue_agents.codecs.registry import Registry
from segue_agents.codecs.rows import Undecodable
from segue_agents.codecs.segment_json import encode_event
from segue_agents.dead_letters.letter import GAP, RETRIED, Place, letter_of, mark_headers, offsets_in, ranges
from segue_agents.dead_letters.overview import Selection, group, newest
from segue_agents.dead_letters.value import decode_value, hex_dump
from segue_agents.dead_letters.words import REASONS, words
from segue_agents.rule_files import load_catalog
from segue_agents.worker.dead_letters import dead_letter_headers


@dataclass
class Record:
    """A consumed record."""

    of: list[tuple[str, bytes | None]] | None = None
    at: int = 5
    ms: int = 1_000
    index: int = 2
    body: bytes | None = field(default=b"v", kw_only=True)

    def headers(self) -> Any:
        return self.of

    def partition(self) -> int:
        return self.index

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, self.ms

    def key(self) -> bytes | None:
        return b"k"

    def value(self) -> bytes | None:
        return self.body


def refused(own: list[tuple[str, bytes | None]] | None, reason: RejectReason = "undecodable") -> Any:
    return dead_letter_headers(Rejected(0, 17, reason, "Why.", Record(own)), "site", 3)


@pytest.mark.parametrize(
    "own", [None, [], [("a", b"1"), ("a", None)], [("segue.reason", b"mine")], refused([("x", b"y")], "no_time")]
)
def test_a_letter_is_read_as_it_was_written(own: Any) -> None:
    """The record's own headers, whatever they are, and ours are told apart: another app's letters can be events too."""
    letter = letter_of(Record(refused(own)))
    assert (letter.reason, letter.detail, letter.topic, letter.partition, letter.offset) == (
        "undecodable", "Why.", "site", 3, 17)
    assert list(letter.headers) == list(own or [])
    assert letter.is_record
    assert (str(letter.place), letter.key, letter.value) == ("2:5", b"k", b"v")


@pytest.mark.parametrize("headers", [None, [], [("a", b"1")], mark_headers([1, 2]), [("segue.reason", GAP.encode())]])
def test_what_is_no_letter_cannot_be_sent(headers: Any) -> None:
    """A stranger's record, a mark and a gap."""
    assert not letter_of(Record(headers)).is_record


@given(st.sets(st.integers(0, 1 << 40)) | st.sets(st.integers(0, 40)))
def test_offsets_survive_a_mark(offsets: set[int]) -> None:
    """A mark names exactly the letters it was made from."""
    assert set(offsets_in(ranges(offsets))) == offsets


def test_neighbours_are_written_as_a_range() -> None:
    """A thousand letters in a row are a few bytes."""
    assert ranges([3, 9, 7, 8]) == "3,7-9"
    assert ranges(range(1_000)) == "0-999"


@pytest.mark.parametrize("text", ["", "3", "3:", ":4", "a:1", "-1:4", "3:4:5"])
def test_a_place_that_is_none(text: str) -> None:
    """Said with how to write one."""
    with pytest.raises(ConfigError, match="PARTITION:OFFSET"):
        Place.of(text)


def test_every_reason_has_its_words() -> None:
    """A reason that is added gets them too; one of a newer version is at least named."""
    assert {*typing.get_args(RejectReason), GAP, RETRIED, ""} == set(REASONS)
    assert "too_odd" in words("too_odd").means


def test_groups_and_the_newest() -> None:
    """By reason, topic and partition, the largest first, with an example and what was sent again; marks are not counted."""
    late = refused(None, "too_late")
    letters = [letter_of(Record(h, at, ms)) for at, (h, ms) in enumerate(
        [(refused(None), 10), (late, 20), (refused(None), 30), (mark_headers([0]), 40), (refused(None), 5)])]
    chosen = [letter for letter in letters if Selection().takes(letter)]
    first, second = group(chosen, {2: {0, 9}})
    assert (first.reason, first.letters, first.retried, first.first_ms, first.last_ms) == ("undecodable", 3, 1, 5, 30)
    assert (first.topic, first.partition, str(first.example)) == ("site", 3, "2:2")
    assert (second.reason, second.letters) == ("too_late", 1)
    assert [letter.at_ms for letter in newest(chosen, 2)] == [30, 20]
    assert [letter.at_ms for letter in letters if Selection(reason="too_late").takes(letter)] == [20]
    assert not any(Selection(topic="email").takes(letter) for letter in letters)


def test_a_value_is_decoded_by_its_schema() -> None:
    """With the schema its id names, of a source of its topic; else why not."""
    source = next(s for s in load_catalog().sources if s.name == "site")
    schema_id = segue_schemas.schema_ids()[segue_schemas.full_name(dict(source.schema))]
    event = {"type": "page", "userId": "ada", "timestamp": 1_790_000_000_000, "messageId": "m", "properties": {}}
    _, value = encode_event(source, schema_id, event)
    assert decode_value(value, source.topic, None)[source.time] == 1_790_000_000_000
    for wrong, topic, why in [(None, source.topic, "no value"), (b"\0\0\0", source.topic, "framing"),
                              (b"{}" * 9, source.topic, "framing"), (value, "other", "no source of other"),
                              (value[:-1], source.topic, "claimed"), (value + b"x", source.topic, "left over")]:
        with pytest.raises(Undecodable, match=why):
            decode_value(wrong, topic, None)


def test_a_value_is_decoded_by_the_registrys_schema() -> None:
    """With a registry the id is the registry's, whatever ids.yaml calls so; without an answer, why not."""
    source = next(s for s in load_catalog().sources if s.name == "site")
    event = {"type": "page", "userId": "ada", "timestamp": 1_790_000_000_000, "messageId": "m", "properties": {}}
    _, value = encode_event(source, 3, event)
    with running({3: (dict(source.schema), "site-events-value")}) as fake:
        registry = Registry(fake.url)
        assert decode_value(value, source.topic, None, registry)[source.time] == 1_790_000_000_000
        with pytest.raises(Undecodable, match="has no schema of the id 9"):
            decode_value(b"\0\0\0\0\x09x", source.topic, None, registry)
    with pytest.raises(Undecodable, match="does not answer"):
        decode_value(value, source.topic, None, registry)


def test_a_hex_dump() -> None:
    """Sixteen bytes a line, and how many are left out."""
    assert hex_dump(b"", 10) == []
    assert hex_dump(bytes(range(60, 80)), 18) == [
        "00000000  3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b  |<=>?@ABCDEFGHIJK|",
        "00000010  4c 4d                                             |LM|",
        "... 2 bytes more",
    ]
