"""The merger: order of the history out of any order of reading, late and future rows told apart."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.engine.driving import CATALOG, DAY, HOUR, MINUTE, T0, columns
from tests.streams.engine.oracle import Event
from tests.streams.engine.strategies import histories

from segue.engine import Merger
from segue.plan import compile_plan
from segue.records import Batch
from segue.rules import tree as t

ALL = t.RuleSet((t.Segment("segment_all", when=t.Count(t.Events(CATALOG.event_names()), ">=", 1)),), ())
PLAN = compile_plan(ALL, CATALOG)
SITE, EMAIL, PROFILE = 0, 1, 2


def merger_of_two(**more: Any) -> Merger:
    """Site and email; nothing comes of the third source."""
    merger = Merger(CATALOG, 0, **more)
    merger.at_end(PROFILE)
    return merger


def row(time: int, offset: int, order: int = 1, name: str = "view") -> tuple[bytes, Event]:
    return (b"ada", Event(time, order, offset, name))


def drain(merger: Merger, max_rows: int = 1 << 30) -> list[Batch]:
    out = []
    while (batch := merger.take(max_rows)) is not None:
        out.append(batch)
    return out


def places(batches: list[Batch]) -> list[tuple[int, int, int]]:
    return [x for b in batches for x in zip(b.time_ms, b.source, b.offset, strict=True)]


@settings(deadline=None)
@given(histories(40), st.integers(1, 7), st.integers(1, 7), st.booleans())
def test_reading_order_and_batch_size_change_nothing(
    history: list[tuple[bytes, Event]], chunk: int, max_rows: int, email_first: bool
) -> None:
    """However the sources are read, the rows leave in the order of the history and none is late."""
    merger, out = Merger(CATALOG, 0), []
    for source in (EMAIL, PROFILE, SITE) if email_first else (SITE, EMAIL, PROFILE):
        mine = [r for r in history if r[1].order == source + 1]
        for i in range(0, len(mine), chunk):
            merger.feed(source, columns(PLAN, source, mine[i : i + chunk]))
            out += drain(merger, max_rows)
        merger.at_end(source)
    out += drain(merger, max_rows)
    expected = sorted((e for _, e in history), key=Event.place)
    assert places(out) == [(e.time, e.order - 1, e.offset) for e in expected if e.name != "sent"]
    assert not any(b.late for b in out)


def test_a_source_that_lags_holds_the_others_back() -> None:
    """Nothing leaves that a source not yet at its end could still come before."""
    merger = merger_of_two()
    merger.feed(SITE, columns(PLAN, SITE, [row(T0, 0), row(T0 + HOUR, 1)]))
    assert merger.take(10) is None
    merger.feed(EMAIL, columns(PLAN, EMAIL, [row(T0 + MINUTE, 0, 2, "open")]))
    assert places(drain(merger)) == [(T0, SITE, 0), (T0 + MINUTE, EMAIL, 0)]
    merger.at_end(EMAIL)
    assert places(drain(merger)) == [(T0 + HOUR, SITE, 1)]


def test_late_rows_are_marked_with_the_engine_time_they_meet() -> None:
    """A row behind its own source stands where it arrived, and moves no time."""
    merger = merger_of_two()
    merger.at_end(EMAIL)
    merger.feed(SITE, columns(PLAN, SITE, [row(T0, 0), row(T0 - HOUR, 1), row(T0 + 1, 2)]))
    (batch,) = drain(merger)
    assert (batch.time_ms, batch.late, batch.moment) == ([T0, T0 - HOUR, T0 + 1], [1], [T0])
    assert batch.engine_time_ms == T0 + 1


def test_at_one_time_the_sources_order_decides() -> None:
    """An email of this very millisecond is in order after the site's event, and late before it is not."""
    merger = merger_of_two()
    merger.at_end(SITE)
    merger.feed(EMAIL, columns(PLAN, EMAIL, [row(T0, 0, 2, "open")]))
    drain(merger)
    merger.feed(SITE, columns(PLAN, SITE, [row(T0, 0)]))
    (batch,) = drain(merger)
    assert batch.late == [0], "the email came first, though site comes before email"


def test_later_than_the_lateness_is_too_late() -> None:
    """24 h behind is folded in, a millisecond more goes to the dead letters."""
    merger = merger_of_two()
    merger.at_end(EMAIL)
    merger.feed(SITE, columns(PLAN, SITE, [row(T0, 0), row(T0 - DAY, 1), row(T0 - DAY - 1, 2)]))
    (batch,) = drain(merger)
    assert batch.offset == [0, 1]
    assert [(r.offset, r.reason, r.record) for r in batch.rejected] == [(2, "too_late", 2)]
    assert batch.next_offsets == {SITE: 3}
    assert batch.consumed == {SITE: 3}


