"""How heavy the hot path is, in bytecodes and C calls an event: the same on every machine, however busy.

usage: python -m bench.weight [--renew]

One batch of made-up events goes decode -> merge -> step -> encode changes -> encode states, in one partition. What is
counted is what CPython 3.11 executes: another version counts otherwise, so each has numbers of its own. It does not see
what a C call costs inside: numpy over a longer array, a slower codec. `make bench` sees that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from bench.exactness import decoders
from bench.filling import REFERENCE
from bench.generator import Shape, generate
from bench.segments import REFERENCE as RULES
from segue.engine import Engine, Merger
from segue.records import Change
from segue_agents.codecs.changes import ChangeEncoder
from segue_agents.rule_files import load_plan

NUMBERS: Final = Path(__file__).parents[1] / "tests" / "bench" / "weight.json"
SHAPE: Final = Shape(events=6_000, persons=600, late=0.01, days=3)
MARGIN: Final = 0.10
_BATCH: Final = 1_500
_NOW_MS: Final = 1_790_500_000_000
STAGES: Final = ("decode", "merge", "step", "changes", "states")
Count = dict[str, float]


class Scales:
    """Counts what runs inside `on`: bytecodes of every frame that begins there, and calls of C functions."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {stage: [0, 0] for stage in STAGES}

    def on(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """The work's result."""
        count = self.counts[stage]

        def opcode(_frame: FrameType, event: str, _argument: Any) -> Any:
            count[0] += event == "opcode"
            return opcode

        def call(frame: FrameType, _event: str, _argument: Any) -> Any:
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return opcode

        def profile(_frame: FrameType, event: str, _argument: Any) -> None:
            count[1] += event == "c_call"

        before = sys.gettrace(), sys.getprofile()
        sys.settrace(call)
        sys.setprofile(profile)
        try:
            return work(*arguments)
        finally:
            sys.settrace(before[0])
            sys.setprofile(before[1])


def weigh() -> dict[str, Count]:
    """Stage, and `all` of them -> bytecodes and C calls an event."""
    plan = load_plan(RULES, REFERENCE / "sources")
    partition, merger = Engine(plan).partition(0), Merger(plan.catalog, 0)
    encoder, scales, messages = ChangeEncoder(plan, 5), Scales(), generate(SHAPE).messages()
    for decoder in decoders(plan, REFERENCE / "sources"):
        source = messages[decoder.source_index]
        for start in range(0, len(source), _BATCH):
            columns = scales.on("decode", decoder.decode, source[start : start + _BATCH])
            scales.on("merge", merger.feed, decoder.source_index, columns)
        merger.at_end(decoder.source_index)
    while (batch := scales.on("merge", merger.take, _BATCH)) is not None:
        step = scales.on("step", partition.step, batch)
        _encode_changes(encoder, step.changes)  # what is remembered of minutes, say, is there whoever weighed before
        scales.on("changes", _encode_changes, encoder, step.changes)
        scales.on("states", partition.encoded, sorted(step.touched))
    count = sum(map(len, messages))
    weight = {s: {"bytecodes": round(b / count, 2), "c_calls": round(c / count, 2)} for s, (b, c) in scales.counts.items()}
    sums = {figure: round(sum(w[figure] for w in weight.values()), 2) for figure in ("bytecodes", "c_calls")}
    return {**weight, "all": sums}


def _encode_changes(encoder: ChangeEncoder, changes: list[Change]) -> None:
    for _ in encoder.encoded(changes, _NOW_MS, 0):
        pass


def judged(now: dict[str, Count], kept: dict[str, Count]) -> list[str]:
    """Sentences, one a figure of the whole that is more than MARGIN off the kept one; none: as it was."""
    said = []
    for figure, weight in now["all"].items():
        ratio = weight / kept["all"][figure]
        if abs(ratio - 1) > MARGIN:
            stages = ", ".join(f"{s} {kept[s][figure]} -> {now[s][figure]}" for s in STAGES)
            what = "heavier: make it lighter, or say in the commit why it must be" if ratio > 1 else "lighter: well done"
            said.append(f"The hot path takes {weight} {figure} an event, {ratio:.2f} times the kept {kept['all'][figure]} "
                        f"({stages}). It is {what}; then `python -m bench.weight --renew`.")  # fmt: skip
    return said


def kept() -> dict[str, Count] | None:
    """The numbers kept for this Python; None when there are none."""
    numbers: dict[str, dict[str, Count]] = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    return numbers.get(_python())


def _python() -> str:
    return f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"


def main() -> int:
    now = weigh()
    print(json.dumps(now, indent=1))
    if "--renew" in sys.argv[1:]:
        numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
        NUMBERS.write_text(json.dumps({**numbers, _python(): now}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
