"""usage: python -m tests.chaos run [--minutes M] [--seed N] [--rounds R] [--events E] [--faults F] [--workers W]
                                  [--only a,b] [--without a,b] [--act NAME] [--first ROUND] [--mutant NAME] [--keep_going 1]
       python -m tests.chaos mutants [NAME ...]    plants each bug, and none in controls: which are seen
       python -m tests.chaos ledger                the sum of all runs
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import get_type_hints

from tests.chaos.mutants import CONTROLS, hunt, judged
from tests.chaos.plants import MUTANTS
from tests.chaos.report import ledger
from tests.chaos.run import Ground, How, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    for name, kind in get_type_hints(How).items():
        runs.add_argument(f"--{name}", type=(lambda text: text not in ("", "0", "False")) if kind is bool else kind,
                          default=getattr(How(), name))  # fmt: skip
    commands.add_parser("ledger")
    commands.add_parser("mutants").add_argument("names", nargs="*", default=[*CONTROLS, *MUTANTS])
    given = vars(parser.parse_args())
    command = given.pop("command")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if command == "ledger":
        print(ledger())
        return 0
    if command == "mutants":
        return _hunt(given["names"])
    report = run(How(**given), say=lambda line: print(line, flush=True))
    print(f"{report.verdict}; see {report.folder}/report.md")
    return 0 if report.verdict.startswith("PASSED") else 1


def _hunt(names: list[str]) -> int:
    escaped = []
    with tempfile.TemporaryDirectory(prefix="segue-chaos-") as below, Ground(Path(below) / "broker") as ground:
        for name in names:
            problems = hunt(ground.broker, ground.proxy, Path(below) / name, name).finding.problems
            wrong = judged(name, problems)
            escaped += [name] if wrong else []
            kinds = sorted({problem.split(":")[0].split()[0] for problem in problems})
            print(f"{name}: {'WRONG, ' + wrong[:600] if wrong else ' '.join(kinds) or 'no problem'}", flush=True)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