def test_the_future_moves_no_clock() -> None:
    """A record dated 2099 is rejected; its neighbours pass as if it were not there."""
    merger = merger_of_two()
    merger.at_end(EMAIL)
    rows = [row(T0, 0), row(4_085_000_000_000, 1), row(T0 + 1, 2)]
    merger.feed(SITE, columns(PLAN, SITE, rows, arrival_ms=T0))
    (batch,) = drain(merger)
    assert (batch.offset, batch.late, batch.engine_time_ms) == ([0, 2], [], T0 + 1)
    assert [(r.offset, r.reason) for r in batch.rejected] == [(1, "in_the_future")]
    assert batch.consumed == {SITE: 3}


def test_five_minutes_ahead_is_the_limit() -> None:
    """An event exactly `max_future` ahead of the newest tick passes, one a millisecond further does not."""
    merger = merger_of_two(clock="ticks")
    merger.at_end(EMAIL)
    merger.tick(T0, 0)
    limit = T0 + 5 * MINUTE
    merger.feed(SITE, columns(PLAN, SITE, [row(limit, 0), row(limit + 1, 1)], arrival_ms=limit + DAY))
    rejected = [r.offset for b in drain(merger) for r in b.rejected]
    assert rejected == [1]


def test_ticks_move_time_on_an_idle_partition() -> None:
    """With every source at its end a tick alone makes a batch, less the clock's delay."""
    merger = merger_of_two(clock="ticks", clock_delay_ms=1_000)
    merger.at_end(SITE)
    merger.at_end(EMAIL)
    merger.tick(T0, 41)
    (batch,) = drain(merger)
    assert (batch.kind, batch.engine_time_ms, batch.clock_offset) == ([], T0 - 1_000, 42)


def test_ticks_wait_for_a_source_that_lags() -> None:
    """After a pause the log's events come before the ticks written since."""
    merger = merger_of_two(clock="ticks")
    merger.at_end(EMAIL)
    merger.tick(T0 + HOUR, 0)
    merger.feed(SITE, columns(PLAN, SITE, [row(T0, 0)]))
    assert [b.engine_time_ms for b in drain(merger)] == [T0]
    merger.at_end(SITE)
    assert [b.engine_time_ms for b in drain(merger)] == [T0 + HOUR]


def test_old_ticks_judge_nothing() -> None:
    """After an hour's stop the ticks of before must not make the events of since look like the future."""
    merger = merger_of_two(clock="ticks", hold_until_ms=T0 + HOUR)
    merger.at_end(EMAIL)
    merger.tick(T0, 0)
    merger.feed(SITE, columns(PLAN, SITE, [row(T0 + 50 * MINUTE, 0)]))
    assert merger.take(10) is None
    merger.tick(T0 + HOUR, 1)
    batches = drain(merger)
    assert places(batches) == [(T0 + 50 * MINUTE, SITE, 0)]
    assert not any(b.rejected for b in batches)


def test_a_record_that_was_no_event_leaves_with_the_offset_that_passes_it() -> None:
    """Decoder's rejects come out once, in the batch whose offsets include them."""
    merger = merger_of_two()
    merger.at_end(EMAIL)
    from segue.records import Rejected

    read = columns(PLAN, SITE, [row(T0, 0), row(T0 + 1, 2)])
    read.rejected = [Rejected(SITE, 1, "undecodable", "cut", None), Rejected(SITE, 3, "undecodable", "cut", None)]
    read.next_offset = 4
    merger.feed(SITE, read)
    batches = drain(merger, max_rows=1)
    assert [[r.offset for r in b.rejected] for b in batches] == [[1], [3]]
    assert [b.next_offsets for b in batches] == [{SITE: 2}, {SITE: 4}]
    assert sum(b.consumed[SITE] for b in batches) == 4


def test_a_source_whose_rows_cannot_be_fed_yet_holds_the_others_back() -> None:
    """It was at its end; what came then is waited for, ticks included, and is not late when it is fed."""
    merger = merger_of_two(clock="ticks")
    merger.at_end(EMAIL)
    merger.feed(SITE, columns(PLAN, SITE, [row(T0, 0)]))
    merger.at_end(SITE)
    merger.tick(T0 + MINUTE, 0)
    assert places(drain(merger)) == [(T0, SITE, 0)]
    merger.hold(EMAIL)
    merger.feed(SITE, columns(PLAN, SITE, [row(T0 + 3 * MINUTE, 1)]))
    merger.at_end(SITE)
    merger.tick(T0 + 4 * MINUTE, 1)
    assert drain(merger) == []
    merger.feed(EMAIL, columns(PLAN, EMAIL, [row(T0 + 2 * MINUTE, 0, 2, "open")]))
    merger.at_end(EMAIL)
    batches = drain(merger)
    assert places(batches) == [(T0 + 2 * MINUTE, EMAIL, 0), (T0 + 3 * MINUTE, SITE, 1)]
    assert [b.late for b in batches] == [[]]
    assert merger.engine_time_ms == T0 + 4 * MINUTE
