"""What is measured, as a table: a row is a workload and how it is worked on. `python -m bench run NAME` takes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.backlog import Published
from bench.generator import Shape


@dataclass(frozen=True)
class Scenario:
    """Workers over a backlog, every change compared with what it should be."""

    name: str
    title: str
    shape: Shape | Published
    times: int = 1
    """generations of the shape one after the other"""
    segments: int = 4
    shared: bool = False
    """segments that share their leaves"""
    workers: int = 2
    guarantee: str = "exactly_once"
    environment: Mapping[str, str] = field(default_factory=dict)
    """settings beside the defaults"""
    short: bool = False
    """a part of `make bench`"""
    peers: tuple[str, ...] = ()
    """engines that can run it (peers.py): the reference workload's four segments are built into them"""
    jvm: str = ""
    """flags of a peer's Java"""


@dataclass(frozen=True)
class Script:
    """A program of this folder that prints one line of JSON a run."""

    name: str
    title: str
    command: tuple[str, ...]
    """its file and arguments; {broker}, {runs} and {workload} are filled in"""
    short: bool = False


LATE: Final = Shape(events=500_000, persons=20_000, late=0.05, duplicates=0.01)
BACKLOG: Final = Shape(events=500_000, persons=20_000)
MANY: Final = Shape(events=100_000, persons=4_000)
"""for many segments, as all changes are held in memory to be compared: a hundred an event"""
LONG: Final = Shape(events=2_500_000, persons=100_000)
UNIFORM: Final = Shape(events=2_500_000, persons=5_000_000, skew=1.0, session=1)
SMALL_CACHE: Final = {"SEGUE_MAX_PERSONS": "40000"}
STREAMS: Final = ("kstreams",)

SCENARIOS: Final[tuple[Scenario | Script, ...]] = (
    Scenario("short", "500,000 events, two workers", BACKLOG, short=True, peers=STREAMS),
    Scenario("short-late", "500,000 events, 5 % late, 1 % twice", LATE, short=True),
    Scenario("short-100", "500,000 events, 100 segments of distinct leaves", BACKLOG, segments=100, short=True),
    Scenario("reference", "the reference workload: 2.5 M events, two workers", Published(), peers=STREAMS),
    Scenario("subset", "the reference workload, 8 % of its persons, one worker, at least once", Published(8), workers=1,
             guarantee="at_least_once", peers=("faust", "quix")),
    Scenario("long", "2.5 M events, two workers", LONG),
    Scenario("long-one", "2.5 M events, one worker", LONG, workers=1),
    Scenario("long-alo", "2.5 M events, two workers, at least once", LONG, guarantee="at_least_once"),
    Scenario("triple", "7.5 M events, two workers", LONG, times=3, peers=STREAMS),
    Scenario("uniform", "2.5 M events of 5 M persons alike, small cache", UNIFORM, environment=SMALL_CACHE, peers=STREAMS,
             jvm="-Dcache=20000000"),
    *(Scenario(f"distinct-{n}", f"100,000 events, {n:,} segments of distinct leaves", MANY, segments=n)
      for n in (4, 20, 100, 400)),
    *(Scenario(f"shared-{n}", f"100,000 events, {n:,} segments that share 16 leaves", MANY, segments=n, shared=True)
      for n in (4, 20, 100, 400, 1_000)),
    Script("restore", "a full restore of 1 M persons", ("restore.py", "--broker", "{broker}", "--runs", "{runs}")),
    Script("restore-beside", "the state of 2 M events back, beside Kafka Streams",
           ("restore_beside.py", "--broker", "{broker}", "--runs", "{runs}", "--workload={workload}")),
    Script("start", "start to first commit, 1 M persons on disk",
           ("start.py", "--broker", "{broker}", "--runs", "{runs}", "--persons", "1000000")),
    Script("latency", "event to change", ("latency.py", "--broker", "{broker}", "--runs", "{runs}")),
    Script("latency-alo", "event to change, at least once",
           ("latency.py", "--broker", "{broker}", "--runs", "{runs}", "--guarantee", "at_least_once")),
    Script("ablation", "where each µs goes", ("ablation.py", "--broker", "{broker}", "--runs", "{runs}"), short=True),
)  # fmt: skip
"""the short ones are `make bench`, all others `make bench-full`"""


def named(name: str) -> Scenario | Script:
    """A row. Raises SystemExit with the names there are."""
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    raise SystemExit(f"There is no scenario {name!r}. There are: {', '.join(s.name for s in SCENARIOS)}.")
