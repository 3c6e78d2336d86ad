"""The bench's commands: see README.md.

python -m bench run short ...       scenarios by name; `--short` and `--full` are sets of them
python -m bench report [RESULT]     docs/performance.md and its charts, from the newest result or the one named
python -m bench compare OLD NEW     ratios of two results, with their spread
python -m bench list                the scenarios
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import report, results
from bench.backlog import Published
from bench.measuring import run_script, run_workers
from bench.peers import PORT, Inexact
from bench.scenarios import SCENARIOS, Scenario, Script, named
from segue_agents.embedded import Broker


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("names", nargs="*")
    run.add_argument("--short", action="store_true")
    run.add_argument("--full", action="store_true")
    run.add_argument("--broker", default="", help="host:port; an embedded one of its own when not given")
    run.add_argument("--runs", type=int, default=3)
    run.add_argument("--workload", type=Path, help="the reference workload's folder, with its peers; they need port 19092")
    run.add_argument("--label", default="", help="set apart in the report, as for another Python: added to the names")
    run.add_argument("--out", type=Path, help="the result's file; default bench/results/DATE-COMMIT.json")
    told = commands.add_parser("report")
    told.add_argument("result", type=Path, nargs="?")
    compare = commands.add_parser("compare")
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    commands.add_parser("list")
    arguments = parser.parse_args()
    return {"run": _run, "report": _report, "compare": _compare, "list": _list}[arguments.command](arguments)


def _run(arguments: argparse.Namespace) -> int:
    chosen = [named(name) for name in arguments.names]
    chosen += [s for s in SCENARIOS if (arguments.short and s.short) or (arguments.full and not s.short)]
    if not chosen:
        raise SystemExit("Name scenarios, or say --short or --full. `python -m bench list` has their names.")
    result = results.sitting()
    file = arguments.out or results.path_of(result)
    workloads = [s for s in chosen if isinstance(s, Scenario)]
    if arguments.workload is None and not arguments.names:
        workloads = [s for s in workloads if not isinstance(s.shape, Published)]
    label = f", {arguments.label}" if arguments.label else ""

    def keep(ran: dict[str, Any]) -> None:
        for name, figures in ran.items():
            result["scenarios"][name + label] = {**figures, "title": figures["title"] + label, "command": name}
        results.save(result, file)

    with ExitStack() as stack:
        broker = arguments.broker
        if not broker:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-bench-kafka-"))
            broker = stack.enter_context(Broker(Path(folder), PORT if arguments.workload else None)).bootstrap
        try:
            for _, same in groupby(workloads, key=lambda s: (s.shape, s.times)):
                keep(run_workers(same, broker, arguments.runs, arguments.workload, _say))
        except Inexact as error:
            _say(str(error))
            return 1
        for script in (s for s in chosen if isinstance(s, Script)):
            if (ran := run_script(script, broker, arguments.runs, arguments.workload, _say)) is not None:
                keep({script.name: ran})
    print(file)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(arguments: argparse.Namespace) -> int:
    files = [arguments.result] if arguments.result else sorted(results.RESULTS.glob("*.json"))
    if not files:
        raise SystemExit(f"There is no result in {results.RESULTS}. `make bench` makes one.")
    report.write([results.load(file) for file in files], results.ROOT / "docs")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    print("\n".join(report.compared(results.load(arguments.old), results.load(arguments.new))))
    return 0


def _list(_arguments: argparse.Namespace) -> int:
    for s in SCENARIOS:
        print(f"{s.name:15} {'short' if s.short else 'full':6} {s.title}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
