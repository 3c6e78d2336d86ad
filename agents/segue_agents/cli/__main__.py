"""`python -m segue_agents.cli`: the command where no script is installed; the demo starts its worker by it."""

from segue_agents.cli import main

main()
