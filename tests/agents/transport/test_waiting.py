"""What waits for a schema: order, ends, and who is not held up, over a decoder that is told what it knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segue.records import Columns
from segue_agents.codecs.learner import Decoded
from segue_agents.transport.waiting import Waiting


class Told:
    """Decodes messages (offset, schema id) of the schemas it has been told."""

    def __init__(self, *known: int) -> None:
        self.known = set(known)
        self.decoded = 0

    def decode(self, messages: Sequence[tuple[int, int]]) -> Decoded:
        self.decoded += 1
        n = next((i for i, (_, schema_id) in enumerate(messages) if schema_id not in self.known), len(messages))
        ids = frozenset(schema_id for _, schema_id in messages[n:] if schema_id not in self.known)
        return Decoded(columns(messages[:n]) if n else None, n, ids)

    def check(self) -> None:
        pass

    def waits(self, ids: Iterable[int]) -> bool:
        return self.known.isdisjoint(ids)


def columns(messages: Sequence[tuple[int, int]]) -> Columns:
    empty = np.array([], np.int64)
    offset = np.array([at for at, _ in messages], np.int64)
    return Columns(empty, empty.astype(np.int32), offset, empty, [], [], [], messages[-1][0] + 1)


def offsets(found: Columns | None) -> list[int]:
    return [] if found is None else found.offset.tolist()


def released(waiting: Waiting) -> list[tuple[str, list[int], int | None]]:
    return [(r.topic, offsets(r.columns), r.end) for r in waiting.release()]


def test_what_is_known_passes_untouched() -> None:
    """Nothing waits: messages go through, ends count at once, a look costs nothing."""
    told = Told(1)
    waiting = Waiting({"site": told})
    assert offsets(waiting.feed("site", [(0, 1), (1, 1)])) == [0, 1]
    assert waiting.at_end("site", 2)
    assert released(waiting) == []
    assert (told.decoded, waiting.topics) == (1, frozenset())


def test_messages_and_the_end_behind_an_unknown_one_wait_in_their_order() -> None:
    """What stands before it passes; the rest comes whole when it is known; the end comes last."""
    told = Told(1)
    waiting = Waiting({"site": told})
    assert offsets(waiting.feed("site", [(0, 1), (1, 2), (2, 1)])) == [0]
    assert waiting.feed("site", [(3, 1)]) is None
    assert not waiting.at_end("site", 4)
    assert waiting.feed("site", [(4, 3), (5, 1)]) is None
    assert not waiting.at_end("site", 6)
    assert (waiting.topics, waiting.messages("site")) == ({"site"}, 5)
    told.known.add(2)
    assert released(waiting) == [("site", [1, 2, 3], None)]
    assert (waiting.topics, waiting.messages("site")) == ({"site"}, 2)
    told.known.add(3)
    assert released(waiting) == [("site", [4, 5], 6)]
    assert waiting.topics == frozenset()
    assert waiting.at_end("site", 7)


def test_an_end_with_messages_behind_it_is_none() -> None:
    """The partition went on: its old end means nothing."""
    told = Told()
    waiting = Waiting({"site": told})
    waiting.feed("site", [(0, 2)])
    waiting.at_end("site", 1)
    waiting.feed("site", [(1, 2)])
    told.known.add(2)
    assert released(waiting) == [("site", [0, 1], None)]


def test_a_topic_that_waits_holds_up_no_other_and_is_not_decoded_in_vain() -> None:
    """Others pass; nothing is decoded again before one of its schemas is known."""
    site, email = Told(), Told(1)
    waiting = Waiting({"site": site, "email": email})
    waiting.feed("site", [(0, 2)])
    assert offsets(waiting.feed("email", [(0, 1)])) == [0]
    assert waiting.at_end("email", 1)
    for _ in range(100):
        assert released(waiting) == []
    assert site.decoded == 1


@given(st.data())
def test_nothing_is_lost_doubled_or_overtaken(data: st.DataObject) -> None:
    """Whatever comes and becomes known in whatever order: all messages of a topic come out once, in order."""
    told = {"site": Told(0), "email": Told(0)}
    waiting = Waiting(told)
    out: dict[str, list[int]] = {"site": [], "email": []}
    fed = {"site": 0, "email": 0}

    def take() -> None:
        for topic, found, _ in released(waiting):
            out[topic] += found

    for _ in range(data.draw(st.integers(1, 15))):
        topic = data.draw(st.sampled_from(sorted(told)))
        ids = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
        messages: list[Any] = [(fed[topic] + i, schema_id) for i, schema_id in enumerate(ids)]
        fed[topic] += len(ids)
        out[topic] += offsets(waiting.feed(topic, messages))
        assert waiting.at_end(topic, fed[topic]) == (topic not in waiting.topics)
        told[data.draw(st.sampled_from(sorted(told)))].known.add(data.draw(st.integers(0, 4)))
        take()
        assert all(len(out[t]) + waiting.messages(t) == fed[t] for t in out)
    for one in told.values():
        one.known |= {0, 1, 2, 3, 4}
    take()
    assert out == {topic: list(range(n)) for topic, n in fed.items()}
    assert waiting.topics == frozenset()
