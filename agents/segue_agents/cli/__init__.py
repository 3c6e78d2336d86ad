"""The command line. stdout is for data, stderr for everything else.

Exit codes: 0 done, 1 a finding, 2 a wrong flag, setting or rule, 3 something outside is not there, 4 stored state that
does not fit, 130 interrupted. One file per group of commands; each imports what it needs when it runs, so that
`segue --help` is quick.
"""

from segue_agents.cli.application import app, main

__all__ = ["app", "main"]
