"""python -m tools.cli: the command `armillary` without its console script."""

from tools.cli.app import main

main()
