"""A lane whose records wait for a schema: what is paused, what goes on, and that time stands still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tests.agents.codecs.records import NOW_MS, Record, avro, event_schema, framed

from segue.catalog import Catalog, Source
from segue.engine import Merger
from segue.plan import SourceInputs
from segue_agents.codecs.columns import ColumnDecoder
from segue_agents.codecs.learner import Learner
from segue_agents.codecs.schemas import Known, Later, Missing
from segue_agents.transport.lane import Lane
from segue_agents.worker.clock import encode_tick

SCHEMA = event_schema([])


class Told:
    """Knows the schemas it has been told."""

    def __init__(self) -> None:
        self.known: dict[int, Known | Missing] = {}

    def get(self, schema_id: int, _subject: str) -> Known | Missing | Later:
        return self.known.get(schema_id, Later())

    def check(self) -> None:
        pass


def lane_of(schemas: Any, clock: Literal["ticks", "none"] = "ticks") -> Lane:
    sources = tuple(Source(n, n, i + 1, SCHEMA, ("user_id",), "event", "ts", None, 0, {"seen": "seen"}, {})
                    for i, n in enumerate(("site", "email")))
    learners: Mapping[str, Learner] = {
        s.topic: Learner(ColumnDecoder(i, s, SourceInputs(i, {"seen": 0}, ()), {}), schemas)
        for i, s in enumerate(sources)}
    return Lane(0, 1, Merger(Catalog(sources), 0, clock), learners, "clock", clock == "ticks")


def record(at: int, schema_id: int = 1) -> Record:
    return Record(framed(avro(SCHEMA, {"event": "seen", "ts": NOW_MS + at}), schema_id), at)


def taken(lane: Lane) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    while (batch := lane.merger.take(100)) is not None:
        assert batch.late == []
        out += zip(batch.source, batch.offset, strict=True)
    return out


def test_a_topic_that_waits_is_paused_and_time_stands_still() -> None:
    """Its own records, the other topic's and the ticks wait; known, all leave in their order, none late, none lost."""
    schemas = Told()
    schemas.known[1] = Known(SCHEMA, "", frozenset())
    lane = lane_of(schemas)
    for topic in ("site", "email"):
        lane.at_end(topic, 0)
    lane.feed("clock", [Record(encode_tick(NOW_MS), 0)])
    taken(lane)
    lane.feed("email", [record(1, 2), record(3)])
    lane.at_end("email", 4)
    lane.feed("site", [record(2), record(4)])
    lane.at_end("site", 5)
    lane.feed("clock", [Record(encode_tick(NOW_MS + 1_000), 1)])
    assert lane.balance() == (["email"], [])
    for _ in range(3):
        lane.release()
        assert (lane.balance(), taken(lane)) == (([], []), [])
    schemas.known[2] = Known(SCHEMA, "", frozenset())
    lane.fed = False
    lane.release()
    assert lane.fed
    assert lane.balance() == ([], ["email"])
    assert taken(lane) == [(1, 1), (0, 2), (1, 3), (0, 4)]
    assert lane.merger.engine_time_ms == NOW_MS + 1_000


def test_dead_letters_pass_their_offsets() -> None:
    """Records whose schema turns out to be of no use leave as rejects, and the offsets go on behind them."""
    schemas = Told()
    lane = lane_of(schemas)
    lane.at_end("email", 0)
    lane.feed("clock", [Record(encode_tick(NOW_MS), 0)])
    taken(lane)
    lane.feed("site", [record(0, 9), record(1, 9)])
    lane.at_end("site", 2)
    assert lane.merger.take(100) is None
    schemas.known[9] = Missing("wrong_subject", "It is of another topic.")
    lane.release()
    batch = lane.merger.take(100)
    assert batch is not None
    assert [(r.offset, r.reason) for r in batch.rejected] == [(0, "wrong_subject"), (1, "wrong_subject")]
    assert (batch.next_offsets, batch.consumed) == ({0: 2}, {0: 2})


def heartbeats(lane: Lane) -> list[int | None]:
    """Of the signals of all there is: ms after NOW_MS; None: the batch takes none along."""
    out: list[int | None] = []
    while (batch := lane.merger.take(100)) is not None:
        at_ms = lane.signal(batch, True, False).heartbeat_ms
        out.append(at_ms - NOW_MS if at_ms else None)
    return out


def known_lane(clock: Literal["ticks", "none"]) -> Lane:
    schemas = Told()
    schemas.known[1] = Known(SCHEMA, "", frozenset())
    lane = lane_of(schemas, clock)
    lane.at_end("email", 0)
    return lane


def test_a_heartbeat_goes_with_the_batch_that_takes_its_tick() -> None:
    """What counts is when the tick was written. It is read at once, and applied when no source holds it back any more."""
    lane = known_lane("ticks")
    lane.feed("clock", [Record(encode_tick(NOW_MS), 0)])
    lane.at_end("site", 0)
    assert (lane.heartbeat_ms, heartbeats(lane)) == (NOW_MS, [0])
    lane.feed("site", [record(5)])
    lane.feed("clock", [Record(encode_tick(NOW_MS + t), i) for i, t in enumerate((4, 7), 1)])
    assert lane.heartbeat_ms == NOW_MS + 2
    assert heartbeats(lane) == [1], "before the second more of the source may come"
    lane.feed("site", [record(6)])
    assert heartbeats(lane) == [None]
    lane.at_end("site", 7)
    assert heartbeats(lane) == [2]


def test_without_ticks_the_newest_event_is_the_heartbeat() -> None:
    """Of no concern to any rule too."""
    lane = known_lane("none")
    lane.feed("site", [record(3), record(4)])
    assert (lane.heartbeat_ms, heartbeats(lane)) == (NOW_MS + 4, [4])
