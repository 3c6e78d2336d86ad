"""Rules that follow others: what is known of the earlier ones, what is kept of their states, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest
from tests.agents.state.test_recovery import HERE, Log, Timers, checkpoint, entry, recovery

from segue.errors import StateError
from segue.plan import Layout, compile_plan, layout_of
from segue.rules import parse_rules
from segue_agents.rule_files import load_catalog
from segue_agents.state.layouts import PREFIX, Known, decode_known, succession
from segue_agents.state.standing import Owner
from segue_agents.state.store import Store, StoreBroken

KEEN = "segment: behavior_keen\nwhen: count(product_viewed) >= 3 in the last 10 minutes\n"
KEENER = "segment: behavior_keen\nwhen: count(product_viewed) >= 5 in the last 10 minutes\n"
BUYERS = "segment: behavior_buyers\nwhen: did order_completed in the last 1 day\n"
BOTH = f"{KEEN}---\n{BUYERS}"
NOW = 1_790_000_000_000


def layout(rules: str) -> Layout:
    catalog = load_catalog()
    return layout_of(compile_plan(parse_rules([("rules.yaml", rules)], catalog), catalog))


def leaf(rules: str) -> str:
    """The name of the only leaf."""
    (name,) = layout(rules).lookback_ms
    return name


# --- records


FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
from segue_agents.state.checkpoint import decode_checkpoint
from segue_agents.state.layouts import decode_known
from segue_agents.state.standing import decode_owner
values = [bytes.fromhex(value) for value in sys.argv[1:]]
together = threading.Barrier(8)
def read():
    together.wait()
    for decode, value in zip((decode_known, decode_checkpoint, decode_owner), values, strict=True):
        decode(value)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_restores_of_several_partitions_read_their_first_records_at_once() -> None:
    """In processes of their own, as only a first use is in question. With a type given to msgspec's `decode` instead of a
    decoder made before, 38 of 40 died of a segmentation fault."""
    records = Known(layout(BOTH), {"a": 1}).encode(), checkpoint({"site": 1}).encode(), msgspec.msgpack.encode(Owner("a", 0))
    for _ in range(4):
        subprocess.run([sys.executable, "-c", FIRST_USE, *(record.hex() for record in records)], check=True, timeout=60)


@pytest.mark.parametrize("package", ["agents", "streams"])
def test_no_class_is_learnt_at_its_first_use(package: str) -> None:
    """Decoders are made at an import: `decode(..., type=...)` and `convert` learn a class in the thread that comes first."""
    used = re.compile(r"\.decode\([^\n]*\btype=|msgspec\.convert\(")
    root = Path(__file__).parents[3] / package
    assert [str(file) for file in root.rglob("*.py") if used.search(file.read_text())] == []


# --- succession


def test_a_first_start_keeps_everything_from_the_beginning() -> None:
    """No checkpoint and no record: the layout of these rules, no leaf of which has begun late, is to be written."""
    assert succession([], "", layout(BOTH), 0, "app") == (Known(layout(BOTH), {}), True)


def test_the_same_rules_go_on_with_their_record() -> None:
    """Their record is found among others, with the starts it holds, and is not written again."""
    same = Known(layout(BOTH), {leaf(BUYERS): NOW})
    assert succession([Known(layout(KEEN), {}), same], same.layout.id, layout(BOTH), NOW + 1, "app") == (same, False)


def test_the_same_rules_without_a_record_write_one() -> None:
    """States from before there were such records, under these very rules, are theirs from the beginning."""
    assert succession([], layout(KEEN).id, layout(KEEN), NOW, "app") == (Known(layout(KEEN), {}), True)


def test_a_leaf_that_both_rules_have_keeps_its_start() -> None:
    """What has seen everything goes on having; what began late, then; what is new begins at engine time."""
    before = Known(layout(KEEN), {})
    second, written = succession([before], before.layout.id, layout(BOTH), NOW, "app")
    assert (second, written) == (Known(layout(BOTH), {leaf(BUYERS): NOW}), True)
    wider = f"{BOTH}---\nsegment: behavior_cart\nwhen: did product_added\n"
    third, written = succession([before, second], second.layout.id, layout(wider), NOW + 5, "app")
    assert written
    assert third.started_ms == {leaf(BUYERS): NOW, leaf("segment: behavior_cart\nwhen: did product_added\n"): NOW + 5}


def test_a_leaf_that_was_gone_meanwhile_begins_anew() -> None:
    """Going back to earlier rules is no return to their record: it was not kept while others ran."""
    first, second = Known(layout(BOTH), {}), Known(layout(KEEN), {})
    again, written = succession([first, second], second.layout.id, layout(BOTH), NOW, "app")
    assert (again, written) == (Known(layout(BOTH), {leaf(BUYERS): NOW}), True)


@pytest.mark.parametrize("known", [[], [Known(layout(KEEN), {})]])
def test_a_layout_of_which_nothing_is_known_is_refused(known: list[Known]) -> None:
    """The checkpoint names a layout that has no record: nobody can read its states, and the words name it."""
    with pytest.raises(StateError, match=r"(?s)app 'shop' was written under rules \(layout 0d0d\).*new app_id"):
        succession(known, "0d0d", layout(BOTH), NOW, "shop")


def test_a_rule_changed_under_its_version_is_refused_with_both_forms() -> None:
    """The words show what it was, what it is, and the version to write."""
    before = Known(layout(KEEN), {})
    with pytest.raises(StateError) as refused:
        succession([before], before.layout.id, layout(KEENER), NOW, "app")
    assert str(refused.value).splitlines() == [
        "The rule of 'behavior_keen' has changed, its version has not.",
        "  it was:",
        "    when: count(product_viewed) >= 3 in the last 10 minutes",
        "  it is:",
        "    when: count(product_viewed) >= 5 in the last 10 minutes",
        "Give it 'version: 2', or take the change back.",
    ]


def test_the_version_to_write_is_the_next_one_and_others_are_counted() -> None:
    """A rule at version 4 is told 5; of several changed rules one is shown, and that there are more."""
    was = f"{BUYERS}version: 4\n---\n{KEEN}"
    now = f"{BUYERS.replace('1 day', '2 days')}version: 4\n---\n{KEENER}"
    with pytest.raises(StateError, match=r"(?s)rule of 'behavior_buyers'.*1 other.*version: 5"):
        succession([Known(layout(was), {})], layout(was).id, layout(now), NOW, "app")


def test_a_new_version_may_say_anything() -> None:
    """The same change with a version of its own goes on, over a leaf that begins now."""
    before, after = Known(layout(KEEN), {}), layout(f"{KEENER}version: 2\n")
    known, written = succession([before], before.layout.id, after, NOW, "app")
    assert (known, written) == (Known(after, {leaf(KEENER): NOW}), True)


# --- the record


def test_a_record_comes_back_as_it_was() -> None:
    """Layout and starts survive being encoded; the key is the prefix and the tag that its states carry."""
    known = Known(layout(BOTH), {leaf(BUYERS): NOW})
    assert decode_known(known.encode()) == known
    assert known.key == PREFIX + known.layout.tag


GARBAGE = {
    "no MessagePack": b"\xc1",
    "nothing": b"",
    "a number": b"\x05",
    "a text": msgspec.msgpack.encode("layout"),
    "another record": msgspec.msgpack.encode({"layout_id": "0d"}),
    "no layout in it": msgspec.msgpack.encode({"layout": 5, "started_ms": {}}),
    "a layout without most": msgspec.msgpack.encode({"layout": {"id": "0d"}, "started_ms": {}}),
    "a list of rules": msgspec.msgpack.encode({"layout": {**asdict(layout(KEEN)), "rules": []}, "started_ms": {}}),
    "no starts": msgspec.msgpack.encode({"layout": asdict(layout(KEEN))}),
    "starts that are none": msgspec.msgpack.encode({"layout": asdict(layout(KEEN)), "started_ms": None}),
    "cut short": Known(layout(KEEN), {}).encode()[:-1],
}


@pytest.mark.parametrize("value", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_record_is_an_error(value: bytes) -> None:
    """Anything else under such a key is a StateError with words, never another exception."""
    with pytest.raises(StateError, match="record of a layout cannot be read"):
        decode_known(value)


# --- store and recovery

OLD, NEW = Known(layout(KEEN), {}), layout(BOTH)


def test_a_store_tells_persons_and_layouts_apart(tmp_path: Path) -> None:
    """The records of layouts come by themselves; a scan has the persons only, and neither has the checkpoint."""
    late = Known(NEW, {leaf(BUYERS): NOW})
    with Store(tmp_path / "s", lambda: 0) as store:
        assert store.layouts() == []
        store.write([(OLD.key, OLD.encode()), (b"ada", b"1"), (late.key, late.encode())], checkpoint(HERE))
        store.write([("zoë".encode(), b"2")], checkpoint(HERE))
    with Store(tmp_path / "s", lambda: 0) as store:
        assert sorted(store.layouts(), key=lambda k: k.layout.id) == sorted([OLD, late], key=lambda k: k.layout.id)
        assert dict(store.scan()) == {b"ada": b"1", "zoë".encode(): b"2"}
        assert store.checkpoint() == checkpoint(HERE)


@pytest.mark.parametrize("wiped", [False, True])
def test_known_layouts_are_adopted(tmp_path: Path, wiped: bool) -> None:
    """From the store and from the changelog alone, the partition learns them, and new leaves begin at engine time."""
    records = [(OLD.key, OLD.encode()), (b"ada", b"1"), entry(HERE, states=1, layout=OLD.layout.id)]
    if not wiped:
        with Store(tmp_path / "s", lambda: 0) as store:
            store.write(records[:2], checkpoint(HERE, changelog_offset=3, layout=OLD.layout.id))
    log, partition = Log(dict(enumerate(records)), 3), Timers()
    done = recovery(log, layout=NEW).recover(0, tmp_path / "s", HERE, lambda: partition)
    done.store.close()
    assert log.reads == ([(0, 3)] if wiped else [])
    assert partition.known == [OLD.layout]
    assert partition.seen == {b"ada": b"1"}
    assert done.persons == 1
    assert (done.known, done.known_is_new) == (Known(NEW, {leaf(BUYERS): partition.engine_time_ms}), True)


@pytest.mark.parametrize("wiped", [False, True])
def test_the_layout_written_last_goes_on_beside_earlier_ones(tmp_path: Path, wiped: bool) -> None:
    """A later start under the same rules finds both layouts and writes neither again."""
    late = Known(NEW, {leaf(BUYERS): 3})
    records = [(OLD.key, OLD.encode()), (b"ada", b"1"), (late.key, late.encode()), entry(HERE, states=1, layout=NEW.id)]
    if not wiped:
        with Store(tmp_path / "s", lambda: 0) as store:
            store.write(records[:3], checkpoint(HERE, changelog_offset=4, layout=NEW.id))
    partition = Timers()
    done = recovery(Log(dict(enumerate(records)), 4), layout=NEW).recover(0, tmp_path / "s", HERE, lambda: partition)
    done.store.close()
    assert {known.id for known in partition.known} == {OLD.layout.id, NEW.id}
    assert (done.known, done.known_is_new) == (late, False)


def test_a_first_start_knows_no_layout(tmp_path: Path) -> None:
    """Nothing anywhere: the partition learns nothing, and its own layout is to be written."""
    partition = Timers()
    done = recovery(Log({}, 0), layout=NEW).recover(0, tmp_path / "s", {}, lambda: partition)
    done.store.close()
    assert (partition.known, done.known, done.known_is_new) == ([], Known(NEW, {}), True)


@pytest.mark.parametrize(
    ("rules", "under"), [(KEENER, OLD.layout.id), (KEEN, "0d" * 8)], ids=["changed without version", "unknown"]
)
def test_a_refusal_closes_the_store_and_changes_nothing(tmp_path: Path, rules: str, under: str) -> None:
    """Refused in adopting: the partition has learnt nothing, and the store can be opened at once, as it was."""
    before = checkpoint(HERE, layout=under)
    with Store(tmp_path / "s", lambda: 0) as store:
        store.write([(OLD.key, OLD.encode()), (b"ada", b"1")], before)
        with pytest.raises(StoreBroken):  # one that is still open cannot be opened again
            Store(tmp_path / "s")
    partition = Timers()
    with pytest.raises(StateError) as refused:  # kept: a store left open would stay so with its frames
        recovery(Log({}, 0), layout=layout(rules)).recover(0, tmp_path / "s", HERE, lambda: partition)
    with Store(tmp_path / "s", lambda: 0) as store:
        assert dict(store.scan()) == {b"ada": b"1"}
        assert store.checkpoint() == before
    assert (partition.known, partition.seen) == ([], {})
    assert refused.value.exit_code == 4


def test_an_unreadable_record_is_refused(tmp_path: Path) -> None:
    """A record that is none ends the start with its words: its states could not be read either."""
    records = {0: (OLD.key, b"rubbish"), 1: entry(HERE, states=1, layout=OLD.layout.id)}
    with pytest.raises(StateError, match="record of a layout cannot be read"):
        recovery(Log(records, 2), layout=NEW).recover(0, tmp_path / "s", HERE, Timers)
