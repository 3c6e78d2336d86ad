"""usage: python -m tests.chaos run [--minutes M] [--seed N] [--rounds R] [--events E] [--faults F] [--workers W]
                                  [--only a,b] [--first ROUND] [--mutant NAME] [--keep_going 1]
       python -m tests.chaos ledger
"""

from __future__ import annotations

import argparse
import sys
from typing import get_type_hints

from tests.chaos.report import ledger
from tests.chaos.run import How, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    for name, kind in get_type_hints(How).items():
        runs.add_argument(f"--{name}", type=(lambda text: text not in ("", "0", "False")) if kind is bool else kind,
                          default=getattr(How(), name))  # fmt: skip
    commands.add_parser("ledger")
    given = vars(parser.parse_args())
    if given.pop("command") == "ledger":
        print(ledger())
        return 0
    report = run(How(**given), say=lambda line: print(line, flush=True))
    print(f"{report.verdict}; see {report.folder}/report.md")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
