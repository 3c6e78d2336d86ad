"""`python -m segue_agents.cli`: the same command where no script is installed, and what the demo starts its worker by."""

from segue_agents.cli import main

main()
